"""What a delivery costs where there is more of everything: destinations, or rows in the ledger.

CPU of workers and PostgreSQL per delivery while a backlog drains, after a smaller one that opened connections and filled
caches. Many destinations: each lead goes to all of them. Many rows: a ledger of delivered leads, written by SQL in the
shape the product writes, vacuumed, and copied for each repeat.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tests.benchmarks import rows
from tests.benchmarks.drain import Drain, release
from tests.benchmarks.figure import Figure
from tests.benchmarks.installation import Installation, destination
from tests.benchmarks.part import Part, Size
from tests.benchmarks.stand import Bench

FEW_ROWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """A drain, and how much of what grows there was."""

    many: int
    drain: Drain

    @property
    def cost(self) -> float:
        """CPU of workers and PostgreSQL per delivery, in µs."""
        return self.drain.workers_us + self.drain.postgres_us


def one_destination(bench: Bench, size: Size) -> Grown:
    """A backlog of as many deliveries as the many destinations have, for one."""
    with bench.installation() as installation:
        return Grown(many=1, drain=_drain(bench, installation, leads=size.destinations * size.each))


def many_destinations(bench: Bench, size: Size) -> Grown:
    """Some deliveries for each of many destinations."""
    many = [destination(f"d-{number}", f"{bench.sink.url}/leads") for number in range(size.destinations)]
    with bench.installation(*many) as installation:
        return Grown(many=len(many), drain=_drain(bench, installation, leads=size.each))


def few_rows(bench: Bench, size: Size) -> Grown:
    """A backlog on a ledger that holds next to nothing else."""
    return _with_rows(bench, size, FEW_ROWS)


def many_rows(bench: Bench, size: Size) -> Grown:
    """The same backlog on a ledger with a past."""
    return _with_rows(bench, size, size.rows)


def _with_rows(bench: Bench, size: Size, count: int) -> Grown:
    with bench.installation(template=rows.template(bench, count)) as installation:
        return Grown(many=count, drain=_drain(bench, installation, leads=size.count))


def _drain(bench: Bench, installation: Installation, *, leads: int) -> Drain:
    """Drain a tenth for warmth, then all of it, measured."""
    installation.start_workers()
    installation.submit(max(1, leads // 10))
    installation.await_recorded()
    installation.pause(paused=True)
    bench.sink.reset()
    installation.submit(leads)
    return release(bench, installation, leads * len(installation.names))


def _figures(name: str, what: str, few: Sequence[Grown], many: Sequence[Grown]) -> list[Figure]:
    last, beside = many[-1].drain, few[-1].drain
    return [
        Figure(
            name=name,
            unit="µs, workers and database",
            ours=[one.cost for one in many],
            other=[one.cost for one in few],
            rival="few",
            goal=1.15,
            at_most=True,
            details={
                what: many[-1].many,
                "workers µs": last.workers_us,
                "PostgreSQL µs": last.postgres_us,
                "Valkey µs": last.valkey_us,
                "deliveries/s": last.rate,
                f"with {few[-1].many:,}: workers µs": beside.workers_us,
                "PostgreSQL µs then": beside.postgres_us,
                "Valkey µs then": beside.valkey_us,
                "deliveries/s then": beside.rate,
            },
        )
    ]


DESTINATIONS = Part(
    name="destinations",
    measures={"cost: one destination": one_destination, "cost: many destinations": many_destinations},
    figures=partial(_figures, "cost per delivery, many destinations / 1", "destinations"),
)
ROWS = Part(
    name="rows",
    measures={"cost: few rows": few_rows, "cost: many rows": many_rows},
    figures=partial(_figures, "cost per delivery, large ledger / 1,000 rows", "rows"),
)
