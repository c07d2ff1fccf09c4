"""Open exactly while the clock on the destination's wall reads a time within its hours, also where clocks change."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.config.flow import DAYS, HoursConfig, ScheduleConfig
from app.flow.schedule import CLOSES_WITHIN, Schedule, complaint

QUARTER = timedelta(minutes=15)
"""Marks, changes of offset and the moments that are tried all lie on quarters: so going by these is exact."""
ZONES = ["Europe/Berlin", "America/New_York", "America/Havana", "America/Santiago", "Australia/Lord_Howe"]
# Nights in 2026 in which one of them changes its clocks, and an ordinary one.
NIGHTS = ["03-29", "10-25", "03-08", "11-01", "04-05", "09-06", "10-04", "07-15"]

clocks = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 45]))
hours = st.builds(HoursConfig, days=st.lists(st.sampled_from(DAYS), min_size=1), opens=clocks, closes=clocks)


def office(**changes: object) -> ScheduleConfig:
    week = {"days": ["mon-fri"], "opens": "9:00", "closes": "17:00"}
    return ScheduleConfig.model_validate({"open": [week], **changes})


def reads_open(config: ScheduleConfig, zone: str, moment: datetime) -> bool:
    """The oracle: the wall clock's reading, against each hours of today and yesterday cut at holidays."""
    reading = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
    for day in (reading.date(), reading.date() - timedelta(days=1)):
        if day in config.holidays:
            continue
        following = day + timedelta(days=1)
        for span in config.open:
            begin, end = datetime.combine(day, span.opens), datetime.combine(day, span.closes)
            if end <= begin:
                end += timedelta(days=1)
            if following in config.holidays:
                end = min(end, datetime.combine(following, time()))
            if DAYS[day.weekday()] in span.days and begin <= reading < end:
                return True
    return False


