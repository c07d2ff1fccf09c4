"""What stands between `{{` and `}}`: a path or literal, then filters, compiled to one closure.

The subset of Liquid's grammar that mappings are made of. What lies beyond it raises `Beyond` and is left to python-liquid;
what is wrong in either raises `InvalidTemplate`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from app.config.suggestion import suggest
from app.errors import InvalidTemplate
from app.templates.filters import FILTERS, complain_of_arguments, complain_of_literals

Read = Callable[[Mapping[str, Any]], Any]
Segment = str | int

ROOTS = frozenset({"lead", "source", "delivery", "steps", "event"})
"""What a template can begin a path with."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|(?P<text>'[^']*'|"[^"]*")|(?P<number>-?[0-9]+(?:\.[0-9]+)?)"""
    r"""|(?P<mark>[.\[\]|:,()])|(?P<end>\Z)|(?P<other>\S))"""
)
_LITERALS: Mapping[str, Any] = {"true": True, "false": False, "nil": None, "null": None}
_BEYOND_WORDS = frozenset({"empty", "blank"})


class Beyond(Exception):
    """The expression uses grammar that only python-liquid knows."""


class Expression:
    """A reader of one expression's tokens; `compile` is its only use."""

    def __init__(self, text: str) -> None:
        self._tokens = [(found.lastgroup or "", found.group().strip()) for found in _TOKEN.finditer(text)]
        self._next = 0

    def compile(self) -> Read:
        """The closure that reads the expression's value from a context; raises `InvalidTemplate` and `Beyond`."""
        read = self._operand()
        while self._take_mark("|"):
            read = self._filter(read)
        kind, token = self._tokens[self._next]
        if kind != "end":
            raise InvalidTemplate(f"unexpected '{token}'")
        return read

    def _take(self, kind: str, wanted: str | None = None) -> str | None:
        found, text = self._tokens[self._next]
        if found != kind or (wanted is not None and text != wanted):
            return None
        self._next += 1
        return text

    def _take_mark(self, mark: str) -> bool:
        return self._take("mark", mark) is not None

    def _operand(self) -> Read:
        if text := self._take("text"):
            return _constant(text[1:-1])
        if number := self._take("number"):
            return _constant(float(number) if "." in number else int(number))
        name = self._take("name")
        if name is None:
            found = self._tokens[self._next][1]
            if found == "(":
                raise Beyond
            raise InvalidTemplate(f"expected a path or a literal, found '{found}'" if found else "nothing to write")
        if name in _LITERALS:
            return _constant(_LITERALS[name])
        if name in _BEYOND_WORDS:
            raise Beyond
        if name not in ROOTS:
            raise InvalidTemplate(f"unknown name '{name}': {suggest(name, ROOTS)}")
        return read_path((name, *self._segments()))

    def _segments(self) -> list[Segment]:
        segments: list[Segment] = []
        while True:
            if self._take_mark("."):
                name = self._take("name")
                if name is None:
                    raise InvalidTemplate("expected a name after '.'")
                segments.append(name)
            elif self._take_mark("["):
                segments.append(self._index())
            else:
                return segments

    def _index(self) -> Segment:
        key: Segment
        if text := self._take("text"):
            key = text[1:-1]
        elif (number := self._take("number")) and "." not in number:
            key = int(number)
        else:
            raise Beyond
        if not self._take_mark("]"):
            raise InvalidTemplate("expected ']'")
        return key

    def _filter(self, value: Read) -> Read:
        name = self._take("name")
        if name is None:
            raise InvalidTemplate("expected a filter's name after '|'")
        if name not in FILTERS:
            raise InvalidTemplate(f"unknown filter '{name}': {suggest(name, FILTERS)}")
        arguments: list[Read] = []
        if self._take_mark(":"):
            arguments.append(self._operand())
            while self._take_mark(","):
                arguments.append(self._operand())
        return _apply(name, value, arguments)


def read_path(path: tuple[Segment, ...]) -> Read:
    """The closure that follows a path through mappings and lists; what is not there is None."""
    if len(path) == 2 and isinstance(path[1], str) and path[1] != "size":  # noqa: PLR2004  # root and field: nearly all
        root, field = str(path[0]), path[1]
        return lambda context: context[root].get(field)

    def follow(context: Mapping[str, Any]) -> Any:
        value: Any = context
        for segment in path:
            value = _step(value, segment)
        return value

    return follow


def _step(value: Any, segment: Segment) -> Any:
    if isinstance(value, Mapping):
        return value.get(segment, len(value) if segment == "size" else None)
    if isinstance(value, list):
        if isinstance(segment, int):
            return value[segment] if -len(value) <= segment < len(value) else None
        if segment == "size":
            return len(value)
        if value and segment in ("first", "last"):
            return value[0 if segment == "first" else -1]
        return None
    return len(value) if isinstance(value, str) and segment == "size" else None


def _apply(name: str, value: Read, arguments: list[Read]) -> Read:
    if wrong := complain_of_arguments(name, len(arguments)):
        raise InvalidTemplate(wrong)
    call = FILTERS[name]
    if not arguments:
        return lambda context: call(value(context))
    constants = [argument({}) for argument in arguments if isinstance(argument, _Constant)]
    if len(constants) < len(arguments):
        return lambda context: call(value(context), *[argument(context) for argument in arguments])
    if wrong := complain_of_literals(name, constants):
        raise InvalidTemplate(wrong)
    if len(constants) == 1:
        only = constants[0]
        return lambda context: call(value(context), only)
    return lambda context: call(value(context), *constants)


class _Constant:
    """A literal; a class of its own so that filters can check their arguments once, beforehand."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __call__(self, _: Mapping[str, Any]) -> Any:
        return self._value


def _constant(value: Any) -> Read:
    return _Constant(value)
