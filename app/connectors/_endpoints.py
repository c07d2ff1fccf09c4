"""Which of a destination's endpoints takes the next request: shares, rest for those that are not there, and a standby.

Knows no network and no protocol: endpoints are whatever the connector gives, and it tells how each request ended. What
is learned stays in this process; another one finds out for itself. Any thread may use it.
"""

import threading
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Generic, Literal, TypeVar

T = TypeVar("T")

Spread = Literal["weighted", "least_in_flight"]

FAILURES = 3
"""So many in a row, and an endpoint rests."""
REST_SECONDS = 5.0
"""How long the first time; each trial that fails doubles it."""
LONGEST_REST_SECONDS = 300.0


@dataclass(slots=True, kw_only=True, eq=False)
class _State(Generic[T]):
    """What is known of one endpoint."""

    endpoint: T
    weight: int
    standby: bool
    credit: int = 0
    in_flight: int = 0
    failures: int = 0
    rest_seconds: float = 0.0
    """Zero while it is healthy."""
    rested_at: float = 0.0
    """When a trial may be made."""
    on_trial: bool = False


class Lease(Generic[T]):
    """One request to one endpoint, for as long as a `with` block lasts.

    Tell it `there()` or `absent()` inside; neither means that the request says nothing about the endpoint.
    """

    __slots__ = ("_absent", "_owner", "_state", "_trial", "endpoint")

    def __init__(self, owner: "Endpoints[T]", state: _State[T], *, trial: bool) -> None:
        self.endpoint = state.endpoint
        self._owner = owner
        self._state = state
        self._trial = trial
        self._absent: bool | None = None

    def there(self) -> None:
        """The endpoint answered, whatever it said."""
        self._absent = False

    def absent(self) -> None:
        """It could not be reached, gave no answer, or one that comes from what stands before it."""
        self._absent = True

    def __enter__(self) -> "Lease[T]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owner.ended(self._state, absent=self._absent, trial=self._trial)


class Endpoints(Generic[T]):
    """The endpoints of one destination in one process.

    `endpoints` are (endpoint, weight) pairs, `standby` serves while none of them is healthy. Shares are kept by smooth
    weighted round-robin (nginx's); `least_in_flight` first narrows the choice to those with the fewest requests under
    way by weight. Three absences in a row send an endpoint to rest for 5 s; then one request tries it, which brings it
    back or doubles the rest, up to 5 minutes.
    """

    def __init__(
        self,
        endpoints: Sequence[tuple[T, int]],
        *,
        standby: Sequence[T] = (),
        spread: Spread = "weighted",
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._states = [_State(endpoint=one, weight=weight, standby=False) for one, weight in endpoints]
        self._states += [_State(endpoint=one, weight=1, standby=True) for one in standby]
        self._least = spread == "least_in_flight"
        self._clock = clock
        self._lock = threading.Lock()

    def choose(self, *, without: Container[T] = ()) -> Lease[T]:
        """A lease on the endpoint for the next request, one that is not in `without`.

        Healthy ones and those due for a trial come first, then the standby. When all rest, the one that is due first is
        taken all the same: a lead is never refused for what an endpoint did to others. Raises `LookupError` when all
        are in `without`.
        """
        now = self._clock()
        with self._lock:
            left = [state for state in self._states if state.endpoint not in without]
            ready = [state for state in left if _may_serve(state, now)]
            first = [state for state in ready if not state.standby] or ready
            if first:
                chosen = self._fairest(first)
            elif left:
                chosen = min(left, key=lambda state: state.rested_at)
            else:
                raise LookupError("every endpoint was tried")
            trial = chosen.rest_seconds > 0 and not chosen.on_trial and now >= chosen.rested_at
            chosen.on_trial = chosen.on_trial or trial
            chosen.in_flight += 1
        return Lease(self, chosen, trial=trial)

    def _fairest(self, states: Sequence[_State[T]]) -> _State[T]:
        if self._least and len(states) > 1:
            least = min(state.in_flight / state.weight for state in states)
            states = [state for state in states if state.in_flight / state.weight == least]
        if len(states) == 1:
            return states[0]
        for state in states:
            state.credit += state.weight
        chosen = max(states, key=lambda state: state.credit)
        chosen.credit -= sum(state.weight for state in states)
        return chosen

    def ended(self, state: _State[T], *, absent: bool | None, trial: bool) -> None:
        """Take in how a lease ended (called by it)."""
        with self._lock:
            state.in_flight -= 1
            if trial:
                state.on_trial = False
            if absent is None:
                return
            if not absent:
                state.failures, state.rest_seconds = 0, 0.0
            elif state.rest_seconds == 0:
                state.failures += 1
                if state.failures >= FAILURES:
                    self._rest(state, REST_SECONDS)
            elif trial:  # requests that were under way when the rest began say nothing new
                self._rest(state, min(2 * state.rest_seconds, LONGEST_REST_SECONDS))

    def _rest(self, state: _State[T], seconds: float) -> None:
        state.rest_seconds = seconds
        state.rested_at = self._clock() + seconds


def _may_serve(state: _State[T], now: float) -> bool:
    return state.rest_seconds == 0 or (now >= state.rested_at and not state.on_trial)


__all__ = ["FAILURES", "LONGEST_REST_SECONDS", "REST_SECONDS", "Endpoints", "Lease", "Spread"]
