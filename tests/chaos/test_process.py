"""Processes that are killed, stand still, run out of memory or are replaced."""

import os
import signal
import threading
from pathlib import Path
from time import sleep

import pytest
import redis

from app.broker import dead_queue
from app.ledger import query
from app.ledger.leadership import SILENT_SECONDS
from app.model import State
from tests.chaos.stage import HURRIED, Stage, destination
from tests.tasks.conftest import await_that
from workers.lifecycle import TAKEOVER_SECONDS

LEAK = 4 << 20
LIMIT = 96 << 20
"""What a worker may grow by before it is killed, as the kernel's out-of-memory killer would."""


@pytest.mark.scenario(seconds=12)
@pytest.mark.parametrize("point", ["before-send", "after-send", "before-record", "before-publish"])
def test_a_worker_killed_at_a_point_of_its_work_loses_nothing(stage: Stage, point: str) -> None:
    stage.configure(destination(stage.sandbox.url, limits=HURRIED))
    stage.behave()
    stage.start(1, CHAOS_CRASH=f"{point}:{stage.plan.random().randint(1, 2)}")
    with stage.history.fault("kill", ambiguous=True, delays=True, stops=True), stage.feeding():
        await_that(lambda: stage.workers[0].poll() is not None, "it was killed")
        stage.snapshot()
        stage.start(stage.plan.workers)
    stage.settle()
    assert stage.workers[0].returncode == -signal.SIGKILL


@pytest.mark.scenario(seconds=12)
def test_the_leader_killed_another_leads(stage: Stage) -> None:
    stage.configure(destination(stage.sandbox.url, limits=HURRIED))
    stage.behave()
    stage.start(1)
    await_that(lambda: "leader.gained" in stage.log.read_text(), "the first worker leads")
    stage.start(2)
    with stage.feeding():
        stage.await_received()
        stage.history.struck("the leader killed", ambiguous=True)
        stage.kill(0)
        stage.snapshot()
    stage.settle()
    assert stage.log.read_text().count("leader.gained") == 2


@pytest.mark.scenario(seconds=15)
def test_a_worker_that_stood_still_beyond_its_lease_writes_nothing(stage: Stage) -> None:
    stage.configure(destination(stage.sandbox.url, limits=HURRIED))
    stage.faults(latency_seconds=0.8)
    stage.start(1, LEADRELAY_WORKER_DESTINATIONS="none")  # leads
    stage.start(1)
    stage.accept(4)
    await_that(lambda: stage.states().get(State.DELIVERING, 0) > 0, "it holds something")
    with stage.history.fault("SIGSTOP", ambiguous=True, delays=True):
        os.kill(stage.workers[1].pid, signal.SIGSTOP)
        stage.start(1)
        await_that(lambda: "leases.expired" in stage.log.read_text(), "its lease ran out", within=20)
        await_that(lambda: stage.states().get(State.DELIVERING, 0) > 0, "another holds it")
        os.kill(stage.workers[1].pid, signal.SIGCONT)
        stage.accept(10)
        await_that(lambda: "deliveries.stale" in stage.log.read_text(), "the late worker noticed", within=10)
        stage.settle()


@pytest.mark.scenario(seconds=35, daily=False)
def test_a_leader_that_stands_still_is_followed_by_another(stage: Stage) -> None:
    stage.configure(destination(stage.sandbox.url, limits=HURRIED))
    stage.behave()
    stage.start(1)
    await_that(lambda: "leader.gained" in stage.log.read_text(), "the first worker leads")
    stage.start(1)
    with stage.feeding():
        stage.await_received()
        stage.history.struck("SIGSTOP of the leader", ambiguous=True, stops_seconds=SILENT_SECONDS + TAKEOVER_SECONDS)
        os.kill(stage.workers[0].pid, signal.SIGSTOP)
        stage.accept(5)
        await_that(
            lambda: stage.log.read_text().count("leader.gained") == 2, "another leads", within=SILENT_SECONDS + 5
        )
    states = stage.settle()
    os.kill(stage.workers[0].pid, signal.SIGCONT)
    stage.accept(5)
    assert sum(stage.settle().values()) == sum(states.values()) + 5


@pytest.mark.scenario(seconds=20)
def test_a_worker_out_of_memory_loses_nothing(stage: Stage) -> None:
    stage.configure(destination(stage.sandbox.url, limits=HURRIED))
    stage.behave()
    stage.start(2, CHAOS_LEAK=str(LEAK))
    limits = {worker.pid: _resident(worker.pid) + LIMIT for worker in stage.workers}
    with stage.history.fault("out of memory", ambiguous=True, delays=True, stops=True), stage.feeding():
        for worker in stage.workers:
            await_that(lambda pid=worker.pid: _resident(pid) > limits[pid] or _ended(stage), "it grew")  # type: ignore[misc]
            worker.kill()
            worker.wait()
        stage.start(2)
    stage.settle()


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def _ended(stage: Stage) -> bool:
    return len(stage.accepted) >= stage.plan.leads and set(stage.states()) <= {State.DELIVERED, State.REJECTED}


@pytest.mark.scenario(seconds=30)
def test_workers_replaced_one_by_one_send_nothing_twice(stage: Stage) -> None:
    stage.configure(destination(stage.sandbox.url))
    stage.behave()
    for _ in range(4):
        stage.launch()
    await_that(lambda: stage.ready_count() == 4, "four workers started")
    stopping = threading.Event()
    feeder = threading.Thread(target=_feed_until, args=(stage, stopping))
    feeder.start()
    with stage.history.fault("rolling restart", delays=True):
        for place in range(4):
            stage.start(1)
            stage.workers[place].terminate()
            assert stage.workers[place].wait(timeout=30) == 0
    stopping.set()
    feeder.join()
    stage.settle()
    assert len(stage.receipts()) == len(stage.accepted)


def _feed_until(stage: Stage, stopping: threading.Event) -> None:
    while not stopping.is_set():
        stage.accept(stage.plan.wave)
        sleep(stage.plan.pause_seconds)


@pytest.mark.scenario(seconds=45)
@pytest.mark.timeout(300)
def test_a_lead_that_kills_its_worker_ends_dead_and_takes_nobody_with_it(stage: Stage) -> None:
    stage.configure(
        destination(stage.sandbox.url, limits=HURRIED, retry={"attempts": 3, "base_seconds": 0.3, "max_seconds": 1})
    )
    stopping = threading.Event()
    stage.start(1, CHAOS_POISON="poison@")
    keeper = stage.keep_running(stopping, CHAOS_POISON="poison@")
    try:
        with stage.history.fault("poison", ambiguous=True, delays=True, stops=True):
            stage.accept(10)
            [lead] = stage.accept(1, email="poison@example.com")
            stage.accept(10)
            [poisoned] = lead.deliveries
            assert stage.settle(also=(State.DEAD,), within=150) == {State.DELIVERED: 20, State.DEAD: 1}
        found = query.delivery(stage.database, poisoned)
        assert found is not None
        assert (found.state, found.attempts) == (State.DEAD, 3)
        with redis.Redis.from_url(stage.direct_broker_url or "") as broker:
            await_that(lambda: broker.llen(dead_queue("buyer")) > 0, "it is shown")
            assert broker.llen(dead_queue("buyer")) == 1
    finally:
        stopping.set()
        keeper.join()
