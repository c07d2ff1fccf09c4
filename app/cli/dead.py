"""`leadrelay dlq`: dead letters and held deliveries, looked at by kind, sent again or given up.

What is chosen is counted and shown first. Each change is audited by the ledger under the account that runs the command.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from app import operations
from app.api.timeline import delivery_timeline
from app.cli.output import Json, console, moment, plural, print_json, print_table, print_text, say, say_error
from app.cli.session import actor, ledger
from app.cli.show import print_delivery
from app.errors import NotFound
from app.ledger import Database, feedback, operation, query
from app.ledger.query import DeadGroup
from app.model import Priority, State

GROUP_SIZE = 500
EVERY_GROUP = 1_000_000
SHOWN_GROUPS = 10

commands = typer.Typer(
    help="Look at, replay or discard dead letters and held deliveries.", no_args_is_help=True, add_completion=False
)

Ids = Annotated[list[UUID] | None, typer.Argument(metavar="[DELIVERY]...", help="Ids of single deliveries.")]
Destination = Annotated[str | None, typer.Option(help="All of this destination.")]
Fingerprint = Annotated[str | None, typer.Option(help="All of this kind, as `dlq list` shows it.")]
Everything = Annotated[bool, typer.Option("--all", help="All there are.")]
Held = Annotated[bool, typer.Option("--held", help="Held deliveries instead of dead letters.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Note = Annotated[str, typer.Option(help="Why, for the audit trail.")]
Change = Callable[[Database, Sequence[UUID]], list[UUID]]


@commands.command("list")
def list_(destination: Destination = None, held: Held = False, as_json: Json = False) -> None:
    """List dead letters by kind: how many, and the newest reason.

    With --held, deliveries that wait for a person or for their destination's configuration to be mended.
    """
    state = State.HELD if held else State.DEAD
    with ledger() as database:
        groups = query.dead_groups(database, state=state, destination=destination, limit=EVERY_GROUP)
    if as_json:
        print_json(groups)
    elif not groups:
        say(f"no {_things(state)}")
    else:
        _print_groups(groups)


@commands.command()
def show(
    delivery: Annotated[UUID, typer.Argument(metavar="DELIVERY", help="Id of the delivery.")],
    as_json: Json = False,
) -> None:
    """Show one delivery with every attempt, its requests and its answers."""
    with ledger() as database:
        found = query.delivery(database, delivery)
        if found is None:
            raise NotFound(f"there is no delivery {delivery}")
        attempts = query.attempts(database, [delivery]).get(delivery, [])
        timeline = delivery_timeline(found, attempts, feedback.of(database, [delivery]))
    if as_json:
        print_json(timeline.model_dump(mode="json"))
        return
    print_text(f"[bold]delivery {delivery}[/bold]  of lead {found.lead_id}")
    print_delivery(timeline, transcripts=True)
    if found.fingerprint:
        print_text(f"\n[dim]fingerprint[/dim]  {found.fingerprint}")


@commands.command()
def replay(
    ids: Ids = None,
    *,
    destination: Destination = None,
    fingerprint: Fingerprint = None,
    everything: Everything = False,
    held: Held = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    note: Note = "",
) -> None:
    """Send dead letters again, with the configuration in force and a fresh budget of attempts.

    Single deliveries by id (in any final state), or all of a destination, of a kind, or all. Single ones keep their class;
    many go as backfill, so that fresh leads are served first.
    """
    choice = _choose(ids, destination, fingerprint, everything=everything, held=held)
    priority = None if choice.ids else Priority.BACKFILL

    def change(database: Database, group: Sequence[UUID]) -> list[UUID]:
        return operation.replay(database, group, actor=actor(), note=note, priority=priority)

    _apply(choice, change, verb="replay", done="replayed", dry_run=dry_run, yes=yes)


@commands.command()
def discard(
    ids: Ids = None,
    *,
    destination: Destination = None,
    fingerprint: Fingerprint = None,
    everything: Everything = False,
    held: Held = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    note: Note = "",
) -> None:
    """Give dead letters up: they are cancelled and kept on record.

    A discarded delivery can still be replayed by its id.
    """
    choice = _choose(ids, destination, fingerprint, everything=everything, held=held)

    def change(database: Database, group: Sequence[UUID]) -> list[UUID]:
        told = operations.subscriptions(database)
        return operation.cancel(database, group, actor=actor(), note=note, subscriptions=told)

    _apply(choice, change, verb="discard", done="discarded", dry_run=dry_run, yes=yes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a person chose: single deliveries, or those in a state that meet the filters."""

    ids: Sequence[UUID]
    destination: str | None
    fingerprint: str | None
    state: State

    def groups(self, database: Database) -> list[DeadGroup]:
        """What a filter matches, by kind."""
        return query.dead_groups(
            database,
            state=self.state,
            destination=self.destination,
            fingerprint=self.fingerprint,
            limit=EVERY_GROUP,
        )

    def batches(self, database: Database) -> Iterator[list[UUID]]:
        """The ids, some hundred at a time; one that comes back while this runs is not chosen again."""
        if self.ids:
            yield list(self.ids)
            return
        before = None
        while found := query.deliveries(
            database,
            states=[self.state],
            destination=self.destination,
            fingerprint=self.fingerprint,
            before=before,
            limit=GROUP_SIZE,
        ):
            yield [one.id for one in found]
            before = found[-1].id


