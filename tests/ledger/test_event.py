"""Every change that subscribers are told of is told once, in the transaction that makes it, and none brings about another."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from app import operations
from app.intake import Intake, Submission
from app.ledger import Database, acceptance, dispatch, operation, query, rollup, work
from app.ledger.acceptance import NOBODY, Subscriptions
from app.ledger.balance import balance
from app.ledger.circuit import GateRules
from app.model import Claim, EventType, Fault, Item, Outcome, Result, State
from app.repair import expire_leases
from tests.ledger.conftest import BROKEN, FAILURE, REFUSED, SUCCESS, attempt, new_lead, queued, state_of
from tests.ledger.relay import Relay

BAD = Outcome(result=Result.ERROR, fault=Fault.PERMANENT, reason="422 from the destination")
SOLD = Outcome(result=Result.SUCCESS, reference="r-7", price=Decimal("12.50"))
ONCE = {"retry": {"attempts": 1}}


def events_of(relay: Relay, name: str = "hook") -> list[dict[str, Any]]:
    """What a subscriber was told, in order, without what is different each time."""
    relay.run(name)
    assert balance(relay.database).holds
    return [
        {key: value for key, value in payload.items() if key not in {"id", "occurred_at"}}
        for payload in relay.payloads(name)
    ]


def types(relay: Relay, name: str = "hook") -> list[str]:
    return [event["type"] for event in events_of(relay, name)]


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (SOLD, "delivered", {"result": "success", "reference": "r-7", "price": "12.50"}),
        (FAILURE, "rejected", {"result": "failure", "reason": "duplicate"}),
        (BAD, "dead", {"result": "error", "fault": "permanent", "reason": "422 from the destination"}),
        (REFUSED, "held", {"result": "error", "fault": "configuration", "reason": "401 from the destination"}),
        (Outcome(result=Result.SKIPPED, reason="no"), "skipped", {"result": "skipped", "reason": "no"}),
    ],
)
def test_what_an_attempt_comes_to_is_told_once(relay: Relay, answer: Outcome, kind: str, told: dict[str, Any]) -> None:
    relay.configure({"a": {}, "hook": {"events": ["delivery.*"]}})
    relay.answers["a"] = answer
    receipt = relay.accept()
    [delivery] = receipt.deliveries
    relay.run("a", "hook")
    assert events_of(relay) == [
        {
            "type": f"delivery.{kind}",
            "lead_id": str(receipt.lead_id),
            "delivery_id": str(delivery),
            "destination": "a",
            "source": "web",
            "attempts": 1,
            "test": False,
            **told,
        }
    ]


def test_an_event_is_a_lead_of_our_own_source_that_was_accepted_when_it_happened(relay: Relay) -> None:
    relay.configure({"a": {}, "hook": {"events": ["delivery.delivered"]}})
    relay.accept()
    relay.run("a", "hook")
    [(_, item)] = [one for one in relay.sent if one[0] == "hook"]
    [delivery] = query.deliveries(relay.database, source="events")
    [(event, _)] = query.leads(relay.database, [delivery.lead_id])
    [ended] = query.deliveries(relay.database, destination="a")
    assert (item.key, item.type, item.occurred_at) == (str(delivery.id), "delivery.delivered", ended.ended_at)
    assert item.payload["id"] == str(event.id)
    assert datetime.fromisoformat(item.payload["occurred_at"]) == ended.ended_at == event.received_at
    assert item.payload["occurred_at"].endswith("+00:00")
    assert rollup.figures(relay.database).accepted == {"web": 1, "events": 1}


def test_who_is_told_gets_no_leads_and_who_takes_leads_no_events(relay: Relay) -> None:
    relay.configure({"a": {}, "hook": {"events": ["*"]}})
    assert list(relay.accept().deliveries.values()) == ["a"]
    relay.run("a", "hook")
    assert {item.type for name, item in relay.sent if name == "a"} == {"lead"}
    assert types(relay) == ["lead.accepted", "delivery.delivered"]


def test_each_subscriber_is_told_what_it_asked_for(relay: Relay) -> None:
    relay.configure(
        {
            "a": {},
            "accepted": {"events": ["lead.*"]},
            "dead": {"events": ["delivery.dead", "delivery.rejected"]},
            "off": {"events": ["*"], "enabled": False},
            "slack": {"events": ["delivery.dead"], "mapping": {"text": "{{ event.destination }}: {{ event.reason }}"}},
        }
    )
    relay.answers["a"] = BAD
    relay.accept()
    relay.run("a")
    assert types(relay, "accepted") == ["lead.accepted"]
    assert types(relay, "dead") == ["delivery.dead"]
    assert events_of(relay, "off") == []
    assert events_of(relay, "slack") == [{"text": "a: 422 from the destination"}]
    ids = {row[0] for row in relay.database.fetch("select id from leads where source = 'events'")}
    assert len(ids) == 2, "one event goes to all who are told of it"


def test_a_condition_is_asked_of_the_event(relay: Relay) -> None:
    relay.configure({"a": {}, "b": {}, "hook": {"events": ["delivery.*"], "when": "event.destination == 'b'"}})
    relay.accept()
    relay.run("a", "b")
    assert [event["destination"] for event in events_of(relay)] == ["b"]
    states = [one.state for one in query.deliveries(relay.database, destination="hook")]
    assert sorted(states) == [State.DELIVERED, State.SKIPPED]


def test_what_is_skipped_as_a_lead_comes_in_is_told_with_it(relay: Relay) -> None:
    relay.configure({"a": {"when": "lead.state == 'NV'"}, "b": {}, "hook": {"events": ["*"]}})
    receipt = relay.accept(state="CA")
    told = events_of(relay)
    assert [event["type"] for event in told] == ["lead.accepted", "delivery.skipped"]
    assert (told[1]["destination"], told[1]["attempts"]) == ("a", 0)
    assert told[1]["reason"] == "the destination's condition was not met"
    assert {event["lead_id"] for event in told} == {str(receipt.lead_id)}


def test_a_repeated_submission_is_no_second_event(relay: Relay) -> None:
    relay.configure({"a": {}, "hook": {"events": ["lead.accepted"]}})
    submission = Submission(source="web", fields={"email": "ann@example.com"}, key="form-1")
    intake = Intake(relay.database, relay.catalog)
    intake.accept([submission])
    intake.accept([submission])
    intake.accept([submission, replace(submission, key="form-2", test=True)])
    assert [event["test"] for event in events_of(relay)] == [False, True]
    assert [item.test for name, item in relay.sent if name == "hook"] == [False, True]
    assert rollup.figures(relay.database).accepted == {"web": 2, "events": 2}


def test_nobody_can_submit_an_event(relay: Relay) -> None:
    relay.configure({"a": {}, "hook": {"events": ["*"]}})
    [answer] = Intake(relay.database, relay.catalog).accept(
        [Submission(source="events", fields={"type": "delivery.dead"})]
    )
    assert "there is no such source" in str(answer)


def test_steps_that_are_skipped_because_one_before_them_failed_are_told(relay: Relay) -> None:
    chain = {"verify": {}, "crm": {"after": ["verify"]}, "mail": {"after": ["crm"]}}
    relay.configure({**chain, "hook": {"events": ["delivery.*"]}})
    relay.answers["verify"] = BAD
    relay.accept()
    relay.run("verify")
    told = {event["destination"]: event["type"] for event in events_of(relay)}
    assert told == {"verify": "delivery.dead", "crm": "delivery.skipped", "mail": "delivery.skipped"}
    assert len(events_of(relay)) == 3


def test_what_a_person_gives_up_is_told_and_so_is_what_that_ends(relay: Relay) -> None:
    relay.configure({"verify": {}, "crm": {"after": ["verify"]}, "hook": {"events": ["delivery.*"]}})
    relay.answers["verify"] = BAD
    relay.answers["verify"] = replace(REFUSED)
    relay.accept()
    relay.run("verify")
    operations.discard(
        relay.database, relay.id_of("verify"), actor="ann", subscriptions=operations.subscriptions(relay.database)
    )
    relay.repair()
    relay.repair()
    told = [(event["destination"], event["type"]) for event in events_of(relay)]
    assert told == [("verify", "delivery.held"), ("verify", "delivery.cancelled"), ("crm", "delivery.skipped")]


@pytest.mark.parametrize("fallback", [None, "b"])
def test_what_waited_past_its_deadline_is_told_where_it_is_dead_and_not_where_it_moves_on(
    relay: Relay, fallback: str | None
) -> None:
    late = {"retry": {"deadline_seconds": 60}, **({"fallback": fallback} if fallback else {})}
    relay.configure({"a": late, "b": {}, "hook": {"events": ["delivery.*"]}}, destinations=["a"])
    relay.accept()
    relay.database.fetch("update deliveries set age_from = now() - interval '61 s' returning 1")
    relay.repair()
    assert types(relay) == ([] if fallback else ["delivery.dead"])


def test_a_delivery_whose_worker_ended_for_the_last_time_is_told_dead(relay: Relay) -> None:
    relay.configure({"a": ONCE, "hook": {"events": ["delivery.*"]}})
    relay.accept()
    work.claim(relay.database, "a", queued(relay.database), lease_seconds=-1)
    for _ in range(2):
        expire_leases(relay.database, relay.catalog.current)
    [event] = events_of(relay)
    assert (event["type"], event["reason"]) == ("delivery.dead", work.WORKER_ENDED)


def test_a_delivery_whose_destination_was_removed_is_told_held(relay: Relay) -> None:
    relay.configure({"a": {}, "hook": {"events": ["delivery.*"]}})
    relay.accept()
    relay.configure({"hook": {"events": ["delivery.*"]}})
    told = relay.catalog.current.subscriptions
    for _ in range(2):
        dispatch.hold_orphans(relay.database, ["a"], config_version=2, subscriptions=told)
    assert types(relay) == ["delivery.held"]


def test_a_fallback_is_told_where_it_ends_and_a_retry_where_it_comes_to_something(relay: Relay) -> None:
    relay.configure({"a": {**ONCE, "fallback": "b"}, "b": {}, "hook": {"events": ["delivery.*"]}})
    relay.answers |= {"a": BAD, "b": BROKEN}
    relay.accept()
    relay.run("a", "b")
    assert events_of(relay) == []
    relay.answers["b"] = SUCCESS
    relay.database.fetch("update deliveries set due_at = now() returning 1")
    relay.run("b")
    [event] = events_of(relay)
    assert (event["type"], event["destination"], event["attempts"]) == ("delivery.delivered", "b", 3)


def test_a_circuit_is_told_to_open_once_however_many_probes_fail_and_to_close_once(relay: Relay) -> None:
    relay.configure({"a": {"circuit": {"consecutive": 2}}, "hook": {"events": ["destination.*"]}})
    relay.answers["a"] = BROKEN
    for _ in range(2):
        relay.accept()
    relay.run("a")
    for _ in range(2):
        _probe(relay)
    relay.answers["a"] = SUCCESS
    _probe(relay)
    told = [(event["type"], event["destination"], event.get("reason")) for event in events_of(relay)]
    assert told == [
        ("destination.circuit_opened", "a", "2 errors in a row, the last: 503 from the destination"),
        ("destination.circuit_closed", "a", None),
    ]


def _probe(relay: Relay) -> None:
    relay.database.fetch("update destination_status set probe_at = now() returning 1")
    relay.database.fetch("update deliveries set due_at = now() where state = 'ready' returning 1")
    ids = dispatch.begin_probe(relay.database, "a", patience_seconds=30)
    assert ids
    relay._deliverer.deliver("a", ids)


@pytest.mark.parametrize("how", ["resume", "apply", "nothing to close"])
def test_a_circuit_that_a_person_closes_is_told_to_close(relay: Relay, how: str) -> None:
    relay.configure({"a": {}, "hook": {"events": ["destination.*"]}})
    relay.answers["a"] = SUCCESS if how == "nothing to close" else REFUSED
    relay.accept()
    relay.run("a")
    if how == "apply":
        relay.configure({"a": {"description": "mended"}, "hook": {"events": ["destination.*"]}})
    told = operations.subscriptions(relay.database)
    for paused in (True, False):
        operation.pause(relay.database, "a", paused=paused, actor="ann", subscriptions=told)
    opened = [] if how == "nothing to close" else ["destination.circuit_opened", "destination.circuit_closed"]
    assert types(relay) == opened
    versions = {row[0] for row in relay.database.fetch("select config_version from leads where source = 'events'")}
    assert versions <= {1, 2}


def test_a_run_of_rejections_is_told(relay: Relay) -> None:
    relay.configure({"a": {"rejections": {"in_a_row": 2}}, "hook": {"events": ["destination.rejections"]}})
    relay.answers["a"] = FAILURE
    for _ in range(3):
        relay.accept()
        relay.run("a")
    assert events_of(relay) == [{"type": "destination.rejections", "destination": "a", "in_a_row": 2, "test": False}]


def test_nothing_that_becomes_of_an_event_is_an_event(relay: Relay) -> None:
    relay.configure(
        {"a": {}, "hook": {"events": ["*"], **ONCE, "circuit": {"consecutive": 1}}, "other": {"events": ["*"]}}
    )
    relay.answers |= {"hook": BROKEN}
    relay.accept()
    relay.run("a", "hook")
    [dead] = query.deliveries(relay.database, destination="hook", states=[State.DEAD])[-1:]
    told = operations.subscriptions(relay.database)
    operations.discard(relay.database, dead.id, actor="ann", subscriptions=told)
    operation.pause(relay.database, "hook", paused=False, actor="ann", subscriptions=told)
    relay.configure({"a": {}, "other": {"events": ["*"]}})
    dispatch.hold_orphans(relay.database, ["hook"], config_version=2, subscriptions=relay.catalog.current.subscriptions)
    assert types(relay, "other") == ["lead.accepted", "delivery.delivered"]


def test_a_standby_takes_an_event_over_and_is_told_nothing_by_itself(relay: Relay) -> None:
    hook = {"events": ["delivery.delivered"]}
    relay.configure({"a": {}, "hook": {**hook, **ONCE, "fallback": "standby"}, "standby": hook})
    relay.answers["hook"] = BAD
    relay.accept()
    relay.run("a", "hook")
    assert types(relay, "standby") == ["delivery.delivered"]


def test_the_reason_does_not_repeat_what_the_lead_holds(relay: Relay) -> None:
    relay.configure({"a": {}, "hook": {"events": ["delivery.*"]}})
    relay.answers["a"] = Outcome(result=Result.FAILURE, reason="ann@example.com was bought on (415) 555-0134")
    relay.accept()
    relay.run("a", "hook")
    [event] = events_of(relay)
    assert event["reason"] == "[email] was bought on [phone]"


def _refusing(_event_id: UUID, _fields: Mapping[str, Any]) -> Any:
    raise ZeroDivisionError


def _told_of_everything(route: Any) -> Subscriptions:
    return Subscriptions(types=frozenset(EventType), destinations=frozenset({"hook"}), route=route, version=1)


def test_a_change_whose_events_cannot_be_written_is_not_made(
    database: Database, claimed: Callable[..., list[Claim]]
) -> None:
    [claim] = claimed()
    said = [attempt(claim, BAD, State.DEAD)]
    failing = _told_of_everything(_refusing)
    with pytest.raises(ZeroDivisionError):
        work.record(database, "a", said, config_version=1, subscriptions=failing)
    with pytest.raises(ZeroDivisionError):
        acceptance.accept(database, [new_lead()], subscriptions=failing)
    assert state_of(database, claim.delivery_id) is State.DELIVERING
    assert balance(database).accepted == 1

    routed = acceptance.Routed
    telling = _told_of_everything(lambda _id, _fields: [routed(id=uuid4(), destination="hook")])
    for _ in range(2):  # the second writes nothing, and so tells nothing
        work.record(database, "a", said, config_version=1, subscriptions=telling)
    assert [one.destination for one in query.deliveries(database, source="events")] == ["hook"]
    assert balance(database).accepted == 2
    assert balance(database).holds


class Counted(Database):
    """Counts statements, whoever makes them."""

    statements = 0

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with super().transaction() as connection:
            yield _Counting(connection, self)


class _Counting:
    def __init__(self, connection: Any, counted: Counted) -> None:
        self._connection = connection
        self._counted = counted

    def execute(self, *arguments: Any, **options: Any) -> Any:
        self._counted.statements += 1
        return self._connection.execute(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def _statements(database: Counted, told: Subscriptions) -> tuple[int, int]:
    """For accepting one lead, and for recording its delivery."""
    before = database.statements
    acceptance.accept(database, [new_lead()], subscriptions=told)
    accepting = database.statements - before
    [claim] = work.claim(database, "a", queued(database), lease_seconds=30)
    before = database.statements
    said = [attempt(claim, SUCCESS, State.DELIVERED)]
    work.record(database, "a", said, config_version=1, gate=GateRules(), subscriptions=told)
    return accepting, database.statements - before


def test_who_is_told_of_nothing_that_happens_costs_no_statement(database_url: str) -> None:
    database = Counted(database_url, size=1)
    try:
        routed = acceptance.Routed
        all_ = _told_of_everything(lambda _id, _fields: [routed(id=uuid4(), destination="hook")])
        alone = _statements(database, NOBODY)
        assert _statements(database, replace(all_, types=frozenset({EventType.DEAD}))) == alone
        assert _statements(database, all_) == (alone[0], alone[1] + 5)
        assert alone == (4, 3)
    finally:
        database.close()


def test_an_item_of_a_lead_knows_when_it_came_in(relay: Relay) -> None:
    relay.configure({"a": {}})
    lead = relay.accept().lead_id
    relay.run("a")
    [(_, item)] = relay.sent
    [(found, _)] = query.leads(relay.database, [lead])
    assert isinstance(item, Item)
    assert (item.type, item.occurred_at.astimezone(UTC)) == ("lead", found.received_at)
