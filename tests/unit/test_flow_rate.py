"""Whatever a destination does with what it was sent, in no period do more sends begin than were allowed."""

from math import ceil, inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.flow.rate import STEPS, RateWindow


class Truth:
    """Sends as nobody sees them: each begins somewhere between its dispatch and the look that sees its end."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.under_way: list[float] = []
        self.began: list[float] = []
        self.ended: list[tuple[float, int]] = []

    def end(self, now: float, number: int) -> None:
        self.chance.shuffle(self.under_way)
        for _ in range(number):
            dispatched = self.under_way.pop()
            # At the extremes more often than between them: that is where a limit breaks.
            self.began.append(dispatched + (now - dispatched) * self.chance.choice([0.0, 1.0, self.chance.random()]))
        self.ended.append((now, number))

    def minutes(self, now: float, minute: float) -> list[tuple[float, int]]:
        return [(max(0.0, now - ceil(at / minute) * minute), number) for at, number in self.ended]

    def most_in_a_period(self, seconds: float) -> int:
        begins, most, first = sorted(self.began), 0, 0
        for last, begin in enumerate(begins):
            while begins[first] + seconds <= begin:
                first += 1
            most = max(most, last - first + 1)
        return most


@given(
    count=st.integers(1, 20),
    seconds=st.sampled_from([1.0, 10.0, 3600.0]),
    looks=st.lists(
        st.tuples(st.sampled_from([0.0, 0.001, 0.006, 0.25, 0.5, 0.98, 0.995, 1.0, 1.5]), st.floats(0, 1)),
        max_size=60,
    ),  # steps within, across and around a hundredth of the period
    changes=st.sets(st.integers(0, 59), max_size=3),
    start=st.tuples(st.integers(0, 2**32), st.floats(0, 1e6)),
)
def test_in_no_period_do_more_begin_than_the_limit(
    count: int, seconds: float, looks: list[tuple[float, float]], changes: set[int], start: tuple[int, float]
) -> None:
    seed, now = start
    truth, window = Truth(Random(seed)), RateWindow(count, seconds)
    for number, (step, ending) in enumerate(looks):
        now += step * seconds
        ended = round(ending * len(truth.under_way))
        truth.end(now, ended)
        window.ended(now, ended)
        if number in changes:  # another leader, who saw none of it
            window = RateWindow(count, seconds)
            window.recall(now, truth.minutes(now, minute=seconds / 7))
        truth.under_way += [now] * window.room(now, len(truth.under_way))
        assert len(truth.under_way) <= count
    truth.end(now, len(truth.under_way))
    assert truth.most_in_a_period(seconds) <= count


def test_a_limit_is_reached_but_for_the_time_from_dispatch_to_the_end() -> None:
    count, seconds, latency, look, whole = 100, 10.0, 0.5, 0.025, 1000.0
    window, under_way, begun, now = RateWindow(count, seconds), [], 0, 0.0
    while now < whole:
        now += look
        ended = sum(dispatched + latency <= now for dispatched in under_way)
        under_way = under_way[ended:]
        window.ended(now, ended)
        more = window.room(now, len(under_way))
        under_way += [now] * more
        begun += more
    reached = begun / whole
    assert 0.97 * count / (seconds + latency) <= reached <= count / seconds


@given(
    count=st.integers(1, 50),
    active=st.integers(0, 60),
    endings=st.lists(st.tuples(st.floats(0, 3), st.integers(0, 20)), max_size=20),
)
def test_after_the_wait_there_is_room_and_not_before(count: int, active: int, endings: list[tuple[float, int]]) -> None:
    window, now = RateWindow(count, 10.0), 1000.0
    for step, number in endings:
        now += step
        window.ended(now, number)
    wait = window.wait(now, active)
    assert (wait == 0) == (window.room(now, active) > 0)
    if wait == inf:
        assert window.room(now + 1000, active) == 0
        assert active >= count
    elif wait > 0:
        assert window.room(now + wait * 0.999, active) == 0
        assert window.room(now + wait + 1e-9, active) > 0


@given(at=st.floats(0, 1e6), seconds=st.sampled_from([1.0, 7.0, 3600.0, 2_678_400.0]))
def test_what_ended_counts_for_a_whole_period_and_hardly_longer(at: float, seconds: float) -> None:
    window = RateWindow(1, seconds)
    window.ended(at, 1)
    assert window.room(at + 0.9999 * seconds, 0) == 0
    assert window.room(at + 1.0101 * seconds, 0) == 1


def test_memory_does_not_grow_with_the_number_of_endings() -> None:
    window = RateWindow(1_000_000, 10.0)
    for look in range(100_000):
        window.ended(look / 1000, 1)
    assert len(window._ended) <= STEPS + 2
    assert 1_000_000 - window.room(100.0, 0) == pytest.approx(10_000, rel=0.02)


def test_what_is_under_way_beyond_a_lowered_limit_leaves_no_room() -> None:
    window = RateWindow(5, 1.0)
    assert window.room(0.0, 100) == 0
    assert window.wait(0.0, 100) == inf


def test_what_the_ledger_recalls_replaces_what_was_seen() -> None:
    window = RateWindow(10, 60.0)
    window.ended(1000.0, 4)
    for _ in range(2):
        window.recall(1000.0, [(0.0, 1), (59.0, 2), (30.0, 3), (61.0, 50)])
    assert window.room(1000.0, 0) == 4
    assert window.wait(1000.0, 4) == pytest.approx(1.0, abs=60.0 / STEPS)
