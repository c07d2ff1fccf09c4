"""A fleet: real worker processes on a real broker and ledger, delivering to the sandbox; killed by pid."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import requests

from app import operations
from app.broker import HOUSEKEEPING_QUEUE, dead_queue, delivery_queue
from app.catalog import Catalog
from app.config.schema import DestinationConfig, Document, SourceConfig
from app.intake import Intake, Receipt, Submission
from app.ledger import Database, query
from app.ledger.balance import balance
from app.model import FINAL, State
from app.sandbox.process import Running, running
from tests.conftest import lacking
from tests.tasks.broker import Broker, RabbitBroker, ValkeyBroker, own_vhost

TREE = Path(__file__).parents[2]
WORKER = "import sys; from workers.main import run; sys.exit(run(name=sys.argv[1]))"
PATIENCE_SECONDS = 60.0
BOTH = pytest.mark.parametrize("broker_name", ["valkey", "rabbitmq"])
"""Marks a test that must pass on either broker; the others run on Valkey, which starts and is wiped faster."""
LOCAL = {"allow": ["127.0.0.1"]}
"""What every destination of these tests needs, as the guard refuses this machine otherwise."""
FAST = {
    "LEASE_SECONDS": "3",
    "QUEUED_SECONDS": "2",
    "TICK_SECONDS": "0.2",
    "CONFIG_POLL_SECONDS": "0.3",
    "WORKER_THREADS": "4",
    "LOG_FORMAT": "json",
}


def await_that(condition: Callable[[], bool], what: str, *, within: float = PATIENCE_SECONDS) -> None:
    ends = monotonic() + within
    while not condition():
        assert monotonic() < ends, f"not within {within:.0f} s: {what}"
        sleep(0.05)


def buyer(url: str, **changes: Any) -> DestinationConfig:
    plain: dict[str, Any] = {
        "name": "buyer",
        "type": "http",
        "settings": {
            "url": f"{url}/buyer/leads",
            "auth": {"api_key": {"name": "X-API-Key", "value": "${env:BUYER_KEY}"}},
        },
        "mapping": {"email": "{{ lead.email }}", "state": "{{ lead.state }}", "age": "{{ lead.age | to_number }}"},
        "response": {"search": {"path": "outcome", "term": "accepted"}, "reason": "reason", "reference": "lead_id"},
        "network": LOCAL,
        "retry": {"attempts": 8, "base_seconds": 0.3, "max_seconds": 1},
        "limits": {"timeout_seconds": 1},
    }
    return DestinationConfig.model_validate(plain | changes)


@dataclass(kw_only=True)
class Fleet:
    """What a test drives."""

    database: Database
    environment: Mapping[str, str]
    broker: Broker
    sandbox: Running
    log: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    accepted: list[Receipt] = field(default_factory=list)
    queues: set[str] = field(default_factory=lambda: {HOUSEKEEPING_QUEUE})

    def start(self, count: int = 1, *, program: str = WORKER, **settings: str) -> None:
        """Start workers and wait until they consume."""
        for _ in range(count):
            before = self._ready()
            self.workers.append(
                subprocess.Popen(
                    [sys.executable, "-c", program, f"w{len(self.workers)}"],
                    cwd=TREE,
                    env={**self.environment, **settings},
                    stdout=subprocess.DEVNULL,
                    stderr=self.log.open("ab"),
                )
            )
            await_that(partial(self._more_ready, before), "the worker started")

    def _ready(self) -> int:
        return self.log.read_text().count(" ready.")

    def _more_ready(self, before: int) -> bool:
        return self._ready() > before

    def kill(self, worker: int = 0) -> None:
        """SIGKILL one worker."""
        self.workers[worker].kill()
        self.workers[worker].wait()

    def configure(self, *destinations: DestinationConfig) -> None:
        """Apply a configuration with the source `web` and these destinations."""
        document = Document(sources=[SourceConfig(name="web")], destinations=list(destinations))
        operations.apply(self.database, document, actor="test")
        self.queues |= {queue(one.name) for one in destinations for queue in (delivery_queue, dead_queue)}

    def wipe(self) -> None:
        """Have the broker lose everything."""
        self.broker.wipe(self.queues)

    def accept(self, count: int = 1, **fields: Any) -> list[Receipt]:
        """Submit leads, each with an e-mail of its own unless one is given."""
        catalog = Catalog(self.database)
        catalog.refresh()
        first = len(self.accepted)
        submissions = [
            Submission(
                source="web",
                fields={"email": f"lead{first + number}@example.com", "state": "CA", "age": "30", **fields},
            )
            for number in range(count)
        ]
        answers = Intake(self.database, catalog).accept(submissions)
        receipts = [answer for answer in answers if isinstance(answer, Receipt)]
        assert len(receipts) == count
        self.accepted += receipts
        return receipts

    def states(self) -> dict[State, int]:
        """Deliveries by state."""
        return dict(balance(self.database).states)

    def await_final(self, *, also: Sequence[State] = (), within: float = PATIENCE_SECONDS) -> dict[State, int]:
        """Wait until every delivery ended (or is in one of `also`); prove the equation; deliveries by state."""
        allowed = FINAL | set(also)
        await_that(lambda: set(self.states()) <= allowed, f"every delivery ended ({self.states()})", within=within)
        found = balance(self.database)
        assert found.holds, found.gaps
        return self.states()

    def faults(self, target: str = "buyer", **plan: Any) -> None:
        """Have the sandbox misbehave; with no plan, behave."""
        requests.put(f"{self.sandbox.url}/api/faults/{target}", json=plan, timeout=5).raise_for_status()

    def receipts(self) -> list[dict[str, Any]]:
        """What the sandbox says it received: target, key, digest, repeat."""
        text = requests.get(f"{self.sandbox.url}/api/receipts.ndjson", timeout=5).text
        return [json.loads(line) for line in text.splitlines()]

    def prove(self, *, to: str | None = None) -> None:
        """Every delivered delivery was received; repeats are no more than ambiguous attempts, with the same body.

        `to`: only of this destination, where the sandbox is not the only one that receives.
        """
        received: dict[str, list[str]] = {}
        for receipt in self.receipts():
            received.setdefault(receipt["key"], []).append(receipt["digest"])
        for view in query.lead_deliveries(self.database, [receipt.lead_id for receipt in self.accepted]):
            if to not in {None, view.destination}:
                continue
            digests = received.get(str(view.id), [])
            tried = query.attempts(self.database, [view.id]).get(view.id, [])
            ambiguous = sum(attempt.ambiguous for attempt in tried)
            assert len(set(digests)) <= 1, "a repeat had another body"
            assert len(digests) <= 1 + ambiguous, "received more often than ambiguous attempts explain"
            if view.state is State.DELIVERED:
                assert digests, "delivered, but the destination never had it"

    def stop(self) -> None:
        """End every worker, by pid."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def rabbitmq_url() -> Iterator[str]:
    """A virtual host of the module's own on the RabbitMQ at LEADRELAY_TEST_RABBITMQ_URL."""
    url = os.environ.get("LEADRELAY_TEST_RABBITMQ_URL") or lacking("RabbitMQ")
    with own_vhost(url) as found:
        yield found


