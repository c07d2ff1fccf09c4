"""However late it is read and whatever ends how, a day and a month never get more successes than their caps."""

from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.flow.volume import UNBOUNDED, Volume, period_starts

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "America/Havana", "America/Santiago", "Australia/Lord_Howe"]
MOMENTS = st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(moment=MOMENTS, zone=st.sampled_from([*ZONES, "Asia/Kathmandu", "Africa/Cairo", "Pacific/Apia"]))
def test_a_day_and_a_month_begin_where_the_local_date_changes(moment: datetime, zone: str) -> None:
    for begin, part in zip(period_starts(moment, zone), ("%Y-%m-%d", "%Y-%m"), strict=True):
        before, local = begin - timedelta(microseconds=1), moment.astimezone(ZoneInfo(zone))
        assert begin <= moment
        assert begin.utcoffset() == timedelta(0)
        assert begin.astimezone(local.tzinfo).strftime(part) == local.strftime(part)
        assert before.astimezone(local.tzinfo).strftime(part) < local.strftime(part)


@pytest.mark.parametrize(
    ("zone", "moment", "hours"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29, 12, tzinfo=UTC), 23),
        ("Europe/Berlin", datetime(2026, 10, 25, 12, tzinfo=UTC), 25),
        ("America/Santiago", datetime(2026, 9, 6, 12, tzinfo=UTC), 23),  # its first hour does not exist
        ("America/Havana", datetime(2026, 11, 1, 12, tzinfo=UTC), 25),  # its first hour comes twice
    ],
)
def test_days_on_which_the_clocks_change_are_shorter_or_longer(zone: str, moment: datetime, hours: int) -> None:
    begin, _ = period_starts(moment, zone)
    following, _ = period_starts(moment + timedelta(days=1), zone)
    assert following - begin == timedelta(hours=hours)


class Destination(RuleBasedStateMachine):
    """A ledger with its days, a reading that is taken now and then, and dispatches within its room."""

    @initialize(
        daily=st.none() | st.integers(1, 20),
        monthly=st.none() | st.integers(1, 60),
        zone=st.sampled_from(ZONES),
        start=MOMENTS,
    )
    def begin(self, daily: int | None, monthly: int | None, zone: str, start: datetime) -> None:
        self.volume, self.caps, self.zone, self.now = Volume(daily, monthly), (daily, monthly), zone, start
        self.under_way = 0
        self.succeeded: list[datetime] = []

    @rule(seconds=st.sampled_from([0.1, 0.9, 2, 3600, 40_000, 800_000]))
    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def read(self) -> None:
        day, month = period_starts(self.now, self.zone)
        today, this_month = (sum(at >= begin for at in self.succeeded) for begin in (day, month))
        self.volume.counted(self.now.timestamp(), today=today, this_month=this_month, active=self.under_way)
        assert not self.volume.stale(self.now.timestamp())
        if self.under_way == 0:  # nothing is held back without need
            left = [cap - used for cap, used in zip(self.caps, (today, this_month), strict=True) if cap is not None]
            assert self.volume.room() == min(left, default=UNBOUNDED)

    @rule(wanted=st.integers(1, 30))
    def dispatch(self, wanted: int) -> None:
        number = min(wanted, self.volume.room())  # also on an old reading
        self.volume.dispatched(number)
        self.under_way += number

    @rule(part=st.floats(0, 1), seed=st.integers(0, 99))
    def end(self, part: float, seed: int) -> None:
        ended = round(part * self.under_way)
        self.under_way -= ended
        self.succeeded += [self.now] * Random(seed).choice([0, ended // 2, ended, ended])

    @invariant()
    def caps_hold(self) -> None:
        if not hasattr(self, "succeeded"):
            return
        for cap, begin in zip(self.caps, period_starts(self.now, self.zone), strict=True):
            assert cap is None or sum(at >= begin for at in self.succeeded) <= cap


TestCapsHold = Destination.TestCase
TestCapsHold.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_nothing_goes_before_the_first_reading_and_it_is_due_at_once() -> None:
    volume = Volume(10, None)
    assert volume.room() == 0
    assert volume.stale(0.0)


def test_a_reading_is_due_after_a_second() -> None:
    volume = Volume(None, 10)
    volume.counted(100.0, today=3, this_month=3, active=0)
    assert not volume.stale(100.9)
    assert volume.stale(101.1)


def test_without_a_cap_there_is_room_and_nothing_to_read() -> None:
    volume = Volume(None, None)
    volume.dispatched(5)
    assert volume.room() == UNBOUNDED
    assert not volume.stale(1e9)


def test_what_failed_gives_its_room_back_with_the_next_reading() -> None:
    volume = Volume(10, 100)
    volume.counted(0.0, today=0, this_month=0, active=0)
    volume.dispatched(10)
    assert volume.room() == 0
    volume.counted(1.1, today=4, this_month=4, active=2)
    assert volume.room() == 4


def test_a_cap_lowered_below_what_went_leaves_no_room() -> None:
    volume = Volume(5, None)
    volume.counted(0.0, today=9, this_month=9, active=3)
    assert volume.room() == 0
