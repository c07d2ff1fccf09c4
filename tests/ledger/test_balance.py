"""Every kind of gap is found, and mended where that is allowed; what legal histories leave behind has none."""

from pathlib import Path

import pytest
from uuid_utils.compat import uuid7

from app.errors import NotFound
from app.ledger import Database, acceptance, operation, version, work
from app.ledger.balance import Balance, balance
from app.ledger.gap import EXPLANATIONS, Kind
from app.ledger.repair import repair
from app.model import Claim, State
from tests.ledger.conftest import BROKEN, FAILURE, REFUSED, SUCCESS, attempt, new_lead, queued, state_of

CONFIGURATION = {"sources": [{"name": "web"}], "destinations": [{"name": "a"}]}
STATES = 8


@pytest.fixture
def ledger(database: Database) -> Database:
    """A ledger in order, with a lead of one delivery in each of eight states."""
    version.write(database, CONFIGURATION, changed=[], actor="test")
    ends = {
        State.DELIVERED: SUCCESS,
        State.REJECTED: FAILURE,
        State.DEAD: BROKEN,
        State.HELD: REFUSED,
        State.CANCELLED: BROKEN,
    }
    for state, outcome in ends.items():
        [claim] = _claimed(database)
        end = State.DEAD if state is State.CANCELLED else state
        work.record(database, "a", [attempt(claim, outcome, end)], config_version=1)
        if state is State.CANCELLED:
            operation.cancel(database, [claim.delivery_id], actor="test")
    _claimed(database)
    acceptance.accept(database, [new_lead()])
    queued(database)
    acceptance.accept(database, [new_lead()])
    assert balance(database).holds
    return database


def _claimed(database: Database) -> list[Claim]:
    acceptance.accept(database, [new_lead()])
    return work.claim(database, "a", queued(database), lease_seconds=30)


def execute(database: Database, statement: str) -> None:
    with database.transaction() as connection:
        connection.execute(statement.encode())


def mend(database: Database, found: Balance) -> list[Kind]:
    return [gap.kind for group in repair(database, found.gaps, actor="ann") for gap in group]


UNMENDABLE = {
    Kind.MISSING_DELIVERY: "delete from deliveries where state = 'delivered'",
    Kind.DOUBLED_PROMISE: (
        "update leads set deliveries = deliveries || deliveries[1] where id = (select id from leads order by id limit 1)"
    ),
    Kind.STRAY_DELIVERY: "delete from leads where id = (select lead_id from deliveries where state = 'dead')",
    Kind.STRAY_ATTEMPTS: (
        "with gone as (delete from deliveries where state = 'dead' returning id)"
        " delete from leads where deliveries && array(select id from gone)"
    ),
    Kind.ATTEMPT_NUMBERS: (
        "insert into attempts (delivery_id, number, started_at, duration_ms, result, fault, reason, ambiguous, worker,"
        " config_version, detail) select delivery_id, 3, started_at, duration_ms, result, fault, reason, ambiguous, worker,"
        " config_version, detail from attempts where result = 'success';"
        " update deliveries set attempts = 3 where state = 'delivered'"
    ),
    Kind.UNPROVEN_END: "update attempts set result = 'error' where result in ('failure')",
    Kind.UNRECORDED_SUCCESS: "update deliveries set state = 'dead' where state = 'delivered'",
    Kind.UNEXPLAINED_HOLD: "update deliveries set state = 'held' where state = 'ready'",
    Kind.EXPIRED_LEASE: "update deliveries set lease_until = now() - interval '16 minutes' where state = 'delivering'",
    Kind.ENDLESS_WAIT: (
        "update deliveries set due_at = '9999-01-01T00:00:00Z', waits_for = array(select id from deliveries where state = 'dead')"
        " where state = 'ready'; update deliveries set ended_at = now() - interval '16 minutes' where state = 'dead'"
    ),
    Kind.UNKNOWN_DESTINATION: (
        "update deliveries set due_at = now() - interval '16 minutes', destination = 'gone' where state = 'ready'"
    ),
}
MENDABLE = {
    Kind.ATTEMPT_COUNTER: "update deliveries set attempts = 7, attempts_from = 6 where state = 'dead'",
    Kind.FORGOTTEN_HOLD: "update destination_status set circuit = 'closed'",
    Kind.END_TIME: (
        "update deliveries set ended_at = case state when 'ready' then now() end where state in ('ready', 'delivered')"
    ),
    Kind.MIRROR_FLAG: "update deliveries set mirrored = true where state in ('ready', 'dead')",
    Kind.MISSING_LEASE: "update deliveries set lease_until = null where state in ('queued', 'delivering')",
    Kind.LOST_MESSAGE: "update deliveries set lease_until = now() - interval '16 minutes' where state = 'queued'",
}


def test_every_kind_of_gap_is_made_below() -> None:
    assert set(UNMENDABLE) | set(MENDABLE) == set(Kind)
    assert {kind for kind in Kind if EXPLANATIONS[kind].repairable} == set(MENDABLE)


