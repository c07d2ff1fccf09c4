"""How many elements and attributes a set of schemas comes to once its groups are put in, told before anybody does so.

Groups that hold groups twice each double with every level: thirty lines of schema can mean a thousand million elements
(as entities can, CWE-776). Zeep puts them in.
"""

from collections.abc import Iterable, Iterator
from math import inf
from typing import Any

from lxml import etree

from app.config.wsdl import XSD

MOST = 200_000
_X = f"{{{XSD}}}"
_GROUPS = (f"{_X}group", f"{_X}attributeGroup")
_LEAVES = frozenset({f"{_X}element", f"{_X}any", f"{_X}attribute", f"{_X}anyAttribute"})


def expanded_size(texts: Iterable[str]) -> float:
    """Elements and attributes of all types with their groups put in; infinite for a group within itself."""
    own: dict[str, list[Any]] = {}
    holders: list[Any] = []
    for text in texts:
        for schema in etree.fromstring(text.encode()).iter(f"{_X}schema"):
            for group in schema.iterchildren(*_GROUPS):
                name = (
                    f"{{{schema.get('targetNamespace')}}}{group.get('name')}"
                    if schema.get("targetNamespace")
                    else group.get("name")
                )
                own.setdefault(f"{group.tag} {name}", []).append(group)
            holders += schema.iter(f"{_X}complexType")
    known: dict[str, float] = {}
    return sum(_size(one, own, known, ()) for one in holders)


def _size(holder: Any, own: dict[str, list[Any]], known: dict[str, float], above: tuple[str, ...]) -> float:
    size: float = 0
    for one in _particles(holder):
        if one.tag in _LEAVES:
            size += 1
            continue
        name = _named(one)
        if name in above:
            return inf
        if name not in known:
            known[name] = sum(_size(group, own, known, (*above, name)) for group in own.get(name, ()))
        size += known[name]
    return size


def _particles(holder: Any) -> Iterator[Any]:
    """Leaves, and references to groups, that a type or group holds at its own level."""
    for child in holder.iterchildren(etree.Element):
        if child.tag in _LEAVES or child.get("ref"):
            yield child
        elif child.tag != f"{_X}complexType":
            yield from _particles(child)


def _named(reference: Any) -> str:
    prefix, _, local = reference.get("ref", "").strip().rpartition(":")
    namespace = reference.nsmap.get(prefix or None)
    return f"{reference.tag} {{{namespace}}}{local}" if namespace else f"{reference.tag} {local}"
