"""The thread that leads: whatever happens in it, somebody leads."""

import logging
from collections.abc import Iterator
from time import sleep

import pytest

from app.broker import create
from app.dispatch import Dispatcher
from app.errors import Unavailable
from app.ledger import Database, leadership
from app.ledger.acceptance import WAKE_CHANNEL
from app.ledger.leadership import Leadership
from app.settings import Settings
from tests.tasks.conftest import Fleet, await_that, buyer
from workers.lifecycle import Holding, Leader


@pytest.fixture(params=["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"], ids=["redis", "rabbitmq"])
def leader(database: Database, request: pytest.FixtureRequest) -> Iterator[Leader]:
    """A leader whose broker is down, so that its beat has something to wait for."""
    settings = Settings(database_url=database.url, broker_url=request.param, tick_seconds=0.2)
    celery = create(settings)
    celery.conf.beat_schedule = {"often": {"task": "leadrelay.mirror", "schedule": 0.01}}
    holding = Holding.create(celery, settings)
    found = Leader(celery, holding, settings)
    logging.getLogger("celery.beat").setLevel(
        logging.CRITICAL
    )  # its thread waits for the broker until the process ends
    found.start()
    yield found
    found.stop()
    holding.close()


@pytest.fixture
def other(database: Database) -> Iterator[Leadership]:
    found = Leadership(database.url, WAKE_CHANNEL)
    yield found
    found.release()


def _leads(database: Database) -> bool:
    return bool(database.fetch("select 1 from pg_locks where locktype = 'advisory' and granted"))


def test_a_leader_asked_to_stop_lets_another_lead_at_once(
    database: Database, leader: Leader, other: Leadership
) -> None:
    await_that(lambda: _leads(database), "it leads", within=10)
    sleep(0.5)  # beat has begun to wait for the broker; nothing tells
    leader.stop()
    assert not leader.is_alive()
    assert other.acquire()


def test_a_defect_in_the_dispatcher_does_not_end_the_leader(
    database: Database, leader: Leader, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[int] = []

    def turn(_dispatcher: Dispatcher) -> bool:
        turns.append(1)
        raise RuntimeError("a defect")

    monkeypatch.setattr(Dispatcher, "turn", turn)
    await_that(lambda: len(turns) >= 2, "it turned again", within=10)
    assert leader.is_alive()


def test_a_leader_that_stands_still_is_replaced_and_finds_out(
    database: Database, other: Leadership, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leadership, "SILENT_SECONDS", 1)
    monkeypatch.setattr(leadership, "SIGN_OF_LIFE_SECONDS", 0)
    still = Leadership(database.url, WAKE_CHANNEL)
    assert still.acquire()
    for _ in range(15):  # while it shows that it is alive, for longer than it may be silent
        still.wait(0.1)
        assert not other.acquire()
    await_that(other.acquire, "another leads", within=10)
    with pytest.raises(Unavailable):
        still.wait(0.1)


def test_what_is_past_its_retention_goes_however_often_the_lead_changes(fleet: Fleet) -> None:
    fleet.configure(buyer(fleet.sandbox.url))
    fleet.accept(3)
    fleet.start(1)
    fleet.await_final()
    fleet.kill()
    fleet.database.fetch("update leads set received_at = now() - interval '100 days' returning 1")
    fleet.start(1)
    await_that(lambda: fleet.database.fetch("select count(*) from leads") == [(0,)], "they are gone", within=15)


def test_one_that_leads_again_remembers_nothing_of_before(
    database: Database, leader: Leader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another may have led in between, and what that one sent must count."""
    seen: list[Dispatcher] = []

    def turn(dispatcher: Dispatcher) -> float:
        seen.append(dispatcher)
        return 0.1

    monkeypatch.setattr(Dispatcher, "turn", turn)
    await_that(lambda: bool(seen), "it turned", within=10)
    database.fetch(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where application_name = 'leadrelay-dispatcher' and datname = current_database()"
    )
    await_that(lambda: seen[-1] is not seen[0], "it turned anew", within=10)
    assert leader.is_alive()
