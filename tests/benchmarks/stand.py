"""The bench itself: real servers, a sink, and the processes of leadrelay and of its rivals started on them.

PostgreSQL (fsync on) and Valkey are the embedded ones, or PostgreSQL is the one that LEADRELAY_TEST_DATABASE_URL names;
it must run on this machine, since its CPU is read too.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis

from app.config.schema import DestinationConfig
from app.embedded.postgres import Postgres
from app.embedded.valkey import Valkey
from app.ledger import migrate
from tests.benchmarks.installation import Installation, destination
from tests.benchmarks.process import (
    Process,
    await_that,
    clean_environment,
    free_port,
    listens,
    parent_of,
    running,
)
from tests.benchmarks.sink import Sink
from tests.conftest import running as serving

_WAL = b"select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Servers and sink, which stay while figures come and go."""

    database_url: str
    broker_url: str
    postgres: int
    valkey: int
    sink_pid: int
    sink: Sink
    folder: Path
    templates: dict[int, str] = field(default_factory=dict)
    """Ledgers with a past, by their number of rows; dropped at the end."""

    @contextmanager
    def installation(
        self, *destinations: DestinationConfig, path: str = "/leads", template: str | None = None
    ) -> Iterator[Installation]:
        """A leadrelay on a ledger and a broker of its own, both empty, or on a copy of the ledger `template`.

        Its one destination, everything by default, is the sink at `path`, unless others are named.
        """
        self.clear()
        with (
            self.ledger(template) as url,
            Installation(url=url, broker_url=self.broker_url, folder=self.folder) as found,
        ):
            found.configure(destinations or [destination("sink", f"{self.sink.url}{path}")])
            yield found

    @contextmanager
    def ledger(self, template: str | None = None) -> Iterator[str]:
        """Address of a migrated ledger, empty or a copy of the database `template`, while the block lasts."""
        name = f"bench_{monotonic():.3f}".replace(".", "_")
        # A copy by files leaves nothing to be written while one measures.
        copy = f" template {template} strategy file_copy" if template else ""
        url = self.create(name, copy)
        try:
            yield url
        finally:
            self.drop(name)

    def create(self, name: str, options: str = "") -> str:
        """Make a migrated database; its address."""
        with psycopg.connect(self.database_url, autocommit=True) as server:
            server.execute(f"create database {name}{options}".encode())
        url = urlunsplit(urlsplit(self.database_url)._replace(path=f"/{name}"))
        migrate(url)
        return url

    def drop(self, name: str) -> None:
        """Drop a database, whoever uses it."""
        with psycopg.connect(self.database_url, autocommit=True) as server:
            server.execute(f"drop database {name} with (force)".encode())

    def forget(self) -> None:
        """Drop the templates."""
        for name in self.templates.values():
            self.drop(name)

    def wal_bytes(self) -> float:
        """Bytes of write-ahead log that the server has ever written; whoever else writes to it counts too."""
        with psycopg.connect(self.database_url) as server:
            row = server.execute(_WAL).fetchone()
            assert row is not None
            return float(row[0])

    @contextmanager
    def rival(self, name: str, *argv: str, program: str = sys.executable) -> Iterator[Process]:
        """A process of a rival; this interpreter with `argv`, or another program."""
        with running(name, argv, environment=clean_environment(), folder=self.folder, program=program) as process:
            yield process

    def clear(self) -> None:
        """Empty the broker's queues and the sink's tally; kombu remembers that it wrote its bindings, so they stay."""
        with redis.Redis.from_url(self.broker_url) as broker:
            if keys := [one for one in broker.scan_iter(count=1000) if not one.startswith(b"_kombu.binding.")]:
                broker.delete(*keys)
        self.sink.reset()

    def await_received(self, count: int, *, within: float = 300.0) -> None:
        """Wait until the sink has so many."""
        await_that(lambda: self.sink.tally().count >= count, f"the sink has {count}", within=within)


@contextmanager
def bench() -> Iterator[Bench]:
    """Servers and sink while the block lasts."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="leadrelay-bench-")))
        given = os.environ.get("LEADRELAY_TEST_DATABASE_URL")
        database_url = given or stack.enter_context(_postgres(folder))
        broker_url = stack.enter_context(serving(Valkey(_made(folder / "valkey"))))
        port = free_port()
        argv = ["-m", "tests.benchmarks.sink", str(port)]
        process = stack.enter_context(running("sink", argv, environment=clean_environment(), folder=folder))
        await_that(lambda: listens(port), "the sink listens")
        sink = Sink(port)
        # The rivals are as plain as can be: modules that read these when they are imported, here and in their workers.
        os.environ |= {"BENCH_BROKER_URL": broker_url, "BENCH_SINK_URL": f"{sink.url}/leads"}
        found = Bench(
            database_url=database_url,
            broker_url=broker_url,
            postgres=_postmaster(database_url),
            valkey=_valkey(broker_url),
            sink_pid=process.pid,
            sink=sink,
            folder=folder,
        )
        stack.callback(found.forget)
        yield found


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    home = _made(folder / "postgres")
    with ExitStack() as stack:
        # Run by root, its data is in a folder that the server's own account may enter; the home has a link to it.
        stack.callback(lambda: shutil.rmtree((home / "postgres").resolve(), ignore_errors=True))
        yield stack.enter_context(serving(Postgres(home)))


def _made(home: Path) -> Path:
    home.mkdir()
    return home


def _postmaster(url: str) -> int:
    with psycopg.connect(url) as connection:
        return parent_of(connection.info.backend_pid)


def _valkey(url: str) -> int:
    with redis.Redis.from_url(url) as broker:
        return int(broker.info("server")["process_id"])
