"""A destination's circuit: when it opens, what it calls back and lets through, and that what it holds comes free."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic, sleep
from uuid import UUID

import pytest

from app.catalog import compile_document
from app.config.flow import CircuitConfig, RejectionsConfig
from app.config.schema import DestinationConfig, Document, RetryConfig
from app.ledger import Database, acceptance, dispatch, operation, work
from app.ledger.circuit import GateRules, Recorded
from app.model import Claim, Fault, Outcome, Result, State
from app.policy import next_state
from app.repair import expire_leases
from tests.ledger.conftest import BROKEN, FAILURE, REFUSED, SUCCESS, attempt, new_lead, queued, state_of

Claimed = Callable[..., list[Claim]]
PERMANENT = Outcome(result=Result.ERROR, fault=Fault.PERMANENT, reason="422 from the destination")
DATA = Outcome(result=Result.ERROR, fault=Fault.DATA, reason="no e-mail")
SKIPPED = Outcome(result=Result.SKIPPED, reason="not met")
STATES = {
    Result.SUCCESS: State.DELIVERED,
    Result.FAILURE: State.REJECTED,
    Result.SKIPPED: State.SKIPPED,
    Fault.TRANSIENT: State.READY,
    Fault.PERMANENT: State.DEAD,
    Fault.DATA: State.DEAD,
    Fault.CONFIGURATION: State.HELD,
}
BY_RUN = GateRules(circuit=CircuitConfig(consecutive=3, error_ratio=None))
BY_SHARE = GateRules(circuit=CircuitConfig(consecutive=None, error_ratio=0.5, minimum=6, minutes=60))


def record(
    database: Database, claims: Sequence[Claim], outcomes: Sequence[Outcome], gate: GateRules, *, due: float = 60.0
) -> Recorded:
    """Record what came of the claims; what is tried again is due in a minute."""
    attempts = [
        attempt(claim, outcome, STATES[outcome.fault or outcome.result], due=due if outcome == BROKEN else 0.0)
        for claim, outcome in zip(claims, outcomes, strict=True)
    ]
    return work.record(database, "a", attempts, config_version=1, gate=gate)


def circuit_of(database: Database) -> str:
    gate = dispatch.survey(database).gates.get("a")
    return gate.circuit if gate else "closed"


def open_circuit(database: Database, claims: Sequence[Claim]) -> None:
    assert record(database, claims, [BROKEN] * len(claims), BY_RUN).opened
    assert circuit_of(database) == "open"


def begin_probe(database: Database) -> list[UUID]:
    database.fetch("update destination_status set probe_at = now() returning 1")
    return dispatch.begin_probe(database, "a", patience_seconds=30)


def claim_probe(database: Database) -> Claim:
    [claim] = work.claim(database, "a", begin_probe(database), lease_seconds=30)
    assert claim.probe
    return claim


def probe_wait(database: Database) -> float:
    return float(database.fetch("select extract(epoch from probe_at - now())::float8 from destination_status")[0][0])


def await_blocked(database: Database, count: int) -> None:
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    ends = monotonic() + 10
    while database.fetch(waiting)[0][0] < count:
        assert monotonic() < ends, "nobody waits"
        sleep(0.01)


def at_once(database: Database, doings: Sequence[Callable[[], object]]) -> list[object]:
    """Do all of it in the same moment, as far as the circuit's row lets them; what each returned."""
    found: list[object] = [None] * len(doings)

    def do(place: int) -> None:
        found[place] = doings[place]()

    threads = [threading.Thread(target=do, args=(place,)) for place in range(len(doings))]
    with database.transaction() as connection:  # each waits for the circuit's row, one after the other
        connection.execute(b"insert into destination_status (destination) values ('a') on conflict do nothing")
        connection.execute(b"select from destination_status where destination = 'a' for update")
        for place, thread in enumerate(threads, start=1):
            thread.start()
            await_blocked(database, place)
    for thread in threads:
        thread.join()
    return found


def test_errors_in_a_row_open_it_over_several_groups(database: Database, claimed: Claimed) -> None:
    claims = claimed(6)
    record(database, claims[:3], [SUCCESS, BROKEN, BROKEN], BY_RUN)
    assert circuit_of(database) == "closed"
    found = record(database, claims[3:4], [BROKEN], BY_RUN)
    assert found.opened == "3 errors in a row, the last: 503 from the destination"
    assert circuit_of(database) == "open"


