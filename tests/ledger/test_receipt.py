"""What a destination says it got, laid beside the ledger: every verdict, whatever the history of the delivery."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from app.ledger import Database, acceptance, operation, work
from app.ledger.balance import balance
from app.ledger.receipt import Finding, Verdict, receipts
from app.model import Claim, Outcome, Result, State
from tests.ledger.conftest import BROKEN, FAILURE, SUCCESS, attempt, new_lead, queued

LOST = Outcome(result=Result.ERROR, fault=BROKEN.fault, reason="the answer was lost", ambiguous=True)


def deliver(database: Database, *answers: tuple[Outcome, State], destination: str = "a") -> UUID:
    """A delivery with these attempts, in the state of the last."""
    lead = new_lead(destinations=[destination])
    acceptance.accept(database, [lead])
    for outcome, state in answers:
        [claim] = claimed(database, destination)
        work.record(database, destination, [attempt(claim, outcome, state)], config_version=1)
    return lead.deliveries[0].id


def claimed(database: Database, destination: str = "a") -> list[Claim]:
    return work.claim(database, destination, queued(database, destination), lease_seconds=30)


def compared(
    database: Database, keys: Sequence[UUID], *, since: datetime | None = None, until: datetime | None = None
) -> list[Finding]:
    with receipts(database.url) as held:
        held.add(list(enumerate(keys, start=1)))
        assert held.count() == (len(set(keys)), len(keys))
        return list(held.findings("a", since=since, until=until))


def verdicts(found: Sequence[Finding]) -> Mapping[UUID, set[Verdict]]:
    return {one.key: {other.verdict for other in found if other.key == one.key} for one in found}


def test_what_both_sides_know_is_not_remarkable(database: Database) -> None:
    delivered = deliver(database, (SUCCESS, State.DELIVERED))
    rejected = deliver(database, (FAILURE, State.REJECTED))
    retried = deliver(database, (LOST, State.READY), (SUCCESS, State.DELIVERED))
    assert compared(database, [delivered, rejected, retried, retried]) == []


def test_every_kind_of_disagreement_is_told(database: Database) -> None:
    missing = deliver(database, (SUCCESS, State.DELIVERED))
    deliver(database, (FAILURE, State.REJECTED))  # a destination need not keep what it refused
    dead = deliver(database, (LOST, State.DEAD))
    held = deliver(database, (LOST, State.HELD))
    repeated = deliver(database, (LOST, State.READY), (SUCCESS, State.DELIVERED))
    other = deliver(database, (SUCCESS, State.DELIVERED), destination="b")
    ready = deliver(database)
    unknown = uuid7()
    found = compared(database, [dead, held, *[repeated] * 3, other, ready, unknown])
    assert verdicts(found) == {
        missing: {Verdict.MISSING},
        dead: {Verdict.UNRECORDED},
        held: {Verdict.UNRECORDED},
        repeated: {Verdict.REPEATED},
        other: {Verdict.ELSEWHERE},
        ready: {Verdict.UNDER_WAY},
        unknown: {Verdict.UNKNOWN},
    }
    [again] = [one for one in found if one.key == repeated]
    assert (again.line, again.times, again.explained, again.state) == (3, 3, 2, State.DELIVERED)
    assert again.lead_id is not None


def test_an_attempt_under_way_explains_a_receipt(database: Database) -> None:
    delivery = deliver(database, (LOST, State.READY))
    claimed(database)
    assert verdicts(compared(database, [delivery] * 2)) == {delivery: {Verdict.UNDER_WAY}}
    assert verdicts(compared(database, [delivery] * 3)) == {delivery: {Verdict.UNDER_WAY, Verdict.REPEATED}}


def test_a_replay_of_what_was_delivered_explains_its_receipts(database: Database) -> None:
    delivery = deliver(database, (SUCCESS, State.DELIVERED))
    operation.replay(database, [delivery], actor="ann")
    assert compared(database, [delivery]) == [], "it was delivered once"
    [claim] = claimed(database)
    work.record(database, "a", [attempt(claim, SUCCESS, State.DELIVERED)], config_version=1)
    assert compared(database, [delivery] * 2) == []


def test_a_fallback_counts_its_own_answers_only(database: Database) -> None:
    lead = new_lead(destinations=["b"])
    acceptance.accept(database, [lead])
    [claim] = claimed(database, "b")
    moved = attempt(claim, LOST, State.READY)
    moved = replace(moved, next=replace(moved.next, fallback="a"))
    work.record(database, "b", [moved], config_version=1)
    [again] = claimed(database)
    work.record(database, "a", [attempt(again, SUCCESS, State.DELIVERED)], config_version=1)
    assert balance(database).holds
    assert compared(database, [claim.delivery_id]) == []
    assert verdicts(compared(database, [claim.delivery_id] * 2)) == {claim.delivery_id: {Verdict.REPEATED}}


@pytest.mark.parametrize(("since", "until", "missed"), [(-1, 1, True), (1, None, False), (None, -1, False)])
def test_what_ended_outside_the_files_period_is_not_missed_there(
    database: Database, since: int | None, until: int | None, *, missed: bool
) -> None:
    deliver(database, (SUCCESS, State.DELIVERED))
    now = datetime.now(UTC)
    found = compared(
        database,
        [],
        since=None if since is None else now + timedelta(hours=since),
        until=None if until is None else now + timedelta(hours=until),
    )
    assert bool(found) is missed
