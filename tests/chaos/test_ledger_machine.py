"""The ledger's transitions as a state machine: whatever is done to it in whatever order, it stays true to a small model.

Hypothesis draws the order; the ledger is a real PostgreSQL. The model knows of each delivery its state, token and attempts.
Subscribers are told of every change, and of nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from uuid_utils.compat import uuid7

from app.ledger import Database, acceptance, operation, work
from app.ledger.acceptance import Routed, Subscriptions
from app.ledger.balance import balance
from app.ledger.dispatch import requeue_lost
from app.model import FINAL, Claim, EventType, Fault, Outcome, Result, State
from tests.chaos import export, telling
from tests.chaos.checker import declared
from tests.ledger.conftest import BROKEN, FAILURE, SUCCESS, attempt, new_lead, queued

DEAD = Outcome(result=Result.ERROR, fault=Fault.PERMANENT, reason="410 from the destination")
HELD = Outcome(result=Result.ERROR, fault=Fault.TRANSIENT, reason="the answer was lost", ambiguous=True)
ENDINGS = [
    (SUCCESS, State.DELIVERED),
    (FAILURE, State.REJECTED),
    (BROKEN, State.READY),
    (DEAD, State.DEAD),
    (HELD, State.HELD),
]
HOOK = Subscriptions(
    types=frozenset(EventType),
    destinations=frozenset({"hook"}),
    route=lambda _id, _fields: [Routed(id=uuid7(), destination="hook")],
    version=1,
)


@dataclass(slots=True)
class Known:
    """What the model knows of a delivery."""

    state: State
    token: int = 0
    attempts: int = 0


class LedgerMachine(RuleBasedStateMachine):
    """One destination, a handful of leads, and everything that may happen to them."""

    database: ClassVar[Database]

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[UUID, Known] = {}
        self.claims: list[Claim] = []

    @initialize()
    def empty(self) -> None:
        with psycopg.connect(self.database.url) as connection:
            for table in ("leads", "deliveries", "attempts", "destination_status", "audit", "chaos_transitions"):
                connection.execute(f"delete from {table}".encode())

    @rule(count=st.integers(1, 3))
    def accept(self, count: int) -> None:
        leads = [new_lead() for _ in range(count)]
        assert acceptance.accept(self.database, leads, subscriptions=HOOK) == [None] * count
        self.known |= {one.id: Known(State.READY) for lead in leads for one in lead.deliveries}

    @rule(room=st.integers(1, 4))
    def dispatch(self, room: int) -> None:
        ready = {one for one, known in self.known.items() if known.state is State.READY}
        taken = queued(self.database, "a", room)
        assert set(taken) <= ready
        assert len(taken) == min(room, len(ready))
        for one in taken:
            self.known[one].state = State.QUEUED

    @precondition(lambda self: self.known)
    @rule(data=st.data(), lapsed=st.booleans())
    def claim(self, data: st.DataObject, lapsed: bool) -> None:  # noqa: FBT001  # Hypothesis passes by name
        wanted = data.draw(st.lists(st.sampled_from(sorted(self.known)), min_size=1, max_size=4, unique=True))
        self._claim(wanted, lapsed=lapsed)

    def _claim(self, wanted: Sequence[UUID], *, lapsed: bool) -> list[Claim]:
        claims = work.claim(self.database, "a", wanted, lease_seconds=0 if lapsed else 600)
        assert {one.delivery_id for one in claims} == {one for one in wanted if self.known[one].state is State.QUEUED}
        for one in claims:
            known = self.known[one.delivery_id]
            known.state, known.token = State.DELIVERING, known.token + 1
            assert one.token == known.token
        self.claims += claims
        return claims

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), ending=st.sampled_from(ENDINGS))
    def record(self, data: st.DataObject, ending: tuple[Outcome, State]) -> None:
        self._record(data.draw(st.sampled_from(self.claims)), ending)  # perhaps one given up or ended long ago

    @rule(room=st.integers(1, 4), ending=st.sampled_from(ENDINGS))
    def deliver(self, room: int, ending: tuple[Outcome, State]) -> None:
        """Undisturbed: left to chance alone, dispatch, claim and record would hardly ever meet."""
        self.dispatch(room)
        wanted = [one for one, known in self.known.items() if known.state is State.QUEUED]
        for claim in self._claim(wanted, lapsed=False) if wanted else ():
            self._record(claim, ending)

    def _record(self, claim: Claim, ending: tuple[Outcome, State]) -> None:
        outcome, state = ending
        known = self.known[claim.delivery_id]
        holds = known.state is State.DELIVERING and known.token == claim.token
        said = [attempt(claim, outcome, state)]
        recorded = work.record(self.database, "a", said, config_version=1, subscriptions=HOOK)
        assert recorded.stale == (not holds)
        if holds:
            known.state, known.attempts = state, known.attempts + 1

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        work.release(self.database, [(claim.delivery_id, claim.token)])
        known = self.known[claim.delivery_id]
        if known.state is State.DELIVERING and known.token == claim.token:
            known.state = State.READY

    @rule()
    def sweep(self) -> None:
        """What lapsed is recorded as ambiguous, as the leader does."""
        for row in work.expired(self.database, limit=10):
            claim = next(one for one in self.claims if (one.delivery_id, one.token) == (row.delivery_id, row.token))
            said = [attempt(claim, HELD, State.READY)]
            assert work.record(self.database, "a", said, config_version=1, subscriptions=HOOK).stale == 0
            known = self.known[row.delivery_id]
            assert known.state is State.DELIVERING
            known.state, known.attempts = State.READY, known.attempts + 1

    @rule(empty=st.booleans())
    def requeue(self, empty: bool) -> None:  # noqa: FBT001  # Hypothesis passes by name
        requeue_lost(self.database, after_seconds=0, is_empty=lambda names: set(names) if empty else set())
        for known in self.known.values():
            if known.state is State.QUEUED:  # ten times nought is nought: a queue that is not empty counts for nothing
                known.state = State.READY

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(sorted(self.known)))
        known = self.known[one]
        moved = operation.replay(self.database, [one], actor="test")
        assert bool(moved) == (known.state in FINAL | {State.DEAD, State.HELD})
        if moved:
            known.state = State.READY

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(sorted(self.known)))
        known = self.known[one]
        moved = operation.cancel(self.database, [one], actor="test", subscriptions=HOOK)
        assert bool(moved) == (known.state in {State.DEAD, State.HELD, State.READY})
        if moved:
            known.state = State.CANCELLED

    @invariant()
    def the_ledger_says_what_the_model_says(self) -> None:
        rows = self.database.fetch("select id, state::text, token, attempts from deliveries where destination = 'a'")
        assert {row[0]: Known(State(row[1]), row[2], row[3]) for row in rows} == self.known
        assert balance(self.database).holds

    def teardown(self) -> None:
        rows = self.database.fetch("select delivery, new_state from chaos_transitions order by delivery, number")
        for (delivery, before), (following, after) in pairwise(rows):
            assert delivery != following or after in declared()[before], f"{before} -> {after}"
        assert telling.told(self.database) == telling.happened(self.database)


@pytest.mark.scenario(seconds=25)
def test_the_ledger_keeps_to_its_model_whatever_is_done_in_whatever_order(database: Database) -> None:
    export.install(database.url)
    with psycopg.connect(database.url) as connection:  # nothing here is about the disk
        connection.execute(f"alter database {connection.info.dbname} set synchronous_commit = off".encode())
    LedgerMachine.database = database
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=15,
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.generate],  # to shrink on a real ledger takes longer than to read what failed
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