def test_an_answer_between_errors_begins_the_run_anew(database: Database, claimed: Claimed) -> None:
    claims = claimed(7)
    record(database, claims[:2], [BROKEN, BROKEN], BY_RUN)
    record(database, claims[2:3], [FAILURE], BY_RUN)
    record(database, claims[3:5], [BROKEN, BROKEN], BY_RUN)
    record(database, claims[5:7], [SUCCESS, BROKEN], BY_RUN)
    assert circuit_of(database) == "closed"


def test_the_share_of_errors_opens_it_from_the_minimum_on(database: Database, claimed: Claimed) -> None:
    claims = claimed(6)
    record(database, claims[:4], [BROKEN, SUCCESS, BROKEN, SUCCESS], BY_SHARE)
    assert circuit_of(database) == "closed", "two of four are too few to tell"
    assert record(database, claims[4:], [SUCCESS, BROKEN], BY_SHARE).opened == (
        "3 of 6 recent attempts failed, the last: 503 from the destination"
    )


def test_a_share_below_the_ratio_does_not_open_it(database: Database, claimed: Claimed) -> None:
    record(database, claimed(7), [BROKEN, SUCCESS, BROKEN, SUCCESS, FAILURE, SUCCESS, BROKEN], BY_SHARE)
    assert circuit_of(database) == "closed"


def test_what_says_nothing_of_the_destination_is_not_in_the_share(database: Database, claimed: Claimed) -> None:
    record(database, claimed(6), [DATA, PERMANENT, SKIPPED, DATA, SUCCESS, BROKEN], BY_SHARE)
    assert circuit_of(database) == "closed", "two attempts tell anything, and six are asked for"
    outcomes = [SUCCESS, SUCCESS, BROKEN, BROKEN, BROKEN]
    assert record(database, claimed(5), outcomes, BY_SHARE).opened, "four of seven, not of eleven"


@pytest.mark.parametrize(
    "outcome", [PERMANENT, DATA, SKIPPED, FAILURE, SUCCESS], ids=lambda one: one.fault or one.result
)
def test_neither_one_leads_own_trouble_nor_a_rejection_opens_it(
    database: Database, claimed: Claimed, outcome: Outcome
) -> None:
    rules = GateRules(circuit=CircuitConfig(consecutive=3, error_ratio=0.1, minimum=1))
    record(database, claimed(20), [outcome] * 20, rules)
    assert circuit_of(database) == "closed"


def test_one_leads_own_trouble_does_not_interrupt_a_run_of_errors(database: Database, claimed: Claimed) -> None:
    record(database, claimed(5), [BROKEN, DATA, BROKEN, PERMANENT, BROKEN], BY_RUN)
    assert circuit_of(database) == "open"


def test_a_fault_of_configuration_opens_it_at_once_whatever_the_rules(database: Database, claimed: Claimed) -> None:
    never = GateRules(circuit=CircuitConfig(consecutive=None, error_ratio=None))
    assert record(database, claimed(2), [SUCCESS, REFUSED], never).opened == "401 from the destination"
    assert circuit_of(database) == "open"


def test_without_rules_errors_never_open_it(database: Database, claimed: Claimed) -> None:
    record(database, claimed(60), [BROKEN] * 60, GateRules(circuit=CircuitConfig(consecutive=None, error_ratio=None)))
    assert circuit_of(database) == "closed"


def test_what_is_queued_when_it_opens_is_called_back_unattempted(database: Database, claimed: Claimed) -> None:
    failing = claimed(3)
    acceptance.accept(database, [new_lead() for _ in range(4)])
    out = queued(database, "a", 4)
    assert len(out) == 4
    open_circuit(database, failing)
    assert {state_of(database, one) for one in out} == {State.READY}
    assert work.claim(database, "a", out, lease_seconds=30) == [], "its message finds nothing"
    assert database.fetch("select sum(attempts)::int from deliveries where id = any(%s)", (out,)) == [(0,)]


def test_opening_calls_nothing_back_of_other_destinations(database: Database, claimed: Claimed) -> None:
    failing = claimed(3)
    acceptance.accept(database, [new_lead(destinations=("b",))])
    [other] = queued(database, "b")
    open_circuit(database, failing)
    assert state_of(database, other) is State.QUEUED


