"""From a template's text to a `Template`: cut into literal text and expressions, or handed to python-liquid."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import DataFault, InvalidTemplate
from app.templates.expression import Beyond, Expression, Read
from app.templates.text import to_plain, to_text

MAX_TEMPLATE_CHARACTERS = 65_536
MAX_RENDERED_CHARACTERS = 20_000_000
MANY_PARTS = 16
"""Fewer cannot make a text many times as long as the lead."""

_OUTPUT = re.compile(r"""\{\{(-?)((?:'[^']*'|"[^"]*"|[^'"{}])*?)(-?)\}\}""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A compiled template. `render` takes a context (`lead`, `source`, `delivery`, `steps`) and gives the value.

    A template that is one `{{ ... }}` and nothing else gives the value itself (None if there is none), any other gives text.
    `render` raises `DataFault` that does not quote the value.
    """

    source: str
    render: Callable[[Mapping[str, Any]], Any]


def is_template(text: str) -> bool:
    """Whether a text has anything to fill in; if not, it is a literal."""
    return "{{" in text or "{%" in text


def compile_template(text: str) -> Template:
    """Compile once; raises `InvalidTemplate` that says line, column and remedy."""
    if len(text) > MAX_TEMPLATE_CHARACTERS:
        raise InvalidTemplate(f"longer than {MAX_TEMPLATE_CHARACTERS} characters")
    if "{%" not in text:
        try:
            return Template(source=text, render=_compile_plain(text))
        except Beyond:
            pass
    # Importing it costs 0.25 s and 90 modules, for the few templates with tags.
    from app.templates.tagged import compile_tagged  # noqa: PLC0415

    return Template(source=text, render=compile_tagged(text))


class Slot(str):
    """The source of a value that goes in its place: `{{ ... }}`, or a whole text with tags."""

    __slots__ = ()


def slots(text: str) -> list[str]:
    """A text cut into literals and `Slot`s, for whoever writes each value in a way of its own; raises `InvalidTemplate`."""
    if "{%" in text:
        return [Slot(text)]
    return [part if isinstance(part, str) else Slot(f"{{{{{part[1]}}}}}") for part in _cut(text) if part]


def _cut(text: str) -> Iterator[str | tuple[int, str]]:
    """Literals, and where each expression stands with what it says."""
    at = 0
    trim = False
    for found in _OUTPUT.finditer(text):
        yield _literal(text, at, found.start(), trim_start=trim, trim_end=bool(found.group(1)))
        yield found.start(), found.group(2)
        at, trim = found.end(), bool(found.group(3))
    yield _literal(text, at, len(text), trim_start=trim, trim_end=False)


def _compile_plain(text: str) -> Read:
    parts: list[str | Read] = []
    for part in _cut(text):
        if isinstance(part, str):
            parts.append(part)
            continue
        try:
            parts.append(Expression(part[1]).compile())
        except InvalidTemplate as invalid:
            raise InvalidTemplate(f"{place(text, part[0])}: {invalid}") from None
    kept = [part for part in parts if part != ""]
    match kept:
        case [only] if not isinstance(only, str):
            return _whole(only)
        case _:
            return _mixed(kept)


def _literal(text: str, start: int, end: int, *, trim_start: bool, trim_end: bool) -> str:
    literal = text[start:end]
    if (opened := literal.find("{{")) >= 0:
        raise InvalidTemplate(f"{place(text, start + opened)}: '{{{{' is not closed by '}}}}'")
    literal = literal.lstrip() if trim_start else literal
    return literal.rstrip() if trim_end else literal


def place(text: str, index: int) -> str:
    """Where in a template or rule: `line 1, column 5`."""
    line = text.count("\n", 0, index) + 1
    return f"line {line}, column {index - text.rfind(chr(10), 0, index)}"


def _whole(read: Read) -> Read:
    def render(context: Mapping[str, Any]) -> Any:
        value = read(context)
        return value if type(value) is str else to_plain(value)

    return render


def _mixed(parts: list[str | Read]) -> Read:
    reads = [part if not isinstance(part, str) else _always(part) for part in parts]

    def render(context: Mapping[str, Any]) -> str:
        return "".join([to_text(read(context)) for read in reads])

    def render_bounded(context: Mapping[str, Any]) -> str:
        return joined([to_text(read(context)) for read in reads])

    return render if len(reads) < MANY_PARTS else render_bounded


def joined(texts: list[str]) -> str:
    """The texts in one, which a long template and a long value could make larger than memory; raises `DataFault`."""
    if sum(map(len, texts)) > MAX_RENDERED_CHARACTERS:
        raise DataFault(f"the template makes more than {MAX_RENDERED_CHARACTERS} characters")
    return "".join(texts)


def _always(text: str) -> Read:
    return lambda _: text
