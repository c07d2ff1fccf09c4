"""`leadrelay reconcile --against FILE`: what a destination says it got, compared with what the ledger says it was sent.

What a line holds is never shown, it may be personal: only its number, and a key that has the form of ours.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import msgspec
import typer

from app import operations
from app.api.line import Row
from app.api.problem import shown
from app.cli.file import Format, form_of, open_input, open_output, progress, rows
from app.cli.output import console, plural, print_json, print_text, say, say_error
from app.cli.session import ledger
from app.config.suggestion import suggest
from app.errors import NotFound
from app.ledger import Database
from app.ledger.receipt import GAPS, Finding, Receipts, Verdict, receipts

GROUP_SIZE = 20_000
SHOWN = 20
LISTED = 1_000
"""How many of each finding --json lists; all are counted, and --report writes all."""

_KEY = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)

# What each finding means, and what to do about it. docs/operations.md says more.
TOLD: Mapping[Verdict, tuple[str, str]] = {
    Verdict.MISSING: (
        "delivered here, missing there",
        "ask it with the reference that `leadrelay show LEAD` tells; if it has not: leadrelay dlq replay DELIVERY",
    ),
    Verdict.UNRECORDED: (
        "there, and not delivered here",
        "its answer was probably lost; held or dead: leadrelay dlq discard DELIVERY --note 'found there'",
    ),
    Verdict.REPEATED: (
        "received more often than answers and lost answers explain",
        "does the destination count what it refused, or does something else send this key?",
    ),
    Verdict.UNKNOWN: (
        "there, with a key that no delivery here has",
        "sent by another installation, or older than LEADRELAY_RETENTION_DAYS",
    ),
    Verdict.UNDER_WAY: ("there, and still under way here", "nothing: it is sent again with the same key"),
    Verdict.ELSEWHERE: ("there, and a delivery for another destination here", "is this the file of that destination?"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """What the file covers: deliveries that ended from `since` on and before `until`; UTC where no zone is given."""

    since: datetime | None
    until: datetime | None


@dataclass(slots=True, kw_only=True)
class Tally:
    """How a comparison goes: counts, the first of each finding, and the report of all."""

    report: IO[str] | None
    keys: int = 0
    received: int = 0
    unreadable: int = 0
    complaints: list[tuple[int, str]] = field(default_factory=list)
    counts: Counter[Verdict] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def refuse(self, line: int, why: str) -> None:
        """Note a line that has no key."""
        self.unreadable += 1
        if self.unreadable <= LISTED:
            self.complaints.append((line, why))
        self._write({"line": line, "finding": "unreadable", "detail": why})

    def note(self, finding: Finding) -> None:
        """Note a remarkable key."""
        self.counts[finding.verdict] += 1
        if self.counts[finding.verdict] <= LISTED:
            self.findings.append(finding)
        self._write(_document(finding))

    @property
    def matched(self) -> int:
        """Keys whose delivery the destination answered, here as there."""
        unmatched = (Verdict.UNRECORDED, Verdict.UNKNOWN, Verdict.UNDER_WAY, Verdict.ELSEWHERE)
        return self.keys - sum(self.counts[one] for one in unmatched)

    @property
    def agrees(self) -> bool:
        """Whether both sides say the same, as far as lines could be read."""
        return not self.unreadable and not any(self.counts[one] for one in GAPS)

    def _write(self, document: Mapping[str, Any]) -> None:
        if self.report is not None:
            self.report.write(msgspec.json.encode(document).decode() + "\n")


def compare(
    file: str,
    destination: str,
    *,
    key: str,
    form: Format | None,
    report: Path | None,
    period: Period,
    as_json: bool,
) -> bool:
    """Compare a file with the ledger and print what differs; whether they agree."""
    form = form or form_of(file)
    with ExitStack() as stack:
        stream, size = stack.enter_context(open_input(file))
        database = stack.enter_context(ledger())
        _check_destination(database, destination)
        tally = Tally(report=stack.enter_context(open_output(report)) if report else None)
        held = stack.enter_context(receipts(database.url))
        with progress(size, "reading") as advance:
            _read(held, rows(stream, form, advance), key, form, tally)
        words = console(words=True)
        with words.status("comparing") if words.is_terminal else nullcontext():
            tally.keys, tally.received = held.count()
            if tally.unreadable and not tally.keys:
                raise typer.BadParameter(f"no line has a key in the field '{shown(key)}'; name it with --key")
            for finding in held.findings(destination, since=_utc(period.since), until=_utc(period.until)):
                tally.note(finding)
    if as_json:
        print_json(_summary(destination, tally))
    else:
        _print(destination, tally)
    if not tally.agrees:
        say_error(f"the ledger and {destination} do not agree")
    elif not as_json:
        say(f"[green]the ledger and {destination} agree[/green]")
    return tally.agrees


def _check_destination(database: Database, name: str) -> None:
    known = {one.name for one in operations.running(database).destinations}
    if name in known or database.fetch("select from deliveries where destination = %s limit 1", (name,)):
        return
    raise NotFound(f"there is no destination '{name}': {suggest(name, known)}")


def _read(held: Receipts, found: Iterator[Row], key: str, form: Format, tally: Tally) -> None:
    keys = _keys(found, key, form, tally.refuse)
    while group := list(islice(keys, GROUP_SIZE)):
        held.add(group)


def _keys(
    found: Iterator[Row], name: str, form: Format, refuse: Callable[[int, str], None]
) -> Iterator[tuple[int, UUID]]:
    """The key of each line that has one, with the line's number."""
    for row in found:
        if row.fields is None:
            refuse(row.line, str(row.problem))
            continue
        if form is Format.CSV and name not in row.fields:
            columns = ", ".join(shown(one) for one in row.fields)
            raise typer.BadParameter(f"there is no column '{shown(name)}' among {columns}; name the key's with --key")
        match = _KEY.search(str(row.fields.get(name)))
        if match is None:
            refuse(row.line, f"has no key of ours in the field '{shown(name)}'")
        else:
            yield row.line, UUID(match[0])


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _document(finding: Finding) -> dict[str, Any]:
    document: dict[str, Any] = {"finding": finding.verdict, "delivery": finding.key}
    document |= {"line": finding.line, "times": finding.times, "explained": finding.explained}
    return document | {"lead": finding.lead_id, "destination": finding.destination, "state": finding.state}


