"""After an outage a destination gets more and more, never less, and in the end its whole window."""

from hypothesis import given
from hypothesis import strategies as st

from app.flow.ramp import ramp


@given(
    window=st.integers(1, 100_000),
    least=st.integers(0, 512),
    ramp_seconds=st.floats(0, 3600),
    since=st.lists(st.floats(-10, 4000), min_size=2, max_size=2).map(sorted),
)
def test_it_grows_from_the_least_to_the_window(
    window: int, least: int, ramp_seconds: float, since: list[float]
) -> None:
    before, after = (ramp(window, least=least, since_seconds=at, ramp_seconds=ramp_seconds) for at in since)
    assert min(max(1, least), window) <= before <= after <= window
    assert ramp(window, least=least, since_seconds=ramp_seconds, ramp_seconds=ramp_seconds) == window


def test_it_doubles_in_equal_times() -> None:
    assert [ramp(1024, least=16, since_seconds=at, ramp_seconds=6) for at in range(7)] == [
        16, 32, 64, 128, 256, 512, 1024,
    ]  # fmt: skip


def test_without_a_ramp_the_window_is_there_at_once() -> None:
    assert ramp(1000, least=8, since_seconds=0, ramp_seconds=0) == 1000
    assert ramp(1000, least=8, since_seconds=-0.1, ramp_seconds=0) == 1000