def test_a_stragglers_success_does_not_close_it_and_the_probes_does(database: Database, claimed: Claimed) -> None:
    *failing, slow, straggler = claimed(5)
    open_circuit(database, failing)
    record(database, [slow], [BROKEN], BY_RUN)
    assert not record(database, [straggler], [SUCCESS], BY_RUN).closed
    assert circuit_of(database) == "open"
    probe = claim_probe(database)
    assert record(database, [probe], [SUCCESS], BY_RUN).closed
    assert circuit_of(database) == "closed"


def test_a_rejected_probe_closes_it_too(database: Database, claimed: Claimed) -> None:
    open_circuit(database, claimed(3))
    assert record(database, [claim_probe(database)], [FAILURE], BY_RUN).closed
    assert circuit_of(database) == "closed"


@pytest.mark.parametrize("outcome", [PERMANENT, DATA, SKIPPED], ids=lambda one: one.fault or one.result)
def test_a_probe_that_tells_nothing_is_followed_by_another_at_once(
    database: Database, claimed: Claimed, outcome: Outcome
) -> None:
    open_circuit(database, claimed(3))
    first = claim_probe(database)
    record(database, [first], [outcome], BY_RUN)
    assert circuit_of(database) == "half-open"
    assert dispatch.due_probes(database) == ["a"]
    [second] = dispatch.begin_probe(database, "a", patience_seconds=30)
    assert second != first.delivery_id


def test_the_probe_is_the_oldest_held_before_any_that_is_ready(database: Database, claimed: Claimed) -> None:
    first, second = claimed(2)
    acceptance.accept(database, [new_lead()])
    record(database, [first], [REFUSED], BY_RUN)
    record(database, [second], [REFUSED], BY_RUN)
    assert begin_probe(database) == [first.delivery_id]


def test_the_probe_is_the_oldest_ready_also_when_it_is_due_later(database: Database, claimed: Claimed) -> None:
    failing = claimed(3)
    open_circuit(database, failing)
    database.fetch("update deliveries set due_at = due_at + interval '1 hour' returning 1")
    soonest = failing[1].delivery_id
    database.fetch("update deliveries set due_at = now() + interval '5 minutes' where id = %s returning 1", (soonest,))
    assert begin_probe(database) == [soonest]


def test_what_waits_for_steps_is_never_the_probe(database: Database, claimed: Claimed) -> None:
    *failing, _ = claimed(4)
    open_circuit(database, failing)
    database.fetch("update deliveries set due_at = %s where state = 'ready' returning 1", (acceptance.WAITS_FOR_STEPS,))
    assert begin_probe(database) == []
    assert circuit_of(database) == "open"


@pytest.mark.parametrize(("outcome", "waits"), [(BROKEN, State.READY), (REFUSED, State.HELD)], ids=["error", "refused"])
def test_after_a_probe_that_failed_another_lead_is_the_next(
    database: Database, claimed: Claimed, outcome: Outcome, waits: State
) -> None:
    """One lead that a firewall refuses must not keep the circuit open for all of them."""
    failing = claimed(3)
    assert record(database, failing, [outcome] * 3, BY_RUN, due=0.0).opened
    probed = []
    for _ in failing:
        probe = claim_probe(database)
        probed.append(probe.delivery_id)
        record(database, [probe], [outcome], BY_RUN, due=60.0)
        assert state_of(database, probe.delivery_id) is waits
    assert sorted(probed) == sorted(claim.delivery_id for claim in failing)


def test_a_probe_that_failed_costs_its_delivery_no_attempt(database: Database, claimed: Claimed) -> None:
    open_circuit(database, claimed(3))
    probe = claim_probe(database)
    assert probe.tries == 1
    following = next_state(
        BROKEN, tries=probe.tries + 1, age_seconds=0.0, retry=RetryConfig(attempts=2), destination="a", probe=True
    )
    failed = replace(attempt(probe, BROKEN, State.READY), next=following)
    work.record(database, "a", [failed], config_version=1, gate=BY_RUN)
    counted = database.fetch("select attempts, attempts_from from deliveries where id = %s", (probe.delivery_id,))
    assert counted == [(2, 1)], "two attempts are kept, one counts"
    assert state_of(database, probe.delivery_id) is State.READY


def test_waits_between_probes_double_up_to_the_longest(database: Database, claimed: Claimed) -> None:
    rules = GateRules(circuit=CircuitConfig(consecutive=3, probe_seconds=10, probe_max_seconds=60))
    record(database, claimed(3), [BROKEN] * 3, rules)
    waits = [probe_wait(database)]
    for _ in range(5):
        record(database, [claim_probe(database)], [BROKEN], rules)
        waits.append(probe_wait(database))
    assert waits == pytest.approx([10, 20, 40, 60, 60, 60], abs=2)


