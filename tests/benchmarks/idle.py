"""What a whole installation costs at rest, and how soon a lead that comes alone is at its destination."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from statistics import median
from time import monotonic, sleep

from tests.benchmarks.figure import Figure
from tests.benchmarks.leads import lead
from tests.benchmarks.part import Part, Size
from tests.benchmarks.process import cpu_seconds
from tests.benchmarks.stand import Bench

SETTLE_SECONDS = 5.0
LEADS = 50
APART_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """CPU of each part at rest in percent of one core, and latencies from POST to received, in ms."""

    percent: dict[str, float]
    latencies_ms: list[float]


def measure(bench: Bench, size: Size) -> Rest:
    """API, two workers, Flower and both servers: at rest for some seconds, then with a lead now and then."""
    with bench.installation(path="/traced") as installation:
        installation.start_workers()
        api, url = installation.start_api()
        parts = {
            "workers": installation.pids(),
            "API": [api.pid],
            "Flower": [installation.start_flower().pid],
            "PostgreSQL": [bench.postgres],
            "Valkey": [bench.valkey],
        }
        headers = {"Authorization": installation.authorization(), "Content-Type": "application/json"}
        _latencies(bench, url, headers, 3)
        sleep(SETTLE_SECONDS)
        before = {name: cpu_seconds(*pids) for name, pids in parts.items()}
        begun = monotonic()
        sleep(size.seconds)
        took = monotonic() - begun
        percent = {name: (cpu_seconds(*pids) - before[name]) / took * 100 for name, pids in parts.items()}
        return Rest(percent=percent, latencies_ms=_latencies(bench, url, headers, LEADS))


def figures(samples: Sequence[Rest]) -> list[Figure]:
    """What was seen at rest."""
    [found] = samples
    ordered = sorted(found.latencies_ms)
    return [
        Figure(
            name="idle CPU of the whole stack, of one core",
            unit="%",
            ours=[sum(found.percent.values())],
            goal=5.0,
            at_most=True,
            details=found.percent,
        ),
        Figure(
            name="idle latency, POST to received, median",
            unit="ms",
            ours=[median(ordered)],
            goal=40.0,
            at_most=True,
            details={"p95": ordered[len(ordered) * 95 // 100]},
        ),
    ]


def _latencies(bench: Bench, url: str, headers: dict[str, str], count: int) -> list[float]:
    bench.sink.reset()
    connection = HTTPConnection(url.removeprefix("http://"), timeout=30)
    begun: dict[str, float] = {}
    for number in range(count):
        instant = monotonic()
        connection.request("POST", "/v1/leads?source=web", json.dumps(lead(number)), headers)
        answer = json.loads(connection.getresponse().read())
        begun[answer["deliveries"][0]["id"]] = instant
        sleep(APART_SECONDS)
    connection.close()
    bench.await_received(count)
    arrivals = bench.sink.arrivals()
    return [(arrivals[key] - instant) * 1000 for key, instant in begun.items()]


PART = Part(name="idle", measures={"at rest": measure}, figures=figures, once=True)