@pytest.mark.parametrize("kind", UNMENDABLE)
def test_a_gap_that_needs_a_person_is_found_and_left(ledger: Database, kind: Kind) -> None:
    execute(ledger, UNMENDABLE[kind])
    found = balance(ledger)
    assert found.counts == {kind: 1}
    assert [gap.kind for gap in found.gaps] == [kind]
    assert not found.holds
    before = ledger.fetch("select * from deliveries order by id")
    assert mend(ledger, found) == []
    assert ledger.fetch("select * from deliveries order by id") == before
    assert balance(ledger).counts == {kind: 1}


@pytest.mark.parametrize("kind", MENDABLE)
def test_a_gap_that_a_machine_may_mend_is_mended_and_audited(ledger: Database, kind: Kind) -> None:
    execute(ledger, MENDABLE[kind])
    found = balance(ledger)
    assert set(found.counts) == {kind}
    assert mend(ledger, found) == [kind] * found.counts[kind]
    assert balance(ledger).holds
    audit = ledger.fetch(
        "select actor, subject, detail->>'gap', detail->>'note' from audit where action = 'delivery.repair'"
    )
    assert audit == [("ann", str(gap.subject), kind.value, gap.detail) for gap in found.gaps]
    assert mend(ledger, found) == [], "what is in order is left alone"


def test_a_counter_below_its_attempts_is_mended_so_that_the_next_one_can_be_written(ledger: Database) -> None:
    execute(ledger, "update deliveries set attempts = 0 where state = 'dead'")
    mend(ledger, balance(ledger))
    [(dead,)] = ledger.fetch("select id from deliveries where state = 'dead'")
    execute(
        ledger,
        "update destination_status set circuit = 'closed'; update deliveries set state = 'dead' where state = 'ready'",
    )
    operation.replay(ledger, [dead], actor="test")
    [claim] = work.claim(ledger, "a", queued(ledger), lease_seconds=30)
    assert (claim.delivery_id, claim.tries) == (dead, 0)
    assert work.record(ledger, "a", [attempt(claim, SUCCESS, State.DELIVERED)], config_version=1).stale == 0


def test_a_mended_lease_is_for_the_sweep_to_end(ledger: Database) -> None:
    execute(ledger, MENDABLE[Kind.MISSING_LEASE])
    assert work.expired(ledger, limit=10) == []
    mend(ledger, balance(ledger))
    assert len(work.expired(ledger, limit=10)) == 1


def test_a_gap_that_closed_meanwhile_is_left_alone(ledger: Database) -> None:
    execute(ledger, MENDABLE[Kind.LOST_MESSAGE])
    found = balance(ledger)
    [(waiting,)] = ledger.fetch("select id from deliveries where state = 'queued'")
    assert len(work.claim(ledger, "a", [waiting], lease_seconds=30)) == 1
    assert mend(ledger, found) == []
    assert state_of(ledger, waiting) is State.DELIVERING


def test_a_delivery_with_another_lead_is_stray_and_told_with_both(ledger: Database) -> None:
    other = uuid7()
    execute(ledger, f"update deliveries set lead_id = '{other}' where state = 'ready'")
    [gap] = balance(ledger).gaps
    assert (gap.kind, f"of lead {other}" in gap.detail) == (Kind.STRAY_DELIVERY, True)


def test_all_gaps_are_counted_and_the_first_are_listed(ledger: Database) -> None:
    execute(ledger, "update deliveries set ended_at = case when ended_at is null then now() end")
    found = balance(ledger, listed=2)
    assert (found.counts, len(found.gaps)) == ({Kind.END_TIME: STATES}, 2)


def test_the_equation_of_one_lead_knows_nothing_of_the_others(ledger: Database) -> None:
    acceptance.accept(ledger, [lead := new_lead(destinations=["a", "a"])])
    execute(ledger, "delete from deliveries where state = 'delivered'")
    found = balance(ledger, lead=lead.id)
    assert (found.accepted, found.states, found.holds) == (2, {State.READY: 2}, True)
    execute(ledger, f"delete from deliveries where id = '{lead.deliveries[0].id}'")
    [gap] = balance(ledger, lead=lead.id).gaps
    assert (gap.kind, gap.subject, gap.lead_id) == (Kind.MISSING_DELIVERY, lead.deliveries[0].id, lead.id)
    execute(ledger, f"delete from leads where id = '{lead.id}'")
    assert balance(ledger, lead=lead.id).counts == {Kind.STRAY_DELIVERY: 1}
    with pytest.raises(NotFound):
        balance(ledger, lead=uuid7())


def test_the_operations_page_explains_every_kind_of_gap() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    table = page.partition("<!-- gaps:begin -->")[2].partition("<!-- gaps:end -->")[0]
    expected = [
        f"| `{kind}` | {one.meaning} | {one.remedy} | {'Yes' if one.repairable else 'No'}: {one.repair}. |"
        for kind, one in EXPLANATIONS.items()
    ]
    assert table.strip().splitlines()[2:] == expected
