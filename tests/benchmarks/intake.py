"""How soon a lead is acknowledged at half load, against a route that stores nothing.

Half load is half of what this installation takes in the same minute with every connection busy, offered evenly whatever
the answers do. Beside it the least FastAPI can do at the same rate: read the lead into a model and answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmarks.figure import Figure
from tests.benchmarks.load import load
from tests.benchmarks.part import Part, Size
from tests.benchmarks.process import await_that, free_port, listens
from tests.benchmarks.stand import Bench

CAPACITY_SECONDS = 3.0
WARM_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Latencies in ms at a rate: ours while workers deliver, ours while they rest, and the bare route's at both rates."""

    rate: float
    working: dict[str, float]
    resting_rate: float
    resting: dict[str, float]
    bare: dict[str, float]
    bare_resting: dict[str, float]


def measure(bench: Bench, size: Size) -> Latency:
    """Ours with workers and without, then the bare route at the same two rates."""
    rate, working = _ours(bench, size.seconds, workers=True)
    resting_rate, resting = _ours(bench, size.seconds, workers=False)
    port = free_port()
    argv = ["-m", "uvicorn", "tests.benchmarks.plain:bare", "--port", str(port), "--no-access-log"]
    with bench.rival("fastapi-bare", *argv):
        await_that(lambda: listens(port), "the bare route listens")
        target = f"http://127.0.0.1:{port}/leads"
        load(target, WARM_SECONDS)
        bare = load(target, size.seconds, rate=rate)
        bare_resting = load(target, size.seconds, rate=resting_rate)
    return Latency(
        rate=rate, working=working, resting_rate=resting_rate, resting=resting, bare=bare, bare_resting=bare_resting
    )


def figures(samples: Sequence[Latency]) -> list[Figure]:
    """What the runs of all repeats say."""
    last = samples[-1]
    return [
        Figure(
            name="intake p99 at half load, workers delivering / bare FastAPI route",
            unit="ms",
            ours=[one.working["p99_ms"] for one in samples],
            other=[one.bare["p99_ms"] for one in samples],
            rival="bare FastAPI",
            goal=3.0,
            at_most=True,
            details={"leads/s": last.rate, "p50": last.working["p50_ms"], "bare p50": last.bare["p50_ms"]},
        ),
        Figure(
            name="intake p99 at half load, workers at rest / bare FastAPI route",
            unit="ms",
            ours=[one.resting["p99_ms"] for one in samples],
            other=[one.bare_resting["p99_ms"] for one in samples],
            rival="bare FastAPI",
            goal=3.0,
            at_most=True,
            details={
                "leads/s": last.resting_rate,
                "p50": last.resting["p50_ms"],
                "bare p50": last.bare_resting["p50_ms"],
            },
        ),
    ]


def _ours(bench: Bench, seconds: float, *, workers: bool) -> tuple[float, dict[str, float]]:
    with bench.installation() as installation:
        if workers:
            installation.start_workers()
        _, url = installation.start_api()
        target, header = f"{url}/v1/leads?source=web", f"Authorization: {installation.authorization()}"
        load(target, WARM_SECONDS, header)
        full = load(target, CAPACITY_SECONDS, header)
        rate = full["accepted"] / (full["ended"] - full["begun"]) / 2
        if workers:
            installation.await_recorded()
        return rate, load(target, seconds, header, rate=rate)


PART = Part(name="intake", measures={"intake at half load": measure}, figures=figures)
