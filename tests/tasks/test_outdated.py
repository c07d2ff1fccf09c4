"""Workers that start before `leadrelay migrate` ran."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.ledger import Database, migrate
from app.model import State
from app.sandbox.process import Running
from tests.tasks.broker import Broker
from tests.tasks.conftest import TREE, WORKER, Fleet, await_that, buyer, fleet_on


@pytest.fixture
def early(outdated_database_url: str, broker: Broker, sandbox: Running, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet on a ledger whose last migrations have not run."""
    database = Database(outdated_database_url, size=4)
    with fleet_on(database, broker, sandbox, tmp_path) as found:
        yield found
    database.close()


def begin(fleet: Fleet) -> "subprocess.Popen[bytes]":
    """Start a worker and wait until it says that it waits."""
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, "early"],
        cwd=TREE,
        env=fleet.environment,
        stdout=subprocess.DEVNULL,
        stderr=fleet.log.open("ab"),
    )
    fleet.workers.append(worker)
    await_that(lambda: "ledger.outdated" in fleet.log.read_text(), "it says that it waits")
    return worker


def events(fleet: Fleet) -> list[str]:
    return [json.loads(line)["event"] for line in fleet.log.read_text().splitlines()]


def test_a_worker_waits_for_the_migration_and_then_delivers(early: Fleet) -> None:
    begin(early)
    [said] = [line for line in early.log.read_text().splitlines() if "ledger.outdated" in line]
    assert "run `leadrelay migrate`" in json.loads(said)["detail"]
    migrate(early.database.url)
    await_that(lambda: " ready." in early.log.read_text(), "the worker started")
    early.configure(buyer(early.sandbox.url))
    early.accept(5)
    assert early.await_final() == {State.DELIVERED: 5}
    assert events(early).count("ledger.outdated") == 1
    assert not {"dispatch.failed", "ledger.unavailable", "config.refused"} & set(events(early))


def test_a_worker_that_waits_ends_when_it_is_told_to(early: Fleet) -> None:
    worker = begin(early)
    worker.terminate()
    assert worker.wait(15) == 0
    assert "Traceback" not in early.log.read_text()


def test_a_worker_of_the_release_before_goes_on_beside_newer_tables(fleet: Fleet) -> None:
    fleet.database.fetch("update schema_version set version_num = '9999' returning 1")
    fleet.configure(buyer(fleet.sandbox.url))
    fleet.start(1)
    fleet.accept(5)
    assert fleet.await_final() == {State.DELIVERED: 5}
    assert "ledger.outdated" not in events(fleet)
