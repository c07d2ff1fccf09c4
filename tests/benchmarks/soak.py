"""Whether anything grows that should not: memory and open files of every process under a steady load for minutes.

"Flat" is judged by the line through the samples, its first fifth left out as warm-up: by how much it rises over the rest.
Bytes of ledger and WAL per delivery are told beside, checkpoints included.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import linear_regression, mean
from time import monotonic

from tests.benchmarks.figure import Figure
from tests.benchmarks.load import load
from tests.benchmarks.part import Part, Size
from tests.benchmarks.process import open_files, resident_mb
from tests.benchmarks.stand import Bench

RATE = 300.0
SAMPLES = 120
WARM_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Memory in MB and open files of one process over time."""

    seconds: list[float] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)
    files: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """One soak: the series of each process, and bytes per delivery."""

    series: dict[str, Series]
    seconds: float
    stored: float
    logged: float
    p99_ms: float


def measure(bench: Bench, size: Size) -> Soak:
    """A steady load through the API while two workers deliver."""
    with bench.installation() as installation:
        installation.start_workers()
        api, url = installation.start_api()
        target, header = f"{url}/v1/leads?source=web", f"Authorization: {installation.authorization()}"
        pids = {"API": api.pid} | {worker.name: worker.pid for worker in installation.workers}
        stored, logged = installation.stored_bytes(), bench.wal_bytes()
        series = {name: Series() for name in pids}
        ended = threading.Event()
        watch = threading.Thread(target=_watch, args=(pids, series, size.soak_seconds / SAMPLES, ended), daemon=True)
        watch.start()
        try:
            run = load(target, size.soak_seconds, header, rate=RATE)
        finally:
            ended.set()
            watch.join()
        installation.await_recorded()
        return Soak(
            series=series,
            seconds=size.soak_seconds,
            stored=(installation.stored_bytes() - stored) / run["accepted"],
            logged=(bench.wal_bytes() - logged) / run["accepted"],
            p99_ms=run["p99_ms"],
        )


def figures(samples: Sequence[Soak]) -> list[Figure]:
    """What was seen."""
    [found] = samples
    resident = {name: _rise(one.seconds, one.resident) for name, one in found.series.items()}
    files = {name: _rise(one.seconds, one.files) for name, one in found.series.items()}
    means = {f"{name} MB": mean(one.resident) for name, one in found.series.items()}
    return [
        Figure(
            name="memory over the soak: rise of the process that grows most",
            unit="MB",
            ours=[max(resident.values())],
            goal=5.0,
            at_most=True,
            details={"minutes": found.seconds / 60, "leads/s": RATE, **resident, **means},
        ),
        Figure(
            name="open files over the soak: rise of the process that grows most",
            unit="files",
            ours=[max(files.values())],
            goal=2.0,
            at_most=True,
            details={name: mean(one.files) for name, one in found.series.items()},
        ),
        Figure(name="ledger per delivery over the soak, lead included", unit="bytes", ours=[found.stored]),
        Figure(name="WAL per delivery over the soak, lead included", unit="bytes", ours=[found.logged]),
    ]


def _watch(pids: dict[str, int], series: dict[str, Series], every: float, ended: threading.Event) -> None:
    begun = monotonic()
    while not ended.wait(every):
        for name, pid in pids.items():
            series[name].seconds.append(monotonic() - begun)
            series[name].resident.append(resident_mb(pid))
            series[name].files.append(float(open_files(pid)))


def _rise(seconds: Sequence[float], values: Sequence[float]) -> float:
    first = round(len(values) * WARM_SHARE)
    slope = linear_regression(seconds[first:], values[first:]).slope
    return slope * (seconds[-1] - seconds[first])


PART = Part(name="soak", measures={"soak": measure}, figures=figures, once=True)
