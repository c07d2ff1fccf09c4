"""A fleet whose every step goes into evidence: leads with keys, faults with names, snapshots of the ledger in mid-fault."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psycopg
import requests

from app.catalog import Catalog
from app.config.schema import DestinationConfig
from app.errors import Unavailable
from app.intake import Intake, Receipt, Submission
from app.model import State
from tests.chaos import checker, evidence, export
from tests.chaos.generator import Plan
from tests.chaos.history import History
from tests.tasks.conftest import TREE, Fleet, await_that, buyer

PROGRAM = [sys.executable, "-m", "tests.chaos.program"]
SECRETS = ["@example.com", "Wilhelmina", "5552671"]
PATIENT = {"attempts": 100, "base_seconds": 0.3, "max_seconds": 1}
CIRCUIT = {"probe_seconds": 1, "probe_max_seconds": 2, "ramp_seconds": 1}


CONNECTIONS = 4
"""Of a stage to its ledger."""
UNHURRIED = {"timeout_seconds": 5}
"""For scenarios in which no answer may be lost, on a machine that has much else to do."""
HURRIED = {"timeout_seconds": 1}
"""For scenarios that wait for leases to run out: a lease lasts twice as long and two seconds."""


def destination(url: str, **changes: Any) -> DestinationConfig:
    """The sandbox's buyer as a destination that is tried again and again."""
    return buyer(url, **{"retry": PATIENT, "circuit": CIRCUIT, "limits": UNHURRIED, **changes})


