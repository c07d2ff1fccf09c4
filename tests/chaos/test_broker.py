"""Brokers that are wiped, full, restarted or out of reach, and messages that come twice or in another order."""

from pathlib import Path
from time import sleep

import pytest
import redis

from app.broker import delivery_queue
from app.embedded.valkey import Valkey
from app.model import State
from tests.chaos.conftest import Build
from tests.chaos.proxy import proxied
from tests.chaos.stage import UNHURRIED, Stage, destination
from tests.conftest import running
from tests.tasks.conftest import await_that


@pytest.mark.scenario(seconds=12)
def test_a_wiped_broker_loses_nothing(stage: Stage) -> None:
    stage.configure(destination(stage.sandbox.url, limits={**UNHURRIED, "concurrency": 2}))
    stage.behave()
    stage.start(2)
    with stage.feeding():
        stage.await_received()
        for _ in range(stage.plan.random().randint(1, 3)):
            stage.history.struck("wipe")
            stage.broker.flushall()
            stage.snapshot()
            sleep(stage.plan.pause_seconds)
    stage.settle()


@pytest.mark.scenario(seconds=15)
def test_a_full_broker_takes_nothing_and_loses_nothing(stage: Stage) -> None:
    stage.configure(destination(stage.sandbox.url))
    stage.behave()
    stage.start(2)
    with stage.feeding():
        stage.await_received()
        with stage.history.fault("full", delays=True, stops=True):
            stage.broker.config_set("maxmemory", 1)
            sleep(stage.plan.fault_seconds)
            stage.accept(5)
            stage.snapshot()
            stage.broker.config_set("maxmemory", 0)
    stage.settle()


@pytest.mark.scenario(seconds=20)
def test_a_restarted_broker_is_found_again(database_url: str, tmp_path: Path, build: Build) -> None:
    home = tmp_path / "broker"
    home.mkdir()
    with running(Valkey(home)) as url:
        stage = build(database_url=database_url, broker_url=url)
        stage.configure(destination(stage.sandbox.url))
        stage.behave()
        stage.start(2)
        feeding = stage.feeding()
        feeding.__enter__()
        stage.await_received()
    with stage.history.fault("the broker is down", delays=True, stops=True):
        stage.accept(5)
        sleep(stage.plan.fault_seconds)
        stage.snapshot()
        server = running(Valkey(home))
        server.__enter__()
    feeding.__exit__(None, None, None)
    try:
        stage.settle()
    finally:
        server.__exit__(None, None, None)


@pytest.mark.scenario(seconds=20)
@pytest.mark.parametrize("way", ["cut", "silence"])
def test_workers_parted_from_the_broker_go_on_when_it_is_back(
    database_url: str, broker_url: str, build: Build, way: str
) -> None:
    with proxied(broker_url) as (proxy, through):
        stage = build(database_url=database_url, broker_url=broker_url, through={"LEADRELAY_BROKER_URL": through})
        stage.configure(destination(stage.sandbox.url))
        stage.behave()
        stage.start(2)
        with stage.feeding():
            stage.await_received()
            with stage.history.fault(f"broker {way}", delays=True, stops=True):
                getattr(proxy, way)()
                stage.accept(5)
                sleep(stage.plan.fault_seconds)
                stage.snapshot()
                proxy.heal()
        stage.settle()
        stage.stop()


@pytest.mark.scenario(seconds=10)
def test_doubled_and_reordered_messages_deliver_nothing_twice(stage: Stage) -> None:
    stage.configure(destination(stage.sandbox.url))
    stage.behave()
    stage.start(1, LEADRELAY_WORKER_DESTINATIONS="none")  # leads and publishes, consumes nothing
    with stage.history.fault("doubled and reordered", delays=True):
        with stage.feeding():
            pass
        queue, dice = delivery_queue("buyer"), stage.plan.random()
        await_that(lambda: stage.broker.llen(queue) > 0, "messages are in the broker")
        messages = stage.broker.lrange(queue, 0, -1) * dice.randint(2, 4)
        dice.shuffle(messages)
        stage.broker.lpush(queue, *messages)
        stage.start(2)
        states = stage.settle()
    assert sum(states.values()) == len(stage.receipts()) == len(stage.accepted)
    assert set(states) <= {State.DELIVERED, State.REJECTED}


def test_the_eavesdropper_would_hear_personal_data(stage: Stage) -> None:
    stage.configure(destination(stage.sandbox.url))
    with redis.Redis.from_url(stage.direct_broker_url or "") as broker:
        await_that(lambda: "OK" in (stage.folder / "broker.txt").read_text(), "it listens")
        broker.set("lead", "lead1@example.com")
    await_that(lambda: "lead1@" in (stage.folder / "broker.txt").read_text(), "it heard")
    assert [found.rule for found in stage.judge()] == ["nothing_personal_is_shown"]