def _choose(
    ids: list[UUID] | None, destination: str | None, fingerprint: str | None, *, everything: bool, held: bool
) -> Choice:
    filtered = destination is not None or fingerprint is not None
    if sum((bool(ids), filtered, everything)) != 1:
        raise typer.BadParameter("say which: ids, or --destination and --fingerprint, or --all")
    return Choice(
        ids=ids or (),
        destination=destination,
        fingerprint=fingerprint,
        state=State.HELD if held else State.DEAD,
    )


def _apply(choice: Choice, change: Change, *, verb: str, done: str, dry_run: bool, yes: bool) -> None:
    with ledger() as database:
        groups = [] if choice.ids else choice.groups(database)
        count = len(choice.ids) or sum(group.count for group in groups)
        what = plural(count, "delivery", "deliveries")
        if groups:
            _print_groups(groups[:SHOWN_GROUPS])
        if dry_run or not count:
            say(f"{what} would be {done}" if count else f"no {_things(choice.state)} to {verb}")
            return
        if not yes:
            _confirm(f"{verb} {what}?")
        changed = _run(database, choice, change, verb, count)
        say(f"{plural(len(changed), 'delivery', 'deliveries')} {done}")
        unmoved = [id_ for id_ in choice.ids if id_ not in changed]
        for id_ in unmoved:
            found = query.delivery(database, id_)
            say_error(
                f"delivery {id_} is {found.state}: it cannot be {done}" if found else f"there is no delivery {id_}"
            )
    if unmoved:
        raise typer.Exit(1)


def _run(database: Database, choice: Choice, change: Change, verb: str, count: int) -> set[UUID]:
    changed: set[UUID] = set()
    words = console(words=True)
    bar = Progress(TextColumn(verb), BarColumn(), MofNCompleteColumn(), console=words, transient=True)
    with bar if words.is_terminal and count > GROUP_SIZE else nullcontext():
        task = bar.add_task(verb, total=count)
        for group in choice.batches(database):
            changed.update(change(database, group))
            bar.advance(task, len(group))
    return changed


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("add --yes where nobody can be asked")
    typer.confirm(question, abort=True, err=True)


def _print_groups(groups: Sequence[DeadGroup]) -> None:
    print_table(
        ["count", "destination", "fault", "fingerprint", "oldest (UTC)", "newest reason"],
        [
            (
                f"{group.count:,}",
                group.destination,
                group.fault or "",
                group.fingerprint or "",
                moment(group.oldest_at),
                escape(group.reason or ""),
            )
            for group in groups
        ],
        right=["count"],
    )


def _things(state: State) -> str:
    return "held deliveries" if state is State.HELD else "dead letters"
