"""`leadrelay destinations`, `pause` and `resume`: how destinations stand, and their gate."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from app import operations
from app.cli.output import Json, coloured, duration, print_json, print_table, say
from app.cli.session import actor, ledger
from app.config.suggestion import suggest
from app.errors import NotFound
from app.holding import Hold, holding_back
from app.ledger import Database, operation, query
from app.ledger.query import DestinationView
from app.model import WAITING

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the destination.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A destination as the table shows it; `type` is None for one that is no longer configured."""

    name: str
    type: str | None
    enabled: bool
    paused: bool
    circuit: str
    reason: str | None
    holding_back: Sequence[Hold]
    notice: str | None
    waiting: int
    held: int
    dead: int
    oldest_seconds: float


def destinations(as_json: Json = False) -> None:
    """Show how every destination stands.

    `waiting` counts what is ready, queued or being delivered; `oldest` is how long the oldest of it has been due.
    `holding back` says why nothing goes: paused, an open circuit, closed hours, a volume reached, a Retry-After, a rate
    limit that leaves nothing. What a destination says of its interface's end stands there too.
    """
    with ledger() as database:
        found = _standings(database)
    if as_json:
        print_json(found)
    elif not found:
        say("no destinations yet; `leadrelay config apply` brings them")
    else:
        print_table(
            ["destination", "type", "circuit", "waiting", "held", "dead", "oldest", "holding back"],
            [_row(one) for one in found],
            right=["waiting", "held", "dead", "oldest"],
        )


def pause(name: Name) -> None:
    """Stop sending to a destination; its leads wait.

    What is being sent is finished. New leads are still accepted.
    """
    _set_gate(name, paused=True)
    say(f"{name} is paused; `leadrelay resume {name}` lets it go on")


def resume(name: Name) -> None:
    """Send to a destination again; also closes its circuit."""
    _set_gate(name, paused=False)
    say(f"{name} goes on")


def _set_gate(name: str, *, paused: bool) -> None:
    with ledger() as database:
        known = {one.name for one in _standings(database)}
        if name not in known:
            raise NotFound(f"there is no destination '{name}': {suggest(name, known)}")
        told = operations.subscriptions(database)
        operation.pause(database, name, paused=paused, actor=actor(), subscriptions=told)


def _standings(database: Database) -> list[Standing]:
    """Configured destinations in the order of the configuration, then those that only have work left."""
    configured = {one.name: one for one in operations.running(database).destinations}
    seen = query.destinations(database)
    holds = holding_back(database, configured.values(), seen, now=datetime.now(UTC))
    standings = []
    for name in [*configured, *sorted(seen.keys() - configured.keys())]:
        view = seen.get(name) or DestinationView(name=name, counts={})
        config = configured.get(name)
        standings.append(
            Standing(
                name=name,
                type=config.type if config else None,
                enabled=config.enabled if config else False,
                paused=view.paused,
                circuit=view.circuit,
                reason=view.reason,
                holding_back=holds.get(name, ()),
                notice=view.notice,
                waiting=sum(view.counts.get(state, 0) for state in WAITING),
                held=view.counts.get("held", 0),
                dead=view.counts.get("dead", 0),
                oldest_seconds=view.oldest_seconds,
            )
        )
    return standings


def _row(one: Standing) -> tuple[str, ...]:
    notes = [f"[yellow]{escape(hold.detail)}[/yellow]" for hold in one.holding_back]
    if one.notice is not None:
        notes.append(f"[yellow]{escape(one.notice)}[/yellow]")
    if one.type is None:
        notes.append("[yellow]not in the configuration[/yellow]")
    elif not one.enabled:
        notes.append("[dim]disabled[/dim]")
    return (
        one.name,
        one.type or "",
        coloured(one.circuit),
        f"{one.waiting:,}",
        f"{one.held:,}",
        f"[red]{one.dead:,}[/red]" if one.dead else "0",
        duration(one.oldest_seconds) if one.oldest_seconds else "",
        "; ".join(notes),
    )
