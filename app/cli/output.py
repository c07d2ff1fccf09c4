"""What a command prints: data to stdout, words to stderr, and how times, states and tables look.

Knows values and the terminal, nothing of where values come from. Kept light: `leadrelay --help` imports it.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from os import environ
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

PIPE_WIDTH = 200
"""Columns when nobody looks: lines are not cut for a file or another program."""

COLOURS: Mapping[str, str] = {
    "ready": "cyan",
    "queued": "cyan",
    "delivering": "cyan",
    "waiting": "cyan",
    "held": "yellow",
    "delivered": "green",
    "success": "green",
    "conversion": "green",
    "rejected": "magenta",
    "return": "magenta",
    "failure": "magenta",
    "skipped": "dim",
    "cancelled": "dim",
    "dead": "red",
    "error": "red",
    "open": "red",
    "half-open": "yellow",
}

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def console(*, words: bool = False) -> Console:
    """A console on stdout, or for words on stderr."""
    stream = sys.stderr if words else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in environ else PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=False)


def say(text: str) -> None:
    """Words for a person, to stderr; rich markup is understood."""
    console(words=True).print(text, soft_wrap=True)


def say_error(text: str) -> None:
    """One line that says what went wrong."""
    console(words=True).print(f"[red]error:[/red] {escape(' '.join(text.split()))}", soft_wrap=True)


def print_text(text: str = "") -> None:
    """A line of data, never wrapped; rich markup is understood."""
    console().print(text, soft_wrap=True)


def print_json(value: Any) -> None:
    """A value as indented JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def print_line(value: Any) -> None:
    """A value as one line of JSON."""
    typer.echo(json.dumps(value, ensure_ascii=False, default=_plain))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """A table without frame; cells may hold rich markup, columns named in `right` hold numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def coloured(word: str) -> str:
    """A state, result or circuit in its colour."""
    colour = COLOURS.get(word)
    return f"[{colour}]{word}[/{colour}]" if colour else word


def moment(when: datetime | None) -> str:
    """A time in UTC to the second; empty for none."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if when else ""


def clock(when: datetime) -> str:
    """A time of day in UTC to the millisecond."""
    return when.astimezone(UTC).strftime("%H:%M:%S.") + f"{when.microsecond // 1000:03d}"


def duration(seconds: float) -> str:
    """A length of time in the unit a person would use."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for unit, size, above in (("d", 86_400, 172_800), ("h", 3600, 7200), ("min", 60, 120)):
        if seconds >= above:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004  # a digit more below ten


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """A count with its noun: `1 lead`, `2,000 leads`."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)
