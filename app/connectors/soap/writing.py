"""A payload as elements, in the order and the forms its schema says; what does not fit is refused before anything is sent.

Dotted names are elements, `name@attr` attributes and `name#text` the text beside them, as in XML bodies elsewhere. Faults
name the argument, never its value.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lxml import etree

from app.config.wsdl import SOAP_ENCODING
from app.connectors._http.scalar import to_text
from app.connectors.soap.facet import some
from app.connectors.soap.given import gathered, given, kept, rows
from app.connectors.soap.schema import Shapes
from app.connectors.soap.shape import Group, Part, Shape, attribute_name, below, names_of
from app.errors import DataFault

XSI = "http://www.w3.org/2001/XMLSchema-instance"
_NIL = f"{{{XSI}}}nil"
_TYPE = f"{{{XSI}}}type"
_LEVELS = 32
_XSI_TYPE = "@xsi:type"


class Writer:
    """Writes values under the shapes of one WSDL; used by many threads."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes

    def arguments(self, parts: Sequence[Part], payload: Mapping[str, Any], body: Any, *, wrapped: bool) -> None:
        """The body of a message; raises `DataFault`."""
        if wrapped:
            self._content(etree.SubElement(body, parts[0].tag), self._shapes.of(parts[0].kind), payload, "", 0)
            return
        fields = gathered(payload)
        names = frozenset(part.name for part in parts)
        group = Group(order="sequence", children=parts, least=1, most=1, names=names)
        self._group(body, group, fields, "", 0)
        _refuse_others(fields, names, "")

    def element(self, part: Part, value: Any, parent: Any, path: str, level: int = 0) -> None:
        """A value as the element, or as several where it is a list; raises `DataFault`."""
        if not isinstance(value, list) or self._shapes.of(part.kind).item is not None:
            if part.least > 1 and value is not None:
                raise DataFault(f"argument {path}: the WSDL requires {part.least}: map {path}.0, {path}.1 and so on")
            self._one(part, value, parent, path, level)
            return
        values = kept(value, part.least)
        if len(values) > part.most and len(values) > 1:
            raise DataFault(f"argument {path}: the WSDL allows {part.most:g} at most")
        if len(values) < part.least and part.least > 1:
            raise DataFault(f"argument {path}: the WSDL requires {part.least}")
        for place, one in values:
            self._one(part, one, parent, f"{path}.{place}", level)

    def _one(self, part: Part, value: Any, parent: Any, path: str, level: int) -> None:
        if level > _LEVELS:
            raise DataFault(f"argument {path}: more than {_LEVELS} levels")
        if value is None and not part.nillable:
            if part.least:
                raise DataFault(f"argument {path} has no value, and the WSDL requires one")
            return
        node = etree.SubElement(parent, part.tag)
        if value is None:
            node.set(_NIL, "true")
        else:
            self._content(node, self._shapes.of(part.kind), value, path, level)

    def _content(self, node: Any, shape: Shape, value: Any, path: str, level: int) -> None:
        fields = gathered(value) if isinstance(value, Mapping) else None
        if fields is not None and _XSI_TYPE in fields:
            fields = dict(fields)
            shape = self._chosen_type(node, str(fields.pop(_XSI_TYPE)), path)
        if shape.item is not None:
            self._array(node, shape, value, path, level)
            return
        if fields is None and shape.content is not None:
            raise DataFault(
                f"argument {path} is made of parts: map {below(path, next(iter(shape.parts), 'its parts'))}"
            )
        if fields is not None or shape.simple is not None:
            self._attributes(node, shape, fields or {}, path)
        if shape.content is not None:
            self._parts(node, shape, fields or {}, path, level)
        elif shape.simple is None:
            self._anything(node, value if fields is None else fields, path, level)
        else:
            text = value
            if fields is not None:
                _refuse_others(fields, frozenset({"#text", "#cdata"}), path)
                text = fields.get("#text", fields.get("#cdata"))
            node.text = shape.simple.text(text, path) if text is not None else shape.simple.empty(path)

    def _parts(self, node: Any, shape: Shape, fields: Mapping[str, Any], path: str, level: int) -> None:
        assert shape.content is not None
        self._group(node, shape.content, fields, path, level + 1)
        if not shape.open:
            _refuse_others(fields, shape.content.names, path)
            return
        for name, value in fields.items():
            if name not in shape.content.names and not name.startswith(("@", "#")):
                self._anything(node, {name: value}, path, level)

    def _group(self, node: Any, group: Group, fields: Mapping[str, Any], path: str, level: int) -> None:
        if group.order == "choice":
            self._choice(node, group, fields, path, level)
        elif group.most > 1 and len(group.children) > 1:
            for one in rows(fields, group.names):
                for child in group.children:
                    self._child(node, child, one, path, level)
        elif group.least or given(fields, group.names):
            for child in group.children:
                self._child(node, child, fields, path, level, many=group.most)

    def _child(
        self, node: Any, child: Part | Group, fields: Mapping[str, Any], path: str, level: int, *, many: float = 1
    ) -> None:
        if isinstance(child, Group):
            self._group(node, child, fields, path, level)
        elif given(fields, {child.name}) or (child.least and child.name in fields):
            self._named(child, fields[child.name], node, below(path, child.name), level, many=many)
        elif child.least and child.nillable:
            self._one(child, None, node, below(path, child.name), level)
        elif child.least:
            raise DataFault(f"argument {below(path, child.name)} has no value, and the WSDL requires one")

    def _choice(self, node: Any, group: Group, fields: Mapping[str, Any], path: str, level: int) -> None:
        names = given(fields, group.names)
        if not names and not group.may_be_empty:
            parts = some([below(path, name) for name in group.branches])
            raise DataFault(f"none of the arguments {parts} has a value, and the WSDL requires one of them")
        if group.most > 1:
            for child in group.children:
                if not names_of(child).isdisjoint(names):
                    self._child(node, child, fields, path, level, many=group.most)
        elif names:
            child = max(group.children, key=lambda one: len(names_of(one) & names))
            if names - names_of(child):
                others = ", ".join(sorted(below(path, name) for name in names))
                raise DataFault(f"arguments {others}: the WSDL takes one of them")
            self._child(node, child, fields, path, level)

    def _named(self, part: Part, value: Any, node: Any, path: str, level: int, *, many: float) -> None:
        if many > 1 and isinstance(value, list):  # the group around it repeats
            for place, one in kept(value, 0):
                self._one(part, one, node, f"{path}.{place}", level)
        else:
            self.element(part, value, node, path, level)

    def _attributes(self, node: Any, shape: Shape, fields: Mapping[str, Any], path: str) -> None:
        for attribute in shape.attributes.values():
            value = fields.get(f"@{attribute.name}")
            if value is not None:
                node.set(attribute.tag, attribute.simple.text(value, attribute_name(path, f"@{attribute.name}")))
            elif attribute.required:
                name = attribute_name(path, f"@{attribute.name}")
                raise DataFault(f"argument {name} has no value, and the WSDL requires one")
        for name in fields:
            if name.startswith("@") and name[1:] not in shape.attributes:
                raise DataFault(f"argument {attribute_name(path, name)}: the WSDL has no such attribute")

    def _chosen_type(self, node: Any, name: str, path: str) -> Shape:
        found = self._shapes.named(name)
        if found is None:
            raise DataFault(f"argument {attribute_name(path, _XSI_TYPE)}: the WSDL has no such type")
        node.set(_TYPE, found[0])
        return found[1]

    def _array(self, node: Any, shape: Shape, value: Any, path: str, level: int) -> None:
        """SOAP 1.1, 5.4.2."""
        items = value if isinstance(value, list) else [value]
        if isinstance(value, Mapping) and set(value) == {"item"}:
            items = value["item"] if isinstance(value["item"], list) else [value["item"]]
        qname = etree.QName(shape.item_label) if shape.item_label else None
        namespace = None if qname is None else qname.namespace
        prefix = next((prefix for prefix, one in node.nsmap.items() if prefix and one == namespace), None)
        if qname is not None and prefix is not None:
            node.set(f"{{{SOAP_ENCODING}}}arrayType", f"{prefix}:{qname.localname}[{len(items)}]")
        for place, one in enumerate(items):
            inner = etree.SubElement(node, "item")
            self._content(inner, self._shapes.of(shape.item), one, f"{path}.{place}", level + 1)

    def _anything(self, node: Any, value: Any, path: str, level: int) -> None:
        """What no schema speaks of: texts and elements, those of no namespace unless `{namespace}name` says one."""
        if level > _LEVELS:
            raise DataFault(f"argument {path}: more than {_LEVELS} levels")
        try:
            if not isinstance(value, Mapping):
                node.text = to_text(value, path)
                return
            for name, inner in value.items():
                if name == "#text":
                    node.text = to_text(inner, path)
                elif name.startswith("@"):
                    node.set(name[1:], to_text(inner, path))
                else:
                    for one in inner if isinstance(inner, list) else [inner]:
                        self._anything(etree.SubElement(node, name), one, below(path, name), level + 1)
        except ValueError:  # a character that XML cannot carry, or no name
            raise DataFault(f"argument {path} cannot be written as XML") from None


def _refuse_others(fields: Mapping[str, Any], names: frozenset[str], path: str) -> None:
    for name in fields:
        if name not in names and not name.startswith("@"):
            raise DataFault(f"argument {path or 'list'}: the WSDL has no such part as one that was mapped")
