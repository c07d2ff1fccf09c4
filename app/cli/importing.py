"""`leadrelay import`: many leads from a CSV or NDJSON file, with a report of each line that was refused.

Lines are read and refused exactly as by the HTTP API's bulk route, whose readers it uses. Knows nothing of the ledger
but the client.
"""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TextIO

import msgspec
import typer

from app.api.line import Row
from app.api.problem import Kind, Problem, malformed, problem_of, shown
from app.cli.file import Format, form_of, open_input, open_output, progress, rows
from app.cli.output import plural, say
from app.cli.send import Class, Source
from app.cli.session import check_usable
from app.client import Client, Entry
from app.errors import Conflict, InvalidLead, NotFound, Unavailable
from app.intake import Receipt
from app.model import Priority
from app.settings import settings

GROUP_SIZE = 500


def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="CSV or NDJSON file in UTF-8; - is stdin.")],
    source: Source,
    key_field: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="Field with your own id of each lead; makes the import repeatable."),
    ] = None,
    *,
    priority: Class = None,
    form: Annotated[
        Format | None, typer.Option("--format", help="Form of the file; by its suffix if not given.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Write refused lines here instead of to stdout."),
    ] = None,
) -> None:
    """Submit many leads from a CSV or NDJSON file.

    CSV has a header of field names; NDJSON one JSON object a line. A line that is refused is reported as NDJSON (line,
    problem) and stops nothing; the exit code is 1 if there was one. With --key-field, a broken-off import is run again as
    it was: lines taken before are recognised and make no second lead.
    """
    form = form or form_of(file)
    with ExitStack() as stack:
        stream, size = stack.enter_context(open_input(file))
        check_usable(settings().required_database_url)
        out = stack.enter_context(open_output(report))
        tally = Tally(out=out, key_field=key_field)
        client = stack.enter_context(Client())
        advance = stack.enter_context(progress(size, "importing"))
        begun = time.monotonic()
        try:
            _run(client, rows(stream, form, advance), source, tally, priority)
        except Unavailable as error:
            raise Unavailable(_broken_off(tally, str(error))) from None
    _summarise(tally, time.monotonic() - begun)
    if tally.refused:
        raise typer.Exit(1)


@dataclass(slots=True, kw_only=True)
class Tally:
    """How an import goes: counts, and the report of refused lines."""

    out: TextIO
    key_field: str | None
    accepted: int = 0
    repeated: int = 0
    refused: int = 0
    waiting: deque[int] = field(default_factory=deque)
    """Lines whose answers have not come yet, in order."""

    def count(self, answer: Receipt | InvalidLead | Conflict) -> None:
        """Note the answer of the oldest waiting line."""
        line = self.waiting.popleft()
        if not isinstance(answer, Receipt):
            self.refuse(line, answer)
        elif answer.repeated:
            self.repeated += 1
        else:
            self.accepted += 1

    def refuse(self, line: int, error: Exception) -> None:
        """Report a line as refused."""
        self.refused += 1
        problem = Problem(Kind.KEY_REUSED, str(error)) if isinstance(error, Conflict) else problem_of(error)
        told: dict[str, Any] = {"line": line, "status": "rejected", "problem": problem.document()}
        self.out.write(msgspec.json.encode(told).decode() + "\n")


def _run(client: Client, found: Iterator[Row], source: str, tally: Tally, priority: Priority | None) -> None:
    answers = client.submit_many(_entries(found, tally), source=source, group_size=GROUP_SIZE, priority=priority)
    for answer in answers:
        if isinstance(answer, InvalidLead) and answer.complaints[0].field == "source":
            raise NotFound(str(answer))  # one answer for the whole file instead of one for each line
        tally.count(answer)


def _entries(found: Iterator[Row], tally: Tally) -> Iterator[Entry]:
    """The leads of a file with their keys; what is none is reported at once."""
    for row in found:
        if row.fields is None:
            assert row.problem is not None
            tally.refuse(row.line, row.problem)
            continue
        key = row.fields.get(tally.key_field) if tally.key_field else None
        if tally.key_field and (isinstance(key, bool) or not isinstance(key, str | int) or key == ""):
            detail = "is the key field and must be text or a whole number"
            tally.refuse(row.line, malformed(detail, field=shown(tally.key_field)))
            continue
        tally.waiting.append(row.line)
        yield row.fields, None if key is None else str(key)


def _summarise(tally: Tally, seconds: float) -> None:
    taken = tally.accepted + tally.repeated
    before = f" ({tally.repeated:,} of them known before)" if tally.repeated else ""
    rate = f", {taken / seconds:,.0f} a second" if seconds > 1 else ""
    refused = f", {plural(tally.refused, 'line')} refused" if tally.refused else ""
    say(f"{plural(taken, 'lead')} accepted{before}{refused} in {seconds:.1f} s{rate}")


def _broken_off(tally: Tally, why: str) -> str:
    taken = tally.accepted + tally.repeated
    remedy = (
        "run the same command again: what was taken is recognised by its key"
        if tally.key_field
        else "without --key-field, running it again would submit them twice"
    )
    return f"{why}; broken off after {plural(taken, 'accepted lead')}; {remedy}"
