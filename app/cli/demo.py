"""`leadrelay demo`: the whole stack at work on sample leads, watched until every delivery has come to its end."""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

import requests
import typer
from rich.console import RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from app import operations
from app.cli.output import coloured, console, duration, plural, print_table, print_text, say, say_error
from app.cli.reconciliation import equation
from app.cli.sample import sample_leads
from app.cli.stack import introduce_sandbox, prepare
from app.client import Client
from app.config.schema import DestinationConfig
from app.config.secrets import resolve
from app.embedded.announcement import Stack
from app.embedded.parts import sandbox_address
from app.embedded.stack import up
from app.errors import Conflict
from app.intake import Receipt
from app.ledger import Database
from app.ledger.balance import balance
from app.ledger.progress import Progress as Standing
from app.ledger.progress import progress
from app.model import WAITING, State
from app.settings import Settings, secret_environment, settings

POLL_SECONDS = 0.25
PATIENCE_SECONDS = 300.0
"""Without any change for so long, the demo gives up: longer than lost messages and expired leases take to come back."""
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "buyer": {
        "error_rate": 0.2,
        "reset_after_receive_rate": 0.02,
        "reject_rate": 0.05,
        "reject_reason": "Outside of our area",
    },
    "salesforce": {"error_rate": 0.15, "error_code": "UNABLE_TO_LOCK_ROW"},
    "hubspot": {"rate_limit": {"rate": 0.15, "retry_after": 1}},
    "smtp": {"error_rate": 0.1, "reject_rate": 0.03, "reject_reason": "Mailbox unavailable"},
}


def demo(
    leads: Annotated[int, typer.Option(min=1, max=100_000, help="How many sample leads.")] = 500,
    faults: Annotated[
        bool, typer.Option("--faults", help="Let the destinations fail now and then, as real ones do.")
    ] = False,
) -> None:
    """Deliver sample leads to four stand-in destinations and show the figures.

    Starts the stack as `leadrelay up` does, and stops it at the end. The exit code is 0 only if every delivery came to its
    end, none of them dead (with --faults, dead letters are expected). The data stays in LEADRELAY_HOME: start `leadrelay
    up` afterwards, and in another terminal `leadrelay dlq list` shows the dead letters and `leadrelay dlq replay --all`
    sends them again.
    """
    found = settings()
    told = introduce_sandbox(found)
    if "log_level" not in found.model_fields_set:
        found = found.model_copy(update={"log_level": "warning"})  # the progress bar is the log
    code = up(found, prepare=_prepare, ready=partial(_show, leads=leads, faults=faults), environment=told)
    if code:
        raise typer.Exit(code)


def _prepare(settings: Settings) -> Mapping[str, str]:
    """As for `up`; raises `Conflict` when made-up leads could reach anything but the sandbox."""
    prepared = prepare(settings)
    database = Database(settings.required_database_url, size=2)
    try:
        running = operations.running(database)
    finally:
        database.close()
    if "source" not in prepared:
        raise Conflict("the configuration has no source; the demo needs the example in config/")
    for destination in running.destinations:
        if destination.enabled and not _is_sandbox(destination, settings):
            raise Conflict(
                f"destination {destination.name} is not the sandbox, and the demo sends made-up leads; "
                "set LEADRELAY_CONFIG_DIR to the example configuration and LEADRELAY_HOME to another folder"
            )
    return prepared


def _is_sandbox(destination: DestinationConfig, settings: Settings) -> bool:
    """Whether every address in its settings is the sandbox's, and there is one."""
    web = urlsplit(sandbox_address(settings).url)
    found = resolve(destination.settings, environ=secret_environment())
    urls = [urlsplit(value) for value in found.values() if isinstance(value, str) and "://" in value]
    places = [(url.hostname, url.port) for url in urls]
    if "host" in found:
        places.append((found["host"], int(found.get("port") or 0)))
    ports = {web.port, settings.sandbox_smtp_port}
    return bool(places) and all(host == web.hostname and port in ports for host, port in places)


def _show(stack: Stack, *, leads: int, faults: bool) -> int:
    """Submit, watch, print; the exit code."""
    database = Database(stack.database_url, size=2)
    try:
        with _faults(stack.sandbox_url) if faults else nullcontext(None) as storm:
            begun = datetime.now(UTC)
            run = _Run(database, _submit(stack, leads), storm, begun=begun)
            standings = run.watch()
        return _conclude(database, standings, faults=faults)
    finally:
        database.close()


def _submit(stack: Stack, leads: int) -> list[UUID]:
    """The ids of the sample leads' deliveries."""
    assert stack.source is not None
    run = secrets.token_hex(3)
    entries = ((lead, f"demo-{run}-{number}") for number, lead in enumerate(sample_leads(leads, run=run, seed=leads)))
    begun = time.monotonic()
    ids: list[UUID] = []
    with Client(stack.database_url) as client:
        for answer in client.submit_many(entries, source=stack.source):
            if not isinstance(answer, Receipt):
                raise answer
            ids.extend(answer.deliveries)
    took = time.monotonic() - begun
    say(f"{plural(leads, 'lead')} accepted in {duration(took)}: {plural(len(ids), 'delivery', 'deliveries')} to make")
    return ids


