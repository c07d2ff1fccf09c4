"""One leadrelay on the bench: its ledger, its configuration, and the processes started on it.

It may not know the rivals or where the servers come from.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic
from typing import Any, Self

from app import operations
from app.client import Client
from app.config.schema import DestinationConfig, Document, SourceConfig
from app.ledger import Database, key
from app.ledger.acceptance import WAKE_CHANNEL
from tests.benchmarks.leads import MAPPING, lead
from tests.benchmarks.process import Process, await_that, clean_environment, free_port, listens, running

SOURCE = "web"
WORKERS = 2
_WORKER = "import sys; from workers.main import run; sys.exit(run(name=sys.argv[1]))"
_API = "from app.settings import settings; from app.api.server import serve; serve(settings())"
_FLOWER = "from app.settings import settings; from app.cli.monitor import serve; serve(settings())"
_WAITING = "select count(*) from deliveries where state in ('ready', 'queued', 'delivering')"
_DELIVERED = "select count(*) from deliveries where state = 'delivered'"
_STORED = """
select coalesce(sum(pg_total_relation_size(oid)), 0)::float8 from pg_class
where relkind = 'r' and relnamespace = 'public'::regnamespace
"""
_PAUSE = """
insert into destination_status (destination, paused) select unnest(%s::text[]), %s
on conflict (destination) do update set paused = excluded.paused
"""


def destination(name: str, url: str, **limits: Any) -> DestinationConfig:
    """An HTTP destination on this machine with `limits`, everything else by default."""
    return DestinationConfig.model_validate(
        {
            "name": name,
            "type": "http",
            "mapping": MAPPING,
            "settings": {"url": url},
            "network": {"allow": ["127.0.0.1"]},
            "limits": limits,
        }
    )


@dataclass(kw_only=True)
class Installation:
    """One leadrelay: a ledger of its own, and processes started on it."""

    url: str
    broker_url: str
    folder: Path
    workers: list[Process] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        self.database = Database(self.url, size=4, application_name="leadrelay-bench")
        self._stack.callback(self.database.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def configure(self, destinations: Sequence[DestinationConfig]) -> None:
        """One source whose leads go to all of these."""
        self.names = [one.name for one in destinations]
        document = Document(sources=[SourceConfig(name=SOURCE)], destinations=list(destinations))
        operations.apply(self.database, document, actor="bench")

    def pause(self, *, paused: bool) -> None:
        """Stop or resume every destination at once."""
        with self.database.transaction() as connection:
            connection.execute(_PAUSE.encode(), (self.names, paused))
            connection.execute(f"notify {WAKE_CHANNEL}".encode())

    def submit(self, count: int) -> None:
        """Accept so many leads, in groups, without the API."""
        with Client(self.url) as client:
            for _ in client.submit_many((lead(number) for number in range(count)), source=SOURCE):
                pass

    def start_workers(self, count: int = WORKERS, *, pinned: bool = False) -> None:
        """So many worker processes with default settings, waited for; `pinned`: each to a core of its own."""
        for number in range(count):
            worker = self._start(f"worker-{number}", ["-c", _WORKER, f"worker-{number}"])
            if pinned:  # at once: threads that it starts later inherit it
                os.sched_setaffinity(worker.pid, {sorted(os.sched_getaffinity(0))[number]})
            self.workers.append(worker)
        for worker in self.workers:
            await_that(lambda worker=worker: worker.said(" ready."), f"{worker.name} consumes")  # type: ignore[misc]  # bound per worker

    def start_api(self) -> tuple[Process, str]:
        """The API, waited for, and its address."""
        port = free_port()
        process = self._start("api", ["-c", _API], LEADRELAY_API_PORT=str(port))
        await_that(lambda: _is_ready(port), "the API is ready")
        return process, f"http://127.0.0.1:{port}"

    def start_flower(self) -> Process:
        """Flower, waited for."""
        port = free_port()
        process = self._start(
            "flower", ["-c", _FLOWER], LEADRELAY_FLOWER_PORT=str(port), LEADRELAY_FLOWER_PASSWORD="bench"
        )
        await_that(lambda: listens(port), "Flower listens")
        return process

    def authorization(self) -> str:
        """A header's value that may submit."""
        made = key.create(self.database, name="bench", scopes=frozenset({"submit"}), source=SOURCE, actor="bench")
        return f"Bearer {made}"

    def await_recorded(self, *, within: float = 300.0) -> float:
        """Wait until every delivery accepted so far has ended; the instant when that was seen."""
        await_that(
            lambda: self.database.fetch(_WAITING)[0][0] == 0, "every outcome is recorded", within=within, every=0.05
        )
        return monotonic()

    def delivered(self) -> int:
        """Deliveries recorded as delivered."""
        return int(self.database.fetch(_DELIVERED)[0][0])

    def stored_bytes(self) -> float:
        """Bytes of the ledger's tables with their indexes."""
        return float(self.database.fetch(_STORED)[0][0])

    def pids(self) -> list[int]:
        """The workers' processes."""
        return [worker.pid for worker in self.workers]

    def _start(self, name: str, argv: Iterable[str], **settings: str) -> Process:
        environment: Mapping[str, str] = {
            **clean_environment(),
            "LEADRELAY_HOME": str(self.folder / "home"),
            "LEADRELAY_DATABASE_URL": self.url,
            "LEADRELAY_BROKER_URL": self.broker_url,
            **settings,
        }
        return self._stack.enter_context(running(name, list(argv), environment=environment, folder=self.folder))


def _is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
