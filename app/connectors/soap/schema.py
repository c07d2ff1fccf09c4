"""The types of a WSDL as shapes, made from zeep's model once; all that knows zeep's classes of types is here."""

import math
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import cached_property
from typing import Any

from zeep.xsd import elements, types
from zeep.xsd.types import builtins

from app.config.wsdl import SOAP_ENCODING
from app.connectors._http.scalar import to_text
from app.connectors.soap.facet import Restrictions
from app.connectors.soap.shape import Attribute, Group, Part, Shape, Simple
from app.connectors.soap.value import forms
from app.errors import DataFault

_ARRAY_TYPE = f"{{{SOAP_ENCODING}}}arrayType"
_LEVELS = 64


class Shapes:
    """The shapes of one WSDL's types; used by many threads."""

    def __init__(self, schema: Any, restrictions: Restrictions) -> None:
        self._schema = schema
        self._restrictions = restrictions
        # By identity, as zeep's types have none of their own; each is kept, so that none is taken for another.
        self._known: dict[int, tuple[Any, Shape]] = {}
        self._simples: dict[int, tuple[Any, Simple]] = {}

    def of(self, kind: Any) -> Shape:
        """The shape of one of zeep's types."""
        found = self._known.get(id(kind))
        if found is None:
            found = self._known.setdefault(id(kind), (kind, self._made(kind)))
        return found[1]

    def named(self, name: str) -> tuple[Any, Shape] | None:
        """The global type of a name, local or in Clark's notation; its qualified name and shape."""
        kind = self._names.get(name)
        return None if kind is None else (kind.qname, self.of(kind))

    def element(self, tag: str) -> Part | None:
        """The global element of a tag."""
        return self._elements.get(tag)

    @cached_property
    def _names(self) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        for kind in self._schema.types:
            if kind.qname is not None:
                found.setdefault(kind.qname.localname, kind)
                found[kind.qname.text] = kind
        return found

    @cached_property
    def _elements(self) -> Mapping[str, Part]:
        return {one.qname.text: _part(one) for one in self._schema.elements if isinstance(one, elements.Element)}

    def _made(self, kind: Any) -> Shape:
        label = _label(kind)
        if isinstance(kind, types.ComplexType):
            return self._complex(kind, label)
        if isinstance(kind, types.AnySimpleType):
            return Shape(label=label, simple=self._simple(kind))
        return Shape(label=label, open=True)  # xsd:anyType, or what zeep knows no better

    def _complex(self, kind: Any, label: str) -> Shape:
        attributes = {}
        item = None
        for _, one in kind.attributes:
            if one.name is None:
                continue
            if one.qname.text == _ARRAY_TYPE:
                item = getattr(one, "array_type", None) or types.AnyType()
            if one.qname.namespace != SOAP_ENCODING:
                simple = self._simple(one.type)
                attributes[one.name] = Attribute(
                    name=one.name, tag=one.qname.text, required=one.required, simple=simple
                )
        nested = kind.elements_nested
        inner = nested[0][1] if nested else None
        if isinstance(inner, elements.Element):
            return Shape(label=label, simple=self._content(inner.type), attributes=attributes)
        if item is not None:
            return Shape(label=label, attributes=attributes, item=item, item_label=_clark(item) or "")
        group = (
            _group(inner, self._restrictions.optional)
            if inner is not None
            else Group(order="sequence", children=(), least=1, most=1, names=frozenset())
        )
        parts: dict[str, Part] = {}
        repeated: set[str] = set()
        for part, many in _parts(group, many=False):
            if part.name in parts or many:
                repeated.add(part.name)
            parts.setdefault(part.name, part)
        return Shape(
            label=label,
            content=group,
            attributes=attributes,
            parts=parts,
            repeated=frozenset(repeated),
            open=_is_open(inner, _LEVELS),
        )

    def _content(self, kind: Any) -> Simple:
        """The simple type under layers of simple content."""
        for _ in range(_LEVELS):
            nested = kind.elements_nested if isinstance(kind, types.ComplexType) else []
            if not nested or not isinstance(nested[0][1], elements.Element):
                break
            kind = nested[0][1].type
        return self._simple(kind)

    def _simple(self, kind: Any) -> Simple:
        """Of one of zeep's simple types; made once, as unions may name a type many times."""
        found = self._simples.get(id(kind))
        if found is None:
            found = self._simples.setdefault(id(kind), (kind, self._made_simple(kind)))
        return found[1]

    def _made_simple(self, kind: Any) -> Simple:
        name = _clark(kind)
        write, read = forms(type(kind))
        if isinstance(kind, types.ListType):
            item = self._simple(kind.item_type)

            def write(value: Any) -> str:
                values = value if isinstance(value, list) else str(value).split()
                return " ".join(item.text(one, "") for one in values)

        elif isinstance(kind, types.UnionType):
            members = [self._simple(one) for one in kind.item_types]

            def write(value: Any) -> str:
                for member in members:
                    try:
                        return member.text(value, "")
                    except DataFault:
                        continue
                if self._restrictions.has_inner_members:
                    return to_text(value, "")
                raise ValueError

        choices = self._restrictions.choices(name)
        return Simple(
            label=_label(kind),
            choices=choices,
            read=read,
            _name=name,
            _write=write,
            _restrictions=self._restrictions,
        )


