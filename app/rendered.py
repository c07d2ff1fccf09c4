"""A mapping's objects and lists as rendered: plain ones that also know what was left out of them and what is literal.

To whoever does not ask they are a dict and a list. A schema's writer asks: an optional element that holds nothing of the
lead is left out, and values that belong together keep their places.
"""

from collections.abc import Collection, Iterator
from typing import Any


class RenderedObject(dict[str, Any]):
    """`absent`: properties whose templates rendered to nothing; `literal`: those that no template has a part in."""

    absent: Collection[str] = frozenset()
    literal: Collection[str] = frozenset()


class RenderedList(list[Any]):
    """`numbers`: the mapped place of each item; `absent` and `literal` as above, by those places."""

    numbers: Collection[int] = ()
    absent: Collection[int] = frozenset()
    literal: Collection[int] = frozenset()

    def placed(self) -> Iterator[tuple[int, Any]]:
        """Each item with its mapped place."""
        return zip(self.numbers, self, strict=True) if self.numbers else enumerate(self)


def placed(values: list[Any]) -> Iterator[tuple[int, Any]]:
    """Each item of any list with its place."""
    return values.placed() if isinstance(values, RenderedList) else enumerate(values)


def is_hollow(value: Any) -> bool:
    """Whether templates were to fill this and none did: what is left are literals."""
    return _holds(value) == (False, True)


def is_filled(value: Any, *, literal: bool = False) -> bool:
    """Whether there is anything in it that no literal is."""
    return not literal and _holds(value)[0]


def _holds(value: Any) -> tuple[bool, bool]:
    """Whether a template gave any of it, and whether one gave nothing."""
    if isinstance(value, RenderedObject):
        inner = [(name in value.literal, one) for name, one in value.items()]
        # A text of its own is what an element is for, whatever its attributes lack.
        given = any(name in {"#text", "#cdata"} for name in value)
    elif isinstance(value, RenderedList):
        inner = [(place in value.literal, one) for place, one in value.placed()]
        given = False
    else:
        return True, False
    found = [_holds(one) for literal, one in inner if not literal]
    return given or any(one for one, _ in found), bool(value.absent) or any(one for _, one in found)