def _summary(destination: str, tally: Tally) -> dict[str, Any]:
    return {
        "destination": destination,
        "agrees": tally.agrees,
        "lines": tally.received + tally.unreadable,
        "keys": tally.keys,
        "matched": tally.matched,
        **{verdict.replace("-", "_"): tally.counts[verdict] for verdict in Verdict},
        "unreadable": tally.unreadable,
        "findings": [_document(finding) for finding in tally.findings],
        "complaints": [{"line": line, "detail": why} for line, why in tally.complaints],
    }


def _print(destination: str, tally: Tally) -> None:
    print_text(
        f"{destination} names {plural(tally.keys, 'key')} in {plural(tally.received + tally.unreadable, 'line')}: "
        f"{tally.matched:,} matched"
    )
    for verdict in Verdict:
        if not tally.counts[verdict]:
            continue
        what, remedy = TOLD[verdict]
        print_text(f"\n[bold]{verdict}[/bold]  {tally.counts[verdict]:,}  {what}\n  to do: {remedy}")
        found = [finding for finding in tally.findings if finding.verdict is verdict]
        for finding in found[:SHOWN]:
            print_text(f"  {_line(finding)}")
        _print_more(tally.counts[verdict])
    if tally.unreadable:
        print_text(f"\n[bold]unreadable[/bold]  {tally.unreadable:,}  lines that have no key: they were not compared")
        for line, why in tally.complaints[:SHOWN]:
            print_text(f"  line {line:,}: {why}")
        _print_more(tally.unreadable)


def _print_more(count: int) -> None:
    if count > SHOWN:
        print_text(f"  and {count - SHOWN:,} more; --report FILE writes all, as NDJSON")


def _line(finding: Finding) -> str:
    told = [str(finding.key)]
    if finding.lead_id is not None:
        told.append(f"lead {finding.lead_id}")
    if finding.verdict is Verdict.ELSEWHERE:
        told.append(f"for {finding.destination}")
    if finding.state is not None:
        told.append(finding.state)
    if finding.line is not None:
        told.append(f"line {finding.line:,}")
    if finding.verdict is Verdict.REPEATED:
        told.append(f"{finding.times} times, {finding.explained} explained")
    return "  ".join(told)
