"""How the tests of this folder start real servers and stacks, wait for them, and see what they leave behind."""

import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from app.embedded.journal import Journal
from app.embedded.postgres import Postgres
from app.embedded.supervisor import Supervisor
from app.embedded.valkey import Valkey

PROGRAM = Path(__file__).with_name("stack_program.py")
TREE = Path(__file__).parents[2]


def wait_until(check: Callable[[], object], what: str, within_seconds: float = 30.0) -> None:
    until = time.monotonic() + within_seconds
    while not check():
        assert time.monotonic() < until, f"not within {within_seconds} s: {what}"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """A zombie nobody has collected yet counts as dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid: int) -> set[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below those the system gives to outgoing connections, and apart for each test process."""
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 20_000 + 1_000 * (process % 10)
    found: list[int] = []
    for port in random.sample(range(first, first + 1_000), 1_000):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
        if len(found) == count:
            break
    return found


def remove_home(home: Path) -> None:
    link = home / "postgres"
    if link.is_symlink():
        shutil.rmtree(link.resolve(), ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)


@contextmanager
def serving(server: Postgres | Valkey, journal: Journal) -> Iterator[float]:
    """The server prepared, supervised and answering; gives the seconds that took."""
    begun = time.monotonic()
    supervisor = Supervisor(journal)
    try:
        server.prepare()
        supervisor.start(server.child())
        supervisor.await_ready(server.child().name, server.is_ready, within_seconds=30)
        yield time.monotonic() - begun
    finally:
        supervisor.stop(within_seconds=9)


@dataclass
class Running:
    """A stack in a process of its own, as `leadrelay up` runs it, with trivial parts."""

    process: "subprocess.Popen[bytes]"
    log: Path
    seen: set[int] = field(default_factory=set)

    def await_ready(self) -> None:
        wait_until(lambda: self.process.poll() is not None or "is ready" in self.log.read_text(), "the stack is ready")
        assert self.process.poll() is None, self.log.read_text()
        self.seen |= descendants(self.process.pid)

    def await_end(self) -> int:
        return self.process.wait(15)

    def left_behind(self) -> set[int]:
        return {pid for pid in self.seen if is_alive(pid)}


@dataclass
class Stacks:
    """Starts stacks on one home and its ports."""

    home: Path
    environment: dict[str, str]
    runs: list[Running] = field(default_factory=list)

    def start(self, *arguments: str, command: tuple[str, ...] = (sys.executable,), **settings: str) -> Running:
        log = self.home / f"log-{len(self.runs)}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, str(PROGRAM), *arguments],
                cwd=TREE,
                env={**self.environment, **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        run = Running(process, log)
        self.runs.append(run)
        return run
