"""The whole stack as a user starts it, on a home and ports of the test's own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.embedded.harness import TREE, descendants, free_ports, is_alive, remove_home, wait_until

LEADRELAY = (sys.executable, "-m", "app.cli.main")


@dataclass
class Installation:
    """One home, its ports, and what was started in it."""

    home: Path
    environment: dict[str, str]
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    seen: set[int] = field(default_factory=set)

    def start(self, *command: str) -> None:
        """Begin `leadrelay ...`; its output goes to a new log."""
        self.log.write_text("")
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*LEADRELAY, *command],
                cwd=TREE,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def await_log(self, text: str, within_seconds: float = 90.0) -> None:
        """Wait until the log says so, and note every process there is by then."""
        assert self.process is not None
        running = self.process
        wait_until(lambda: text in self.log.read_text() or running.poll() is not None, text, within_seconds)
        assert text in self.log.read_text(), self.log.read_text()[-3000:]
        self.seen |= descendants(running.pid)

    def run(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `leadrelay ...` beside it."""
        return subprocess.run(
            [*LEADRELAY, *command],
            cwd=TREE,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def stack(self) -> dict[str, Any]:
        """Addresses and keys of the running stack."""
        found: dict[str, Any] = json.loads((self.home / "stack.json").read_text())
        return found

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal as a terminal would; the exit code."""
        assert self.process is not None
        self.seen |= descendants(self.process.pid)
        self.process.send_signal(number)
        return self.process.wait(15)

    def left_behind(self) -> set[int]:
        """Processes that outlived the stack."""
        return {pid for pid in self.seen if is_alive(pid)}


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    home, config = tmp_path / "home", tmp_path / "config"
    shutil.copytree(TREE / "config", config)
    api, flower, sandbox, smtp = free_ports(4)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LEADRELAY_", "SANDBOX_"))}
    environment = {
        **clean,
        "LEADRELAY_HOME": str(home),
        "LEADRELAY_CONFIG_DIR": str(config),
        "LEADRELAY_API_PORT": str(api),
        "LEADRELAY_FLOWER_PORT": str(flower),
        "LEADRELAY_SANDBOX_PORT": str(sandbox),
        "LEADRELAY_SANDBOX_SMTP_PORT": str(smtp),
        "LEADRELAY_LEASE_SECONDS": "5",
        "LEADRELAY_QUEUED_SECONDS": "3",
        "COLUMNS": "120",
    }
    found = Installation(home, environment, tmp_path / "log")
    found.log.touch()
    yield found
    if found.process is not None and found.process.poll() is None:
        found.seen |= descendants(found.process.pid) | {found.process.pid}
    for pid in found.left_behind():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if found.process is not None:
        found.process.wait()
    remove_home(home)
