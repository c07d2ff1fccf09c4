"""A fast destination earns its window, a hanging one is left with little, an idle one keeps what it earned."""

from hypothesis import given
from hypothesis import strategies as st

from app.flow.pace import AHEAD_SECONDS, START_PER_SECOND, Pace

THREADS = 64


def run(pace: Pace, *, turns: int, step: float, finishes: float, window: int = 1000, least: int = 8) -> int:
    """Let a destination with endless work finish `finishes` a second; what is allowed in the end."""
    now, active, allowed = pace.looked_at, pace.under_way, 0
    for _ in range(turns):
        now += step
        active -= min(active, round(finishes * step))
        allowed = pace.allowance(now=now, active=active, delivering=active, least=least)
        more = max(0, min(window, allowed) - active)
        pace.dispatched(more)
        active += more
    return allowed


def test_a_fast_destination_earns_its_whole_window_within_half_a_second() -> None:
    assert run(Pace(looked_at=0.0, threads=THREADS), turns=20, step=0.025, finishes=5000.0) >= 1000


def test_a_hanging_destination_is_left_with_the_least_there_is() -> None:
    pace = Pace(looked_at=0.0, threads=THREADS)
    assert run(pace, turns=1, step=1.0, finishes=0.0) <= AHEAD_SECONDS * START_PER_SECOND
    assert run(pace, turns=40, step=1.0, finishes=0.0) == 8


def test_a_slow_destination_is_given_a_few_seconds_of_its_speed() -> None:
    allowed = run(Pace(looked_at=0.0, threads=THREADS), turns=120, step=0.5, finishes=16.0)
    assert 16 * AHEAD_SECONDS * 0.8 <= allowed <= 16 * AHEAD_SECONDS * 1.3


def test_one_that_recovers_is_back_at_speed_at_once() -> None:
    pace = Pace(looked_at=0.0, threads=THREADS)
    run(pace, turns=60, step=1.0, finishes=0.0)
    assert run(pace, turns=40, step=0.025, finishes=5000.0) >= 1000


def test_an_idle_destination_keeps_what_it_earned() -> None:
    pace = Pace(looked_at=0.0, threads=THREADS)
    earned = run(pace, turns=40, step=0.025, finishes=5000.0)
    pace.allowance(now=pace.looked_at + 0.025, active=0, delivering=0, least=8)
    assert pace.allowance(now=pace.looked_at + 3600, active=0, delivering=0, least=8) >= earned / 2


def test_looks_that_saw_nothing_end_are_counted_until_something_does() -> None:
    pace = Pace(looked_at=0.0, threads=THREADS)
    run(pace, turns=4, step=1.0, finishes=0.0)
    assert pace.still == 3, "at the first look there was nothing to see"
    run(pace, turns=1, step=1.0, finishes=10.0)
    assert pace.still == 0


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(0, 5000), st.integers(0, 5000)), max_size=50), st.integers(1, 256)
)
def test_whatever_is_seen_the_allowance_is_never_below_the_least(
    looks: list[tuple[float, int, int]], least: int
) -> None:
    pace, now = Pace(looked_at=0.0, threads=THREADS), 0.0
    for passed, active, dispatched in looks:
        now += passed
        assert pace.allowance(now=now, active=active, delivering=active, least=least) >= min(least, active)
        pace.dispatched(dispatched)


def test_what_only_waits_behind_others_says_nothing_of_a_destination() -> None:
    pace = Pace(looked_at=0.0, threads=THREADS)
    pace.dispatched(50)
    for second in range(1, 60):
        allowed = pace.allowance(now=float(second), active=50, delivering=0, least=8)
    assert allowed == AHEAD_SECONDS * START_PER_SECOND
    assert pace.allowance(now=120.0, active=50, delivering=1, least=8) < 50


def test_what_comes_back_unsent_says_nothing_of_a_destination() -> None:
    pace = Pace(looked_at=0.0, threads=THREADS)
    pace.dispatched(200)
    assert pace.allowance(now=1.0, active=0, delivering=0, least=8, unsent=200) == AHEAD_SECONDS * START_PER_SECOND
    pace.dispatched(200)
    pace.allowance(now=2.0, active=0, delivering=0, least=8, unsent=120)
    assert pace.per_second == 80, "that of those which ended"


def test_a_trickle_for_a_destination_that_hangs_is_gathered_into_few_messages() -> None:
    pace, active = Pace(looked_at=0.0, threads=THREADS), 0
    for look in range(1, 100):
        if pace.allowance(now=look * 0.025, active=active, delivering=active, least=16) > active:
            pace.dispatched(1)
            active += 1
    assert active == THREADS / 8


def test_what_ended_all_it_was_given_has_forgotten_nothing_however_late_that_is_seen() -> None:
    pace = Pace(looked_at=0.0, threads=THREADS)
    pace.dispatched(10)
    assert pace.allowance(now=60.0, active=0, delivering=0, least=8) == AHEAD_SECONDS * START_PER_SECOND


def test_of_a_worker_with_few_threads_a_destination_that_hangs_holds_one() -> None:
    pace = Pace(looked_at=0.0, threads=4)
    pace.dispatched(1)
    assert pace.allowance(now=0.1, active=1, delivering=1, least=16) == 1


def test_one_message_that_ended_makes_room_for_another() -> None:
    pace = Pace(looked_at=0.0, threads=THREADS)
    for _ in range(THREADS // 8):
        pace.dispatched(10, messages=1)
    assert pace.allowance(now=1.0, active=80, delivering=80, least=16) == 80
    assert pace.allowance(now=2.0, active=70, delivering=70, least=16) > 70
