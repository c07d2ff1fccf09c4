"""Processes under measurement: started, watched through /proc (Linux only), stopped by pid.

It may not know what runs in them.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

TREE = Path(__file__).parents[2]
STOP_SECONDS = 20.0
PATIENCE_SECONDS = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A running child; `pid` is the root of its own tree of processes."""

    name: str
    pid: int
    log: Path

    def said(self, words: str) -> bool:
        """Whether its output holds these words."""
        return words in self.log.read_text(errors="replace")


@contextmanager
def running(
    name: str, argv: Sequence[str], *, environment: Mapping[str, str], folder: Path, program: str = sys.executable
) -> Iterator[Process]:
    """Run `program`, this interpreter unless told, while the block lasts; output goes to a file in `folder`."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [program, *argv], cwd=TREE, env=dict(environment), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield Process(name=name, pid=child.pid, log=log)
    except (RuntimeError, TimeoutError) as error:
        error.add_note(f"{name} (code {child.poll()}) said last:\n{_last_words(log)}")
        raise
    else:
        if child.poll() is not None:
            raise RuntimeError(f"{name} ended with code {child.returncode}:\n{_last_words(log)}")
    finally:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def await_that(
    condition: Callable[[], bool], what: str, *, within: float = PATIENCE_SECONDS, every: float = 0.02
) -> None:
    """Wait for a condition; raises `TimeoutError` that says which."""
    ends = monotonic() + within
    while not condition():
        if monotonic() > ends:
            raise TimeoutError(f"not within {within:.0f} s: {what}")
        sleep(every)


def cpu_seconds(*roots: int) -> float:
    """User and system time of these processes and all their descendants, ended ones included once they are reaped."""
    ticks = 0
    for pid in _with_descendants(roots):
        try:
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        ticks += sum(int(words[place]) for place in (11, 12, 13, 14))  # utime, stime, cutime, cstime (proc(5))
    return ticks / _TICKS


def resident_mb(*roots: int) -> float:
    """Largest resident set of one of these processes or their descendants, in MB."""
    sizes = [_resident_kb(pid) for pid in _with_descendants(roots)]
    return max(sizes) * 1024 / 1e6


def open_files(*roots: int) -> int:
    """File descriptors that these processes and their descendants hold."""
    return sum(sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()) for pid in _with_descendants(roots))


def parent_of(pid: int) -> int:
    """The process that started this one."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def confined(roots: Sequence[int], cores: Collection[int]) -> Iterator[None]:
    """Let these processes and their descendants, with all their threads, run on these cores only while the block lasts."""
    before = os.sched_getaffinity(0)
    _confine(roots, cores)
    try:
        yield
    finally:
        _confine(roots, before)


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether somebody listens on a local port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def clean_environment() -> Mapping[str, str]:
    """This process's environment without leadrelay's settings: the bench alone decides those."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LEADRELAY_")}


def _last_words(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def _resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def _confine(roots: Sequence[int], cores: Collection[int]) -> None:
    for pid in _with_descendants(roots):
        with suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), cores)


def _with_descendants(roots: Sequence[int]) -> list[int]:
    found, waiting = [], list(roots)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except FileNotFoundError:
            continue
    return found
