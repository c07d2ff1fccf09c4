"""How much of one destination is kept under way: about what it was seen to finish in a few seconds. Pure.

A destination that answers fast soon earns the whole window it was given. One that hangs is left with a small group, so that
it occupies a few of a worker's threads and the others never feel it.
"""

from dataclasses import dataclass
from math import ceil, exp

START_PER_SECOND = 50.0
"""What is assumed of a destination that nothing is known of."""
AHEAD_SECONDS = 4.0
"""How many seconds of its speed are kept queued or in flight."""
MEMORY_SECONDS = 5.0
"""How slowly a speed that was reached is forgotten."""
MESSAGES = 4
"""In so many messages at least is a full allowance sent, so that several workers have a share."""
CROWD, CROWD_IF_STILL = 1 / 2, 1 / 8
"""So many messages at most are out, of a worker's threads, and while nothing was seen to end: each may hold a thread."""


@dataclass(slots=True, kw_only=True)
class Pace:
    """One destination's speed: what ended between two looks of the leader."""

    looked_at: float
    threads: int
    """How many groups one worker delivers at the same time."""
    under_way: int = 0
    messages: float = 0.0
    """About how many messages are out: those dispatched, less as their deliveries are seen to end."""
    per_second: float = START_PER_SECOND
    still: int = 0
    """How many looks in a row saw nothing end: the more, the less it pays to look again soon."""

    def allowance(self, *, now: float, active: int, delivering: int, least: int, unsent: int = 0) -> int:
        """How many may be under way at `now` (seconds of a monotonic clock), given that `active` are.

        `delivering` of these are in workers' hands. While none is, nothing tells of the destination's speed: they wait
        behind others. `unsent`: how many came back without having been sent since the last look; nor do they tell of it.
        """
        passed, ended = now - self.looked_at, max(0, self.under_way - active - unsent)
        if self.under_way and passed > 0:  # with nothing to do it showed nothing of its speed
            if ended or delivering:
                seen = ended / passed
                # Up at once, at most doubling from look to look; down only as fast as it is forgotten. Nothing is while
                # it has ended all it was given: who knows how long ago.
                forgotten = self.per_second * exp(-passed / MEMORY_SECONDS) if active else self.per_second
                self.per_second = max(min(seen, 2 * self.per_second), forgotten)
            self.still = 0 if ended else self.still + 1
        self.messages *= min(1.0, active / self.under_way) if self.under_way else 0.0
        self.looked_at, self.under_way = now, active
        allowed = max(least, round(AHEAD_SECONDS * self.per_second))
        is_crowded = self.messages >= max(1, self.threads * (CROWD_IF_STILL if self.still else CROWD))
        return min(allowed, active) if is_crowded else allowed

    def dispatched(self, count: int, *, messages: int = 1) -> None:
        """Note that so many more are under way, in so many messages."""
        self.under_way += count
        self.messages += messages

    def share(self) -> int:
        """How many one message may carry."""
        return max(1, ceil(AHEAD_SECONDS * self.per_second / MESSAGES))
