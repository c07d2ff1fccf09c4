"""How much at once a destination stands, found out by trying: a little more while it goes well, much less when not. Pure.

Additive increase, multiplicative decrease (Chiu and Jain 1989; TCP's congestion avoidance, RFC 5681): more is given by
steps and taken back in proportion, which settles near the capacity whatever it is. It doubles until the first decrease
(slow start, RFC 5681 3.1). Refusals (429, 503, timeouts) are its lost packets. A destination that queues instead of
refusing shows it by its latency: more than twice the best means that at least half of what is under way waits (TCP
Vegas; Netflix's concurrency-limits, from which also comes a step that grows with the square root).

The best latency is forgotten when it was not seen again for a while; the limit is then lowered for a moment, so that the
queue runs empty and the next answers show the latency anew (BBR's ProbeRTT). Else a destination that became slower for
good would be held down for ever; and were it forgotten bit by bit, the limit would creep upwards with it.
"""

from math import inf, sqrt

REFUSED = 0.7
"""What is kept of the limit when something was refused."""
SLOW = 0.9
"""What is kept of the limit when latency says that much of it waits in a queue."""
SLOW_RATIO = 2.0
"""So many times the best latency is slow."""
DRAIN = 0.25
"""What is kept of the limit for the moment: below 1 / `SLOW_RATIO`, so that a best that was itself seen in a queue falls."""
NEAR_RATIO = 1.1
"""Up to so many times the best latency, the best counts as seen again."""
FORGET_AFTER = 30
"""After so many observations in which it was not seen again, the best latency is forgotten."""


class Adaptive:
    """The limit of one destination on what is under way at once, from 1 to `most`; it begins at `start`."""

    __slots__ = ("_best_ms", "_limit", "_most", "_resume", "_settling", "_slow_start", "_unseen")

    def __init__(self, most: int, *, start: int = 16) -> None:
        self._most = most
        self._limit = float(max(1, min(most, start)))
        self._resume: float | None = None
        """The limit to go back to, while the best latency is seen anew."""
        self._slow_start = True
        self._best_ms = inf
        self._unseen = 0
        self._settling = 0

    @property
    def limit(self) -> int:
        """How many may be under way at once."""
        return int(self._limit)

    def observe(self, attempts: int, refused: int, mean_ms: float, *, in_use: bool) -> None:
        """Learn from about a second: attempts ended, those refused (429, 503, timeouts), their mean latency.

        `in_use`: as many were under way as the limit allowed. If not, that it went well tells nothing of more, and
        that it was slow is not the limit's doing.
        """
        if attempts <= 0:
            return
        if self._settling > 0:
            self._settling -= 1
            return
        self._refill()
        if refused > 0:  # a refusal is quick, or a timeout: its latency tells nothing of the destination's
            self._decrease(REFUSED, mean_ms)
            return
        self._remember(mean_ms)
        if not in_use:
            return
        if self._unseen >= FORGET_AFTER:
            self._drain(mean_ms)
        elif mean_ms > SLOW_RATIO * self._best_ms:
            self._decrease(SLOW, mean_ms)
        else:
            step = self._limit if self._slow_start else max(1.0, sqrt(self._limit) / 2)
            self._limit = min(float(self._most), self._limit + step)

    def _remember(self, mean_ms: float) -> None:
        if self.limit == 1:  # a single send waits for no other: that is the destination's own latency
            self._best_ms = mean_ms
        is_near = mean_ms <= NEAR_RATIO * self._best_ms
        self._best_ms, self._unseen = min(self._best_ms, mean_ms), 0 if is_near else self._unseen + 1

    def _decrease(self, kept: float, mean_ms: float) -> None:
        self._limit = max(1.0, self._limit * kept)
        self._slow_start = False
        # What ends next was sent under the limit before: as TCP, lower it once for what was under way (RFC 5681 3.1).
        self._settling = int(mean_ms // 1000)

    def _drain(self, mean_ms: float) -> None:
        self._resume = self._limit
        self._decrease(DRAIN, mean_ms)

    def _refill(self) -> None:
        if self._resume is not None:
            self._limit, self._resume = self._resume, None
            self._best_ms, self._unseen = inf, 0
