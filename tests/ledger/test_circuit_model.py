"""The circuit against a model of it, whatever happens in whatever order: groups that end, probes, stragglers, people."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from app.config.flow import CircuitConfig
from app.ledger import Database, acceptance, dispatch, operation, work
from app.ledger.circuit import GateRules
from app.model import Claim, Fault, Outcome, Result, State
from tests.ledger.conftest import BROKEN, FAILURE, REFUSED, SUCCESS, attempt, new_lead, queued

DATA = Outcome(result=Result.ERROR, fault=Fault.DATA, reason="no e-mail")
ENDS = {BROKEN: State.READY, FAILURE: State.REJECTED, REFUSED: State.HELD, SUCCESS: State.DELIVERED, DATA: State.DEAD}
IN_A_ROW, FIRST, MOST = 3, 10.0, 50.0
RULES = GateRules(
    circuit=CircuitConfig(consecutive=IN_A_ROW, error_ratio=None, probe_seconds=FIRST, probe_max_seconds=MOST)
)


@pytest.fixture(scope="module")
def module_database(module_database_url: str) -> Iterator[Database]:
    found = Database(module_database_url, size=2)
    yield found
    found.close()


def _machine(database: Database) -> type[RuleBasedStateMachine]:  # noqa: C901  # rules of one machine
    class Circuit(RuleBasedStateMachine):
        """Each run has a destination of its own; `claims` are in the hands of workers."""

        def __init__(self) -> None:
            super().__init__()
            self.name = f"d{uuid4().hex[:10]}"
            self.circuit, self.errors_in_row, self.openings = "closed", 0, 0
            self.claims: list[Claim] = []

        @rule(count=st.integers(1, 4))
        def take(self, count: int) -> None:
            """A worker claims what was dispatched; so many more leads wait than it takes."""
            acceptance.accept(database, [new_lead(destinations=(self.name,)) for _ in range(count + 1)])
            ids = queued(database, self.name, count)
            self.claims += work.claim(database, self.name, ids, lease_seconds=600)

        @rule(count=st.integers(1, 3))
        def dispatch(self, count: int) -> None:
            """A message goes out that nobody claims yet."""
            acceptance.accept(database, [new_lead(destinations=(self.name,)) for _ in range(count)])
            queued(database, self.name, count)

        @precondition(lambda self: self.claims)
        @rule(outcomes=st.lists(st.sampled_from(sorted(ENDS, key=str)), min_size=1, max_size=5), last=st.booleans())
        def end(self, outcomes: list[Outcome], last: bool) -> None:  # noqa: FBT001  # drawn
            """A group ends: the latest claimed (a probe perhaps), or stragglers."""
            outcomes = outcomes[: len(self.claims)]
            chosen = self.claims[-len(outcomes) :] if last else self.claims[: len(outcomes)]
            self.claims = [claim for claim in self.claims if claim not in chosen]
            attempts = [attempt(claim, one, ENDS[one]) for claim, one in zip(chosen, outcomes, strict=True)]
            before, opened = self.circuit, self.openings
            found = work.record(database, self.name, attempts, config_version=1, gate=RULES)
            self.judge(outcomes)
            assert (found.opened is not None) == (self.openings > opened)
            assert found.closed == (before == "half-open" and self.circuit == "closed")
            if found.opened:
                self.check_opening()

        @precondition(lambda self: self.circuit != "closed")
        @rule()
        def probe(self) -> None:
            """The time of a probe has come."""
            database.fetch(
                "update destination_status set probe_at = now() where destination = %s returning 1", (self.name,)
            )
            ids = dispatch.begin_probe(database, self.name, patience_seconds=600)
            assert len(ids) <= 1
            if ids:
                self.circuit = "half-open"
                assert dispatch.begin_probe(database, self.name, patience_seconds=600) == []
                self.claims += work.claim(database, self.name, ids, lease_seconds=600)
                assert self.claims[-1].probe

        @rule()
        def resume(self) -> None:
            operation.pause(database, self.name, paused=False, actor="ann")
            if self.circuit != "closed":
                self.circuit, self.errors_in_row, self.openings = "closed", 0, 0

        @invariant()
        def agrees(self) -> None:
            rows = database.fetch(
                "select circuit, errors_in_row, openings from destination_status where destination = %s", (self.name,)
            )
            assert rows in ([], [(self.circuit, self.errors_in_row, self.openings)])
            assert rows or (self.circuit, self.errors_in_row) == ("closed", 0)

        @invariant()
        def nothing_is_held_behind_a_closed_circuit(self) -> None:
            if self.circuit == "closed":
                assert self.count("held") == 0

        def judge(self, outcomes: list[Outcome]) -> None:
            """The model: what a group means."""
            if REFUSED in outcomes:
                self.open()
                return
            marks = [one == BROKEN for one in outcomes if one != DATA]
            if not marks:
                return
            if not any(marks):
                self.errors_in_row = 0
                if self.circuit == "half-open":
                    self.circuit, self.openings = "closed", 0
                return
            for mark in marks:
                self.errors_in_row = self.errors_in_row + 1 if mark else 0
            if self.circuit == "half-open" or (self.circuit == "closed" and self.errors_in_row >= IN_A_ROW):
                self.open()

        def open(self) -> None:
            if self.circuit != "open":
                self.circuit, self.errors_in_row, self.openings = "open", 0, self.openings + 1

        def check_opening(self) -> None:
            assert self.count("queued") == 0, "what was out is called back"
            [(wait,)] = database.fetch(
                "select extract(epoch from probe_at - now())::float8 from destination_status where destination = %s",
                (self.name,),
            )
            assert wait == pytest.approx(min(MOST, FIRST * 2 ** (self.openings - 1)), abs=4)

        def count(self, state: str) -> int:
            rows = database.fetch(
                "select count(*)::int from deliveries where destination = %s and state = %s::delivery_state",
                (self.name, state),
            )
            return int(rows[0][0])

    return Circuit


def test_it_does_as_its_model(module_database: Database) -> None:
    run_state_machine_as_test(
        _machine(module_database),
        settings=settings(
            max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
