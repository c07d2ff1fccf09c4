"""How fast a backlog leaves once its destination is well again, held against the rate it was given.

The destination answers 503 while leads come in, so that its circuit opens; then it recovers. From the first lead it takes,
the probe, to the last: what the circuit ramps up by is in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from tests.benchmarks.figure import Figure
from tests.benchmarks.installation import destination
from tests.benchmarks.part import Part, Size
from tests.benchmarks.process import await_that
from tests.benchmarks.stand import Bench

PER_SECOND = 2000
_OPEN = "select count(*) from destination_status where circuit <> 'closed'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """One recovery: deliveries per second, seconds from recovery to the first, attempts the outage burned."""

    rate: float
    wait_seconds: float
    burned: float


def measure(bench: Bench, size: Size) -> Recovery:
    """An outage with leads coming in, then recovery."""
    limited = destination("sink", f"{bench.sink.url}/leads", rate=f"{PER_SECOND}/s")
    with bench.installation(limited) as installation:
        installation.start_workers()
        bench.sink.fall_ill(ill=True)
        try:
            installation.submit(size.backlog)
            await_that(lambda: installation.database.fetch(_OPEN)[0][0] > 0, "the circuit opens")
        finally:
            bench.sink.fall_ill(ill=False)
        well = monotonic()
        bench.await_received(size.backlog)
        installation.await_recorded()
        tally = bench.sink.tally()
        burned = installation.database.fetch("select count(*) from attempts where result = 'error'")[0][0]
    return Recovery(
        rate=size.backlog / (tally.last - tally.first), wait_seconds=tally.first - well, burned=float(burned)
    )


def figures(samples: Sequence[Recovery]) -> list[Figure]:
    """What the recoveries of all repeats say."""
    last = samples[-1]
    return [
        Figure(
            name=f"drain of a backlog after an outage / limit of {PER_SECOND:,}/s",
            unit="deliveries/s",
            ours=[one.rate for one in samples],
            other=[float(PER_SECOND)] * len(samples),
            rival="limit",
            goal=0.9,
            details={"first delivery after s": last.wait_seconds, "attempts the outage burned": last.burned},
        )
    ]


PART = Part(name="backlog", measures={"backlog after an outage": measure}, figures=figures)