@given(
    zone=st.sampled_from(ZONES),
    night=st.sampled_from(NIGHTS),
    spans=st.lists(hours, min_size=1, max_size=3),
    holidays=st.lists(st.integers(-3, 6), max_size=3),
    at=st.integers(-2 * 96, 3 * 96),
)
@settings(max_examples=100, deadline=None)
def test_it_agrees_with_the_clock_on_the_wall(
    zone: str, night: str, spans: list[HoursConfig], holidays: list[int], at: int
) -> None:
    midnight = datetime.fromisoformat(f"2026-{night}T00:00:00+00:00")
    days = [midnight.date() + timedelta(days=day) for day in holidays]
    config = ScheduleConfig(open=spans, holidays=days)
    schedule, moment = Schedule(config, zone), midnight + at * QUARTER
    ahead = [moment + number * QUARTER for number in range(CLOSES_WITHIN // QUARTER + 1)]
    truth = [reads_open(config, zone, instant) for instant in ahead]
    change = next((instant for instant, is_open in zip(ahead, truth, strict=True) if is_open != truth[0]), None)

    assert schedule.is_open(moment) is truth[0]
    if truth[0]:
        assert schedule.closes_at(moment) == change
        assert schedule.opens_at(moment) == moment
    else:
        assert schedule.closes_at(moment) is None
        opens = schedule.opens_at(moment)
        assert opens == change if change else opens > ahead[-1]
    told = list(zip(ahead, truth, strict=True))
    # Forth, and then back: what it remembers of later moments must not tell of earlier ones.
    wrong = [instant for instant, is_open in told + told[::-29] if schedule.is_open(instant) is not is_open]
    assert not wrong[:3]


def berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_office_hours_are_those_of_the_time_zone() -> None:
    schedule = Schedule(office(), "Europe/Berlin")
    friday = berlin("2026-07-10T16:59:59+02:00")
    assert schedule.is_open(friday)
    assert schedule.closes_at(friday) == berlin("2026-07-10T17:00+02:00")
    assert not schedule.is_open(berlin("2026-07-10T17:00+02:00"))
    assert schedule.opens_at(berlin("2026-07-10T17:00+02:00")) == berlin("2026-07-13T09:00+02:00")


def test_hours_that_adjoin_are_one() -> None:
    parts = [{"opens": "8:00", "closes": "12:00"}, {"opens": "12:00", "closes": "20:00"}]
    schedule = Schedule(ScheduleConfig.model_validate({"open": parts}), "UTC")
    assert schedule.closes_at(datetime(2026, 7, 10, 9, tzinfo=UTC)) == datetime(2026, 7, 10, 20, tzinfo=UTC)


def test_hours_on_each_whole_day_never_close() -> None:
    schedule = Schedule(ScheduleConfig(), "America/New_York")
    assert schedule.closes_at(datetime(2026, 3, 7, tzinfo=UTC)) is None
    assert schedule.closes_at(datetime(2026, 3, 14, 23, tzinfo=UTC)) is None


def test_a_closing_more_than_eight_days_ahead_is_told_once_it_is_near() -> None:
    schedule = Schedule(ScheduleConfig(holidays=[date(2026, 7, 20)]), "UTC")
    assert schedule.closes_at(datetime(2026, 7, 10, tzinfo=UTC)) is None
    assert schedule.closes_at(datetime(2026, 7, 13, tzinfo=UTC)) == datetime(2026, 7, 20, tzinfo=UTC)


def test_a_holiday_is_shut_from_midnight_to_midnight_and_its_night_does_not_begin() -> None:
    night = ScheduleConfig.model_validate({"open": [{"opens": "20:00", "closes": "6:00"}], "holidays": ["2026-07-15"]})
    schedule = Schedule(night, "Europe/Berlin")
    evening_before = berlin("2026-07-14T22:00+02:00")
    assert schedule.closes_at(evening_before) == berlin("2026-07-15T00:00+02:00")
    assert not schedule.is_open(berlin("2026-07-15T03:00+02:00"))
    assert schedule.opens_at(berlin("2026-07-15T00:00+02:00")) == berlin("2026-07-16T20:00+02:00")


def test_hours_within_the_skipped_hour_do_not_take_place() -> None:
    config = ScheduleConfig.model_validate({"open": [{"opens": "2:15", "closes": "2:45"}]})
    schedule = Schedule(config, "Europe/Berlin")
    assert schedule.opens_at(berlin("2026-03-28T12:00+01:00")) == berlin("2026-03-30T02:15+02:00")


def test_hours_that_reach_into_the_skipped_hour_end_with_it() -> None:
    config = ScheduleConfig.model_validate({"open": [{"opens": "1:00", "closes": "2:30"}]})
    schedule = Schedule(config, "America/New_York")
    opened = schedule.opens_at(datetime(2026, 3, 8, 0, tzinfo=UTC))
    assert opened == datetime.fromisoformat("2026-03-08T01:00-05:00")
    assert schedule.closes_at(opened) == datetime.fromisoformat("2026-03-08T03:00-04:00")


def test_a_time_that_comes_twice_is_judged_alike_both_times() -> None:
    config = ScheduleConfig.model_validate({"open": [{"opens": "1:00", "closes": "2:30"}]})
    schedule = Schedule(config, "Europe/Berlin")
    moment = berlin("2026-10-25T01:00+02:00")
    assert schedule.closes_at(moment) == berlin("2026-10-25T02:30+02:00")
    assert schedule.opens_at(berlin("2026-10-25T02:30+02:00")) == berlin("2026-10-25T02:00+01:00")
    assert schedule.closes_at(berlin("2026-10-25T02:00+01:00")) == berlin("2026-10-25T02:30+01:00")


def saturdays(count: int) -> ScheduleConfig:
    first = date(2026, 1, 3)
    return office(open=[{"days": ["sat"]}], holidays=[first + timedelta(weeks=week) for week in range(count)])


def test_holidays_that_cover_every_opening_day_for_long_are_complained_of() -> None:
    complained = complaint(saturdays(60), "Europe/Berlin")
    assert complained is not None
    assert "never opens" in complained
    assert "from 2025-12-28 to 2027-02-26" in complained
    with pytest.raises(ValueError, match="never opens"):
        Schedule(saturdays(60), "Europe/Berlin").opens_at(datetime(2025, 12, 28, tzinfo=UTC))


@given(weeks=st.integers(55, 59), zone=st.sampled_from(ZONES), minutes=st.integers(-1440 * 9, 0))
def test_a_schedule_without_complaint_always_opens_again(weeks: int, zone: str, minutes: int) -> None:
    config = saturdays(weeks)
    moment = datetime(2026, 1, 3, tzinfo=UTC) + timedelta(minutes=minutes)
    schedule = Schedule(config, zone)
    if complaint(config, zone) is None:
        assert schedule.is_open(schedule.opens_at(moment))


@pytest.mark.parametrize(
    "config", [ScheduleConfig(), office(), saturdays(40), office(holidays=["2026-12-25", "2026-12-26", "9999-12-31"])]
)
def test_ordinary_schedules_are_not_complained_of(config: ScheduleConfig) -> None:
    assert complaint(config, "UTC") is None


def test_hours_with_an_offset_of_their_own_are_refused() -> None:
    with pytest.raises(ValidationError, match="leave out the offset"):
        HoursConfig(opens="09:00+02:00")
