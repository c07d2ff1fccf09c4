"""What integrators write about how much, how fast, when, and where to instead.

Plain data of a destination, checked as far as its own text tells; `app.flow` turns it into decisions.
"""

import re
from datetime import date, time
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from app.config.base import Name, Strict

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_RATE = re.compile(r"([0-9]{1,9}) ?/ ?([0-9]{0,6}) ?(s|min|h|d)")
_UNIT_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_LONGEST_SECONDS = 31 * 86_400


def parse_rate(text: str) -> tuple[int, int]:
    """How many in how many seconds: `10/s`, `100/10s`, `2000/h`; raises `ValueError` that says what is allowed."""
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"'{text}' is not a rate: write how many in which time, as 10/s, 100/10s, 600/min or 2000/h")
    count, seconds = int(found[1]), int(found[2] or 1) * _UNIT_SECONDS[found[3]]
    if count == 0 or seconds == 0:
        raise ValueError(f"the rate '{text}' lets nothing go; to stop a destination, pause it")
    if seconds > _LONGEST_SECONDS:
        raise ValueError(f"the rate '{text}' spans more than 31 days; use volume.monthly")
    return count, seconds


def _rate(value: Any) -> Any:
    parse_rate(str(value))
    return value


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"'{name}' is not a time zone of the IANA database, such as America/New_York") from None
    return name


def _days(value: Any) -> Any:
    """`mon-fri` and `sat` as well as a list of days."""
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, list):
        return value
    found: list[Any] = []
    for part in parts:
        first, dash, last = part.partition("-") if isinstance(part, str) else (part, "", "")
        if dash and first in DAYS and last in DAYS:
            begin, end = DAYS.index(first), DAYS.index(last)
            found += [DAYS[place % 7] for place in range(begin, end + 1 if end >= begin else end + 8)]
        else:
            found.append(part)
    return found


def _clock(value: Any) -> Any:
    """`9:00` as well as `09:00`; YAML 1.1 reads an unquoted 17:30 as 1050, the minutes since midnight."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return time(value // 60, value % 60)
    return f"0{value}" if isinstance(value, str) and len(value) == len("9:00") else value


def _zoneless(clock: time) -> time:
    if clock.tzinfo is not None:
        raise ValueError("hours are told by the destination's time_zone: leave out the offset")
    return clock


Rate = Annotated[str, BeforeValidator(_rate)]
Rates = Annotated[
    list[Rate],
    BeforeValidator(
        lambda value: value if isinstance(value, list) else [value], json_schema_input_type=Rate | list[Rate]
    ),
]
TimeZone = Annotated[str, AfterValidator(_zone)]
Clock = Annotated[time, BeforeValidator(_clock), AfterValidator(_zoneless)]


class HoursConfig(Strict):
    """Hours of some days of the week."""

    days: Annotated[list[Day], BeforeValidator(_days, json_schema_input_type=str | list[str])] = Field(
        list(DAYS), min_length=1
    )
    """Days: a list, or a range such as mon-fri."""
    opens: Clock = time(0, 0)
    """When deliveries may begin to go, on the destination's clock."""
    closes: Clock = time(0, 0)
    """When they cease to; earlier than `opens`, or the same, is on the next day. 00:00 is midnight."""


class ScheduleConfig(Strict):
    """When a destination takes leads; outside of it they wait, and no attempt is made."""

    open: list[HoursConfig] = Field([HoursConfig()], min_length=1)
    """Opening hours; several are added up."""
    holidays: list[date] = []
    """Days on which it opens at no hour."""


class VolumeConfig(Strict):
    """How many leads a destination takes; only successes count."""

    daily: int | None = Field(None, ge=1)
    """Most successes from midnight to midnight of the destination's time zone."""
    monthly: int | None = Field(None, ge=1)
    """Most successes in a calendar month of the destination's time zone."""

    @model_validator(mode="after")
    def _fits_together(self) -> "VolumeConfig":
        if self.daily is not None and self.monthly is not None and self.daily > self.monthly:
            raise ValueError("daily must not be above monthly")
        return self


class CircuitConfig(Strict):
    """When a destination that fails is left alone, and how it is tried again.

    While the circuit is open nothing is sent but single probes. A fault of configuration opens it at once, whatever
    stands here. Business rejections never open it.
    """

    consecutive: int | None = Field(20, ge=1)
    """Opens after so many errors in a row; null for never."""
    error_ratio: float | None = Field(0.5, gt=0, le=1)
    """Opens when this share of recent attempts ended in errors; null for never."""
    minimum: int = Field(20, ge=1)
    """So many recent attempts at least before the share counts."""
    minutes: int = Field(2, ge=1, le=60)
    """How many minutes, this one included, are recent."""
    probe_seconds: float = Field(10.0, gt=0, le=3600)
    """Wait before the first probe; it doubles with each probe that fails."""
    probe_max_seconds: float = Field(600.0, gt=0, le=86_400)
    """Longest wait between two probes."""
    ramp_seconds: float = Field(5.0, ge=0, le=3600)
    """How long it takes, after the circuit closed, until the destination is given its whole window again."""

    @model_validator(mode="after")
    def _waits_make_sense(self) -> "CircuitConfig":
        if self.probe_max_seconds < self.probe_seconds:
            raise ValueError("probe_max_seconds must not be below probe_seconds")
        return self


class RejectionsConfig(Strict):
    """What a run of rejections means (LeadConduit's damage control)."""

    in_a_row: int = Field(ge=1)
    """After so many rejections without a success between them an alarm is raised."""
    pause: bool = False
    """Pause the destination then, so that no more leads are spent; a person resumes it."""


class FallbackConfig(Strict):
    """Where a lead goes instead."""

    destination: Name
    """Destination that takes the delivery over, with a fresh budget of attempts and the same idempotency key."""
    on: list[Literal["dead", "rejected", "age"]] = Field(["dead"], min_length=1)
    """When: it would become a dead letter, it was rejected, or it is older than `age_seconds`."""
    age_seconds: float | None = Field(None, gt=0, le=2_592_000)
    """Age of a delivery that waits after which it moves on, for `on: [age]`."""

    @model_validator(mode="after")
    def _fits_together(self) -> "FallbackConfig":
        if ("age" in self.on) != (self.age_seconds is not None):
            raise ValueError("age_seconds and 'age' in `on` go together: give both or neither")
        return self


Fallback = Annotated[
    FallbackConfig,
    BeforeValidator(
        lambda value: {"destination": value} if isinstance(value, str) else value,
        json_schema_input_type=Name | FallbackConfig,
    ),
]
"""A name alone stands for its `destination`."""