def root_part(element: Any) -> Part:
    """An element of a message."""
    return _part(element)


def _part(element: Any) -> Part:
    most = _most(element.max_occurs)
    return Part(
        name=element.name,
        tag=element.qname.text,
        least=element.min_occurs,
        most=most,
        nillable=element.nillable,
        kind=element.type,
    )


def _group(indicator: Any, optional: AbstractSet[str]) -> Group:
    if isinstance(indicator, elements.Group):
        inner = _group(indicator.child, optional)
        indicator_most = _most(indicator.max_occurs)
        return Group(
            order=inner.order,
            children=inner.children,
            least=min(indicator.min_occurs, inner.least),
            most=max(indicator_most, inner.most),
            names=inner.names,
        )
    children: list[Part | Group] = []
    names: set[str] = set()
    for child in indicator:
        if isinstance(child, elements.Element):
            part = _part(child)
            if isinstance(indicator, elements.Choice):
                part = replace(part, least=0 if part.name in optional else max(1, part.least))
            children.append(part)
            names.add(part.name)
        elif isinstance(child, elements.Group | elements.All | elements.Choice | elements.Sequence):
            inner = _group(child, optional)
            children.append(inner)
            names |= inner.names
    kind = (
        "choice"
        if isinstance(indicator, elements.Choice)
        else "all"
        if isinstance(indicator, elements.All)
        else "sequence"
    )
    most = _most(indicator.max_occurs)
    least = indicator.min_occurs
    if kind == "choice" and any(isinstance(child, elements.Any) for child in indicator):
        least = 0  # what the schema does not name may be what is chosen
    return Group(order=kind, children=children, least=least, most=most, names=frozenset(names))  # type: ignore[arg-type]  # one of the three


def _parts(group: Group, *, many: bool) -> Iterator[tuple[Part, bool]]:
    """Each part, and whether there may be more than one of it."""
    many = many or group.most > 1
    for child in group.children:
        if isinstance(child, Part):
            yield child, many or child.most > 1
        else:
            yield from _parts(child, many=many)


def _is_open(indicator: Any, levels: int) -> bool:
    if isinstance(indicator, elements.Any):
        return True
    if isinstance(indicator, elements.Group):
        return levels > 0 and _is_open(indicator.child, levels - 1)
    if isinstance(indicator, elements.All | elements.Choice | elements.Sequence):
        return levels > 0 and any(_is_open(child, levels - 1) for child in indicator)
    return False


def _most(occurs: Any) -> float:
    return math.inf if occurs == "unbounded" else float(occurs)


def _clark(kind: Any) -> str | None:
    qname = getattr(kind, "qname", None)
    return None if qname is None else str(qname.text)


def _label(kind: Any) -> str:
    """A type's name as people know it."""
    if isinstance(kind, types.ListType):
        return f"list of {_label(kind.item_type)}"
    if isinstance(
        kind, types.AnySimpleType
    ):  # a restricted type is told by what it restricts: many have no name of their own
        built_in = next((one for one in type(kind).__mro__ if one.__module__ == builtins.__name__), None)
        return str(getattr(built_in, "_default_qname", builtins.String._default_qname).localname)  # noqa: SLF001  # it has no public name
    qname = getattr(kind, "qname", None)
    return str(qname.localname) if qname is not None else "any"
