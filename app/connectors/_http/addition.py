"""A property that each payload gets from the settings: the API key of destinations that want theirs in the body.

Pure. It may not know what a payload becomes.
"""

from collections.abc import Mapping
from typing import Any

_MOST_LEVELS = 16


class Addition:
    """A value under a dotted name, put where a mapping would have put it."""

    def __init__(self, name: str, value: str) -> None:
        self._segments = name.split(".")
        self._value = value

    def to(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The payload with the value in it; what is given stays as it is."""
        first, *rest = self._segments
        return {**payload, first: self._within(payload.get(first), rest)}

    def _within(self, value: Any, segments: list[str]) -> Any:
        if not segments:
            return self._value
        first, *rest = segments
        if not is_place(first):
            inside = value if isinstance(value, Mapping) else {}
            return {**inside, first: self._within(inside.get(first), rest)}
        listed = list(value) if isinstance(value, list) else []
        place = int(first)
        if place < len(listed):
            listed[place] = self._within(listed[place], rest)
        else:  # as in a mapping, places of which nothing came are left out
            listed.append(self._within(None, rest))
        return listed


def property_name(name: str) -> str:
    """The name, fit for a property; raises `ValueError`."""
    segments = name.split(".")
    if not all(segments) or not name.isprintable():
        raise ValueError("not the name of a property: a segment between dots is empty, or a character is not printable")
    if len(segments) > _MOST_LEVELS:
        raise ValueError(f"more than {_MOST_LEVELS} levels")
    return name


def is_place(segment: str) -> bool:
    """Whether a segment of a name is a place in a list."""
    return segment.isascii() and segment.isdigit()


def clash(name: str, mapped: str) -> str | None:
    """Why a mapping cannot have a property `mapped` beside the added one; None if it can."""
    ours, theirs = name.split("."), mapped.split(".")
    for depth, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one != other:
            if depth and is_place(one) != is_place(other):
                return f"whole numbers (a list) and names (an object) do not mix: auth.api_key puts the key into {name}"
            return None
    return f"auth.api_key puts the key into {name}: leave it out of the mapping"
