"""What of a payload is given for an element: literals alone are not, where templates beside them rendered to nothing.

Pure: it knows the marks of a rendered mapping (`app.rendered`), nothing of shapes.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from app.connectors._http import xml
from app.rendered import RenderedList, RenderedObject, is_filled, is_hollow, placed


def gathered(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """`name@attr`, `name#text` and `name#cdata` moved into the element of that name, with the marks of all of them."""
    found = xml.gathered(value)
    if not isinstance(value, RenderedObject) or not any(_split(key)[1] for key in {*value, *value.absent}):
        return found
    made = RenderedObject(found)
    names = [(key, *_split(key)) for key in (*value, *value.absent)]
    split = {name for _, name, mark in names if mark}
    made.literal = frozenset(name for name in value.literal if name not in split)
    made.absent = frozenset(name for name in value.absent if name not in found and name not in split)
    for name in split & found.keys():
        made[name] = _marked(found[name], value, [(key, mark) for key, own, mark in names if own == name])
    return made


def _marked(content: Any, value: RenderedObject, own: list[tuple[str, str]]) -> RenderedObject:
    inner = RenderedObject(content if isinstance(content, Mapping) else {"#text": content})
    literal, absent = set(), set()
    for key, mark in own:
        below = value.get(key)
        if not mark and isinstance(below, RenderedObject):
            literal |= set(below.literal)
            absent |= set(below.absent)
            continue
        if key in value.literal:
            literal.add(mark or "#text")
        if key not in value:
            absent.add(mark or "#text")
    inner.literal, inner.absent = frozenset(literal), frozenset(absent)
    return inner


def given(fields: Mapping[str, Any], names: AbstractSet[str]) -> AbstractSet[str]:
    """Those of the names that there is more of than literals, or no template at all."""
    return {name for name in names & fields.keys() if not is_hollow(fields[name])}


def kept(values: list[Any], least: int) -> list[tuple[int, Any]]:
    """Places and values of a list, without the hollow ones as far as `least` are left."""
    found = list(enumerate(values))
    without = [(place, one) for place, one in found if not is_hollow(one)]
    return without if len(without) >= least else found


def rows(fields: Mapping[str, Any], names: AbstractSet[str]) -> Iterator[Mapping[str, Any]]:
    """A repeated group's values, one row for each place that is mapped; a row of literals beside nothing is left out."""
    lists = {name: fields[name] if isinstance(fields[name], list) else [fields[name]] for name in names & fields.keys()}
    absent = set(fields.absent) if isinstance(fields, RenderedObject) else set()
    by_place: dict[int, dict[str, Any]] = {}
    for name, values in lists.items():
        for place, one in placed(values):
            by_place.setdefault(place, {})[name] = one
    for place in sorted(by_place):
        row = by_place[place]
        lacks = bool(names & absent) or any(
            isinstance(one, RenderedList) and place in one.absent for one in lists.values()
        )
        filled = any(is_filled(one, literal=_is_literal(fields, lists[name], name, place)) for name, one in row.items())
        if filled or not lacks:
            yield row


def _is_literal(fields: Mapping[str, Any], values: list[Any], name: str, place: int) -> bool:
    if isinstance(values, RenderedList):
        return place in values.literal
    return isinstance(fields, RenderedObject) and name in fields.literal


def _split(key: str) -> tuple[str, str]:
    """A property's element, and the mark with what it marks."""
    place = next((index for index, letter in enumerate(key) if index and letter in "@#"), len(key))
    return key[:place], key[place:]
