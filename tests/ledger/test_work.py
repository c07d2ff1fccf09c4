"""Claims, records, leases: compare-and-set on state and fencing token."""

from collections.abc import Callable

import pytest

from app.ledger import Database, acceptance, dispatch, query, work
from app.ledger.balance import balance
from app.model import TRANSITIONS, Claim, Outcome, Result, State
from tests.ledger.conftest import BROKEN, FAILURE, REFUSED, SUCCESS, attempt, new_lead, queued, state_of

Claimed = Callable[..., list[Claim]]


def test_a_second_message_claims_nothing(database: Database, claimed: Claimed) -> None:
    claims = claimed(3)
    assert len(claims) == 3
    assert work.claim(database, "a", [claim.delivery_id for claim in claims], lease_seconds=30) == []


def test_a_message_for_another_destination_claims_nothing(database: Database) -> None:
    acceptance.accept(database, [new_lead()])
    ids = queued(database)
    assert work.claim(database, "b", ids, lease_seconds=30) == []


def test_recorded_attempts_change_state_and_are_counted(database: Database, claimed: Claimed) -> None:
    done, rejected, retried = claimed(3)
    attempts = [
        attempt(done, SUCCESS, State.DELIVERED),
        attempt(rejected, FAILURE, State.REJECTED),
        attempt(retried, BROKEN, State.READY, due=60.0),
    ]
    assert work.record(database, "a", attempts, config_version=7).stale == 0
    assert state_of(database, done.delivery_id) is State.DELIVERED
    view = query.delivery(database, retried.delivery_id)
    assert view is not None
    assert (view.state, view.attempts, view.fault) == (State.READY, 1, "transient")
    assert queued(database, "a", 10) == [], "it is not due yet"
    counted = database.fetch("select result, sum(attempts)::int from rollups group by 1 order by 1")
    assert counted == [("error", 1), ("failure", 1), ("success", 1)]
    assert balance(database).holds


def test_a_worker_held_up_beyond_its_lease_writes_nothing(database: Database, claimed: Claimed) -> None:
    [late] = claimed(1, lease_seconds=0)
    [expired] = work.expired(database, limit=10)
    lost = attempt(late, BROKEN, State.READY, token=expired.token)
    assert work.record(database, "a", [lost], config_version=1).stale == 0
    [again] = work.claim(database, "a", queued(database), lease_seconds=30)
    assert again.token == late.token + 1
    assert work.record(database, "a", [attempt(late, SUCCESS, State.DELIVERED)], config_version=1).stale == 1
    assert state_of(database, late.delivery_id) is State.DELIVERING
    assert [one.number for one in query.attempts(database, [late.delivery_id])[late.delivery_id]] == [1]


def test_unbegun_deliveries_go_back_without_an_attempt(database: Database, claimed: Claimed) -> None:
    [claim] = claimed(1)
    work.release(database, [(claim.delivery_id, claim.token)])
    view = query.delivery(database, claim.delivery_id)
    assert view is not None
    assert (view.state, view.attempts) == (State.READY, 0)


def test_a_configuration_fault_opens_the_circuit_and_a_success_releases_what_it_held(
    database: Database, claimed: Claimed
) -> None:
    refused, other = claimed(2)
    work.record(database, "a", [attempt(refused, REFUSED, State.HELD)], config_version=1)
    work.release(database, [(other.delivery_id, other.token)])
    gates = dispatch.survey(database).gates
    assert gates["a"].circuit == "open"
    assert dispatch.due_probes(database) == []
    database.fetch("update destination_status set probe_at = now() returning 1")
    [probe] = dispatch.begin_probe(database, "a", patience_seconds=30)
    assert probe == refused.delivery_id, "the oldest held delivery is the probe"
    assert dispatch.begin_probe(database, "a", patience_seconds=30) == [], "one probe at a time"
    [claim] = work.claim(database, "a", [probe], lease_seconds=30)
    work.record(database, "a", [attempt(claim, SUCCESS, State.DELIVERED)], config_version=1)
    assert dispatch.survey(database).gates["a"].circuit == "closed"


def test_lost_messages_are_queued_again_when_the_queue_is_empty(database: Database) -> None:
    acceptance.accept(database, [new_lead()])
    [delivery] = queued(database)
    assert dispatch.requeue_lost(database, after_seconds=30, is_empty=set) == 0, "too young"
    database.fetch("update deliveries set lease_until = now() - interval '31 seconds' returning 1")
    assert dispatch.requeue_lost(database, after_seconds=30, is_empty=lambda _names: set()) == 0, "its message waits"
    assert dispatch.requeue_lost(database, after_seconds=30, is_empty=set) == 1
    assert state_of(database, delivery) is State.READY


@pytest.mark.parametrize("state", [state for state in State if state is not State.DELIVERING])
def test_only_a_claimed_delivery_can_be_recorded(database: Database, claimed: Claimed, state: State) -> None:
    [claim] = claimed(1)
    database.fetch("update deliveries set state = %s::delivery_state returning 1", (state.value,))
    assert work.record(database, "a", [attempt(claim, SUCCESS, State.DELIVERED)], config_version=1).stale == 1
    assert state_of(database, claim.delivery_id) is state


@pytest.mark.parametrize("state", [state for state in State if State.QUEUED not in TRANSITIONS[state]])
def test_only_ready_deliveries_are_dispatched(database: Database, state: State) -> None:
    acceptance.accept(database, [new_lead()])
    database.fetch("update deliveries set state = %s::delivery_state returning 1", (state.value,))
    assert queued(database) == []


def test_whatever_a_driver_answered_can_be_stored(database: Database, claimed: Claimed) -> None:
    class Odd(str):
        __slots__ = ()

    [claim] = claimed(1)
    odd = Outcome(
        result=Result.SUCCESS,
        reason="nul \0 and lone \ud800",
        reference="\0",
        captured={"id": Odd("x"), "set": {1}, "nul": "\0"},
        transcript={"when": claim.lead.received_at, "bytes": b"\xff"},
    )
    assert work.record(database, "a", [attempt(claim, odd, State.DELIVERED)], config_version=1).stale == 0
    [stored] = query.attempts(database, [claim.delivery_id])[claim.delivery_id]
    assert stored.reason == "nul  and lone ?"
    assert stored.detail["captured"]["id"] == "x"
