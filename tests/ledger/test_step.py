"""Steps that come after others: what lets them go, what keeps them, what they know of those before."""

import threading
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from app import operations
from app.ledger import dispatch, operation, step, work
from app.ledger.balance import balance
from app.ledger.step import Steps
from app.model import Fault, Outcome, Priority, Result, State
from tests.ledger.conftest import BROKEN, FAILURE, SUCCESS, attempt
from tests.ledger.relay import Relay

VERIFIED = Outcome(
    result=Result.SUCCESS, reference="v-1", price=Decimal("0.25"), captured={"score": 72, "line": {"type": "mobile"}}
)
BAD = Outcome(result=Result.ERROR, fault=Fault.PERMANENT, reason="422 from the destination")
CHAIN = {"verify": {}, "crm": {"after": ["verify"], "mapping": {"score": "{{ steps.verify.score }}"}}}


def test_a_step_goes_once_those_before_it_have_ended_and_knows_what_they_said(relay: Relay) -> None:
    mapping = {
        "score": "{{ steps.verify.score }}",
        "line": "{{ steps.verify.line.type | upcase }}",
        "said": "{{ steps.verify.outcome }} {{ steps.verify.reference }} {{ steps.verify.price }}",
        "nothing": "{{ steps.verify.unknown }}",
    }
    relay.configure({"crm": {"after": ["verify"], "mapping": mapping}, "verify": {}})
    relay.answers["verify"] = VERIFIED
    relay.accept()
    relay.run("crm")
    assert relay.states() == {"verify": "ready", "crm": "waits"}
    relay.run("verify", "crm")
    assert relay.states() == {"verify": "delivered", "crm": "delivered"}
    assert relay.payloads("crm") == [{"score": 72, "line": "MOBILE", "said": "success v-1 0.25"}]
    assert balance(relay.database).holds


@pytest.mark.parametrize(("least", "state"), [(50, "delivered"), (80, "skipped")])
def test_a_condition_may_ask_what_a_step_said(relay: Relay, least: int, state: str) -> None:
    relay.configure({"verify": {}, "crm": {"after": ["verify"], "when": f"steps.verify.score > {least}"}})
    relay.answers["verify"] = VERIFIED
    relay.accept()
    relay.run("verify", "crm")
    assert relay.states()["crm"] == state
    assert len(relay.payloads("crm")) == (state == "delivered")
    assert balance(relay.database).holds


@pytest.mark.parametrize(
    ("answer", "said"),
    [(FAILURE, "step verify is rejected: duplicate"), (BAD, "step verify is dead: 422 from the destination")],
)
def test_a_failed_step_skips_what_comes_after_it_and_after_that(relay: Relay, answer: Outcome, said: str) -> None:
    relay.configure({"verify": {}, "crm": {"after": ["verify"]}, "mail": {"after": ["crm"]}, "other": {}})
    relay.answers["verify"] = answer
    relay.accept()
    relay.run("verify")
    assert relay.views()["crm"].reason == said
    assert relay.views()["mail"].reason == f"step crm is skipped: {said}"
    assert relay.states() | {"verify": "-"} == {"verify": "-", "crm": "skipped", "mail": "skipped", "other": "ready"}
    assert balance(relay.database).holds


def test_a_failed_optional_step_lets_the_rest_go_on(relay: Relay) -> None:
    mapping = {"score": "{{ steps.verify.score | default: 0 }}", "state": "{{ steps.verify.state }}"}
    relay.configure({"verify": {"optional": True}, "crm": {"after": ["verify"], "mapping": mapping}})
    relay.answers["verify"] = BAD
    relay.accept()
    relay.run("verify", "crm")
    assert relay.states() == {"verify": "dead", "crm": "delivered"}
    assert relay.payloads("crm") == [{"score": 0, "state": "dead"}]


@pytest.mark.parametrize(
    ("verify", "state", "reason"),
    [
        ({"when": "lead.state == 'NV'"}, "skipped", "step verify is skipped: the destination's condition was not met"),
        ({"when": "lead.state == 'NV'", "optional": True}, "ready", None),
        ({"enabled": False}, "skipped", "step verify is disabled"),
        ({"enabled": False, "optional": True}, "ready", None),
    ],
)
def test_a_step_that_is_known_to_be_left_out_is_waited_for_by_nobody(
    relay: Relay, verify: dict[str, Any], state: str, reason: str | None
) -> None:
    relay.configure({"verify": verify, "crm": {"after": ["verify"], "when": "lead.state == 'CA'"}})
    relay.accept(state="CA")
    assert (relay.states()["crm"], relay.views()["crm"].reason) == (state, reason)


