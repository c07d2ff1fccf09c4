"""Outcome to next state: the table of the policy, and its bounds."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.schema import RetryConfig
from app.model import TRANSITIONS, Fault, Outcome, Result, State
from app.policy import backoff, fingerprint, next_state

RETRY = RetryConfig(attempts=3, base_seconds=10, max_seconds=60, jitter=0.5, deadline_seconds=3600)


def decide(outcome: Outcome, *, tries: int = 1, age: float = 0.0, retry: RetryConfig = RETRY) -> State:
    return next_state(outcome, tries=tries, age_seconds=age, retry=retry, destination="a", chance=0.0).state


def error(fault: Fault, *, ambiguous: bool = False, retry_after: float | None = None) -> Outcome:
    return Outcome(result=Result.ERROR, fault=fault, reason="why", ambiguous=ambiguous, retry_after=retry_after)


def test_a_success_is_delivered() -> None:
    assert decide(Outcome(result=Result.SUCCESS, price=Decimal(5))) is State.DELIVERED


def test_a_business_rejection_is_final_at_once() -> None:
    assert decide(Outcome(result=Result.FAILURE)) is State.REJECTED


def test_a_transient_error_is_retried_until_attempts_run_out() -> None:
    assert [decide(error(Fault.TRANSIENT), tries=tries) for tries in (1, 2, 3)] == [
        State.READY,
        State.READY,
        State.DEAD,
    ]


def test_a_retry_that_would_come_after_the_deadline_is_not_waited_for() -> None:
    assert decide(error(Fault.TRANSIENT), age=3595.0) is State.DEAD


@pytest.mark.parametrize("fault", [Fault.PERMANENT, Fault.DATA])
def test_permanent_and_data_errors_are_dead_at_once(fault: Fault) -> None:
    assert decide(error(fault)) is State.DEAD


def test_a_configuration_error_is_held_however_often_it_was_tried() -> None:
    assert decide(error(Fault.CONFIGURATION), tries=99, age=1e9) is State.HELD


def test_an_ambiguous_error_is_retried_or_held_as_configured() -> None:
    ambiguous = error(Fault.TRANSIENT, ambiguous=True)
    assert decide(ambiguous) is State.READY
    assert decide(ambiguous, retry=RETRY.model_copy(update={"on_ambiguous": "hold"})) is State.HELD


def test_waits_double_and_are_clamped() -> None:
    assert [backoff(tries, None, RETRY, 0.0) for tries in range(1, 6)] == [10, 20, 40, 60, 60]


def test_retry_after_is_kept_but_clamped() -> None:
    assert backoff(1, 25.0, RETRY, 0.0) == 25
    assert backoff(1, 1e9, RETRY, 0.0) == 60


def test_a_destination_that_asks_for_no_wait_gets_the_shortest() -> None:
    assert [backoff(tries, 0.0, RETRY, 0.0) for tries in (1, 4)] == [10, 10]
    assert backoff(1, -5.0, RETRY, 0.0) == 10


outcomes = st.one_of(
    st.builds(Outcome, result=st.sampled_from([Result.SUCCESS, Result.FAILURE])),
    st.builds(
        Outcome,
        result=st.just(Result.ERROR),
        fault=st.sampled_from([fault for fault in Fault if fault is not Fault.SYSTEM]),
        reason=st.none() | st.text(max_size=50),
        ambiguous=st.booleans(),
        retry_after=st.none() | st.floats(min_value=0, max_value=1e12),
    ),
)


@given(outcomes, st.integers(1, 200), st.floats(0, 1e8), st.floats(0, 0.999), st.sampled_from(["retry", "hold"]))
def test_every_outcome_leads_to_a_declared_transition_within_bounds(
    outcome: Outcome, tries: int, age: float, chance: float, on_ambiguous: str
) -> None:
    retry = RETRY.model_copy(update={"on_ambiguous": on_ambiguous})
    found = next_state(outcome, tries=tries, age_seconds=age, retry=retry, destination="a", chance=chance)
    assert found.state in TRANSITIONS[State.DELIVERING]
    assert 0 <= found.due_in_seconds <= RETRY.max_seconds * (1 + RETRY.jitter)
    if found.state is State.READY:
        assert tries < RETRY.attempts
        assert age + found.due_in_seconds <= RETRY.deadline_seconds


def test_fingerprints_group_what_differs_only_in_its_particulars() -> None:
    def mark(reason: str, destination: str = "a") -> str:
        return fingerprint(destination, Outcome(result=Result.ERROR, fault=Fault.DATA, reason=reason))

    assert mark("phone '555-0100' of lead 123 is bad") == mark("phone '555-0199' of lead 99871 is bad")
    assert mark("no such id 01a207f1-e98a-728f-9ab0-92f82d516aa5") == mark(
        "no such id 01a207f2-1fed-73c0-8a76-0cdfc406531a"
    )
    assert mark("ann@example.com is blocked") == mark("bob@example.org is blocked")
    assert mark("phone is bad") != mark("email is bad")
    assert mark("phone is bad") != mark("phone is bad", destination="b")