@dataclass(slots=True)
class _Storm:
    """The faults that are on; over when every delivery has been tried once."""

    url: str
    over: bool = False

    def end(self) -> None:
        """Let the destinations recover."""
        if not self.over:
            self.over = True
            for target in FAULTS:
                requests.delete(f"{self.url}/{target}", timeout=5).raise_for_status()


@contextmanager
def _faults(sandbox_url: str) -> Iterator[_Storm]:
    storm = _Storm(f"{sandbox_url}/api/faults")
    say("destinations fail, refuse, reject and drop connections now and then, until each delivery was tried once")
    for target, plan in FAULTS.items():
        requests.put(f"{storm.url}/{target}", json=plan, timeout=5).raise_for_status()
    try:
        yield storm
    finally:
        storm.end()


class _Run:
    """The deliveries of one demo on their way, and those of what is told of them to whoever wants to know."""

    def __init__(self, database: Database, ids: Sequence[UUID], storm: _Storm | None, *, begun: datetime) -> None:
        self._begun = begun
        self._database = database
        self._ids = ids
        self._storm = storm
        self._words = console(words=True)
        self._bars = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:>6,.0f} of {task.total:,.0f}"),
            TextColumn("{task.fields[states]}"),
            console=self._words,
        )
        self._tasks: dict[str, TaskID] = {}

    def watch(self) -> Mapping[str, Standing]:
        """Show how deliveries go until all have ended or nothing moves any more; how they stand then."""
        live = Live(self._bars, console=self._words, refresh_per_second=8)
        with live if self._words.is_terminal else nullcontext():
            last: Mapping[str, Standing] = {}
            moved = time.monotonic()
            while True:
                found = progress(self._database, self._ids, events_after=self._begun)
                if found != last:
                    last, moved = found, time.monotonic()
                    self._draw(found)
                if self._storm and not any(one.untried for one in found.values()):
                    self._storm.end()
                if not any(_open(one) for one in found.values()) or time.monotonic() - moved > PATIENCE_SECONDS:
                    return found
                time.sleep(POLL_SECONDS)

    def _draw(self, standings: Mapping[str, Standing]) -> RenderableType:
        for name, one in standings.items():
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=sum(one.counts.values()), states="")
            total = sum(one.counts.values())
            states = "  ".join(f"{coloured(word)} {number:,}" for word, number in _words(one).items())
            self._bars.update(self._tasks[name], completed=total - _open(one), total=total, states=states)
        return self._bars


def _conclude(database: Database, standings: Mapping[str, Standing], *, faults: bool) -> int:
    print_table(
        ["destination", "delivered", "rejected", "skipped", "retried", "dead", "p50", "p95"],
        [_row(name, one) for name, one in standings.items()],
        right=["delivered", "rejected", "skipped", "retried", "dead", "p50", "p95"],
    )
    found = balance(database)
    print_text()
    print_text(equation(found))
    unended = sum(_open(one) + one.counts.get(State.HELD, 0) for one in standings.values())
    dead = sum(one.counts.get(State.DEAD, 0) for one in standings.values())
    if dead:
        say(
            f"\n{plural(dead, 'dead letter')} to look at: start the stack again with [bold]leadrelay up[/bold], then in "
            "another terminal\n  leadrelay dlq list           what went wrong, by kind\n"
            "  leadrelay dlq replay --all   send them again"
        )
    if unended:
        say_error(f"{plural(unended, 'delivery', 'deliveries')} did not come to an end")
    if not found.holds:
        say_error(f"the equation does not hold: {plural(len(found.gaps), 'gap')}")
    return int(bool(unended) or not found.holds or (bool(dead) and not faults))


def _row(name: str, one: Standing) -> tuple[str, ...]:
    def count(state: State) -> str:
        return f"{one.counts.get(state, 0):,}"

    def milliseconds(value: float | None) -> str:
        return "" if value is None else f"{value:,.0f} ms"

    return (
        name,
        f"[green]{count(State.DELIVERED)}[/green]",
        count(State.REJECTED),
        count(State.SKIPPED),
        f"{one.retried:,}",
        f"[red]{count(State.DEAD)}[/red]" if one.counts.get(State.DEAD) else "0",
        milliseconds(one.p50_ms),
        milliseconds(one.p95_ms),
    )


def _open(one: Standing) -> int:
    return sum(one.counts.get(state, 0) for state in WAITING)


def _words(one: Standing) -> dict[str, int]:
    waiting = _open(one)
    found = {state.value: one.counts[state] for state in State if one.counts.get(state) and state not in WAITING}
    return {**found, "waiting": waiting} if waiting else found
