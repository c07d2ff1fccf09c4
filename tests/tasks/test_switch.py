"""A running installation changes its broker: whatever the old one still held, nothing is lost."""

from functools import partial

import pytest

from app.broker import dead_queue, delivery_queue
from app.model import FINAL, State
from tests.tasks.broker import Broker, RabbitBroker, ValkeyBroker
from tests.tasks.conftest import Fleet, await_that, buyer


def shows_the_dead_letter(broker: Broker) -> bool:
    return broker.length(dead_queue("buyer")) == 1


@pytest.fixture
def brokers(broker_url: str, rabbitmq_url: str) -> list[Broker]:
    return [ValkeyBroker(broker_url), RabbitBroker(rabbitmq_url), ValkeyBroker(broker_url)]


def test_from_valkey_to_rabbitmq_and_back(fleet: Fleet, brokers: list[Broker]) -> None:
    limits = {"concurrency": 1, "timeout_seconds": 1, "window": 20}
    fleet.configure(buyer(fleet.sandbox.url, limits=limits, retry={"attempts": 8, "base_seconds": 0.3}))
    fleet.faults(latency_seconds=0.3)
    fleet.accept(1, age="not a number")
    for number, broker in enumerate(brokers):
        fleet.start(2, LEADRELAY_BROKER_URL=broker.url)
        await_that(partial(shows_the_dead_letter, broker), "the dead letter is shown here too", within=15)
        had = len(fleet.receipts())
        fleet.accept(40)
        await_that(lambda had=had: len(fleet.receipts()) > had + 3, "deliveries are under way")
        if number < len(brokers) - 1:
            fleet.workers[-2].terminate()
            fleet.kill(-1)
            assert fleet.workers[-2].wait(timeout=15) == 0
            assert not set(fleet.states()) <= FINAL | {State.DEAD}, "it was stopped in mid-work"
    fleet.faults()
    assert fleet.await_final(also=[State.DEAD]) == {State.DELIVERED: 120, State.DEAD: 1}
    fleet.prove()
    for broker in brokers[1:]:
        broker.wipe([delivery_queue("buyer"), dead_queue("buyer")])
        broker.close()
