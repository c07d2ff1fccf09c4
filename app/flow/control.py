"""All bounds of one destination joined: how many more of its deliveries may go now. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import ceil, inf

from app.config.flow import parse_rate
from app.config.schema import DestinationConfig
from app.flow.adaptive import Adaptive
from app.flow.pace import Pace
from app.flow.ramp import ramp
from app.flow.rate import RateWindow
from app.flow.volume import UNBOUNDED, Volume

SOON_SECONDS = 0.025
"""When to look again while more is waiting than there is room for; doubled with each look that saw nothing end."""
_IN_USE = 0.8
_CATCH_UP = 1.25
"""So much faster than evenly a rate may be used up after it was not."""
Minutes = Mapping[datetime, tuple[int, int, float]]
"""Of each recent minute: attempts, transient errors among them, their milliseconds in all."""


class Flow:
    """The bounds of one destination, as far as the leader must remember them. Times are of its monotonic clock.

    `threads`: how many groups one worker delivers at the same time.
    """

    def __init__(self, config: DestinationConfig, *, now: float, threads: int) -> None:
        limits = config.limits
        self._limits = limits
        self._ramp_seconds = config.circuit.ramp_seconds
        self._pace = Pace(looked_at=now, threads=threads)
        self._rates = [(seconds, RateWindow(count, seconds)) for count, seconds in map(parse_rate, limits.rate)]
        self._adaptive = Adaptive(limits.window, start=2 * limits.concurrency) if limits.adaptive else None
        self._seen: Minutes | None = None
        self._active = 0
        self._unsent: int | None = None
        self._looked_at = now
        self.volume = Volume(limits.volume.daily, limits.volume.monthly)

    @property
    def longest_seconds(self) -> float:
        """The longest time of its rates; 0 without any."""
        return max((seconds for seconds, _ in self._rates), default=0)

    @property
    def is_adaptive(self) -> bool:
        """Whether it wants to be told what recent attempts were like."""
        return self._adaptive is not None

    def recall(self, now: float, history: Sequence[tuple[float, int]]) -> None:
        """Take what was sent before this leader led: (seconds ago at the latest, how many)."""
        for _, rate in self._rates:
            rate.recall(now, history)

    def learn(self, minutes: Minutes) -> None:
        """See what attempts since the last time were like; the first time tells nothing."""
        if self._adaptive is None:
            return
        if self._seen is not None:
            before = self._seen
            attempts, refused, spent = (
                sum(found[place] - before.get(minute, (0, 0, 0.0))[place] for minute, found in minutes.items())
                for place in range(3)
            )
            in_use = self._active >= _IN_USE * self._adaptive.limit
            self._adaptive.observe(int(attempts), int(refused), spent / attempts if attempts else 0.0, in_use=in_use)
        self._seen = minutes

    def room(
        self,
        *,
        now: float,
        active: int,
        delivering: int,
        unsent: int,
        closed_seconds: float | None,
        quota: int = UNBOUNDED,
    ) -> int:
        """How many more may go, given that `active` are under way, `delivering` of them in workers' hands.

        `unsent`: how many ever came back without having been sent, by the same snapshot. `closed_seconds`: how long ago an
        outage ended, if there was one. `quota`: how many may be under way by what the destination says of its rate limit.
        """
        limits = self._limits
        self._active = active
        back = 0 if self._unsent is None else unsent - self._unsent
        ended, self._unsent = max(0, self._pace.under_way - active - back), unsent
        most = self._pace.allowance(
            now=now, active=active, delivering=delivering, least=2 * limits.concurrency, unsent=back
        )
        if closed_seconds is not None:
            least, seconds = limits.concurrency, self._ramp_seconds
            most = min(most, ramp(limits.window, least=least, since_seconds=closed_seconds, ramp_seconds=seconds))
        if self._adaptive is not None:
            most = min(most, self._adaptive.limit)
        rooms = [min(limits.window, most, quota) - active, self.volume.room()]
        for seconds, rate in self._rates:
            rate.ended(now, ended)
            # Spread over the period: a burst would queue up behind itself, and come again each period.
            even = ceil(_CATCH_UP * rate.count * (now - self._looked_at) / seconds)
            rooms.append(min(rate.room(now, active), even))
        self._looked_at = now
        return max(0, min(rooms))

    def dispatched(self, count: int, *, messages: int) -> None:
        """Note that so many more are under way, in so many messages."""
        self._active += count
        self._pace.dispatched(count, messages=messages)
        self.volume.dispatched(count)

    def share(self) -> int:
        """How many one message may carry."""
        return self._pace.share()

    def soon(self, *, now: float) -> float:
        """In how many seconds a look may find room again, after one that found less than is waiting."""
        if self.volume.room() == 0:
            return inf
        if self._pace.under_way or not self._rates:  # what ends must be seen soon: it is what makes room
            return SOON_SECONDS * 2.0 ** min(self._pace.still, 16)
        return max(SOON_SECONDS, *(rate.wait(now, 0) for _, rate in self._rates))
