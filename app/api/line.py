"""Bulk bodies, line by line: NDJSON and CSV (RFC 4180) become rows while they come in. Pure.

A line that cannot be read is a row with a problem; the next one is read as if nothing had happened. Nothing longer than
one line is ever held.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.api.body import read_json, text
from app.api.problem import Kind, Problem, malformed, shown

Line = tuple[int, bytes | None]
"""The number of a physical line, from 1, and its bytes without the line feed; None for one beyond the cap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One lead of a bulk body, or why it is none; `line` is where it begins."""

    line: int
    fields: dict[str, Any] | None = None
    problem: Problem | None = None


class Format(Protocol):
    """How lines become rows."""

    def rows(self, lines: Sequence[Line], *, last: bool) -> list[Row]:
        """Every row that is whole; `last` says that no more lines follow."""
        ...


class Splitter:
    """Cuts a stream of chunks into numbered lines; a line beyond `most_bytes` is dropped while it comes in."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._rest = b""
        self._dropping = False
        self._number = 0

    def feed(self, chunk: bytes) -> list[Line]:
        """The lines that are whole now."""
        *whole, rest = (self._rest + chunk).split(b"\n")
        lines = [self._line(raw) for raw in whole]
        if self._dropping or len(rest) > self._most_bytes:
            self._dropping, rest = True, b""
        self._rest = rest
        return lines

    def end(self) -> list[Line]:
        """The last line, if it has no line feed."""
        rest, self._rest = self._rest, b""
        return [self._line(rest)] if rest or self._dropping else []

    def _line(self, raw: bytes) -> Line:
        self._number += 1
        dropped, self._dropping = self._dropping, False
        return self._number, None if dropped or len(raw) > self._most_bytes else raw


class Ndjson:
    """One JSON object on each line; empty lines are passed over."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes

    def rows(self, lines: Sequence[Line], *, last: bool) -> list[Row]:
        """A row for each line that is not empty."""
        del last  # every line is whole by itself
        return [self._row(number, raw) for number, raw in lines if raw is None or not (raw == b"" or raw.isspace())]

    def _row(self, number: int, raw: bytes | None) -> Row:
        if raw is None:
            return Row(line=number, problem=_too_long(self._most_bytes))
        try:
            return Row(line=number, fields=read_json(raw))
        except Problem as problem:
            return Row(line=number, problem=problem)


class Csv:
    """A header line of field names, then one lead per record; quoted cells may hold line feeds.

    A quote that never closes costs its own line only: reading goes on with the line after it.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._names: list[str] | None = None
        self._source = _Source()
        self._records = csv.reader(self._source, strict=True)

    def rows(self, lines: Sequence[Line], *, last: bool) -> list[Row]:
        """Every whole record; raises `Problem` when the header cannot be used."""
        self._source.add(self._decoded(number, raw) for number, raw in lines)
        found: list[Row] = []
        while (row := self._next(last=last)) is not None:
            found.append(row)
        self._source.forget()
        return [row for row in found if row.fields is not None or row.problem is not None]

    def _next(self, *, last: bool) -> Row | None:
        source = self._source
        begun = source.place
        if begun == len(source.lines):
            return None
        number, content = source.lines[begun]
        if isinstance(content, Problem):
            source.place += 1
            return self._unreadable(number, content)
        try:
            return self._row(number, next(self._records))
        except csv.Error as error:
            if source.place == len(source.lines) and not last and source.length(begun) <= self._most_bytes:
                source.place = begun
                return None  # more lines may close the quote
            source.place = begun + 1
            return self._unreadable(number, malformed(f"is not CSV: {error}", "double each quote inside a cell"))

    def _row(self, number: int, cells: list[str]) -> Row:
        if not cells:
            return Row(line=number)  # an empty line
        if self._names is None:
            self._names = _header(cells)
            return Row(line=number)
        if len(cells) != len(self._names):
            detail = f"has {len(cells)} cells where the header has {len(self._names)}"
            return Row(line=number, problem=malformed(detail, field="line"))
        return Row(line=number, fields=dict(zip(self._names, cells, strict=True)))

    def _unreadable(self, number: int, problem: Problem) -> Row:
        if self._names is None:
            raise problem
        return Row(line=number, problem=problem)

    def _decoded(self, number: int, raw: bytes | None) -> tuple[int, str | Problem]:
        if raw is None:
            return number, _too_long(self._most_bytes)
        try:
            return number, text(raw) + "\n"
        except Problem as problem:
            return number, problem


class _Source:
    """The lines a CSV reader draws from; `place` may be set back to read a line again."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str | Problem]] = []
        self.place = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        content = self.lines[self.place][1] if self.place < len(self.lines) else None
        if not isinstance(content, str):
            raise StopIteration
        self.place += 1
        return content

    def add(self, lines: Iterator[tuple[int, str | Problem]]) -> None:
        self.lines.extend(lines)

    def forget(self) -> None:
        del self.lines[: self.place]
        self.place = 0

    def length(self, begun: int) -> int:
        return sum(len(content) for _, content in self.lines[begun:] if isinstance(content, str))


def _header(cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    for name in names:
        if not name:
            raise malformed("has an empty name", "name every column", field="header")
        if names.count(name) > 1:
            raise malformed(f"has the name '{shown(name)}' twice", "name each column once", field="header")
    return names


def _too_long(most_bytes: int) -> Problem:
    return Problem(Kind.TOO_LARGE, f"a line may have {most_bytes} bytes")
