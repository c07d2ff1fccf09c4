"""`leadrelay reconcile`: the equation with its numbers, every gap with what to do about it, and repairs.

What a destination says it got is compared in `app.cli.comparison`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from app.api.equation import balance_view
from app.cli.comparison import Period, compare
from app.cli.file import Format
from app.cli.output import Json, coloured, console, moment, plural, print_json, print_text, say, say_error
from app.cli.session import actor, ledger
from app.ledger import Database, query
from app.ledger.balance import LISTED, Balance, balance
from app.ledger.gap import EXPLANATIONS, Gap, Kind
from app.ledger.query import AttemptView, DeliveryView
from app.ledger.repair import repair as mend
from app.ledger.repair import repairable
from app.model import Result, State

ORDER = ("delivered", "rejected", "skipped", "waiting", "held", "dead", "cancelled")
SHOWN = 20
"""Gaps of each kind that a person is shown."""
REPAIRED_AT_ONCE = 100_000

TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]


Lead = Annotated[UUID | None, typer.Argument(metavar="[LEAD]", help="Only this lead, told in words.")]
Repair = Annotated[bool, typer.Option("--repair", help="Mend what can neither lose nor double a lead.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="With --repair: only show what would be mended.")]
Against = Annotated[
    str | None, typer.Option(metavar="FILE", help="NDJSON or CSV of what a destination got; - is stdin.")
]
Destination = Annotated[str | None, typer.Option(help="With --against: the destination.")]
Key = Annotated[str, typer.Option(metavar="FIELD", help="With --against: field that holds the key.")]
Form = Annotated[
    Format | None, typer.Option("--format", help="With --against: form of the file; by its suffix if not given.")
]
Since = Annotated[
    datetime | None, typer.Option(formats=TIMES, help="With --against: the file has nothing older (UTC).")
]
Until = Annotated[
    datetime | None, typer.Option(formats=TIMES, help="With --against: the file has nothing newer (UTC).")
]
Report = Annotated[
    Path | None, typer.Option(dir_okay=False, help="With --against: write every finding here, as NDJSON.")
]


def reconcile(
    lead: Lead = None,
    *,
    repair: Repair = False,
    dry_run: DryRun = False,
    against: Against = None,
    destination: Destination = None,
    key: Key = "key",
    form: Form = None,
    since: Since = None,
    until: Until = None,
    report: Report = None,
    as_json: Json = False,
) -> None:
    """Prove that every accepted delivery is accounted for.

    Counts what leads were promised and where deliveries stand from different tables, in one snapshot, and looks for
    whatever should not be. Each kind of gap is told with its meaning and what to do. --repair mends those that can be
    mended without losing or doubling a lead, and audits each. The exit code is 0 only if no gap is left.

    --against compares the ledger with what a destination says it got: each line has the idempotency key (the delivery's
    id) in the field that --key names. The exit code is 0 only if both agree.
    """
    if against is None:
        _refuse(
            {"--destination": destination, "--format": form, "--since": since, "--until": until, "--report": report}
        )
        _reconcile(lead, repair=repair, dry_run=dry_run, as_json=as_json)
        return
    if destination is None:
        raise typer.BadParameter("--against needs --destination NAME: whose receipts are these?")
    if lead is not None or repair:
        raise typer.BadParameter(
            "--against compares a whole destination and changes nothing: leave LEAD and --repair out"
        )
    agree = compare(
        against,
        destination,
        key=key,
        form=form,
        report=report,
        as_json=as_json,
        period=Period(since=since, until=until),
    )
    if not agree:
        raise typer.Exit(1)


def equation(found: Balance) -> str:
    """Both sides in one line."""
    sides = found.sides
    return f"accepted {found.accepted:,} = " + " + ".join(f"{name} {sides[name]:,}" for name in ORDER)


def _refuse(options: Mapping[str, object]) -> None:
    for name, value in options.items():
        if value is not None:
            raise typer.BadParameter(f"{name} belongs to --against FILE")


def _reconcile(lead: UUID | None, *, repair: bool, dry_run: bool, as_json: bool) -> None:
    if dry_run and not repair:
        raise typer.BadParameter("--dry-run belongs to --repair")
    with ledger() as database:
        listed = REPAIRED_AT_ONCE if repair else LISTED
        found = _balance(database, lead, listed)
        if not as_json:
            print_text(equation(found))
            _print_deliveries(database, lead)
            _print_gaps(found)
        mended: list[Gap] = []
        if repair and dry_run:
            mended = [gap for gap in found.gaps if repairable(gap)]
        elif repair:
            found, mended = _repair(database, lead, found)
        if as_json:
            print_json(_document(database, lead, found, mended if repair else None))
        elif repair:
            _print_mended(mended, dry_run=dry_run)
    _conclude(found, as_json=as_json)


def _repair(database: Database, lead: UUID | None, found: Balance) -> tuple[Balance, list[Gap]]:
    """Mend until nothing is left that may be mended; how the ledger stands then, and what was mended."""
    mended: list[Gap] = []
    while True:
        now = [gap for group in mend(database, found.gaps, actor=actor()) for gap in group]
        mended += now
        if now or any(repairable(gap) for gap in found.gaps):
            found = _balance(database, lead, REPAIRED_AT_ONCE)
        if not now:
            return found, mended


def _balance(database: Database, lead: UUID | None, listed: int) -> Balance:
    with _steps() as step:
        return balance(database, lead=lead, listed=listed, step=step)


@contextmanager
def _steps() -> Iterator[Any]:
    """Says what is being done, on a terminal only."""
    words = console(words=True)
    with words.status("looking") if words.is_terminal else nullcontext() as status:
        yield (lambda _text: None) if status is None else status.update


def _conclude(found: Balance, *, as_json: bool) -> None:
    if not found.holds:
        say_error(f"the equation does not hold: {plural(sum(found.counts.values()), 'gap')}")
        raise typer.Exit(1)
    if not as_json:
        say("[green]every delivery is accounted for[/green]")


def _print_gaps(found: Balance) -> None:
    for kind, count in found.counts.items():
        told = EXPLANATIONS[kind]
        print_text(f"\n[bold]{kind}[/bold]  {count:,}")
        print_text(f"  {escape(told.meaning)}")
        print_text(f"  to do: {escape(told.remedy)}")
        print_text(f"  --repair: {escape(told.repair if told.repairable else 'does not mend this: ' + told.repair)}")
        for gap in _of(found.gaps, kind)[:SHOWN]:
            print_text(f"  {gap.subject}  {escape(gap.detail)}  [dim]lead {gap.lead_id or 'unknown'}[/dim]")
        if count > SHOWN:
            print_text(f"  and {count - SHOWN:,} more; --json lists {min(count, LISTED):,}")


def _of(gaps: Sequence[Gap], kind: Kind) -> list[Gap]:
    return [gap for gap in gaps if gap.kind is kind]


def _print_mended(mended: Sequence[Gap], *, dry_run: bool) -> None:
    print_text()
    for gap in mended:
        print_text(f"{'would mend' if dry_run else 'mended'}  {gap.subject}  {gap.kind}  {escape(gap.detail)}")
    say(f"{plural(len(mended), 'gap')} {'would be mended' if dry_run else 'mended'}")


def _document(database: Database, lead: UUID | None, found: Balance, mended: Sequence[Gap] | None) -> dict[str, Any]:
    document = balance_view(found).model_dump(mode="json")
    if mended is not None:
        document["repairs"] = mended
    if lead is not None:
        document["deliveries"] = [
            {"id": one.id, "destination": one.destination, "state": one.state, "attempts": one.attempts, "told": told}
            for one, told in _told(database, lead)
        ]
    return document


def _print_deliveries(database: Database, lead: UUID | None) -> None:
    if lead is None:
        return
    for one, told in _told(database, lead):
        print_text(f"\n[bold]{one.destination}[/bold]  {coloured(one.state)}  [dim]{one.id}[/dim]\n  {escape(told)}")


def _told(database: Database, lead: UUID) -> list[tuple[DeliveryView, str]]:
    deliveries = query.lead_deliveries(database, [lead])
    attempts = query.attempts(database, [one.id for one in deliveries])
    return [(one, in_words(one, attempts.get(one.id, ()))) for one in deliveries]


def in_words(delivery: DeliveryView, attempts: Sequence[AttemptView]) -> str:
    """Where a delivery stands and how it came there."""
    ends = {
        State.READY: f"waits to be sent, due at {moment(delivery.due_at)}",
        State.QUEUED: "waits for a worker: its message is out",
        State.DELIVERING: "is with a worker, whose answer is not recorded yet",
        State.HELD: "waits for a person, or for its destination's configuration",
        State.DELIVERED: "the destination took it",
        State.REJECTED: "the destination refused it",
        State.SKIPPED: "was not to be sent",
        State.CANCELLED: "was given up by a person",
        State.DEAD: "was given up: a dead letter",
    }
    tried = f"after {plural(len(attempts), 'attempt')}" if attempts else "never tried"
    said = [ends[delivery.state], tried]
    if attempts and attempts[-1].result != Result.SUCCESS:
        said.append(f"the last said {attempts[-1].result}{_because(attempts[-1].reason)}")
    elif not attempts and delivery.reason:
        said.append(delivery.reason)
    lost = sum(one.ambiguous for one in attempts)
    if lost:
        said.append(
            f"{plural(lost, 'answer was', 'answers were')} lost: the destination may have it all the same, under this key"
        )
    return "; ".join(said)


def _because(reason: str | None) -> str:
    return f" ({reason})" if reason else ""