def test_after_it_closed_the_waits_begin_anew(database: Database, claimed: Claimed) -> None:
    open_circuit(database, claimed(3))
    record(database, [claim_probe(database)], [BROKEN], BY_RUN)
    record(database, [claim_probe(database)], [SUCCESS], BY_RUN)
    open_circuit(database, claimed(3))
    assert probe_wait(database) == pytest.approx(10, abs=2)


def test_only_one_probe_is_out_until_its_time_has_passed(database: Database, claimed: Claimed) -> None:
    open_circuit(database, claimed(3))
    assert len(begin_probe(database)) == 1
    assert dispatch.due_probes(database) == []
    assert dispatch.begin_probe(database, "a", patience_seconds=30) == []
    assert len(begin_probe(database)) == 1, "the first was lost"


def test_a_destination_with_nothing_waiting_stays_open_unprobed(database: Database, claimed: Claimed) -> None:
    [claim] = claimed(1)
    open_circuit(database, [*claimed(2), claim])
    database.fetch("update deliveries set state = 'cancelled' returning 1")
    assert begin_probe(database) == []
    assert circuit_of(database) == "open"


def test_errors_of_before_it_closed_do_not_open_it_again(database: Database, claimed: Claimed) -> None:
    assert record(database, claimed(8), [SUCCESS, BROKEN] * 4, BY_SHARE).opened
    record(database, [claim_probe(database)], [SUCCESS], BY_SHARE)
    assert record(database, claimed(2), [BROKEN, BROKEN], BY_SHARE).opened is None
    database.fetch("update destination_status set closed_at = now() - interval '2 minutes' returning 1")
    assert record(database, claimed(1), [BROKEN], BY_SHARE).opened, "what is after the closing counts"


def test_errors_in_a_row_of_before_it_closed_do_not_count(database: Database, claimed: Claimed) -> None:
    *failing, straggler, late = claimed(5)
    open_circuit(database, failing)
    record(database, [straggler, late], [BROKEN, BROKEN], BY_RUN)
    record(database, [claim_probe(database)], [SUCCESS], BY_RUN)
    assert record(database, claimed(2), [BROKEN, BROKEN], BY_RUN).opened is None


def test_two_workers_that_record_in_the_same_moment_open_it_once(database: Database, claimed: Claimed) -> None:
    claims = claimed(4)
    rules = GateRules(circuit=CircuitConfig(consecutive=4, error_ratio=None))
    found = at_once(
        database,
        [
            lambda: record(database, claims[:2], [BROKEN] * 2, rules),
            lambda: record(database, claims[2:], [BROKEN] * 2, rules),
        ],
    )
    assert [bool(one.opened) for one in found if isinstance(one, Recorded)] == [False, True]
    assert database.fetch("select circuit, openings from destination_status") == [("open", 1)]


def test_two_workers_refused_in_the_same_moment_count_as_one_opening(database: Database, claimed: Claimed) -> None:
    first, second = claimed(2)
    found = at_once(
        database,
        [lambda: record(database, [first], [REFUSED], BY_RUN), lambda: record(database, [second], [REFUSED], BY_RUN)],
    )
    assert [bool(one.opened) for one in found if isinstance(one, Recorded)] == [True, False]
    assert database.fetch("select openings from destination_status") == [(1,)]


def test_what_another_group_held_in_the_same_moment_is_released_too(database: Database, claimed: Claimed) -> None:
    first, refused = claimed(2)
    record(database, [first], [REFUSED], BY_RUN)
    at_once(
        database,
        [
            lambda: record(database, [refused], [REFUSED], BY_RUN),
            lambda: operation.pause(database, "a", paused=False, actor="ann"),
        ],
    )
    assert circuit_of(database) == "closed"
    assert [state_of(database, claim.delivery_id) for claim in (first, refused)] == [State.READY, State.READY]


def test_the_probes_answer_frees_what_was_held(database: Database, claimed: Claimed) -> None:
    first, second = claimed(2)
    record(database, [first, second], [REFUSED, REFUSED], BY_RUN)
    record(database, [claim_probe(database)], [SUCCESS], BY_RUN)
    assert state_of(database, second.delivery_id) is State.READY


