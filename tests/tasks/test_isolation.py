"""Destinations that hang take nothing from the others that these could feel."""

import socket
from collections.abc import Iterator
from datetime import datetime
from functools import partial

import pytest

from app.ledger import query
from app.model import State
from tests.tasks.conftest import Fleet, await_that, buyer


@pytest.fixture
def tarpit() -> Iterator[str]:
    """A port that lets everybody in and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def waited_seconds(fleet: Fleet) -> list[float]:
    found = query.deliveries(fleet.database, destination="healthy", states=[State.DELIVERED], limit=200)
    ended = [(one.accepted_at, one.ended_at) for one in found]
    return [(end - begin).total_seconds() for begin, end in ended if isinstance(end, datetime)]


def test_a_healthy_destination_does_not_feel_three_that_hang(fleet: Fleet, tarpit: str) -> None:
    hanging = [
        buyer(fleet.sandbox.url, name=f"hanging{number}", settings={"url": tarpit}, limits={"timeout_seconds": 5})
        for number in range(3)
    ]
    fleet.configure(*hanging)
    fleet.start(1, LEADRELAY_WORKER_THREADS="64", LEADRELAY_LEASE_SECONDS="15")
    fleet.accept(600)
    await_that(lambda: fleet.states().get(State.DELIVERING, 0) > 20, "the worker is busy with those that hang")
    fleet.configure(*hanging, buyer(fleet.sandbox.url, name="healthy"))
    await_that(lambda: fleet.log.read_text().count("config.applied") == 2, "the worker knows the healthy one")
    for number in range(20):
        fleet.accept(1)
        await_that(
            partial(lambda count: len(waited_seconds(fleet)) > count, number), "the healthy one has it", within=10
        )
    waits = sorted(waited_seconds(fleet))
    assert waits[-2] < 1.0, waits
