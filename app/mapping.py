"""A destination's mapping: what a lead looks like on its way out.

Property -> template or literal, compiled once per configuration version, rendered for every delivery. Pure: it knows
contexts and payloads, nothing of connectors or how a payload becomes JSON, XML or a form.

Dots in a property's name make nested objects, whole numbers between dots make lists (`phones.0.number`). A template that
renders to nothing (null, "", [] or {}) is left out, and so are objects and lists all of whose templates are; a literal is sent
as it stands. What XML needs in a name (`b@attr`, `b#text`) stays in its segment; beside places of a list (`b.0`, `b.0@attr`) it
makes them an object of places.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import DataFault, InvalidTemplate
from app.rendered import RenderedList, RenderedObject
from app.templates import compile_template, is_template

MAX_PROPERTIES = 1000
MAX_LIST_ITEMS = 1000
MAX_DEPTH = 16
MIX = "whole numbers (a list) and names (an object) do not mix"
_MARKED = re.compile(r"[0-9]+[@#].")

_SHOWN_CHARACTERS = 120

Read = Callable[[Mapping[str, Any]], Any]


class _Absent:
    """What a property left out renders to; null is a value."""


_ABSENT = _Absent()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledMapping:
    """A compiled mapping; used by many threads."""

    _render: Read

    def render(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """The payload for a context (`lead`, `source`, `delivery`, `steps`, `event`).

        Raises `DataFault` naming the property and its template, not the value.
        """
        payload = self._render(context)
        return payload if payload is not _ABSENT else {}


def compile_mapping(mapping: Mapping[str, Any]) -> CompiledMapping:
    """Compile a mapping; raises `InvalidTemplate` naming the property, and line and column inside its template."""
    if len(mapping) > MAX_PROPERTIES:
        raise InvalidTemplate(f"a mapping has at most {MAX_PROPERTIES} properties")
    tree: dict[str, Any] = {}
    for name, value in mapping.items():
        _plant(tree, name, _compile_value(name, value))
    return CompiledMapping(_render=_compile_branch("", tree))


def marked_places(mapping: Mapping[str, Any]) -> list[str]:
    """Properties that give a place of a list an attribute or text of its own (`b.0@attr` beside `b.0`): for XML only."""
    split = {name: name.split(".") for name in mapping}
    lists = {
        tuple(segments[:depth])
        for segments in split.values()
        for depth, segment in enumerate(segments)
        if depth and segment.isascii() and segment.isdigit()
    }
    return [
        name
        for name, segments in split.items()
        if any(_MARKED.match(one) and tuple(segments[:depth]) in lists for depth, one in enumerate(segments))
    ]


class _Leaf:
    """A compiled property; `literal` if it is sent whatever it is."""

    __slots__ = ("literal", "read")

    def __init__(self, read: Read, *, literal: bool = False) -> None:
        self.read = read
        self.literal = literal


def _plant(tree: dict[str, Any], name: str, leaf: _Leaf) -> None:
    segments = name.split(".")
    if not all(segments):
        raise InvalidTemplate(f"property '{name}': a segment between dots is empty")
    if len(segments) > MAX_DEPTH:
        raise InvalidTemplate(f"property '{name}': more than {MAX_DEPTH} levels")
    branch = tree
    for depth, segment in enumerate(segments[:-1], start=1):
        branch = branch.setdefault(segment, {})
        if not isinstance(branch, dict):
            raise InvalidTemplate(f"property '{name}': '{'.'.join(segments[:depth])}' already has a value of its own")
    if segments[-1] in branch:
        raise InvalidTemplate(f"property '{name}': another property is nested under it")
    branch[segments[-1]] = leaf


def _compile_branch(name: str, branch: dict[str, Any]) -> Read:
    prefix = f"{name}." if name else ""
    leaves = {
        segment: child if isinstance(child, _Leaf) else _Leaf(_compile_branch(prefix + segment, child))
        for segment, child in branch.items()
    }
    # The payload itself is an object whatever its properties are called.
    numbers = [segment for segment in branch if segment.isascii() and segment.isdigit()] if name else []
    if not numbers:
        return _object_of([(segment, leaf.read, leaf.literal) for segment, leaf in leaves.items()])
    marked = [segment for segment in branch if _MARKED.match(segment)]
    if len(numbers) + len(marked) < len(branch):
        raise InvalidTemplate(f"property '{name}': {MIX}")
    places = {re.split("[@#]", segment)[0] for segment in branch}
    if len({int(place) for place in places}) < len(places) or max(map(int, places)) >= MAX_LIST_ITEMS:
        raise InvalidTemplate(f"property '{name}': list places are different numbers from 0 to {MAX_LIST_ITEMS - 1}")
    if marked:  # a list has no place for them: who writes XML makes the repeats of this
        return _object_of([(segment, leaf.read, leaf.literal) for segment, leaf in leaves.items()])
    ordered = sorted(numbers, key=int)
    return _list_of([(int(number), leaves[number].read, leaves[number].literal) for number in ordered])


def _compile_value(name: str, value: Any, depth: int = MAX_DEPTH) -> _Leaf:
    if depth == 0:
        raise InvalidTemplate(f"property '{name}': more than {MAX_DEPTH} levels")
    match value:
        case str() if is_template(value):
            return _Leaf(_compile_text(name, value))
        case dict() if value:
            entries = [(key, _compile_value(f"{name}.{key}", item, depth - 1)) for key, item in value.items()]
            return _Leaf(_object_of([(key, leaf.read, leaf.literal) for key, leaf in entries]))
        case list() if value:
            leaves = [_compile_value(f"{name}.{place}", item, depth - 1) for place, item in enumerate(value)]
            return _Leaf(_list_of([(place, leaf.read, leaf.literal) for place, leaf in enumerate(leaves)]))
        case _:
            return _Leaf(lambda _: value, literal=True)


def _compile_text(name: str, text: str) -> Read:
    try:
        render = compile_template(text).render
    except InvalidTemplate as invalid:
        raise InvalidTemplate(f"property '{name}': {invalid}") from None
    shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."

    def read(context: Mapping[str, Any]) -> Any:
        try:
            return render(context)
        except DataFault as fault:
            raise DataFault(f"property '{name}': {fault.reason}, in {shown}") from None

    return read


def _is_left_out(value: Any) -> bool:
    # Zero and false are values.
    return value is _ABSENT or value is None or (not value and value != 0)


def _object_of(entries: list[tuple[str, Read, bool]]) -> Read:
    literals = frozenset(name for name, _, literal in entries if literal)

    def render(context: Mapping[str, Any]) -> Any:
        made = RenderedObject()
        made.literal = literals
        for name, read, literal in entries:
            value = read(context)
            if literal or not _is_left_out(value):
                made[name] = value
        if len(made) < len(entries):
            made.absent = frozenset(name for name, _, _ in entries if name not in made)
        return made or _ABSENT

    return render


def _list_of(entries: list[tuple[int, Read, bool]]) -> Read:
    literals = frozenset(place for place, _, literal in entries if literal)

    def render(context: Mapping[str, Any]) -> Any:
        made = {}
        for place, read, literal in entries:
            value = read(context)
            if literal or not _is_left_out(value):
                made[place] = value
        if not made:
            return _ABSENT
        found = RenderedList(made.values())
        found.numbers, found.literal = tuple(made), literals
        found.absent = frozenset(place for place, _, _ in entries if place not in made)
        return found

    return render
