"""Steps and fallbacks through real workers: answers that are looked up first, workers that end in between."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from app import operations
from app.config.schema import DestinationConfig
from app.ledger import operation, query
from app.ledger.balance import balance
from app.model import State
from tests.connectors.scripted import Scripted, reply, scripted
from tests.tasks.conftest import LOCAL, Fleet, await_that, buyer

CAPTURE = {"capture": {"score": "result.score", "carrier": "result.carrier"}, "reference": "id"}
AFTER = {
    "after": ["verify"],
    "when": "steps.verify.score > 50",
    "mapping": {
        "email": "{{ lead.email }}",
        "state": "{{ lead.state }}",
        "age": "{{ lead.age | to_number }}",
        "score": "{{ steps.verify.score }}",
        "proof": "{{ steps.verify.reference }}",
    },
}


@pytest.fixture
def vendor() -> Iterator[Scripted]:
    """Somebody who tells something of a lead."""
    with scripted() as found:
        found.otherwise = reply(200, {"id": "v-7", "result": {"score": 72, "carrier": "Example Mobile"}})
        yield found


def verify(url: str, **changes: Any) -> DestinationConfig:
    plain: dict[str, Any] = {
        "name": "verify",
        "type": "http",
        "settings": {"url": f"{url}/lookup", "method": "GET", "body": "query"},
        "mapping": {"email": "{{ lead.email }}"},
        "response": CAPTURE,
        "retry": {"attempts": 1},
        "limits": {"timeout_seconds": 2},
        "network": LOCAL,
    }
    return DestinationConfig.model_validate(plain | changes)


def at(fleet: Fleet, destination: str) -> list[query.DeliveryView]:
    return query.deliveries(fleet.database, destination=destination, limit=200)


def test_what_a_step_looked_up_decides_and_is_sent_on(fleet: Fleet, vendor: Scripted) -> None:
    fleet.configure(verify(vendor.url), buyer(fleet.sandbox.url, **AFTER))
    vendor.answers += [reply(200, {"id": "v-1", "result": {"score": 12}})]
    fleet.start()
    fleet.accept()
    assert fleet.await_final() == {State.DELIVERED: 1, State.SKIPPED: 1}
    fleet.accept(5)
    assert fleet.await_final() == {State.DELIVERED: 11, State.SKIPPED: 1}
    assert vendor.seen[0].target.startswith("/lookup?email=lead0%40example.com")
    delivered = [one for one in at(fleet, "buyer") if one.state is State.DELIVERED]
    tried = query.attempts(fleet.database, [one.id for one in delivered])
    assert len(fleet.receipts()) == len(delivered) == 5
    assert {attempts[0].result for attempts in tried.values()} == {"success"}
    fleet.prove(to="buyer")


def test_a_worker_killed_between_a_step_and_the_next_leaves_it_for_another(fleet: Fleet, vendor: Scripted) -> None:
    fleet.configure(verify(vendor.url), buyer(fleet.sandbox.url, **AFTER))
    operation.pause(fleet.database, "buyer", paused=True, actor="test")
    fleet.start()
    fleet.accept(20)
    await_that(lambda: fleet.states().get(State.DELIVERED) == 20, "every step was recorded")
    fleet.kill()
    fleet.wipe()
    operation.pause(fleet.database, "buyer", paused=False, actor="test")
    fleet.start()
    assert fleet.await_final() == {State.DELIVERED: 40}
    fleet.prove(to="buyer")


def test_workers_killed_at_a_step_make_nothing_wait_for_ever(fleet: Fleet, vendor: Scripted) -> None:
    step = verify(vendor.url, retry={"attempts": 8, "base_seconds": 0.3, "max_seconds": 1})
    fleet.configure(step, buyer(fleet.sandbox.url, **AFTER))
    fleet.start(2)
    fleet.accept(60)
    await_that(lambda: fleet.states().get(State.DELIVERED, 0) >= 10, "some went")
    fleet.kill(0)
    fleet.kill(1)
    fleet.start()
    assert fleet.await_final() == {State.DELIVERED: 120}
    fleet.prove(to="buyer")


def test_a_failed_required_step_is_replayed_with_what_it_kept_back(fleet: Fleet, vendor: Scripted) -> None:
    vendor.answers += [reply(422, {"error": "no"})]
    fleet.configure(verify(vendor.url), buyer(fleet.sandbox.url, **AFTER))
    fleet.start()
    fleet.accept()
    assert fleet.await_final() == {State.REJECTED: 1, State.SKIPPED: 1}
    [kept], [failed] = at(fleet, "buyer"), at(fleet, "verify")
    assert (kept.reason or "").startswith("step verify is rejected")
    operations.replay(fleet.database, failed.id, actor="ann")
    operations.replay(fleet.database, kept.id, actor="ann")
    assert fleet.await_final() == {State.DELIVERED: 2}
    assert [one["key"] for one in fleet.receipts()] == [str(kept.id)]


def test_a_rejected_lead_goes_to_the_next_buyer_under_the_same_key(fleet: Fleet, vendor: Scripted) -> None:
    vendor.otherwise = reply(200, {"outcome": "accepted"})
    second = buyer(vendor.url, name="second", settings={"url": f"{vendor.url}/leads"})
    first = buyer(fleet.sandbox.url, fallback={"destination": "second", "on": ["rejected", "dead"]})
    fleet.configure(first, second)
    fleet.faults(reject_rate=1.0)
    fleet.start()
    fleet.accept(3)
    assert fleet.await_final() == {State.DELIVERED: 3}
    views = at(fleet, "second")
    assert [view.origin for view in views] == ["buyer"] * 3
    for attempts in query.attempts(fleet.database, [view.id for view in views]).values():
        assert [(one.destination, one.result) for one in attempts] == [("buyer", "failure"), ("second", "success")]
    keys = {request.headers["idempotency-key"] for request in vendor.seen}
    assert keys == {receipt["key"] for receipt in fleet.receipts()} == {str(view.id) for view in views}
    assert json.loads(vendor.seen[0].body)["state"] == "CA"


def test_what_waits_for_a_paused_destination_moves_on_when_it_is_old_enough(fleet: Fleet, vendor: Scripted) -> None:
    vendor.otherwise = reply(200, {"outcome": "accepted"})
    second = buyer(vendor.url, name="second", settings={"url": f"{vendor.url}/leads"})
    first = buyer(fleet.sandbox.url, fallback={"destination": "second", "on": ["age"], "age_seconds": 1})
    fleet.configure(first, second)
    operation.pause(fleet.database, "buyer", paused=True, actor="test")
    fleet.start()
    fleet.accept(3)
    assert fleet.await_final() == {State.DELIVERED: 3}
    assert fleet.receipts() == []
    assert balance(fleet.database).accepted == 3
