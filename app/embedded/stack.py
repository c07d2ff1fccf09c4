"""`leadrelay up`: the order in which a whole installation starts and stops on one machine.

Lock the home, look whether the ports are free, start the servers, migrate, prepare, start the parts, wait until they
answer, say so; then run until told to stop, and stop everything. It runs in the main thread, whose signals it takes.
"""

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from app.embedded.address import answers, check_free
from app.embedded.announcement import Stack, banner, publish, withdraw
from app.embedded.home import hold, keep, open_home
from app.embedded.journal import Journal
from app.embedded.parts import Part, addresses, api_address, flower_address, leadrelay_parts, sandbox_address
from app.embedded.postgres import Postgres
from app.embedded.supervisor import Supervisor
from app.embedded.valkey import Valkey
from app.settings import Settings

STOP_SECONDS = 9.5
SERVER_SECONDS = 120.0
"""PostgreSQL may have to replay its log after a crash."""
PART_SECONDS = 60.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Prepare = Callable[[Settings], Mapping[str, str]]
"""Applies the configuration and sees to a first API key, on a migrated database; see `up`."""


def up(
    settings: Settings,
    *,
    prepare: Prepare,
    ready: Callable[[Stack], int] | None = None,
    parts: Callable[[Settings], Sequence[Part]] = leadrelay_parts,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run the whole stack; returns the exit code.

    `prepare` is called on every start, after the migrations, with settings whose database and broker are filled in; it
    returns `api_key` and `source` (a key to be shown again at a later start is its to keep: `home.keep`). With `ready`,
    it is called once everything answers and its return value ends the stack; without, a signal does, with code 0.
    An interrupted start or `ready` returns 128 + the signal's number. `environment` is told to commands that run beside the
    stack, as it stands in the parts' own.

    Raises `InvalidConfig` for a home that cannot be used, `Conflict` when a stack runs there or a port is taken,
    `Unavailable` when a server or part does not start.
    """
    home = open_home(settings.home)
    with hold(home), _own_signals():
        check_free(addresses(settings))
        run = _Run(settings, home, environment or {})
        try:
            with _interruptible():
                stack = run.start(prepare, parts)
                if ready is not None:
                    return ready(stack)
                run.steady = True
                while True:
                    signal.pause()
        except _Interrupted as interrupted:
            return 0 if run.steady else 128 + interrupted.number
        finally:
            run.stop()


class _Run:
    """One run of the stack, from its first server to its last."""

    def __init__(self, settings: Settings, home: Path, environment: Mapping[str, str]) -> None:
        self.steady = False
        self._environment = environment
        self._begun = time.monotonic()
        self._home = home
        self._journal = Journal()
        self._supervisor = Supervisor(self._journal)
        self._postgres: Postgres | None = None
        withdraw(home)  # what a run that was killed has left
        given = {name: getattr(settings, name) for name in settings.model_fields_set}
        self._settings = settings.model_copy(
            update={
                "home": home,
                # What is not set explicitly may have been read from that file.
                "database_url": given.get("database_url"),
                "broker_url": given.get("broker_url"),
                "flower_password": settings.flower_password or keep(home, "flower_password"),
                # One log for people, unless asked otherwise.
                "log_format": given.get("log_format", "text" if self._journal.terminal else settings.log_format),
            }
        )

    def start(self, prepare: Prepare, parts: Callable[[Settings], Sequence[Part]]) -> Stack:
        """Bring everything up; returns when all of it answers."""
        self._start_servers()
        prepared = self._prepare(prepare)
        self._start_parts(parts(self._settings))
        stack = self._describe(prepared)
        publish(stack, self._home)
        took = time.monotonic() - self._begun
        self._journal.plain(banner(stack, self._home, took_seconds=took, terminal=self._journal.terminal))
        return stack

    def stop(self) -> None:
        """Stop everything that was started."""
        withdraw(self._home)
        self._journal.say("stopping")
        self._supervisor.stop(within_seconds=STOP_SECONDS)
        if self._postgres:
            self._postgres.release()
        self._journal.say("stopped")

    def _start_servers(self) -> None:
        """Start the servers that no setting names, both at once."""
        update = {}
        servers: list[Postgres | Valkey] = []
        if not self._settings.database_url:
            self._postgres = Postgres(self._home)
            servers.append(self._postgres)
        if not self._settings.broker_url:
            servers.append(Valkey(self._home))
        for server in servers:
            server.prepare()
            self._supervisor.start(server.child())
            update[server.setting] = server.url
        for server in servers:
            self._supervisor.await_ready(server.child().name, server.is_ready, within_seconds=SERVER_SECONDS)
        self._settings = self._settings.model_copy(update=update)
        self._journal.say(f"servers ready after {time.monotonic() - self._begun:.1f} s")

    def _prepare(self, prepare: Prepare) -> Mapping[str, str]:
        from app.ledger import migrate  # noqa: PLC0415  # takes half a second, in which the servers could start

        migrate(self._settings.required_database_url)
        return prepare(self._settings)

    def _start_parts(self, parts: Sequence[Part]) -> None:
        for part in parts:
            self._supervisor.start(part.child)
        for part in parts:
            if part.health:
                check = partial(answers, part.health)
                self._supervisor.await_ready(part.child.name, check, within_seconds=PART_SECONDS)

    def _describe(self, prepared: Mapping[str, str]) -> Stack:
        settings = self._settings
        assert settings.flower_password is not None
        return Stack(
            database_url=settings.required_database_url,
            broker_url=settings.required_broker_url,
            api_url=api_address(settings).url,
            flower_url=flower_address(settings).url,
            flower_user=settings.flower_user,
            flower_password=settings.flower_password,
            sandbox_url=sandbox_address(settings).url,
            api_key=prepared.get("api_key"),
            source=prepared.get("source"),
            environment=self._environment,
        )


class _Interrupted(KeyboardInterrupt):
    """A signal that asks the stack to stop; as hard to swallow as Ctrl-C."""

    def __init__(self, number: int) -> None:
        self.number = number


@contextmanager
def _own_signals() -> Iterator[None]:
    """Put the signals' handlers back at the end."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Inside, the first signal raises `_Interrupted`; later ones, and those after the end, are let pass.

    A stop that has begun is not begun again. A hang-up that was being ignored (nohup) stays so.
    """
    taken = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN or number != signal.SIGHUP]

    def disarm() -> None:
        for number in taken:
            # Not SIG_IGN, which a child started now would inherit.
            signal.signal(number, lambda _number, _frame: None)

    def interrupt(number: int, _frame: FrameType | None) -> None:
        disarm()
        raise _Interrupted(number)

    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        disarm()
