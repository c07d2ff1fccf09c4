"""The retry planner as a state machine: one delivery, whatever its destination says, however it ages."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from app.config.schema import RetryConfig
from app.model import Fault, Next, Outcome, Result, State
from app.policy import next_state

RETRIES = st.builds(
    lambda base, longest, deadline, **more: RetryConfig(
        base_seconds=base, max_seconds=base * longest, deadline_seconds=base * deadline, **more
    ),
    base=st.floats(0.1, 60),
    longest=st.floats(1, 20),
    deadline=st.floats(1, 1000),
    attempts=st.integers(1, 12),
    jitter=st.floats(0, 1),
    on_ambiguous=st.sampled_from(["retry", "hold"]),
)


class RetryMachine(RuleBasedStateMachine):
    """A delivery is tried, waits as long as it was told, and is tried again until it goes nowhere any more."""

    @initialize(retry=RETRIES)
    def begin(self, retry: RetryConfig) -> None:
        self.retry, self.tries, self.age, self.state = retry, 0, 0.0, State.READY

    def _try(self, outcome: Outcome, took: float, chance: float) -> Next:
        self.tries, self.age = self.tries + 1, self.age + took
        found = next_state(
            outcome, tries=self.tries, age_seconds=self.age, retry=self.retry, destination="a", chance=chance
        )
        self.state = found.state
        if found.state is State.READY:
            assert 0 <= found.due_in_seconds <= self.retry.max_seconds * (1 + self.retry.jitter)
            self.age += found.due_in_seconds
            assert self.tries < self.retry.attempts, "more attempts than it may have"
            assert self.age <= self.retry.deadline_seconds, "it would be tried after its deadline"
        return found

    @precondition(lambda self: self.state is State.READY)
    @rule(took=st.floats(0, 30), chance=st.floats(0, 1, exclude_max=True), asked=st.none() | st.floats(-10, 1e9))
    def fail_for_a_while(self, took: float, chance: float, asked: float | None) -> None:
        found = self._try(Outcome(result=Result.ERROR, fault=Fault.TRANSIENT, retry_after=asked), took, chance)
        assert found.state in {State.READY, State.DEAD}
        if found.state is State.READY and asked is None:
            least = min(self.retry.base_seconds * 2.0 ** (self.tries - 1), self.retry.max_seconds)
            assert found.due_in_seconds >= least, "sooner than its back-off"

    @precondition(lambda self: self.state is State.READY)
    @rule(took=st.floats(0, 30))
    def lose_the_answer(self, took: float) -> None:
        found = self._try(Outcome(result=Result.ERROR, fault=Fault.TRANSIENT, ambiguous=True), took, 0.5)
        assert (found.state is State.HELD) == (self.retry.on_ambiguous == "hold")

    @precondition(lambda self: self.state is State.READY)
    @rule(fault=st.sampled_from([Fault.PERMANENT, Fault.DATA, Fault.CONFIGURATION]))
    def fail_for_good(self, fault: Fault) -> None:
        found = self._try(Outcome(result=Result.ERROR, fault=fault), 0.0, 0.5)
        assert found.state is (State.HELD if fault is Fault.CONFIGURATION else State.DEAD)

    @precondition(lambda self: self.state is State.READY)
    @rule(result=st.sampled_from([Result.SUCCESS, Result.FAILURE]))
    def answer(self, result: Result) -> None:
        found = self._try(Outcome(result=result), 0.0, 0.5)
        assert found.state is (State.DELIVERED if result is Result.SUCCESS else State.REJECTED)

    @precondition(lambda self: self.state is not State.READY)
    @rule()
    def replay(self) -> None:
        """A person sends it again with a fresh budget."""
        self.tries, self.age, self.state = 0, 0.0, State.READY


def test_a_delivery_is_tried_as_often_as_it_may_be_and_never_after_its_deadline() -> None:
    run_state_machine_as_test(RetryMachine, settings=settings(max_examples=60, stateful_step_count=15, deadline=None))
