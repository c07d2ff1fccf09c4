"""How many more successes a destination's daily and monthly caps leave. Pure; the ledger counts.

Whatever is under way may become a success, so it counts as one until it ended otherwise. A reading from before midnight
is on the safe side after it: what has succeeded in the new day was under way at the reading, or was dispatched since.
"""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

STALE_SECONDS = 1.0
"""A reading older than this is taken anew."""
UNBOUNDED = 2**31 - 1
"""Room without a cap: more than any window, and PostgreSQL's largest integer."""


def period_starts(moment: datetime, zone: str) -> tuple[datetime, datetime]:
    """When the day and the month that hold `moment` (aware) began in `zone`, in UTC.

    Where the clocks go forward over midnight, the day begins with its first existing minute; where they go back over it,
    with the first of the two midnights.
    """
    local = moment.astimezone(ZoneInfo(zone))
    day = datetime.combine(local.date(), time(), tzinfo=local.tzinfo)
    return day.astimezone(UTC), day.replace(day=1).astimezone(UTC)


class Volume:
    """The caps of one destination; `None` for no cap. Times are seconds of one monotonic clock."""

    __slots__ = ("_daily", "_left", "_monthly", "_read_at")

    def __init__(self, daily: int | None, monthly: int | None) -> None:
        self._daily = daily
        self._monthly = monthly
        self._read_at: float | None = None
        self._left = 0

    def counted(self, now: float, *, today: int, this_month: int, active: int) -> None:
        """Take a reading: successes of the day and the month, and what is queued or in flight, of one snapshot.

        `now` is read before the snapshot. Nothing may be dispatched between the snapshot and this call.
        """
        self._read_at = now
        caps = ((self._daily, today), (self._monthly, this_month))
        self._left = min((cap - used for cap, used in caps if cap is not None), default=UNBOUNDED) - active

    def dispatched(self, number: int) -> None:
        """Note that so many more are under way since the reading."""
        self._left -= number

    def room(self) -> int:
        """How many more may be dispatched: nothing before the first reading, `UNBOUNDED` without a cap."""
        return max(0, self._left) if self._is_capped else UNBOUNDED

    def stale(self, now: float) -> bool:
        """Whether a reading is due, so that failures give room back and a new day begins; never without a cap."""
        return self._is_capped and (self._read_at is None or now - self._read_at > STALE_SECONDS)

    @property
    def _is_capped(self) -> bool:
        return self._daily is not None or self._monthly is not None
