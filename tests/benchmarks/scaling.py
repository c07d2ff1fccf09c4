"""What a second worker adds: a backlog drained by one worker on a core of its own, and by two.

The servers, the destination and this process run on the same machine. Where it has cores to spare they keep off the
workers' cores. On two cores they cannot: a second worker takes the core that they had. So beside the rate it is told what
two workers would reach if each had its core to itself, from the CPU a delivery costs them: twice, less what a delivery
costs more because there are two.
"""

import os
from collections.abc import Sequence

from tests.benchmarks.drain import Drain, release
from tests.benchmarks.figure import Figure
from tests.benchmarks.installation import WORKERS
from tests.benchmarks.part import Part, Size
from tests.benchmarks.process import confined
from tests.benchmarks.stand import Bench


def one(bench: Bench, size: Size) -> Drain:
    """One pinned worker."""
    return _drain(bench, size, 1)


def two(bench: Bench, size: Size) -> Drain:
    """Two, each on its core."""
    return _drain(bench, size, WORKERS)


def figures(single: Sequence[Drain], pair: Sequence[Drain]) -> list[Figure]:
    """What the drains of all repeats say."""
    last, beside = pair[-1], single[-1]
    shares = {
        "cores": float(len(os.sched_getaffinity(0))),
        "busy cores, workers": last.rate * last.workers_us / 1e6,
        "PostgreSQL": last.rate * last.postgres_us / 1e6,
        "Valkey": last.rate * last.valkey_us / 1e6,
        "destination": last.rate * last.sink_us / 1e6,
    }
    return [
        Figure(
            name="2 workers / 1 worker, each on its core",
            unit="deliveries/s",
            ours=[each.rate for each in pair],
            other=[each.rate for each in single],
            rival="1 worker",
            goal=1.7,
            details=shares,
        ),
        Figure(
            name="the same by the CPU a delivery costs the workers",
            unit="deliveries per s of CPU",
            ours=[WORKERS * 1e6 / each.workers_us for each in pair],
            other=[1e6 / each.workers_us for each in single],
            rival="1 worker",
            goal=1.7,
            details={
                "2 workers µs": last.workers_us,
                "1 worker µs": beside.workers_us,
                "busy cores of 1 worker": beside.rate * beside.workers_us / 1e6,
            },
        ),
    ]


def _drain(bench: Bench, size: Size, workers: int) -> Drain:
    cores = sorted(os.sched_getaffinity(0))
    rest = cores[WORKERS:] if len(cores) > WORKERS + 1 else cores
    with bench.installation() as installation, confined((bench.postgres, bench.valkey, bench.sink_pid), rest):
        installation.start_workers(workers, pinned=True)
        installation.submit(size.count // 10)
        installation.await_recorded()
        installation.pause(paused=True)
        bench.sink.reset()
        installation.submit(2 * size.count)
        return release(bench, installation, 2 * size.count)


PART = Part(name="workers", measures={"one worker": one, "two workers": two}, figures=figures)
