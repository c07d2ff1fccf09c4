"""Starts children, keeps them running, stops them in order, and leaves none behind.

One thread per child starts it, waits for its end and starts it again; it lives as long as the child, which matters,
because Linux binds a child's life to the thread that made it (prctl(2), PR_SET_PDEATHSIG; see `bound`). Every child has
a process group of its own, so that Ctrl-C in a terminal reaches the supervisor only. Knows nothing of what runs.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import IO

from app.embedded import bound
from app.embedded.journal import Journal
from app.embedded.place import Account
from app.errors import Unavailable

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 10.0
"""A child that lived so long has recovered: its next restart waits the first pause again."""
POLL_SECONDS = 0.02
LAST_WORDS_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A process to keep running.

    `environment` is added to ours. Stages stop one after the other, the lowest first; `reserved_seconds` is what a
    child's stage may take at least, however long earlier ones needed. `stop_signal` asks it to end; `orphan_signal` is
    what it gets when the supervisor dies. `account`: whom it runs as, if not as us.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    stage: int = 0
    reserved_seconds: float = 1.0
    stop_signal: Signals = SIGTERM
    orphan_signal: Signals = SIGKILL
    account: Account | None = None


class Supervisor:
    """Keeps children running until told to stop."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._keepers: list[_Keeper] = []

    def start(self, child: Child) -> None:
        """Start a child and keep it running."""
        keeper = _Keeper(child, self._journal)
        self._keepers.append(keeper)  # before it begins: a Ctrl-C in between must not leave a child nobody knows
        keeper.begin()

    def await_ready(self, what: str, check: Callable[[], bool], *, within_seconds: float) -> None:
        """Wait until `check` says yes; raises `Unavailable` when a child has ended meanwhile or time is up."""
        until = time.monotonic() + within_seconds
        while not check():
            ended = [keeper.child.name for keeper in self._keepers if keeper.ends]
            if ended:
                raise Unavailable(f"{ended[0]} ended while the stack was starting; its lines above say why")
            if time.monotonic() > until:
                raise Unavailable(f"{what} was not ready within {within_seconds:.0f} s")
            time.sleep(POLL_SECONDS)

    def stop(self, *, within_seconds: float) -> None:
        """Stop every child, stage by stage; what is left when its stage's time is up is killed."""
        deadline = time.monotonic() + within_seconds
        for stage in sorted({keeper.child.stage for keeper in self._keepers}):
            members = [keeper for keeper in self._keepers if keeper.child.stage == stage]
            later = [keeper.child for keeper in self._keepers if keeper.child.stage > stage]
            for keeper in members:
                keeper.ask_to_end()
            for keeper in members:
                keeper.end(until=deadline - _reserved(later))
        self._keepers.clear()


def _reserved(children: Sequence[Child]) -> float:
    longest: dict[int, float] = {}
    for child in children:
        longest[child.stage] = max(child.reserved_seconds, longest.get(child.stage, 0.0))
    return sum(longest.values())


class _Keeper:
    """One child and the thread that keeps it."""

    def __init__(self, child: Child, journal: Journal) -> None:
        self.child = child
        self.ends = 0
        self._journal = journal
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name=f"keep-{child.name}", daemon=True)

    def begin(self) -> None:
        """Start the child, in the keeper's own thread."""
        self._thread.start()

    def ask_to_end(self) -> None:
        """Send the stop signal; from now on the child is not started again."""
        with self._lock:
            self._stopping.set()
            if self._process:
                self._process.send_signal(self.child.stop_signal)

    def end(self, *, until: float) -> None:
        """Wait for the end; kill the child and what it started when time is up."""
        if self._thread.ident is None:
            return
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive() and self._process:
            self._journal.say(f"{self.child.name} did not end in time and is killed")
            _kill_group(self._process.pid)
        self._thread.join()

    def _keep(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            begun = time.monotonic()
            process = self._open()
            if process is None:
                return
            code = self._follow(process)
            if self._stopping.is_set():
                return
            self.ends += 1
            if time.monotonic() - begun >= STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            self._journal.say(f"{self.child.name} {_how_it_ended(code)}; starting it again in {pause:g} s")
            if self._stopping.wait(pause):
                return
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _open(self) -> "subprocess.Popen[bytes] | None":
        with self._lock:
            if self._stopping.is_set():
                return None
            self._process = subprocess.Popen(  # noqa: S603  # argument lists of our own, no shell
                _bind(self.child),
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.child.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
            return self._process

    def _follow(self, process: "subprocess.Popen[bytes]") -> int:
        """Write down what the child says until it ends; returns its exit code."""
        assert process.stdout is not None
        reader = threading.Thread(
            target=self._read, args=(process.stdout,), name=f"read-{self.child.name}", daemon=True
        )
        reader.start()
        code = process.wait()
        _kill_group(process.pid)
        reader.join(LAST_WORDS_SECONDS)
        return code

    def _read(self, output: IO[bytes]) -> None:
        with output:
            for line in output:
                self._journal.write(self.child.name, line.decode(errors="replace").rstrip())


def _bind(child: Child) -> list[str]:
    """The child's command behind `bound`, with the interpreter in its barest form (about 15 ms)."""
    account = child.account or Account(uid=os.geteuid(), gid=os.getegid())
    numbers = (os.getpid(), child.orphan_signal.value, account.uid, account.gid)
    return [sys.executable, "-I", "-S", str(Path(bound.__file__)), *map(str, numbers), *child.argv]


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, SIGKILL)


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
