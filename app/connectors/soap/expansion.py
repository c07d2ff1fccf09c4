"""How many elements and attributes a set of schemas comes to once groups and bases are put in, told before anybody does so.

Groups that hold groups twice each double with every level, and so do unions of unions: thirty lines of schema can mean a
thousand million elements (as entities can, CWE-776). A chain of extensions repeats all that stands above. Zeep puts them in.
"""

from collections.abc import Iterable, Iterator
from math import inf
from typing import Any

from lxml import etree

from app.config.wsdl import XSD

MOST = 200_000
_X = f"{{{XSD}}}"
_TYPES = (f"{_X}complexType", f"{_X}simpleType")
_GLOBAL = (f"{_X}group", f"{_X}attributeGroup", *_TYPES)
_LEAVES = frozenset({f"{_X}element", f"{_X}any", f"{_X}attribute", f"{_X}anyAttribute"})


def expanded_size(texts: Iterable[str]) -> float:
    """Elements, attributes and members of unions of all types, all put in; infinite for what stands within itself."""
    own: dict[str, list[Any]] = {}
    holders: list[Any] = []
    for text in texts:
        for schema in etree.fromstring(text.encode()).iter(f"{_X}schema"):
            namespace = schema.get("targetNamespace")
            for one in schema.iterchildren(*_GLOBAL):
                name = f"{{{namespace}}}{one.get('name')}" if namespace else one.get("name")
                own.setdefault(f"{_kind(one)} {name}", []).append(one)
            holders += schema.iter(*_TYPES)
    known: dict[str, float] = {}
    return sum(_size(one, own, known, ()) for one in holders)


def _size(holder: Any, own: dict[str, list[Any]], known: dict[str, float], above: tuple[str, ...]) -> float:
    size: float = 0
    for name in _particles(holder):
        if name is None:
            size += 1
            continue
        if name in above:
            return inf
        if name not in known:
            known[name] = sum(_size(one, own, known, (*above, name)) for one in own.get(name, ()))
        size += known[name]
    return size


def _particles(holder: Any) -> Iterator[str | None]:
    """What a type or group holds at its own level: None for a leaf, else which group or type is put in."""
    for child in holder.iterchildren(etree.Element):
        if child.tag in _LEAVES:
            yield None
        elif child.get("ref"):
            yield f"{child.tag} {_named(child, child.get('ref'))}"
        elif child.tag != f"{_X}complexType":
            for base in _bases(child):
                yield None
                yield f"type {_named(child, base)}"
            yield from _particles(child)


def _bases(element: Any) -> list[str]:
    """Types of which an element of a schema takes all over."""
    if element.tag == f"{_X}union":
        return str(element.get("memberTypes", "")).split()
    if element.tag == f"{_X}list":
        return str(element.get("itemType", "")).split()
    if element.tag == f"{_X}extension" or (
        element.tag == f"{_X}restriction" and element.getparent().tag == f"{_X}simpleType"
    ):
        return str(element.get("base", "")).split()
    return []


def _kind(element: Any) -> str:
    return "type" if element.tag in _TYPES else str(element.tag)


def _named(element: Any, reference: str) -> str:
    prefix, _, local = reference.strip().rpartition(":")
    namespace = element.nsmap.get(prefix or None)
    return f"{{{namespace}}}{local}" if namespace else local