def test_of_two_steps_that_end_in_the_same_moment_neither_overlooks_the_other(relay: Relay) -> None:
    database = relay.database
    relay.configure({"a": {}, "b": {}, "crm": {"after": ["a", "b"]}})
    for _ in range(10):
        relay.accept()
    barrier = threading.Barrier(2, timeout=10)

    def end(name: str) -> None:
        lanes = dispatch.survey(database).due[name]
        ids = [
            one.id
            for found in dispatch.queue(database, {name: dict.fromkeys(lanes, 10)})[name].values()
            for one in found
        ]
        claims = work.claim(database, name, ids, lease_seconds=30)
        barrier.wait()
        for claim in claims:  # one transaction for each, so that many meet
            said = [attempt(claim, SUCCESS, State.DELIVERED)]
            work.record(database, name, said, config_version=1, steps=relay.catalog.current.chain)

    threads = [threading.Thread(target=end, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    due = database.fetch("select count(*)::int from deliveries where destination = 'crm' and due_at <= now()")
    assert due == [(10,)]


def test_a_transaction_that_ends_a_step_waits_for_the_one_that_ends_its_sister(relay: Relay) -> None:
    database = relay.database
    relay.configure({"a": {}, "b": {}, "crm": {"after": ["a", "b"]}})
    lead = relay.accept().lead_id
    end = b"update deliveries set state = 'delivered' where destination = %s"
    with database.transaction() as first:
        first.execute(end, ("a",))
        step.release_steps(first, [lead], Steps())

        def second() -> None:
            with database.transaction() as connection:
                connection.execute(end, ("b",))
                step.release_steps(connection, [lead], Steps())

        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive(), "it must see what the first one ended"
    thread.join(10)
    assert relay.states() == {"a": "delivered", "b": "delivered", "crm": "ready"}


def test_a_step_discarded_by_a_person_keeps_what_comes_after_it_from_waiting_for_ever(relay: Relay) -> None:
    relay.configure({"verify": {}, "crm": {"after": ["verify"]}})
    relay.answers["verify"] = Outcome(result=Result.ERROR, fault=Fault.CONFIGURATION, reason="401")
    relay.accept()
    relay.run("verify")
    relay.repair()
    assert relay.states() == {"verify": "held", "crm": "waits"}
    operations.discard(relay.database, relay.id_of("verify"), actor="ann")
    relay.repair()
    assert relay.states() == {"verify": "cancelled", "crm": "skipped"}


def test_a_step_past_its_deadline_lets_go_what_it_is_optional_for(relay: Relay) -> None:
    relay.configure({"verify": {"optional": True, "retry": {"deadline_seconds": 60}}, "crm": {"after": ["verify"]}})
    relay.accept()
    relay.database.fetch("update deliveries set age_from = now() - interval '61 s' returning 1")
    relay.repair()
    assert relay.states() == {"verify": "dead", "crm": "ready"}


def test_leads_that_rightly_wait_do_not_hide_one_that_was_overlooked(relay: Relay) -> None:
    relay.configure({"verify": {"optional": True}, "crm": {"after": ["verify"]}})
    for _ in range(5):
        relay.accept()
    operation.cancel(relay.database, list(relay.accept().deliveries), actor="ann")
    overlooked = relay.accept()
    [verify] = [one for one, name in overlooked.deliveries.items() if name == "verify"]
    operation.cancel(relay.database, [verify], actor="ann")
    step.release_overlooked(relay.database, relay.catalog.current.chain, limit=1)
    due = relay.database.fetch("select lead_id from deliveries where destination = 'crm' and due_at <= now()")
    assert [row[0] for row in due if row[0] == overlooked.lead_id] == [overlooked.lead_id]


def test_what_waits_is_let_go_though_the_configuration_has_no_steps_any_more(relay: Relay) -> None:
    relay.configure({"verify": {}, "crm": {"after": ["verify"]}})
    relay.accept()
    relay.configure({"verify": {}, "crm": {}})
    relay.run("verify")
    relay.repair()
    relay.run("crm")
    assert relay.states() == {"verify": "delivered", "crm": "delivered"}


def test_a_removed_destination_that_waits_for_steps_is_not_let_go_by_coming_back(relay: Relay) -> None:
    relay.configure({"verify": {}, "crm": {"after": ["verify"]}})
    relay.accept()
    relay.configure({"verify": {}})
    assert "crm" not in dispatch.survey(relay.database).waiting
    dispatch.hold_orphans(relay.database, ["crm"], config_version=2)
    relay.configure({"verify": {}, "crm": {"after": ["verify"]}})
    assert relay.states() == {"verify": "ready", "crm": "waits"}


def test_a_replayed_step_is_not_followed_by_what_already_went(relay: Relay) -> None:
    relay.configure(CHAIN)
    relay.answers["verify"] = VERIFIED
    relay.accept()
    relay.run("verify", "crm")
    operations.replay(relay.database, relay.id_of("verify"), actor="ann")
    relay.answers["verify"] = replace(VERIFIED, captured={"score": 10})
    relay.run("verify", "crm")
    assert [name for name, _ in relay.sent] == ["verify", "crm", "verify"]
    operations.replay(relay.database, relay.id_of("crm"), actor="ann")
    relay.run("crm")
    assert relay.payloads("crm") == [{"score": 72}, {"score": 10}], "it knows what the step said last"


@pytest.mark.parametrize("together", [True, False])
def test_a_skipped_step_replayed_with_the_one_before_it_waits_for_it_again(relay: Relay, *, together: bool) -> None:
    relay.configure(CHAIN)
    relay.answers["verify"] = BAD
    relay.accept()
    relay.run("verify")
    assert relay.states() == {"verify": "dead", "crm": "skipped"}
    both = [relay.id_of("crm"), relay.id_of("verify")]
    if together:
        operation.replay(relay.database, both, actor="ann")
    else:
        for one in reversed(both):
            operation.replay(relay.database, [one], actor="ann")
    assert relay.states() == {"verify": "ready", "crm": "waits"}
    relay.answers["verify"] = VERIFIED
    relay.run("verify", "crm")
    assert relay.payloads("crm") == [{"score": 72}]


def test_a_skipped_step_replayed_alone_goes_without_the_one_that_failed(relay: Relay) -> None:
    relay.configure(CHAIN)
    relay.answers["verify"] = BAD
    relay.accept()
    relay.run("verify")
    operations.replay(relay.database, relay.id_of("crm"), actor="ann")
    relay.run("crm")
    assert relay.states() == {"verify": "dead", "crm": "delivered"}


def test_a_step_that_fell_back_is_known_by_its_own_name(relay: Relay) -> None:
    mapping = {"score": "{{ steps.verify.score }}"}
    relay.configure(
        {"verify": {"fallback": "standby"}, "standby": {}, "crm": {"after": ["verify"], "mapping": mapping}}
    )
    relay.answers |= {"verify": BAD, "standby": VERIFIED}
    relay.accept()
    relay.run("verify")
    assert relay.states() == {"standby": "ready", "crm": "waits"}, "it has not ended yet"
    relay.run("standby", "crm")
    assert relay.payloads("crm") == [{"score": 72}]


def test_what_waits_for_steps_beyond_its_deadline_is_dead_and_falls_back_to_nobody(relay: Relay) -> None:
    crm = {"after": ["verify"], "retry": {"deadline_seconds": 60}, "fallback": "standby"}
    relay.configure({"verify": {}, "crm": crm, "standby": {}})
    relay.accept()
    relay.database.fetch("update deliveries set age_from = now() - interval '61 s' returning 1")
    relay.repair()
    assert relay.states() == {"verify": "ready", "crm": "dead"}
    assert "before its steps ended" in (relay.views()["crm"].reason or "")


def test_a_transient_error_of_a_step_ends_nothing(relay: Relay) -> None:
    relay.configure({"verify": {"retry": {"attempts": 2}}, "crm": {"after": ["verify"]}})
    relay.answers["verify"] = BROKEN
    relay.accept()
    relay.run("verify")
    relay.repair()
    assert relay.states() == {"verify": "ready", "crm": "waits"}


def test_a_group_of_replays_may_be_put_behind_fresh_leads(relay: Relay) -> None:
    relay.configure({"a": {}})
    relay.answers["a"] = BAD
    for _ in range(2):
        relay.accept()
    relay.run("a")
    first, second = [row[0] for row in relay.database.fetch("select id from deliveries order by id")]
    operation.replay(relay.database, [first], actor="ann", priority=Priority.BACKFILL)
    operation.replay(relay.database, [second], actor="ann")
    lanes = {lane.priority for lane in dispatch.survey(relay.database).due["a"]}
    assert lanes == {Priority.BACKFILL, Priority.FRESH}
    assert operation.replay(relay.database, [uuid7()], actor="ann") == []
