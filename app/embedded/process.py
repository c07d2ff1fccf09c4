"""Processes of an earlier run that are still there: are they ours, and how do they end?

A process id alone proves nothing, it may have been given to somebody else since; so a process counts as ours only while
its command line names a path that only ours has. Knows nothing of what the processes are.
"""

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, Signals

POLL_SECONDS = 0.02


def is_ours(pid: int, path: Path) -> bool:
    """Whether a process of this id runs with `path` in its command line; a zombie has no command line."""
    return str(path) in _command_line(pid)


def is_running(pid: int) -> bool:
    """Whether there is a process of this id that we may signal, ours or not."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def end(pid: int, path: Path, *, signals: list[Signals], each_seconds: float) -> None:
    """End a process of ours: each signal in turn, then SIGKILL, waiting `each_seconds` after each for it to be gone."""
    for number in [*signals, SIGKILL]:
        if not is_ours(pid, path):
            return
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        until = time.monotonic() + each_seconds
        while is_ours(pid, path) and time.monotonic() < until:
            time.sleep(POLL_SECONDS)


def read_pid(path: Path) -> int | None:
    """The process id in the first line of a pid file; None without a file or a number in it."""
    try:
        return int(path.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self").exists():
            return ""
    listing = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(listing, capture_output=True, text=True, check=False).stdout  # noqa: S603  # fixed words and a number
