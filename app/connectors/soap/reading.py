"""The elements of an answer as plain values, typed by the schema where it speaks of them and as text where it does not.

An answer is somebody else's: elements that no schema names, or that stand in another order, are read all the same, and
nothing in it makes reading it long. `@name` is an attribute, `#text` the text beside one, nil is null; what may repeat is
always a list. Paths begin with the body's own elements.
"""

from collections.abc import Mapping
from typing import Any

from lxml import etree

from app.connectors.soap.schema import Shapes
from app.connectors.soap.shape import Part, Shape
from app.connectors.soap.writing import XSI

_LEVELS = 48
_ELEMENTS = 100_000
_NIL = f"{{{XSI}}}nil"
_TYPE = f"{{{XSI}}}type"
_OF_MESSAGES = ("{http://schemas.xmlsoap.org/soap/", "{http://www.w3.org/2003/05/soap-")
"""Namespaces of attributes that speak of the message, not of what it says."""
_UNKNOWN = Shape(label="any", open=True)


def read_body(body: Any, parts: Mapping[str, Part], shapes: Shapes) -> dict[str, Any]:
    """The body's elements by their local names, those of a result typed."""
    return _Reading(body, shapes).of(body, parts)


class _Reading:
    """One answer: the elements that others refer to, and how many may still be read."""

    def __init__(self, body: Any, shapes: Shapes) -> None:
        self._shapes = shapes
        self._left = _ELEMENTS
        # SOAP 1.1, 5.2.1: values that several elements share stand beside the result.
        self._shared = {one.get("id"): one for one in body.iterchildren(etree.Element) if one.get("id")}

    def of(self, body: Any, parts: Mapping[str, Part]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for child in body.iterchildren(etree.Element):
            if not (found and child.get("id") in self._shared):
                name = etree.QName(child).localname
                part = parts.get(name) or (next(iter(parts.values())) if len(parts) == 1 and not found else None)
                shape = _UNKNOWN if part is None or name == "Fault" else self._shapes.of(part.kind)
                _put(found, name, self._value(child, shape, 0), many=False)
        return found

    def _value(self, node: Any, shape: Shape, level: int) -> Any:
        self._left -= 1
        reference = node.get("href") or ""
        shared = self._shared.get(reference[1:]) if reference.startswith("#") else None
        if level > _LEVELS or self._left < 0:
            return None
        if shared is not None:
            return self._value(shared, shape, level + 1)
        if node.get(_NIL) in {"true", "1"}:
            return None
        if (named := node.get(_TYPE)) is not None:
            shape = self._derived(named, shape)
        attributes = {
            f"@{etree.QName(name).localname}": value
            for name, value in node.attrib.items()
            if name not in {_NIL, _TYPE} and not name.startswith(_OF_MESSAGES)
        }
        children = list(node.iterchildren(etree.Element))
        if not children:
            return _text(node.text or "", shape, attributes)
        if shape.item is not None:
            return [self._value(child, self._shapes.of(shape.item), level + 1) for child in children]
        found: dict[str, Any] = dict(attributes)
        for child in children:
            name = etree.QName(child).localname
            part = shape.parts.get(name)
            inner = _UNKNOWN if part is None else self._shapes.of(part.kind)
            _put(found, name, self._value(child, inner, level + 1), many=name in shape.repeated)
        return found

    def _derived(self, named: str, shape: Shape) -> Shape:
        """The type that an element says it has, where it may have several."""
        if shape.simple is not None or shape.item is not None:
            return shape
        found = self._shapes.named(named.rpartition(":")[2])
        return shape if found is None else found[1]


def _text(text: str, shape: Shape, attributes: dict[str, Any]) -> Any:
    """An element without others in it."""
    if shape.content is not None and not text.strip():
        return attributes
    value = text if shape.simple is None else shape.simple.read(text)
    return {**attributes, "#text": value} if attributes else value


def _put(found: dict[str, Any], name: str, value: Any, *, many: bool) -> None:
    if name not in found:
        found[name] = [value] if many else value
    elif isinstance(found[name], list):
        found[name].append(value)
    else:
        found[name] = [found[name], value]
