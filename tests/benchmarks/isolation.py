"""What one hanging destination costs the others.

Twenty destinations; each lead goes to all of them, a steady trickle through the API. In one run all answer, in the other
one never does, from before the clock starts. Latency is from the POST's begin to the arrival at a healthy destination, by
idempotency key.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from time import monotonic, sleep

from tests.benchmarks.figure import Figure
from tests.benchmarks.installation import Installation, destination
from tests.benchmarks.leads import lead
from tests.benchmarks.part import Part, Size
from tests.benchmarks.process import await_that
from tests.benchmarks.stand import Bench

DESTINATIONS = 20
LEADS_PER_SECOND = 10.0
SETTLE_SECONDS = 5.0
ILL = "d-19"


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Of deliveries to healthy destinations, in ms."""

    p50: float
    p95: float
    p99: float


def healthy(bench: Bench, size: Size) -> Latencies:
    """All destinations answer."""
    return _measure(bench, size, hanging=False)


def one_hanging(bench: Bench, size: Size) -> Latencies:
    """One of them takes requests and never answers."""
    return _measure(bench, size, hanging=True)


def figures(alone: Sequence[Latencies], beside: Sequence[Latencies]) -> list[Figure]:
    """What the runs of all repeats say."""
    return [
        Figure(
            name=f"p95 to healthy destinations, 1 of {DESTINATIONS} hanging / none",
            unit="ms",
            ours=[one.p95 for one in beside],
            other=[one.p95 for one in alone],
            rival="none hanging",
            goal=1.5,
            at_most=True,
            details={
                "p50": beside[-1].p50,
                "p99": beside[-1].p99,
                "p50 with none": alone[-1].p50,
                "p99 with none": alone[-1].p99,
            },
        )
    ]


def _measure(bench: Bench, size: Size, *, hanging: bool) -> Latencies:
    urls = {f"d-{number}": f"{bench.sink.url}/traced" for number in range(DESTINATIONS)}
    if hanging:
        urls[ILL] = f"{bench.sink.url}/hanging"
    with bench.installation(*(destination(name, url) for name, url in urls.items())) as installation:
        installation.start_workers()
        _, url = installation.start_api()
        authorization = installation.authorization()
        _send(installation, url, authorization, SETTLE_SECONDS)
        begun = _send(installation, url, authorization, 2 * size.seconds)
        await_that(lambda: begun.keys() <= bench.sink.arrivals().keys(), "every healthy one is there", every=0.5)
        arrivals = bench.sink.arrivals()
    ordered = sorted((arrivals[key] - instant) * 1000 for key, instant in begun.items())
    p50, p95, p99 = (ordered[len(ordered) * share // 100] for share in (50, 95, 99))
    return Latencies(p50=p50, p95=p95, p99=p99)


def _send(installation: Installation, url: str, authorization: str, seconds: float) -> dict[str, float]:
    """Send leads evenly spaced; when each healthy delivery's lead began to be sent."""
    headers = {"Authorization": authorization, "Content-Type": "application/json"}
    connection = HTTPConnection(url.removeprefix("http://"), timeout=30)
    begun: dict[str, float] = {}
    due = monotonic()
    for number in range(round(seconds * LEADS_PER_SECOND)):
        sleep(max(0.0, due - monotonic()))
        connection.request("POST", "/v1/leads?source=web", json.dumps(lead(number)), headers)
        answer = json.loads(connection.getresponse().read())
        begun |= {one["id"]: due for one in answer["deliveries"] if one["destination"] != ILL}
        due += 1 / LEADS_PER_SECOND
    connection.close()
    if len(begun) != round(seconds * LEADS_PER_SECOND) * (len(installation.names) - 1):
        raise RuntimeError("not every lead was routed to every destination")
    return begun


PART = Part(
    name="isolation",
    measures={"20 destinations, all well": healthy, "20 destinations, one hanging": one_hanging},
    figures=figures,
)
