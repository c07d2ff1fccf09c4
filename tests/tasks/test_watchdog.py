"""A worker that stopped consuming ends itself; one that has nothing to do, or no broker, stays."""

from pathlib import Path
from time import sleep

import pytest

from app.embedded.valkey import Valkey
from app.model import State
from tests.conftest import running as running_server
from tests.tasks.conftest import BOTH, WORKER, Fleet, await_that, buyer

WEDGED = f"""
from celery.signals import worker_ready
@worker_ready.connect
def wedge(sender, **_):
    {{wedge}}
{WORKER}
"""
LOOP = "import time; sender.timer.call_after(1, time.sleep, (3600,))"
"""The event loop hangs in a call that does not come back."""
DEAF = "sender.timer.call_after(1, sender.task_consumer.cancel)"
"""The event loop turns, and the broker hands this worker nothing any more."""
STUCK_SECONDS = 2.0


def is_gone(fleet: Fleet) -> bool:
    return fleet.workers[0].poll() is not None


@pytest.mark.parametrize(
    ("broker_name", "wedge"),
    [("valkey", LOOP), ("valkey", DEAF), ("rabbitmq", DEAF)],
    ids=["valkey-loop", "valkey-deaf", "rabbitmq-deaf"],
)
def test_a_worker_that_stopped_consuming_ends_itself_and_another_delivers(fleet: Fleet, wedge: str) -> None:
    fleet.configure(buyer(fleet.sandbox.url))
    fleet.start(1, program=WEDGED.format(wedge=wedge), LEADRELAY_WORKER_STUCK_SECONDS=str(STUCK_SECONDS))
    fleet.accept(1)
    fleet.await_final()
    sleep(1.5)  # it is wedged by now
    fleet.accept(10)
    await_that(lambda: is_gone(fleet), "it ended itself", within=STUCK_SECONDS * 3)
    assert fleet.workers[0].wait() == 75
    assert "worker.stuck" in fleet.log.read_text()
    fleet.start(1)
    assert fleet.await_final() == {State.DELIVERED: 11}
    fleet.prove()


@BOTH
def test_a_worker_with_nothing_to_do_stays(fleet: Fleet) -> None:
    fleet.configure(buyer(fleet.sandbox.url))
    fleet.start(1, LEADRELAY_WORKER_STUCK_SECONDS="0.5")
    sleep(3)
    assert not is_gone(fleet), fleet.log.read_text()
    fleet.accept(5)
    assert fleet.await_final() == {State.DELIVERED: 5}


def test_a_worker_whose_broker_is_down_stays_and_delivers_when_it_is_back(fleet: Fleet, tmp_path: Path) -> None:
    home = tmp_path / "broker"
    home.mkdir()
    fleet.configure(buyer(fleet.sandbox.url))
    with running_server(Valkey(home)) as url:
        fleet.start(1, LEADRELAY_BROKER_URL=url, LEADRELAY_WORKER_STUCK_SECONDS="4")  # it tries again within 4
    fleet.accept(5)
    sleep(5.5)
    assert not is_gone(fleet), fleet.log.read_text()
    with running_server(Valkey(home)):
        assert fleet.await_final() == {State.DELIVERED: 5}
    assert not is_gone(fleet)
