"""Deliveries that another destination takes over, and those that grow too old."""

from typing import Any

import pytest

from app import operations
from app.ledger import Database, query, work
from app.ledger.balance import balance
from app.ledger.work import WORKER_ENDED
from app.model import Fault, Outcome, Result
from app.repair import expire_leases
from tests.ledger.conftest import BROKEN, FAILURE, REFUSED, queued
from tests.ledger.relay import Relay

BAD = Outcome(result=Result.ERROR, fault=Fault.PERMANENT, reason="422 from the destination")
ONCE = {"retry": {"attempts": 1}}


def aged(database: Database, seconds: float) -> None:
    database.fetch("update deliveries set age_from = now() - make_interval(secs => %s) returning 1", (seconds,))


@pytest.mark.parametrize(
    ("fallback", "answer"),
    [
        ("b", BAD),
        ("b", BROKEN),
        ({"destination": "b", "on": ["rejected"]}, FAILURE),
        ({"destination": "b", "on": ["dead", "rejected"]}, FAILURE),
    ],
)
def test_another_destination_takes_over_with_the_same_key(relay: Relay, fallback: Any, answer: Outcome) -> None:
    relay.configure({"a": {**ONCE, "fallback": fallback}, "b": {"mapping": {"at": "{{ delivery.destination }}"}}})
    relay.answers["a"] = answer
    [delivery] = relay.accept().deliveries
    relay.run("a", "b")
    view = relay.views()["b"]
    assert (view.id, view.state, view.attempts, view.reason) == (delivery, "delivered", 2, None)
    assert [(name, item.key, item.attempt) for name, item in relay.sent] == [
        ("a", str(delivery), 1),
        ("b", str(delivery), 1),
    ]
    assert relay.payloads("b") == [{"at": "b"}]
    assert balance(relay.database).holds
    assert balance(relay.database).accepted == 1


@pytest.mark.parametrize(
    ("special", "answer", "state"),
    [
        ({"fallback": "b"}, FAILURE, "rejected"),
        ({"fallback": {"destination": "b", "on": ["rejected"]}}, BAD, "dead"),
        ({"fallback": "b"}, REFUSED, "held"),
        ({"fallback": "b", "retry": {"attempts": 1, "on_ambiguous": "hold"}}, None, "held"),
    ],
)
def test_what_the_fallback_is_not_for_stays(
    relay: Relay, special: dict[str, Any], answer: Outcome | None, state: str
) -> None:
    relay.configure({"a": {**ONCE, **special}, "b": {}})
    relay.answers["a"] = answer or Outcome(result=Result.ERROR, fault=Fault.TRANSIENT, reason="lost", ambiguous=True)
    relay.accept()
    relay.run("a", "b")
    assert relay.states() == {"a": state}


def test_it_goes_on_from_one_to_the_next_and_is_dead_at_the_last(relay: Relay) -> None:
    relay.configure({"a": {"fallback": "b", **ONCE}, "b": {"fallback": "c", "retry": {"attempts": 2}}, "c": {}})
    relay.answers |= {"a": BAD, "b": BROKEN, "c": BAD}
    [delivery] = relay.accept().deliveries
    relay.run("a", "b")
    assert relay.states() == {"b": "ready"}, "a fresh budget: one more attempt there"
    relay.database.fetch("update deliveries set due_at = now() returning 1")
    relay.run("b", "c")
    assert relay.states() == {"c": "dead"}
    assert [name for name, _ in relay.sent] == ["a", "b", "b", "c"]
    assert {item.key for _, item in relay.sent} == {str(delivery)}
    assert [item.attempt for _, item in relay.sent] == [1, 1, 2, 1]
    assert balance(relay.database).holds


def test_a_disabled_fallback_takes_nothing_over(relay: Relay) -> None:
    relay.configure({"a": {"fallback": "b"}, "b": {"enabled": False}})
    relay.answers["a"] = BAD
    relay.accept()
    relay.run("a", "b")
    assert relay.states() == {"a": "dead"}


def test_the_condition_of_the_one_that_takes_over_is_asked(relay: Relay) -> None:
    relay.configure({"a": {"fallback": "b"}, "b": {"when": "lead.state == 'NV'"}})
    relay.answers["a"] = BAD
    relay.accept(state="CA")
    relay.run("a", "b")
    assert relay.states() == {"b": "skipped"}
    assert relay.payloads("b") == []
    assert relay.views()["b"].reason == "the destination's condition was not met"
    assert balance(relay.database).holds


@pytest.mark.parametrize(
    ("special", "age", "where", "state"),
    [
        ({}, 59, "a", "ready"),
        ({}, 61, "a", "dead"),
        ({"fallback": "b"}, 61, "b", "ready"),
        ({"fallback": {"destination": "b", "on": ["age"], "age_seconds": 30}}, 29, "a", "ready"),
        ({"fallback": {"destination": "b", "on": ["age"], "age_seconds": 30}}, 31, "b", "ready"),
        ({"fallback": {"destination": "b", "on": ["age"], "age_seconds": 30}}, 61, "b", "ready"),
        ({"fallback": {"destination": "b", "on": ["rejected"]}}, 61, "a", "dead"),
    ],
)
def test_what_waits_too_long_moves_on_or_is_dead_without_an_attempt(
    relay: Relay, special: dict[str, Any], age: float, where: str, state: str
) -> None:
    relay.configure({"a": {"retry": {"deadline_seconds": 60}, **special}, "b": {}}, destinations=["a"])
    relay.accept()
    aged(relay.database, age)
    relay.repair()
    assert relay.states() == {where: state}
    assert relay.views()[where].attempts == 0
    assert balance(relay.database).holds
    relay.run("b")
    assert relay.states() == {where: "delivered" if where == "b" else state}


def test_what_is_dead_of_age_tells_what_it_waited_for(relay: Relay) -> None:
    relay.configure({"a": {"retry": {"deadline_seconds": 60}}})
    relay.answers["a"] = BROKEN
    relay.accept()
    relay.run("a")
    aged(relay.database, 61)
    relay.repair()
    view = relay.views()["a"]
    assert view.reason == "its deadline of 60 s passed; before that: 503 from the destination"
    [group] = query.dead_groups(relay.database)
    assert (group.count, group.fingerprint) == (1, view.fingerprint)


def test_a_replay_goes_to_where_the_delivery_is_now(relay: Relay) -> None:
    relay.configure({"a": {"fallback": "b"}, "b": {}})
    relay.answers |= {"a": BAD, "b": BAD}
    relay.accept()
    relay.run("a", "b")
    assert relay.states() == {"b": "dead"}
    relay.answers.clear()
    operations.replay(relay.database, relay.id_of("b"), actor="ann")
    relay.run("a", "b")
    assert [name for name, _ in relay.sent] == ["a", "b", "b"]
    assert relay.states() == {"b": "delivered"}


def test_a_delivery_whose_worker_ended_for_good_is_taken_over(relay: Relay) -> None:
    relay.configure({"a": {**ONCE, "fallback": "b"}, "b": {}})
    relay.accept()
    work.claim(relay.database, "a", queued(relay.database), lease_seconds=0)
    expire_leases(relay.database, relay.catalog.current)
    view = relay.views()["b"]
    assert (view.state, view.reason, view.ambiguous) == ("ready", WORKER_ENDED, True)
    relay.run("b")
    assert relay.states() == {"b": "delivered"}
    assert balance(relay.database).holds
