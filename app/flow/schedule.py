"""When a destination takes leads. Pure.

The rule is what a clock on the destination's wall would say: it is open while that clock reads a time within its hours.
So when the clocks go forward, hours within the skipped time do not take place and longer ones lose it; when they go
back, the time that comes twice is judged alike both times. On a holiday the clock is not asked: it is shut from midnight
to midnight, which ends hours that began the evening before, and the hours that would begin on it do not, also what of
them lies in the next day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.config.flow import DAYS, ScheduleConfig

CLOSES_WITHIN = timedelta(days=8)
"""How far ahead a closing is looked for: all hours of a week, and one more day."""
OPENS_WITHIN = timedelta(days=400)
"""How far ahead an opening is looked for."""
_DAY = timedelta(days=1)
_MIDNIGHT = time()
_EDGE_DAYS = 3
"""What may be shut of the day before a stretch of holidays and of the day after it, and an hour for the clock's change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """A time in which the answer stays the same; `change` is its end, if that is where it changes."""

    begin: datetime
    end: datetime
    change: datetime | None
    is_open: bool


class Schedule:
    """The opening hours of one destination, by the clock of `zone`. Moments are aware datetimes, those returned UTC."""

    def __init__(self, config: ScheduleConfig, zone: str) -> None:
        self._zone = ZoneInfo(zone)
        self._holidays = frozenset(config.holidays)
        self._hours = [
            [(hours.opens, hours.closes) for hours in config.open if day in hours.days] for day in DAYS
        ]  # by weekday, Monday first
        self._marks = sorted({_MIDNIGHT, *(mark for hours in config.open for mark in (hours.opens, hours.closes))})
        self._last = self._look(datetime(1970, 1, 1, tzinfo=UTC))

    def is_open(self, moment: datetime) -> bool:
        """Whether deliveries may go at `moment`."""
        return self._span(moment).is_open

    def closes_at(self, moment: datetime) -> datetime | None:
        """When it closes that is open at `moment`, adjoining hours taken together; `None` if not within 8 days."""
        span = self._span(moment)
        return (span.change or self._next_change(moment, CLOSES_WITHIN)) if span.is_open else None

    def opens_at(self, moment: datetime) -> datetime:
        """When it next opens: `moment` itself if it is open then. Raises `ValueError` if not within 400 days."""
        span = self._span(moment)
        opens = moment.astimezone(UTC) if span.is_open else span.change or self._next_change(moment, OPENS_WITHIN)
        if opens is None:
            raise ValueError("never opens")
        return opens

    def _span(self, moment: datetime) -> _Span:
        span = self._last
        if not span.begin <= moment < span.end:
            self._last = span = self._look(moment)
        return span

    def _look(self, moment: datetime) -> _Span:
        change = self._next_change(moment, CLOSES_WITHIN)
        return _Span(
            begin=moment, end=change or moment + CLOSES_WITHIN, change=change, is_open=self._reads_open(moment)
        )

    def _reads_open(self, moment: datetime) -> bool:
        local = moment.astimezone(self._zone)
        today, clock = local.date(), local.time()
        if today in self._holidays:
            return False
        for opens, closes in self._hours[today.weekday()]:
            if opens <= clock and (clock < closes or closes <= opens):
                return True
        yesterday = today - _DAY
        return yesterday not in self._holidays and any(
            closes <= opens and clock < closes for opens, closes in self._hours[yesterday.weekday()]
        )

    def _next_change(self, moment: datetime, within: timedelta) -> datetime | None:
        """The first instant after `moment` at which it closes, if it is open then, or else opens."""
        is_open, end = self._reads_open(moment), moment + within
        day = moment.astimezone(self._zone).date()
        while True:
            for instant in self._instants(day):
                if instant > end:
                    return None
                if instant > moment and self._reads_open(instant) != is_open:
                    return instant
            day += _DAY

    def _instants(self, day: date) -> Iterator[datetime]:
        """The only instants of a local day at which anything can change, in order: its marks, and a change of offset."""
        begin, end = self._instant(day, _MIDNIGHT, 0), self._instant(day + _DAY, _MIDNIGHT, 0)
        found = {self._instant(day, mark, fold) for mark in self._marks for fold in (0, 1)}
        if begin.astimezone(self._zone).utcoffset() != end.astimezone(self._zone).utcoffset():
            found.add(self._offset_change(begin, end))
        yield from sorted(found)

    def _instant(self, day: date, clock: time, fold: int) -> datetime:
        return datetime.combine(day, clock, tzinfo=self._zone).replace(fold=fold).astimezone(UTC)

    def _offset_change(self, begin: datetime, end: datetime) -> datetime:
        """When between two instants of different offset the clocks are changed; they are on full seconds."""
        offset = begin.astimezone(self._zone).utcoffset()
        low, high = 0, int((end - begin).total_seconds())
        while high - low > 1:
            middle = (low + high) // 2
            same = (begin + timedelta(seconds=middle)).astimezone(self._zone).utcoffset() == offset
            low, high = (middle, high) if same else (low, middle)
        return begin + timedelta(seconds=high)


def complaint(config: ScheduleConfig, zone: str) -> str | None:
    """Why such a schedule would not open for 400 days on end, if it would not; for use before it is applied.

    It has hours on some day of the week at least, so only holidays can do that.
    """
    weekdays = {DAYS.index(day) for hours in config.open for day in hours.days}
    holidays = {day.toordinal() for day in config.holidays}
    day = 0
    for first in sorted(holidays):
        if first < day:  # lies in the stretch seen before
            continue
        begin, day = first, first
        while (begin - 2) % 7 not in weekdays:  # the first of all days, ordinal 1, was a Monday
            begin -= 1
        while day in holidays or (day - 1) % 7 not in weekdays:
            day += 1
        if day - begin > OPENS_WITHIN.days - _EDGE_DAYS:
            last = date.fromordinal(min(day - 1, date.max.toordinal()))
            return (
                f"never opens: the holidays cover every day on which it would, from {date.fromordinal(begin)} to {last} "
                f"({zone})"
            )
    return None
