"""Files that commands read and write, with one complaint for whatever cannot be opened; - is stdin.

Long ones are read line by line, by the readers of the HTTP API's bulk route, with a bar of the bytes read.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import IO, TextIO

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from app.api.line import Csv, Ndjson, Row, Splitter
from app.cli.output import console
from app.settings import settings

STDIN = "-"
CHUNK_BYTES = 262_144


class Format(StrEnum):
    """Forms a file of records can have."""

    CSV = "csv"
    NDJSON = "ndjson"


SUFFIXES = {".csv": Format.CSV, ".ndjson": Format.NDJSON, ".jsonl": Format.NDJSON}


def form_of(name: str) -> Format:
    """The form of a file by its suffix."""
    found = SUFFIXES.get(Path(name).suffix.lower())
    if found is None:
        raise typer.BadParameter("say --format csv or --format ndjson")
    return found


def rows(stream: IO[bytes], form: Format, advance: Callable[[int], None]) -> Iterator[Row]:
    """Every record, or why it is none; `advance` hears of the bytes read."""
    most_bytes = settings().max_line_bytes
    splitter = Splitter(most_bytes)
    reader = Csv(most_bytes) if form is Format.CSV else Ndjson(most_bytes)
    while chunk := stream.read(CHUNK_BYTES):
        yield from reader.rows(splitter.feed(chunk), last=False)
        advance(len(chunk))
    yield from reader.rows(splitter.end(), last=True)


@contextmanager
def progress(size: int | None, doing: str) -> Iterator[Callable[[int], None]]:
    """A bar of the bytes read, on a terminal only."""
    words = console(words=True)
    bar = Progress(TextColumn(doing), BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=words)
    with bar if words.is_terminal else nullcontext():
        task = bar.add_task(doing, total=size)
        yield lambda count: bar.advance(task, count)


@contextmanager
def open_input(name: str) -> Iterator[tuple[IO[bytes], int | None]]:
    """A stream of bytes, and how many there are if that is known."""
    if name == STDIN:
        yield sys.stdin.buffer, None
        return
    path = Path(name)
    try:
        stream = path.open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{name} cannot be read: {error.strerror}") from None
    with stream:
        yield stream, path.stat().st_size


@contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """A new text file, or stdout for none."""
    if path is None:
        yield sys.stdout
        return
    try:
        stream = path.open("w", encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written: {error.strerror}") from None
    with stream:
        yield stream


def read_input(name: str, *, most_bytes: int, remedy: str = "LEADRELAY_MAX_BODY_BYTES says how many") -> bytes:
    """The whole content; a file that is larger is refused before it is read, with the remedy."""
    with open_input(name) as (stream, _):
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise typer.BadParameter(f"{name} is larger than {most_bytes} bytes ({remedy})")
    return content
