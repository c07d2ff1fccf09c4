"""Conditions in CEL (https://cel.dev): compiled once per configuration version, asked for every lead.

Pure: knows contexts and the expression language, nothing of routing. Two things are made easier than plain CEL. A path
that leads nowhere is null instead of an error, so `lead.state == 'CA'` is simply false for a lead without one. And a
comparison that cannot be made because a value it needs is absent does not hold, so the rule is not met.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

# The package imports its command line, a terminal toolkit that costs 0.6 s and 26 MB in every process: not needed here.
sys.modules.setdefault("cel.cli", ModuleType("cel.cli"))

import cel  # noqa: E402  # after what stands above

from app.config.suggestion import suggest  # noqa: E402  # likewise
from app.errors import DataFault, InvalidTemplate  # noqa: E402  # likewise

MAX_RULE_CHARACTERS = 4096
_SHOWN_CHARACTERS = 120
ROOTS = frozenset({"lead", "source", "delivery", "steps", "event"})

Segment = str | int

_FUNCTIONS: Mapping[str, Callable[[str], str]] = {"lower": str.lower, "upper": str.upper, "trim": str.strip}
_KNOWN_FUNCTIONS = frozenset(
    [
        "lower",
        "upper",
        "trim",
        "size",
        "contains",
        "startsWith",
        "endsWith",
        "matches",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "timestamp",
        "duration",
        "type",
        "dyn",
        "getFullYear",
        "getMonth",
        "getDate",
        "getDayOfMonth",
        "getDayOfWeek",
        "getDayOfYear",
        "getHours",
        "getMinutes",
        "getSeconds",
        "getMilliseconds",
    ]
)
_TYPES = frozenset(["int", "uint", "double", "string", "bytes", "bool", "list", "map", "null_type"])
_MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)"""
    r"""|(?P<text>[bBrR]{0,2}(?:'''(?s:\\.|.)*?'''|\"{3}(?s:\\.|.)*?\"{3}|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))"""
    r"""|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>[0-9][0-9A-Za-z.]*)|(?P<mark>(?s:.))"""
)
_PLAIN_TEXT = re.compile(r"""'([^'\\]*)'|"([^"\\]*)\"""")
_PLACE = re.compile(r"<input>:(\d+):(\d+): (?:Syntax error: )?([^\n]*)")
_FAILURES = (TypeError, LookupError, ValueError, ArithmeticError, RuntimeError)
"""What cel raises while a rule runs; each is an ordinary Python exception."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A compiled condition; used by many threads."""

    source: str
    _program: cel.Program
    _paths: Mapping[str, tuple[Segment, ...]]

    def matches(self, context: Mapping[str, Any]) -> bool:
        """Whether the condition holds for a context (`lead`, `source`, `delivery`, `steps`, `event`).

        Raises `DataFault` naming the rule if its answer is no yes or no, or its types do not fit the values there are.
        """
        variables: dict[str, Any] = {name: _read(context, path) for name, path in self._paths.items()}
        try:
            answer = self._program.execute({**variables, **_FUNCTIONS})
        except _FAILURES as failure:
            # A LookupError is a place that is not there (`lead[lead.kind]`): absent, as a path that leads nowhere.
            if isinstance(failure, LookupError) or None in variables.values():
                return False
            raise DataFault(f"rule '{self._shown}': {_explain(failure)}") from None
        if not isinstance(answer, bool):
            raise DataFault(f"rule '{self._shown}': answers with {type(answer).__name__}, not with true or false")
        return answer

    @property
    def _shown(self) -> str:
        return self.source if len(self.source) <= _SHOWN_CHARACTERS else f"{self.source[:_SHOWN_CHARACTERS]}..."


def compile_rule(text: str) -> Rule:
    """Compile once; raises `InvalidTemplate` that says line, column and remedy."""
    if len(text) > MAX_RULE_CHARACTERS:
        raise InvalidTemplate(f"a rule has at most {MAX_RULE_CHARACTERS} characters")
    tokens = [token for token in _tokens(text) if token.kind != "space"]
    _check_names(text, tokens, _parse(text))
    written, paths = _flatten(text, tokens)
    return Rule(source=text, _program=_parse(written), _paths=paths)


