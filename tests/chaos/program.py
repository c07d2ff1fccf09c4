"""The entry of every process under test: leadrelay's own, with a crash point or a mutation if the environment asks for one.

The product has no hooks for this. `CHAOS_CRASH=POINT:N` has the kernel kill the process at the N-th time it gets there,
`CHAOS_POISON=TEXT` when it is to send a lead whose payload holds the text; `CHAOS_LEAK=BYTES` has each send leak memory;
`CHAOS_RESOLVER=SECONDS` has names resolved to nothing after so long; `CHAOS_MUTANT=NAME` breaks one promise on purpose. A
mutation that no longer changes anything ends the process at once.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import count
from socket import AI_NUMERICHOST, EAI_AGAIN, gaierror
from time import sleep
from typing import Any
from uuid import uuid4

from app.broker import Publisher
from app.connectors import _resolution
from app.connectors._http.connector import HttpConnector
from app.dispatch import Dispatcher
from app.ledger import acceptance, dispatch, work
from app.ledger.database import Connection, Database

PR_SET_PDEATHSIG = 1
LEAKED: list[bytearray] = []


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def around(
    owner: Any,
    name: str,
    *,
    before: Callable[..., None] = lambda *_: None,
    after: Callable[[Any], None] = lambda _: None,
) -> None:
    """Call `before` with a function's arguments, and `after` with what it returned."""
    original = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        before(*args)
        found = original(*args, **kwargs)
        after(found)
        return found

    setattr(owner, name, wrapped)


def crash(point: str, number: int) -> None:
    times = count(1)

    def at_last(*seen: Any) -> None:
        if seen[-1] and next(times) == number:  # where nothing was queued, or accepted, nothing could be lost
            die()

    owner, name, when = {
        "before-send": (HttpConnector, "deliver_many", "before"),
        "after-send": (HttpConnector, "deliver_many", "after"),
        "before-record": (work, "record", "before"),
        "before-publish": (dispatch, "queue", "after"),
        "after-accept": (acceptance, "accept", "after"),
    }[point]
    around(owner, name, **{when: at_last})


def poison(text: str) -> None:
    around(HttpConnector, "deliver", before=lambda _, item: die() if text in str(item.payload) else None)


def leak(size: int) -> None:
    around(HttpConnector, "deliver", before=lambda *_: LEAKED.append(bytearray(os.urandom(1024)) * (size // 1024)))


def resolve_slowly(seconds: float) -> None:
    original = _resolution.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not str(host).endswith(".invalid") or kwargs.get("flags", 0) & AI_NUMERICHOST:
            return original(host, *args, **kwargs)
        sleep(seconds)
        raise gaierror(EAI_AGAIN, "no answer")

    _resolution.getaddrinfo = getaddrinfo


def rewrite(statement: str, old: bytes, new: bytes) -> None:
    """Change a statement of `app.ledger.work`."""
    text = getattr(work, statement)
    if old not in text:
        sys.exit(f"the mutation of {statement} changes nothing: {old!r} is not in it")
    setattr(work, statement, text.replace(old, new))


def no_fencing() -> None:
    """Whoever records last is believed."""
    rewrite("_RECORD", b"d.token = input.token and ", b"")


def claim_without_compare() -> None:
    """A message is taken at its word."""
    rewrite("_CLAIM", b" and state = 'queued'", b"")


def sweep_off() -> None:
    """Nobody looks after what was lost."""
    Dispatcher.sweep = lambda _: None  # type: ignore[method-assign]


def new_key_per_attempt() -> None:
    """The destination cannot know a repeat."""
    original = HttpConnector.deliver

    def deliver(self: Any, item: Any) -> Any:
        return original(self, item if item.attempt == 1 else replace(item, key=str(uuid4())))

    HttpConnector.deliver = deliver  # type: ignore[method-assign]


def acknowledge_before_commit() -> None:
    """The producer has its receipt before the lead is safe."""
    original = acceptance.accept

    def accept(database: Database, leads: Any, **more: Any) -> Any:
        return original(_Forgetful(database), leads, **more)  # type: ignore[arg-type]

    acceptance.accept = accept


def publish_before_commit() -> None:
    """The wake-up call leaves before what it is about."""
    held: list[AbstractContextManager[Connection]] = []
    queue, deliver = dispatch.queue, Publisher.deliver

    def queue_and_hold(database: Database, *args: Any, **kwargs: Any) -> Any:
        late: list[AbstractContextManager[Connection]] = []
        found = queue(_Late(database, late), *args, **kwargs)  # type: ignore[arg-type]
        if found:
            held.extend(late)
        else:
            commit(late)
        return found

    def deliver_and_commit(self: Publisher, *args: Any, **kwargs: Any) -> None:
        try:
            deliver(self, *args, **kwargs)
            sleep(0.3)
        finally:
            commit(held)

    dispatch.queue, Publisher.deliver = queue_and_hold, deliver_and_commit  # type: ignore[method-assign]


def commit(held: list[AbstractContextManager[Connection]]) -> None:
    while held:
        held.pop().__exit__(None, None, None)


class _Late:
    """A ledger whose transactions stay open until somebody commits them."""

    def __init__(self, database: Database, held: list[AbstractContextManager[Connection]]) -> None:
        self._database, self._held = database, held

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        opened = self._database.transaction()
        self._held.append(opened)
        yield opened.__enter__()


class _Forgetful:
    """A ledger that forgets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self._database.transaction() as connection:
            yield connection
            connection.rollback()


MUTANTS: dict[str, Callable[[], None]] = {
    "no-fencing": no_fencing,
    "claim-without-compare": claim_without_compare,
    "sweep-off": sweep_off,
    "new-key-per-attempt": new_key_per_attempt,
    "publish-before-commit": publish_before_commit,
    "acknowledge-before-commit": acknowledge_before_commit,
}


def prepare() -> None:
    """Do to this process what its environment asks for; and let it not outlive the test run (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if point := os.environ.get("CHAOS_CRASH"):
        name, _, number = point.partition(":")
        crash(name, int(number or 1))
    if text := os.environ.get("CHAOS_POISON"):
        poison(text)
    if size := os.environ.get("CHAOS_LEAK"):
        leak(int(size))
    if seconds := os.environ.get("CHAOS_RESOLVER"):
        resolve_slowly(float(seconds))
    if mutant := os.environ.get("CHAOS_MUTANT"):
        MUTANTS[mutant]()


def main(part: str, name: str) -> int:
    prepare()
    if part == "api":
        from app.api.server import serve  # noqa: PLC0415  # a worker does without
        from app.settings import settings  # noqa: PLC0415

        serve(settings())
        return 0
    from workers.main import run  # noqa: PLC0415  # makes a Celery app

    return run(name=name)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
