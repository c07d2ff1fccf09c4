"""Events from real workers on the ledger to a subscriber that verifies them: each once, with the same id until it is taken."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from app.config.schema import DestinationConfig
from app.ledger import operation, query
from app.model import State
from tests.chaos import export, telling
from tests.connectors.fault_server import FaultServer, answer, running
from tests.connectors.webhook_receiver import PRIVATE_KEY, PUBLIC_KEY, SECRET, verified
from tests.tasks.conftest import LOCAL, Fleet, await_that, buyer

TAKEN = answer(204, b"")
NEVER_OPEN = {"consecutive": None, "error_ratio": None}
HOOKS = {"HOOK_SECRET": SECRET, "HOOK_KEY": PRIVATE_KEY}


@pytest.fixture
def subscriber() -> Iterator[FaultServer]:
    with running(TAKEN) as server:
        yield server


def hook(server: FaultServer, *events: str, **changes: Any) -> DestinationConfig:
    plain: dict[str, Any] = {
        "name": "hook",
        "type": "webhook",
        "events": events,
        "settings": {"url": server.url, "secrets": ["${env:HOOK_SECRET}", "${env:HOOK_KEY}"]},
        "network": LOCAL,
        "retry": {"attempts": 20, "base_seconds": 0.2, "max_seconds": 0.5},
        "limits": {"timeout_seconds": 1},
        "circuit": NEVER_OPEN,
    }
    return DestinationConfig.model_validate(plain | changes)


def told(server: FaultServer) -> list[tuple[str, dict[str, Any]]]:
    """What came, by webhook-id, each request verified by both signatures."""
    found = [(request.headers["webhook-id"], verified(request, SECRET)) for request in list(server.received)]
    assert found == [(request.headers["webhook-id"], verified(request, PUBLIC_KEY)) for request in server.received]
    return found


def test_outcomes_are_told_once_each_by_ids_that_a_failing_subscriber_sees_again(
    fleet: Fleet, subscriber: FaultServer
) -> None:
    events = hook(subscriber, "delivery.*", "destination.circuit_opened")
    bad = {"attempts": 1}
    fleet.configure(
        events,
        buyer(fleet.sandbox.url),
        buyer(fleet.sandbox.url, name="picky", settings={"url": f"{fleet.sandbox.url}/nobody/here"}),
        buyer(
            subscriber.url, name="away", settings={"url": "http://127.0.0.1:9/"}, retry=bad, circuit={"consecutive": 1}
        ),
    )
    subscriber.behaviour = answer(503, b"")
    fleet.start(**HOOKS)
    fleet.accept()
    await_that(lambda: len({key for key, _ in told(subscriber)}) == 4, "every event was tried")
    await_that(lambda: len(subscriber.received) >= 8, "and again after a 503")
    before = dict(told(subscriber))
    subscriber.behaviour = TAKEN
    fleet.await_final(also=[State.DEAD])
    assert all(before[key] == body for key, body in told(subscriber)), "no repeat had another id, and none another body"
    deliveries = {str(one.id): one for one in query.deliveries(fleet.database, source="events")}
    assert deliveries.keys() == before.keys()
    assert {one.state for one in deliveries.values()} == {State.DELIVERED}
    found = {(body["type"], body["data"]["destination"]) for body in before.values()}
    assert found == {
        ("delivery.delivered", "buyer"),
        ("delivery.rejected", "picky"),
        ("delivery.dead", "away"),
        ("destination.circuit_opened", "away"),
    }


def test_a_worker_killed_amid_it_all_tells_nothing_twice_and_forgets_nothing(
    fleet: Fleet, subscriber: FaultServer
) -> None:
    export.install(fleet.database.url)
    few = {"attempts": 2, "base_seconds": 0.2, "max_seconds": 0.3}
    fleet.configure(
        hook(subscriber, "lead.accepted", "delivery.*"), buyer(fleet.sandbox.url, retry=few, circuit=NEVER_OPEN)
    )
    fleet.faults(latency_seconds=0.02, error_rate=0.4, reject_rate=0.2)
    fleet.start(2, **HOOKS)
    leads = fleet.accept(80)
    await_that(lambda: fleet.states().get(State.DELIVERED, 0) > 15, "the work had begun")
    fleet.kill(0)
    fleet.wipe()
    fleet.start(**HOOKS)
    fleet.await_final(also=[State.DEAD])
    bodies = {key: body["data"] for key, body in told(subscriber)}
    accepted = Counter(event["lead_id"] for event in bodies.values() if event["type"] == "lead.accepted")
    assert accepted == {str(one.lead_id): 1 for one in leads}
    came = Counter(
        (event["delivery_id"], event["type"].removeprefix("delivery."))
        for event in bodies.values()
        if event["type"] != "lead.accepted"
    )
    assert came == telling.happened(fleet.database)
    assert {state for _, state in came} == {"delivered", "rejected", "dead"}


def test_a_subscriber_that_is_gone_is_told_no_more_until_a_person_acts(fleet: Fleet, subscriber: FaultServer) -> None:
    fleet.configure(hook(subscriber, "lead.accepted"), buyer(fleet.sandbox.url))
    subscriber.behaviour = answer(410, b"")
    fleet.start(**HOOKS)
    fleet.accept()
    await_that(lambda: fleet.states().get(State.HELD) == 1, "it is held")
    fleet.accept(20)
    await_that(lambda: fleet.states().get(State.DELIVERED) == 21, "leads go on")
    assert len(subscriber.received) == 1
    subscriber.behaviour = TAKEN
    operation.pause(fleet.database, "hook", paused=False, actor="test")
    assert fleet.await_final() == {State.DELIVERED: 42}
    assert len({key for key, _ in told(subscriber)}) == 21
