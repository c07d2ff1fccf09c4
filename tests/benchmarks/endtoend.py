"""From a lead's POST to its recorded outcome while leads keep coming, and bulk intake by itself.

The rate runs from the first POST to the last outcome (the rival's: to the last request at the sink), so a backlog left
behind when the load stops counts against whoever leaves it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from time import monotonic
from typing import Any

from tests.benchmarks import nodered
from tests.benchmarks.figure import Figure, Missing
from tests.benchmarks.installation import WORKERS
from tests.benchmarks.leads import lead
from tests.benchmarks.load import load
from tests.benchmarks.part import Part, Size
from tests.benchmarks.process import await_that, cpu_seconds, free_port, listens
from tests.benchmarks.stand import Bench

WARM_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One run: leads per second accepted, and through to the end; seconds the backlog took; latency of a POST.

    CPU per lead in µs: of the API, the workers and the servers.
    """

    accepted: float
    rate: float
    backlog_seconds: float
    p50_ms: float
    p99_ms: float
    api_us: float
    workers_us: float
    servers_us: float


def ours(bench: Bench, size: Size) -> Flow:
    """Single POSTs to the API while two workers deliver."""
    with bench.installation() as installation:
        installation.start_workers()
        api, url = installation.start_api()
        header = f"Authorization: {installation.authorization()}"
        target = f"{url}/v1/leads?source=web"
        load(target, WARM_SECONDS, header)  # connections, caches, statements
        installation.await_recorded()
        before = installation.delivered()
        parts = [[api.pid], installation.pids(), [bench.postgres, bench.valkey]]
        used = [cpu_seconds(*part) for part in parts]
        run = load(target, size.seconds, header)
        ended = installation.await_recorded()
        used = [cpu_seconds(*part) - was for part, was in zip(parts, used, strict=True)]
        if installation.delivered() - before != run["accepted"]:
            raise RuntimeError("accepted and delivered differ")
        return _flow(run, ended, used)


def celery(bench: Bench, size: Size) -> Flow:
    """The same leads to a plain FastAPI route that publishes a plain Celery task, uvicorn and prefork 2."""
    bench.clear()
    port = free_port()
    worker_argv = ["-m", "celery", "-A", "tests.benchmarks.plain", "worker"]
    worker_argv += ["-c", str(WORKERS), "--loglevel", "warning"]
    api_argv = ["-m", "uvicorn", "tests.benchmarks.plain:api", "--port", str(port), "--no-access-log"]
    with bench.rival("celery", *worker_argv) as worker, bench.rival("fastapi", *api_argv) as api:
        await_that(lambda: listens(port), "the plain API listens")
        parts = [[api.pid], [worker.pid], [bench.valkey]]
        return _rival(bench, f"http://127.0.0.1:{port}/leads", size.seconds, parts)


def node_red(bench: Bench, size: Size) -> Flow | Missing:
    """The same leads to a Node-RED flow that passes each on and answers when the destination has."""
    if obstacle := nodered.obstacle():
        return obstacle
    bench.clear()
    with nodered.running(bench) as (process, target):
        return _rival(bench, target, size.seconds, [[], [process.pid], []])


def bulk(bench: Bench, size: Size) -> float:
    """Leads per second that one NDJSON body brings in, workers at rest."""
    with bench.installation() as installation:
        _, url = installation.start_api()
        headers = {"Authorization": installation.authorization(), "Content-Type": "application/x-ndjson"}
        _send_bulk(url, headers, 500)
        return _send_bulk(url, headers, size.count)


