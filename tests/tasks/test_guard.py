"""A destination in-house: refused, held with a reason that says what to do, and delivered to once it is allowed."""

from app.ledger import query
from app.model import State
from tests.tasks.conftest import Fleet, await_that, buyer


def test_an_address_that_is_refused_holds_the_lead_and_allowing_it_delivers(fleet: Fleet) -> None:
    fleet.configure(buyer(fleet.sandbox.url, network=None))
    fleet.start(1)
    fleet.accept(1)
    await_that(lambda: fleet.states() == {State.HELD: 1}, "held")
    fleet.accept(5)
    await_that(lambda: query.destinations(fleet.database)["buyer"].circuit == "open", "the circuit opened")
    assert fleet.states() == {State.HELD: 1, State.READY: 5}
    reason = query.destinations(fleet.database)["buyer"].reason or ""
    assert "127.0.0.1 is at an address that is loopback" in reason
    assert "network.allow" in reason
    assert fleet.receipts() == []
    fleet.configure(buyer(fleet.sandbox.url))
    assert fleet.await_final() == {State.DELIVERED: 6}
    fleet.prove()
