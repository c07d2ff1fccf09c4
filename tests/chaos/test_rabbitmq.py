"""RabbitMQ that crashes and comes back, and RabbitMQ behind a broken link."""

from pathlib import Path
from time import sleep

import pytest

from app.model import State
from tests.chaos.conftest import Build
from tests.chaos.proxy import proxied
from tests.chaos.rabbit import rabbit
from tests.chaos.stage import destination
from tests.tasks.conftest import await_that


@pytest.mark.scenario(seconds=45, daily=False)
def test_a_rabbitmq_that_crashes_and_is_cut_off_loses_nothing(database_url: str, tmp_path: Path, build: Build) -> None:
    with rabbit(tmp_path / "rabbit") as node, proxied(node.url) as (proxy, through):
        stage = build(database_url=database_url, broker_url=node.url, through={"LEADRELAY_BROKER_URL": through})
        stage.configure(destination(stage.sandbox.url))
        stage.behave()
        stage.start(2)
        with stage.feeding():
            stage.await_received()
            with stage.history.fault("crash", delays=True, stops=True):
                node.stop()
                stage.accept(5)
                stage.snapshot()
                node.start()
        with stage.history.fault("cut", delays=True, stops=True):
            stage.accept(20)
            proxy.cut()
            sleep(stage.plan.fault_seconds)
            proxy.heal()
            stage.accept(5)
        await_that(
            lambda: set(stage.states()) <= {State.DELIVERED, State.REJECTED} or stage.ended(), "every delivery ended"
        )
        assert not stage.ended(), "a worker ended by itself"
        stage.settle()
        stage.stop()
