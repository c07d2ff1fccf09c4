"""What a schema restricts simple types to: choices, lengths, bounds and digits (XML Schema part 2, 4.3).

zeep knows a restricted type by its name only, so they are read from the schemas' texts. An inner type goes by the name of
the element or attribute it stands in; where several share one, a value need only suit one of them. Patterns are left to
the destination: they are no regular expressions that Python understands.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from lxml import etree

from app.config.wsdl import XSD

_LEVELS = 16
_LENGTHS = ("length", "minLength", "maxLength")
_BOUNDS = ("minInclusive", "maxInclusive", "minExclusive", "maxExclusive")
_DIGITS = ("totalDigits", "fractionDigits")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facets:
    """One restriction; `base` names the type it restricts."""

    base: str | None
    choices: tuple[str, ...]
    numbers: Mapping[str, Decimal]

    def complaint(self, text: str) -> str | None:
        """What is wrong with a value in its lexical form, if anything; it does not repeat the value."""
        if self.choices and text not in self.choices:
            return f"none of {some(self.choices)}"
        for name, limit in self.numbers.items():
            if wrong := _broken(name, limit, text):
                return wrong
        return None


class Restrictions:
    """The restrictions in a set of schemas, by the name of the restricted type in Clark's notation."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._known: dict[str, list[Facets]] = {}
        self.optional: set[str] = set()
        """Local names of elements that some choice has with `minOccurs="0"`; for zeep all elements of a choice have that."""
        self.has_inner_members = False
        """Whether some union has types in it beside those it names; zeep reads the named ones only, and no name of it."""
        for text in texts:
            for schema in etree.fromstring(text.encode()).iter(f"{{{XSD}}}schema"):
                for element in schema.iterfind(f".//{{{XSD}}}choice/{{{XSD}}}element[@minOccurs='0']"):
                    self.optional.add(element.get("name") or element.get("ref", "").rpartition(":")[2])
                if schema.find(f".//{{{XSD}}}union[@memberTypes]/{{{XSD}}}simpleType") is not None:
                    self.has_inner_members = True
                for restriction in schema.iter(f"{{{XSD}}}restriction"):
                    self._add(restriction, schema.get("targetNamespace"))

    def complaint(self, name: str | None, text: str, levels: int = _LEVELS) -> str | None:
        """What is wrong with a value of the named type, if anything."""
        first = None
        for facets in self._known.get(name or "", ()) if levels else ():
            wrong = facets.complaint(text) or self.complaint(facets.base, text, levels - 1)
            if wrong is None:
                return None
            first = first or wrong
        return first

    def choices(self, name: str | None, levels: int = _LEVELS) -> Sequence[str]:
        """The values a type is restricted to; empty where anything goes."""
        found: list[str] = []
        for facets in self._known.get(name or "", ()) if levels else ():
            inner = facets.choices or self.choices(facets.base, levels - 1)
            if not inner:
                return ()
            found += inner
        return tuple(dict.fromkeys(found))

    def _add(self, restriction: etree._Element, namespace: str | None) -> None:
        simple = restriction.getparent()
        holder = None if simple is None else simple.getparent()
        if simple is None or holder is None or simple.tag != f"{{{XSD}}}simpleType":
            return
        name = simple.get("name") or holder.get("name")
        if name is None:
            return
        values: dict[str, list[str]] = {}
        for child in restriction.iterchildren(etree.Element):
            values.setdefault(etree.QName(child).localname, []).append(child.get("value", ""))
        numbers = {
            key: number
            for key in (*_LENGTHS, *_BOUNDS, *_DIGITS)
            for text in values.get(key, ())
            if (number := _number(text)) is not None
        }
        base = restriction.get("base")
        facets = Facets(
            base=_qualified(base.strip(), restriction) if base else None,
            choices=tuple(values.get("enumeration", ())),
            numbers=numbers,
        )
        self._known.setdefault(f"{{{namespace}}}{name}" if namespace else name, []).append(facets)


def some(names: Sequence[str], joint: str = ", ") -> str:
    """The first twenty of some names."""
    return joint.join(names[:20]) + (f"{joint}…" if len(names) > 20 else "")  # noqa: PLR2004  # told above


def _qualified(name: str, element: Any) -> str:
    prefix, _, local = name.rpartition(":")
    namespace = element.nsmap.get(prefix or None)
    return f"{{{namespace}}}{local}" if namespace else local


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text.strip())
    except InvalidOperation:  # a bound of dates or durations
        return None


def _broken(name: str, limit: Decimal, text: str) -> str | None:
    if name in _LENGTHS:
        size = len(text)
        fits = size == limit if name == "length" else size >= limit if name == "minLength" else size <= limit
        return None if fits else f"its {name} is {limit}"
    value = _number(text)
    if value is None or not value.is_finite():
        return None
    if name in _DIGITS:
        _, digits, exponent = value.normalize().as_tuple()
        fraction = max(0, -int(exponent))
        total = max(len(digits) + max(0, int(exponent)), fraction)
        fits = (fraction if name == "fractionDigits" else total) <= limit
    else:
        fits = {
            "minInclusive": value >= limit,
            "maxInclusive": value <= limit,
            "minExclusive": value > limit,
            "maxExclusive": value < limit,
        }[name]
    return None if fits else f"its {name} is {limit}"