@dataclass(kw_only=True)
class Stage(Fleet):
    """What a scenario drives. `folder` holds its evidence."""

    folder: Path
    plan: Plan
    direct_database_url: str
    direct_broker_url: str | None
    history: History = field(init=False)
    reception: list[dict[str, Any]] = field(default_factory=list)
    _snapshots: int = 0
    _catalog: Catalog | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.history = History(self.folder / "history.ndjson")
        seconds = {
            name.lower(): float(self.environment[f"LEADRELAY_{name}"]) for name in ("QUEUED_SECONDS", "TICK_SECONDS")
        }
        self.history.note("settings", secrets=SECRETS, **seconds)
        export.install(self.direct_database_url)

    def start(self, count: int = 1, **settings: str) -> None:
        """Start workers and wait until they consume."""
        for _ in range(count):
            before = self.ready_count()
            self.launch(**settings)
            await_that(partial(self._started, before), "the worker started")

    def states(self) -> dict[State, int]:
        """Deliveries by state, without the proof of the equation, which is the checker's."""
        return {
            State(name): count
            for name, count in self.database.fetch("select state, count(*) from deliveries group by 1")
        }

    def ready_count(self) -> int:
        """How many workers ever became ready."""
        return self.log.read_text().count(" ready.")

    def _started(self, before: int) -> bool:
        assert self.workers[-1].poll() is None, f"the worker ended at once:\n{self.log.read_text()[-2000:]}"
        return self.ready_count() > before

    def ended(self) -> list[int]:
        """Exit codes of workers that are no more."""
        return [code for worker in self.workers if (code := worker.poll()) is not None]

    def launch(self, **settings: str) -> None:
        """Start a worker and wait for nothing."""
        name = f"w{len(self.workers)}"
        level = {"LEADRELAY_LOG_LEVEL": "debug"} if self.plan.debug else {}
        self.workers.append(
            subprocess.Popen(
                [*PROGRAM, "worker", name],
                cwd=TREE,
                env={**self.environment, **level, "PGOPTIONS": f"-c chaos.worker={name}", **settings},
                stdout=subprocess.DEVNULL,
                stderr=self.log.open("ab"),
            )
        )

    def configure(self, *destinations: DestinationConfig) -> None:
        """Apply a configuration and take it up for what is accepted from now on."""
        super().configure(*destinations)
        self._catalog = Catalog(self.database)
        self._catalog.refresh()

    def accept(self, count: int = 1, **fields: Any) -> list[Receipt]:
        """Submit leads under keys of their own, again and again until each is acknowledged."""
        assert self._catalog is not None
        first = len(self.accepted)
        submissions = [
            Submission(
                source="web",
                fields={"email": f"lead{number}@example.com", "state": "CA", "age": "30"}
                | {"first_name": "Wilhelmina", "phone": "+1 415 555 2671"}
                | fields,
                key=f"chaos-{number}",
            )
            for number in range(first, first + count)
        ]
        intake, ends = Intake(self.database, self._catalog), monotonic() + 60
        while True:
            try:
                answers = intake.accept(submissions)
                break
            except Unavailable:
                assert monotonic() < ends, "the ledger stayed out of reach"
                sleep(0.1)
        receipts = [answer for answer in answers if isinstance(answer, Receipt)]
        assert len(receipts) == count
        for submission, receipt in zip(submissions, receipts, strict=True):
            self.acknowledge(submission.key or "", receipt)
        return receipts

    def acknowledge(self, key: str, receipt: Receipt) -> None:
        """Write down that the producer has its receipt."""
        self.accepted.append(receipt)
        deliveries = {str(delivery): name for delivery, name in receipt.deliveries.items()}
        self.history.acknowledge(key, str(receipt.lead_id), deliveries)

    @contextmanager
    def feeding(self) -> Iterator[None]:
        """Leads come in waves as planned, beside the block and to their end."""
        feeder = threading.Thread(target=self._feed, name="feeder")
        feeder.start()
        try:
            yield
        finally:
            feeder.join()

    def _feed(self) -> None:
        for _ in range(self.plan.waves):
            self.accept(self.plan.wave)
            sleep(self.plan.pause_seconds)

    def await_received(self, count: int | None = None) -> None:
        """Wait until so many leads (as planned) were received: then the fault strikes."""
        wanted = self.plan.strike_after if count is None else count
        await_that(lambda: len(self.receipts()) >= wanted, f"{wanted} leads were received")

    def behave(self) -> None:
        """The destination answers as planned: latency, and its share of rejections."""
        self.faults(latency_seconds=self.plan.latency_seconds, reject_rate=self.plan.reject_rate, seed=self.plan.dice)

    def snapshot(self, *, final: bool = False) -> None:
        """Export the ledger as it stands."""
        acknowledged = self.history.accepted
        path = self.folder / f"ledger-{self._snapshots:03}.ndjson"
        try:
            export.export(self.direct_database_url, path, acknowledged=acknowledged, final=final)
            self._snapshots += 1
        except psycopg.OperationalError:
            path.unlink(missing_ok=True)
            assert not final

    def keep_running(self, until: threading.Event, **settings: str) -> threading.Thread:
        """Start a worker again whenever one has ended, as a supervisor does. Those it started end with its thread."""

        def watch() -> None:
            while not until.wait(0.2):
                for place, worker in enumerate(self.workers):
                    if worker.poll() is not None:
                        self.launch(**settings)
                        self.workers[place] = self.workers.pop()

        thread = threading.Thread(target=watch, name="keeper")
        thread.start()
        return thread

    def settle(self, *, also: tuple[State, ...] = (), within: float = 60.0) -> dict[State, int]:
        """Wait until everything ended, then judge; what became of the deliveries."""
        ended = {State.DELIVERED, State.REJECTED, State.SKIPPED, *also}
        await_that(lambda: set(self.states()) <= ended, f"every delivery ended ({self.states()})", within=within)
        assert not (found := self.judge()), "\n".join(map(str, found[:20]))
        return self.states()

    def judge(self) -> list[checker.Violation]:
        """Complete the evidence and have it judged."""
        self.snapshot(final=True)
        text = requests.get(f"{self.sandbox.url}/api/receipts.ndjson", timeout=30).text
        lines = [*text.splitlines(), *map(json.dumps, self.reception)]
        (self.folder / "receipts.ndjson").write_text("\n".join(lines) + "\n" if lines else "")
        return checker.check(evidence.read(self.folder))

    def stop(self) -> None:
        """End every worker, by pid."""
        for worker in self.workers:
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGCONT)
        super().stop()
