"""A RabbitMQ of a scenario's own, beside whatever runs on this machine: another node, other ports, a folder of its own."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

from kombu.connection import Connection

from tests.conftest import lacking
from tests.embedded.harness import free_ports

SERVERS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", shutil.which("rabbitmq-server") or "")
START_SECONDS = 90.0


class Rabbit:
    """One node; its data outlives a stop."""

    def __init__(self, folder: Path) -> None:
        self._program = next((path for path in SERVERS if os.access(path, os.X_OK)), None)
        if self._program is None:
            lacking("rabbitmq-server")
        self._folder = folder
        self._port, distribution = free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            **os.environ,
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"chaos{self._port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "none.config"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
        }

    @property
    def url(self) -> str:
        """Its address."""
        return f"amqp://guest:guest@127.0.0.1:{self._port}//"

    def start(self) -> None:
        """Start it and wait until it serves."""
        (self._folder / "log").mkdir(exist_ok=True)
        (self._folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{self._port}\n")
        self._process = subprocess.Popen(
            [str(self._program)],
            env=self._environment,
            stdout=(self._folder / "output").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        ends = monotonic() + START_SECONDS
        while monotonic() < ends and self._process.poll() is None:
            with suppress(OSError), Connection(self.url, connect_timeout=2) as connection:
                connection.connect()
                return
            sleep(0.2)
        raise AssertionError((self._folder / "output").read_text()[-2000:])

    def stop(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
            self._await_free_port()

    def _await_free_port(self) -> None:
        ends = monotonic() + 10
        while monotonic() < ends:
            with suppress(OSError), socket.create_server(("127.0.0.1", self._port)):
                return
            sleep(0.1)


@contextmanager
def rabbit(folder: Path) -> Iterator[Rabbit]:
    """A node for as long as the block lasts."""
    folder.mkdir()
    found = Rabbit(folder)
    found.start()
    try:
        yield found
    finally:
        found.stop()