def figures(
    mine: Sequence[Flow], plain: Sequence[Flow], flows: Sequence[Flow | Missing], bulk_rates: Sequence[float]
) -> list[Figure]:
    """What the runs of all repeats say."""
    last, beside = mine[-1], plain[-1]
    return [
        Figure(
            name="end to end, single POSTs / FastAPI + Celery + requests",
            unit="leads/s",
            ours=[one.rate for one in mine],
            other=[one.rate for one in plain],
            rival="FastAPI + Celery",
            goal=4.0,
            details={
                "accepted/s": last.accepted,
                "backlog s": last.backlog_seconds,
                "API µs": last.api_us,
                "workers µs": last.workers_us,
                "servers µs": last.servers_us,
                "rival accepted/s": beside.accepted,
                "rival backlog s": beside.backlog_seconds,
            },
        ),
        _beside_node_red(mine, flows),
        Figure(
            name="the same by itself, goal of a quiet machine",
            unit="leads/s",
            ours=[one.rate for one in mine],
            goal=1800.0,
        ),
        Figure(
            name="POST under that load, p50",
            unit="ms",
            ours=[one.p50_ms for one in mine],
            other=[one.p50_ms for one in plain],
            rival="FastAPI + Celery",
        ),
        Figure(
            name="POST under that load, p99",
            unit="ms",
            ours=[one.p99_ms for one in mine],
            other=[one.p99_ms for one in plain],
            rival="FastAPI + Celery",
        ),
        Figure(name="bulk intake, accepted", unit="leads/s", ours=bulk_rates, goal=10_000.0),
    ]


def _beside_node_red(mine: Sequence[Flow], flows: Sequence[Flow | Missing]) -> Figure:
    name = "end to end, single POSTs / Node-RED flow"
    theirs = [one for one in flows if isinstance(one, Flow)]
    if len(theirs) < len(flows):
        return Figure(name=name, skipped=next(one.reason for one in flows if isinstance(one, Missing)))
    return Figure(
        name=name,
        unit="leads/s",
        ours=[one.rate for one in mine],
        other=[one.rate for one in theirs],
        rival="Node-RED",
        goal=1.0,
        details={
            "ours, all CPU µs": mine[-1].api_us + mine[-1].workers_us + mine[-1].servers_us,
            "Node-RED CPU µs": theirs[-1].workers_us,
            "Node-RED p99 ms": theirs[-1].p99_ms,
        },
    )


def _rival(bench: Bench, target: str, seconds: float, parts: Sequence[Sequence[int]]) -> Flow:
    warm = load(target, WARM_SECONDS)
    bench.await_received(warm["accepted"])
    bench.sink.reset()
    used = [cpu_seconds(*part) for part in parts]
    run = load(target, seconds)
    bench.await_received(run["accepted"])
    used = [cpu_seconds(*part) - was for part, was in zip(parts, used, strict=True)]
    return _flow(run, bench.sink.tally().last, used)


def _flow(run: dict[str, Any], ended: float, used: Sequence[float]) -> Flow:
    api_us, workers_us, servers_us = (seconds / run["accepted"] * 1e6 for seconds in used)
    return Flow(
        accepted=run["accepted"] / (run["ended"] - run["begun"]),
        rate=run["accepted"] / (ended - run["begun"]),
        backlog_seconds=max(0.0, ended - run["ended"]),
        p50_ms=run["p50_ms"],
        p99_ms=run["p99_ms"],
        api_us=api_us,
        workers_us=workers_us,
        servers_us=servers_us,
    )


def _send_bulk(url: str, headers: dict[str, str], count: int) -> float:
    body = b"".join(json.dumps(lead(number)).encode() + b"\n" for number in range(count))
    connection = HTTPConnection(url.removeprefix("http://"), timeout=120)
    begun = monotonic()
    connection.request("POST", "/v1/leads/bulk?source=web", body, headers)
    answer = connection.getresponse().read()
    took = monotonic() - begun
    connection.close()
    if answer.count(b'"status":"accepted"') != count:
        raise RuntimeError(f"not every line was accepted: {answer[:300]!r}")
    return count / took


PART = Part(
    name="end-to-end",
    measures={
        "end to end: leadrelay": ours,
        "end to end: FastAPI + Celery": celery,
        "end to end: Node-RED": node_red,
        "bulk intake": bulk,
    },
    figures=figures,
)