def test_resuming_a_destination_releases_what_its_circuit_held(database: Database, claimed: Claimed) -> None:
    [claim] = claimed(1)
    record(database, [claim], [REFUSED], BY_RUN)
    operation.pause(database, "a", paused=False, actor="ann")
    assert state_of(database, claim.delivery_id) is State.READY


def test_a_paused_destination_is_not_probed(database: Database, claimed: Claimed) -> None:
    [claim] = claimed(1)
    record(database, [claim], [REFUSED], BY_RUN)
    database.fetch("update destination_status set probe_at = now() returning 1")
    assert dispatch.due_probes(database) == ["a"]
    operation.pause(database, "a", paused=True, actor="ann")
    assert dispatch.due_probes(database) == []
    assert dispatch.begin_probe(database, "a", patience_seconds=30) == []
    assert state_of(database, claim.delivery_id) is State.HELD


def test_a_run_of_rejections_raises_its_alarm_once_and_opens_no_circuit(database: Database, claimed: Claimed) -> None:
    rules = GateRules(rejections=RejectionsConfig(in_a_row=3))
    found = [record(database, claimed(2), [FAILURE] * 2, rules).rejections for _ in range(3)]
    assert found == [None, 4, None]
    gate = dispatch.survey(database).gates["a"]
    assert (gate.circuit, gate.paused) == ("closed", False)


def test_a_success_ends_a_run_of_rejections_and_an_error_does_not(database: Database, claimed: Claimed) -> None:
    rules = GateRules(rejections=RejectionsConfig(in_a_row=3))
    assert record(database, claimed(4), [FAILURE, FAILURE, SUCCESS, FAILURE], rules).rejections is None
    assert record(database, claimed(3), [BROKEN, FAILURE, FAILURE], rules).rejections == 3


def test_a_run_of_rejections_pauses_where_that_is_asked_for_until_a_person_resumes(
    database: Database, claimed: Claimed
) -> None:
    rules = GateRules(rejections=RejectionsConfig(in_a_row=3, pause=True))
    record(database, claimed(3), [FAILURE] * 3, rules)
    assert dispatch.survey(database).gates["a"].paused
    assert database.fetch("select pause_reason from destination_status") == [("3 rejections in a row",)]
    operation.pause(database, "a", paused=False, actor="ann")
    assert database.fetch("select paused, pause_reason, rejections_in_row from destination_status") == [
        (False, None, 0)
    ]


def test_retry_after_leaves_the_whole_destination_alone_for_no_longer_than_the_longest_wait(
    database: Database, claimed: Claimed
) -> None:
    wants = Outcome(result=Result.ERROR, fault=Fault.TRANSIENT, reason="429", retry_after=1e9)
    record(database, claimed(1), [wants], GateRules(longest_wait_seconds=120))
    gate = dispatch.survey(database).gates["a"]
    assert gate.is_shut
    assert gate.wait_seconds == pytest.approx(120, abs=2)
    shorter = Outcome(result=Result.ERROR, fault=Fault.TRANSIENT, reason="429", retry_after=5)
    record(database, claimed(1), [shorter], GateRules(longest_wait_seconds=120))
    assert dispatch.survey(database).gates["a"].wait_seconds == pytest.approx(120, abs=2), "the longer one holds"


def test_a_lead_skipped_at_the_last_moment_does_not_end_a_run_of_rejections(
    database: Database, claimed: Claimed
) -> None:
    gate = GateRules(rejections=RejectionsConfig(in_a_row=2))
    skipped = Outcome(result=Result.SKIPPED, reason="the destination's condition was not met")
    ends = [(FAILURE, State.REJECTED), (skipped, State.SKIPPED), (FAILURE, State.REJECTED)]
    told = [
        work.record(database, "a", [attempt(claim, outcome, state)], config_version=1, gate=gate).rejections
        for claim, (outcome, state) in zip(claimed(3), ends, strict=True)
    ]
    assert told == [None, None, 2]


def test_workers_that_end_open_no_circuit(database: Database, claimed: Claimed) -> None:
    claimed(30, lease_seconds=0)
    config = DestinationConfig(name="a", type="http", settings={"url": "http://127.0.0.1/"})
    expire_leases(database, compile_document(Document(destinations=[config]), 1))
    assert database.fetch("select sum(attempts)::int, min(fault) from rollups") == [(30, "system")]
    assert circuit_of(database) == "closed"
