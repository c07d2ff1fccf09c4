"""The limit finds a destination's capacity, whether it refuses or queues, and stays within its bounds whatever comes."""

from collections.abc import Callable
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.flow.adaptive import Adaptive

Answer = Callable[[int], tuple[int, float]]
"""What a destination makes of so many at once: how many it refuses, and its mean latency."""


def refusing(capacity: int) -> Answer:
    return lambda at_once: (max(0, at_once - capacity), 100.0)


def queueing(capacity: int, base_ms: float = 100.0) -> Answer:
    return lambda at_once: (0, base_ms * max(1.0, at_once / capacity))


def run(adaptive: Adaptive, answer: Answer, observations: int) -> list[int]:
    """The limits it takes with endless work."""
    limits = []
    for _ in range(observations):
        refused, mean_ms = answer(adaptive.limit)
        adaptive.observe(adaptive.limit * 10, refused, mean_ms, in_use=True)
        limits.append(adaptive.limit)
    return limits


@given(
    most=st.integers(1, 10_000),
    start=st.integers(0, 1000),
    seen=st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.floats(0, 1e6), st.booleans()),
        max_size=200,
    ),
)
def test_the_limit_never_leaves_its_bounds(most: int, start: int, seen: list[tuple[int, int, float, bool]]) -> None:
    adaptive = Adaptive(most, start=start)
    assert 1 <= adaptive.limit <= most
    for attempts, refused, mean_ms, in_use in seen:
        before = adaptive.limit
        adaptive.observe(attempts, refused, mean_ms, in_use=in_use)
        assert 1 <= adaptive.limit <= most
        if not in_use:
            assert adaptive.limit <= before


@pytest.mark.parametrize("capacity", [4, 20, 100, 900])
def test_it_settles_below_what_is_refused(capacity: int) -> None:
    limits = run(Adaptive(1000), refusing(capacity), 400)[200:]
    assert 0.7 * capacity <= mean(limits) <= 1.1 * capacity + 0.5
    assert max(limits) <= 1.5 * capacity + 1


@pytest.mark.parametrize("capacity", [4, 20, 100, 400])
def test_it_settles_where_a_queue_begins_and_does_not_creep_upwards(capacity: int) -> None:
    limits = run(Adaptive(10_000), queueing(capacity), 3000)[1000:]
    assert 0.9 * capacity <= mean(limits) <= 2.5 * capacity
    assert max(limits) <= 4 * capacity
    assert mean(min(limit, capacity) for limit in limits) >= 0.95 * capacity  # little is lost on looking


def test_it_comes_back_when_the_destination_became_slower_for_good() -> None:
    adaptive = Adaptive(1000)
    run(adaptive, queueing(100, base_ms=50.0), 300)
    limits = run(adaptive, queueing(100, base_ms=400.0), 300)
    assert min(limits) < 70
    assert mean(min(limit, 100) for limit in limits[100:]) >= 95


def test_it_doubles_until_the_first_refusal_and_then_goes_by_steps() -> None:
    adaptive = Adaptive(1000, start=16)
    assert run(adaptive, refusing(100), 3) == [32, 64, 128]
    assert run(adaptive, refusing(100), 3) == [89, 94, 99]


def test_a_limit_that_is_not_in_use_is_not_raised() -> None:
    adaptive = Adaptive(1000, start=16)
    for _ in range(10):
        adaptive.observe(5, 0, 100.0, in_use=False)
    assert adaptive.limit == 16


def test_slowness_of_a_limit_that_is_not_in_use_lowers_nothing() -> None:
    adaptive = Adaptive(1000, start=16)
    adaptive.observe(5, 0, 100.0, in_use=False)
    for _ in range(100):
        adaptive.observe(5, 0, 900.0, in_use=False)
    assert adaptive.limit == 16


def test_what_was_sent_before_a_decrease_does_not_decrease_it_again() -> None:
    adaptive = Adaptive(1000, start=100)
    for _ in range(6):  # five seconds of time-outs of what was under way
        adaptive.observe(20, 20, 5000.0, in_use=True)
    assert adaptive.limit == 70
    adaptive.observe(20, 20, 5000.0, in_use=True)
    assert adaptive.limit == 49


def test_seconds_without_an_answer_tell_nothing() -> None:
    adaptive = Adaptive(1000, start=16)
    adaptive.observe(0, 0, 0.0, in_use=True)
    assert adaptive.limit == 16
    assert run(adaptive, queueing(1000), 1) == [32]
