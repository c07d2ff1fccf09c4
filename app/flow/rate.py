"""How many sends may begin in a time, kept to the letter. Pure.

Nobody sees a send begin: it does so at an unknown instant between its dispatch and the look at which it was seen to have
ended. So whatever is queued or in flight counts as if it might begin at any moment, and whatever ended counts for a whole
period after the look that saw it. Of the sends that begin within one period, take the look that dispatched the last: each
other is either under way at that look, or was seen to end less than a period before it. Both are counted there, and so
there are never more than `count`. The price is in speed: a limit of N per P seconds reaches N in P plus the time from
dispatch to the look that saw the end.
"""

from collections import deque
from collections.abc import Iterable
from math import floor, inf

STEPS = 100
"""Endings are remembered by steps of the period's hundredth part, however many there are."""


class RateWindow:
    """The limit of `count` sends in any `seconds` of one destination. Times are seconds of one monotonic clock.

    `now` is read after the snapshot of what is under way was taken, else a send might begin later than it is said to have
    ended. What came back without having been sent need not count as ended; where that is not known it does, which errs on
    the safe side.
    """

    __slots__ = ("_ended", "_seconds", "_total", "count")

    def __init__(self, count: int, seconds: float) -> None:
        self.count = count
        self._seconds = seconds
        self._ended: deque[tuple[float, int]] = deque()
        self._total = 0

    def ended(self, now: float, number: int) -> None:
        """Note that so many more were seen to have ended at this look."""
        if number <= 0:
            return
        stamp = self._stamp(now)
        if self._ended and self._ended[-1][0] >= stamp:
            stamp, before = self._ended.pop()
            self._ended.append((stamp, before + number))
        else:
            self._ended.append((stamp, number))
        self._total += number
        self._forget(now)

    def room(self, now: float, active: int) -> int:
        """How many more may be dispatched, given that `active` are queued or in flight."""
        self._forget(now)
        return max(0, self.count - active - self._total)

    def wait(self, now: float, active: int) -> float:
        """Seconds until there is room though nothing ends; 0 when there is, `inf` when only endings make room."""
        self._forget(now)
        missing = active + self._total + 1 - self.count
        if missing <= 0:
            return 0.0
        for stamp, number in self._ended:
            missing -= number
            if missing <= 0:
                return stamp + self._seconds - now
        return inf

    def recall(self, now: float, history: Iterable[tuple[float, int]]) -> None:
        """Take what ended from the ledger instead of from own looks, as after a change of leader.

        `history` holds (how many seconds ago they had ended at the latest, how many), in any order: for the figures of a
        minute the seconds since that minute's end, and 0 for the minute that is not over.
        """
        self._ended.clear()
        self._total = 0
        for ago, number in sorted(history, reverse=True):
            self.ended(now - max(0.0, ago), number)
        self._forget(now)

    def _stamp(self, now: float) -> float:
        """The end of the step that holds `now`: whatever ended in it, ended by then."""
        step = self._seconds / STEPS
        return max(now, (floor(now / step) + 1) * step)

    def _forget(self, now: float) -> None:
        while self._ended and self._ended[0][0] + self._seconds <= now:
            self._total -= self._ended.popleft()[1]