@pytest.fixture
def broker_name() -> str:
    return "valkey"


@pytest.fixture
def broker(broker_name: str, request: pytest.FixtureRequest) -> Iterator[Broker]:
    """The broker that `BOTH` asks for."""
    found: Broker
    if broker_name == "rabbitmq":
        found = RabbitBroker(request.getfixturevalue("rabbitmq_url"))
    else:
        found = ValkeyBroker(request.getfixturevalue("broker_url"))
    yield found
    found.close()


@contextmanager
def fleet_on(database: Database, broker: Broker, sandbox: Running, folder: Path) -> Iterator[Fleet]:
    """A fleet for as long as the block lasts; its logs and home lie in the folder."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LEADRELAY_")}
    environment = {
        **clean,
        **{f"LEADRELAY_{name}": value for name, value in FAST.items()},
        "LEADRELAY_HOME": str(folder / "home"),
        "LEADRELAY_DATABASE_URL": database.url,
        "LEADRELAY_BROKER_URL": broker.url,
        "BUYER_KEY": "sandbox-buyer-key",
    }
    requests.delete(f"{sandbox.url}/api/receipts", timeout=5).raise_for_status()
    found = Fleet(
        database=database, environment=environment, broker=broker, sandbox=sandbox, log=folder / "workers.log"
    )
    found.log.touch()
    found.faults()
    yield found
    found.stop()
    found.wipe()


@pytest.fixture
def fleet(database: Database, broker: Broker, sandbox: Running, tmp_path: Path) -> Iterator[Fleet]:
    with fleet_on(database, broker, sandbox, tmp_path) as found:
        yield found
