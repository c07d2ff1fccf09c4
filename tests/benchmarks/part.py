"""What a part of the run is made of: things measured one after the other in every repeat, and the figures they make."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.figure import Figure
from tests.benchmarks.stand import Bench


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured; seconds are of load."""

    count: int
    """Deliveries of a drain."""
    seconds: float
    destinations: int
    each: int
    """Deliveries of a destination where there are many."""
    rows: int
    """Rows of the large ledger."""
    backlog: int
    soak_seconds: float


FULL = Size(count=20_000, seconds=10.0, destinations=1000, each=100, rows=1_000_000, backlog=50_000, soak_seconds=600.0)
QUICK = Size(count=4_000, seconds=4.0, destinations=200, each=50, rows=100_000, backlog=10_000, soak_seconds=45.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part: `measures` by label, run in this order in every repeat (`once`: in one).

    `figures` is given a list of samples for each measure, in the same order.
    """

    name: str
    measures: Mapping[str, Callable[[Bench, Size], Any]]
    figures: Callable[..., list[Figure]]
    once: bool = False
