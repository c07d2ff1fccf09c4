"""Each test has a home of its own, and everything it started is gone after it."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest

from app.embedded.journal import Journal
from tests.embedded.harness import TREE, Stacks, free_ports, remove_home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    yield path
    remove_home(path)


@pytest.fixture
def journal() -> Journal:
    return Journal(StringIO())


@pytest.fixture
def stacks(home: Path) -> Iterator[Stacks]:
    names = ("API_PORT", "FLOWER_PORT", "SANDBOX_PORT", "SANDBOX_SMTP_PORT")
    ports = {f"LEADRELAY_{name}": str(port) for name, port in zip(names, free_ports(4), strict=True)}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LEADRELAY_")}
    found = Stacks(home, {**clean, "PYTHONPATH": str(TREE), "LEADRELAY_HOME": str(home), **ports})
    yield found
    for run in found.runs:
        for pid in {run.process.pid, *run.seen} if run.process.poll() is None else run.left_behind():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run.process.wait()
