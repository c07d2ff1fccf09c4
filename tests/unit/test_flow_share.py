"""Nothing of the room is lost, fresh leads get most of it, nobody starves."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.flow.share import Lane, leftover, split
from app.model import Priority

LANES = st.lists(st.builds(Lane, st.sampled_from(list(Priority)), st.sampled_from("abcdefgh")), max_size=12)


def lanes(fresh: int, backfill: int) -> list[Lane]:
    return [Lane("fresh", f"f{number}") for number in range(fresh)] + [
        Lane("backfill", f"b{number}") for number in range(backfill)
    ]


def over(turns: Sequence[int], room: int, among: Sequence[Lane]) -> Counter[Lane]:
    given_out: Counter[Lane] = Counter()
    for turn in turns:
        given_out.update(split(room, among, turn))
    return given_out


@given(room=st.integers(0, 100_000), among=LANES, turn=st.integers(0, 2**40))
def test_the_shares_add_up_to_the_room(room: int, among: list[Lane], turn: int) -> None:
    shares = split(room, among, turn)
    assert set(shares) == set(among)
    assert sum(shares.values()) == (room if among else 0)
    assert all(share >= 0 for share in shares.values())


@given(room=st.integers(0, 100_000), among=LANES, turn=st.integers(0, 2**40))
def test_lanes_of_one_class_differ_by_one_at_most(room: int, among: list[Lane], turn: int) -> None:
    shares = split(room, among, turn)
    for priority in Priority:
        of_class = [share for lane, share in shares.items() if lane.priority == priority]
        assert max(of_class, default=0) - min(of_class, default=0) <= 1


def drawn(wanted: float) -> float:
    """How far the lot may be from what is wanted: six standard deviations."""
    return 6 * sqrt(wanted)


@given(
    room=st.integers(1, 40),
    fresh=st.integers(1, 5),
    backfill=st.integers(1, 5),
    first=st.integers(0, 10**9),
    every=st.integers(1, 60),
)
@settings(max_examples=40, deadline=None)
def test_over_many_turns_backfill_gets_a_tenth_and_sources_the_same(
    room: int, fresh: int, backfill: int, first: int, every: int
) -> None:
    turns = range(first, first + 3000 * every, every)  # also when it waits at each tenth look only
    given_out = over(turns, room, lanes(fresh, backfill))
    whole = room * len(turns)
    to_backfill = sum(share for lane, share in given_out.items() if lane.priority == "backfill")
    assert to_backfill == pytest.approx(whole / 10, abs=drawn(whole / 10))
    for lane, share in given_out.items():
        wanted = whole * 0.9 / fresh if lane.priority == "fresh" else whole * 0.1 / backfill
        assert share == pytest.approx(wanted, abs=drawn(wanted))


def test_a_room_of_one_goes_to_backfill_before_long() -> None:
    for every in range(1, 200, 6):
        turns = range(0, 2000 * every, every)
        hits = [place for place, turn in enumerate(turns) if split(1, lanes(1, 1), turn)[Lane("backfill", "b0")]]
        assert max(after - before for before, after in pairwise(hits)) <= 150


@pytest.mark.parametrize("among", [lanes(2, 0), lanes(0, 2)])
def test_a_class_that_waits_alone_gets_everything(among: list[Lane]) -> None:
    assert list(split(10, among, 3).values()) == [5, 5]


def test_ten_and_more_leave_backfill_something_in_each_turn() -> None:
    assert all(split(10, lanes(4, 1), turn)[Lane("backfill", "b0")] == 1 for turn in range(50))


def test_what_one_lane_leaves_goes_to_those_that_want_more() -> None:
    a, b, c = Lane("fresh", "a"), Lane("fresh", "b"), Lane("backfill", "c")
    assert leftover({a: 5, b: 4, c: 1}, {a: 5, b: 1}) == (4, [a])
    assert leftover({a: 1, b: 0}, {a: 1}) == (0, [a, b])