def _parse(text: str) -> cel.Program:
    try:
        return cel.compile(text)
    except ValueError as error:
        found = _PLACE.search(str(error))
        detail = f"line {found[1]}, column {found[2]}: {found[3]}" if found else "cannot be read as CEL"
        raise InvalidTemplate(detail) from None


def _tokens(text: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(text):
        yield _Token(found.lastgroup or "", found.group(), found.start())


def _check_names(text: str, tokens: list[_Token], program: cel.Program) -> None:
    bound = set()
    for macro, bracket, item, comma in zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False):
        if macro.text in _MACROS and bracket.text == "(" and item.kind == "name" and comma.text == ",":
            if item.text in ROOTS:
                raise InvalidTemplate(f"{_place(text, item.text)}: '{item.text}' cannot name the items of a list")
            bound.add(item.text)
    for name in program.variables():
        if name not in ROOTS | _TYPES | bound:
            raise InvalidTemplate(f"{_place(text, name)}: unknown name '{name}': {suggest(name, ROOTS)}")
    for name in program.functions():
        if name.isidentifier() and not name.startswith("_") and name not in _KNOWN_FUNCTIONS:
            raise InvalidTemplate(f"{_place(text, name)}: unknown function '{name}': {suggest(name, _KNOWN_FUNCTIONS)}")


def _place(text: str, name: str) -> str:
    start = next((token.start for token in _tokens(text) if token.kind == "name" and token.text == name), 0)
    return f"line {text.count(chr(10), 0, start) + 1}, column {start - text.rfind(chr(10), 0, start)}"


def _flatten(text: str, tokens: list[_Token]) -> tuple[str, dict[str, tuple[Segment, ...]]]:
    """The rule with each path as one variable (absent means null), and `has(path)` as `path != null`."""
    stem = "v"
    while stem in text:
        stem += "_v"
    names: dict[tuple[Segment, ...], str] = {}
    written: list[str] = []
    at = done = 0
    while at < len(tokens):
        if tokens[at].text not in ROOTS or tokens[at].kind != "name" or (at and tokens[at - 1].text == "."):
            at += 1
            continue
        path, after = _path(tokens, at)
        name = names.setdefault(path, f"{stem}{len(names)}")
        start, end = tokens[at].start, tokens[after - 1].start + len(tokens[after - 1].text)
        if _is_has(tokens, at, after):
            start, end = tokens[at - 2].start, tokens[after].start + 1
            name = f"({name} != null)"
        written += [text[done:start], name]
        at, done = after, end
    return "".join([*written, text[done:]]), {name: path for path, name in names.items()}


def _is_has(tokens: list[_Token], first: int, after: int) -> bool:
    around = (
        *(token.text for token in tokens[max(0, first - 2) : first]),
        *(t.text for t in tokens[after : after + 1]),
    )
    return around == ("has", "(", ")")


def _path(tokens: list[_Token], first: int) -> tuple[tuple[Segment, ...], int]:
    """The path that begins at a token and the place behind it; a name that is called is no part of it."""
    path: list[Segment] = [tokens[first].text]
    at = first + 1
    padded = [*tokens, *[_Token("end", "", 0)] * 3]
    while True:
        opening, inner, closing = padded[at : at + 3]
        if opening.text == "." and inner.kind == "name" and closing.text != "(":
            path.append(inner.text)
            at += 2
        elif opening.text == "[" and closing.text == "]" and inner.kind == "number" and inner.text.isdigit():
            path.append(int(inner.text))
            at += 3
        elif opening.text == "[" and closing.text == "]" and (key := _PLAIN_TEXT.fullmatch(inner.text)):
            path.append(key[1] if key[1] is not None else key[2])
            at += 3
        else:
            return tuple(path), at


def _read(context: Mapping[str, Any], path: tuple[Segment, ...]) -> Any:
    value: Any = context
    for segment in path:
        if isinstance(value, Mapping):
            value = value.get(segment)
        elif isinstance(value, list) and isinstance(segment, int) and segment < len(value):
            value = value[segment]
        else:
            return None
    return value


def _explain(failure: Exception) -> str:
    match failure:
        case TypeError():
            return "compares or combines values of types that do not go together"
        case ZeroDivisionError():
            return "divides by zero"
        case _:
            return "cannot be answered for these values"
