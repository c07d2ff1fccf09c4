"""How fast waiting deliveries leave: leadrelay with its ledger, against queues that keep no record.

Ours from the moment the destination is resumed to the last outcome recorded. The rivals' from the first request the sink
sees to the last, with everything published before they start: that spares them their start and any wait for a queue.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from json import dumps
from time import monotonic, process_time

from tests.benchmarks.figure import Figure
from tests.benchmarks.installation import WORKERS, Installation
from tests.benchmarks.leads import lead
from tests.benchmarks.part import Part, Size
from tests.benchmarks.process import cpu_seconds, resident_mb
from tests.benchmarks.stand import Bench

BARE_POSTS = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """One drain: deliveries per second, CPU per delivery in µs by part, and the workers' memory after it.

    Bytes per delivery: what the ledger grew by and what was logged ahead, from before the leads came to their last record.
    """

    rate: float
    workers_us: float
    postgres_us: float
    valkey_us: float
    sink_us: float
    resident_mb: float
    stored: float = 0.0
    logged: float = 0.0

    @property
    def all_us(self) -> float:
        """CPU of workers and servers together, per delivery."""
        return self.workers_us + self.postgres_us + self.valkey_us


def ours(bench: Bench, size: Size) -> Drain:
    """Drain accepted deliveries with two default workers."""
    with bench.installation() as installation:
        installation.pause(paused=True)
        stored, logged = installation.stored_bytes(), bench.wal_bytes()
        installation.submit(size.count)
        installation.start_workers()
        found = release(bench, installation, size.count)
        return replace(
            found,
            stored=(installation.stored_bytes() - stored) / size.count,
            logged=(bench.wal_bytes() - logged) / size.count,
        )


def release(bench: Bench, installation: Installation, count: int) -> Drain:
    """Resume an installation where `count` deliveries wait, until all are recorded."""

    def wait() -> float:
        begun, before = monotonic(), installation.delivered()
        installation.pause(paused=False)
        bench.await_received(count)
        took = installation.await_recorded() - begun
        if (delivered := installation.delivered() - before) != count:
            raise RuntimeError(f"only {delivered} of {count} were delivered")
        return took

    return _measured(bench, count, installation.pids(), wait)


def celery(bench: Bench, size: Size) -> Drain:
    """Drain messages with a plain task on `celery worker`, prefork 2."""
    from tests.benchmarks.plain import deliver  # noqa: PLC0415  # reads its addresses from the environment

    bench.clear()
    with deliver.app.connection_for_write() as connection:
        producer = deliver.app.amqp.Producer(connection)
        for begin in range(0, size.count, 1000):
            with producer.batch():
                for number in range(begin, min(begin + 1000, size.count)):
                    deliver.apply_async((lead(number),), producer=producer, retry=False)
    argv = ["-m", "celery", "-A", "tests.benchmarks.plain", "worker", "-c", str(WORKERS), "--loglevel", "warning"]
    return _rival(bench, size.count, "celery", argv)


def dramatiq(bench: Bench, size: Size) -> Drain:
    """Drain messages with the same task as a dramatiq actor, 2 processes of 8 threads (its default)."""
    from tests.benchmarks.plain_dramatiq import deliver  # noqa: PLC0415  # reads its addresses from the environment

    bench.clear()
    for number in range(size.count):
        deliver.send(lead(number))
    argv = ["-m", "dramatiq", "tests.benchmarks.plain_dramatiq", "--processes", str(WORKERS), "--threads", "8"]
    return _rival(bench, size.count, "dramatiq", argv)


def taskiq(bench: Bench, size: Size) -> Drain:
    """Drain messages with the same task on taskiq and aiohttp, 2 processes of 100 tasks at once (its defaults)."""
    from tests.benchmarks.plain_taskiq import publish  # noqa: PLC0415  # reads its addresses from the environment

    bench.clear()
    asyncio.run(publish([lead(number) for number in range(size.count)]))
    argv = ["-m", "taskiq", "worker", "tests.benchmarks.plain_taskiq:broker", "--workers", str(WORKERS)]
    return _rival(bench, size.count, "taskiq", [*argv, "--log-level", "WARNING"])


def bare_post_us(bench: Bench, _: Size) -> float:
    """CPU of one http.client POST on a kept connection, in µs: the least Python can do."""
    connection = HTTPConnection(bench.sink.url.removeprefix("http://"))
    body = dumps(lead(0))
    begun = process_time()
    for _ in range(BARE_POSTS):
        connection.request("POST", "/leads", body, {"Content-Type": "application/json"})
        connection.getresponse().read()
    took = process_time() - begun
    connection.close()
    return took / BARE_POSTS * 1e6


def figures(
    mine: Sequence[Drain],
    plain: Sequence[Drain],
    actors: Sequence[Drain],
    tasks: Sequence[Drain],
    bare_us: Sequence[float],
) -> list[Figure]:
    """What the drains of all repeats say."""
    last = mine[-1]
    rivals = [("plain Celery + requests", plain, 4.5), ("dramatiq + requests", actors, 2.5)]
    rivals.append(("taskiq + aiohttp", tasks, 1.5))
    return [
        *(
            Figure(
                name=f"drain with ledger / {rival}",
                unit="deliveries/s",
                ours=[one.rate for one in mine],
                other=[one.rate for one in theirs],
                rival=rival,
                goal=goal,
                details={"rival's CPU µs": theirs[-1].all_us},
            )
            for rival, theirs, goal in rivals
        ),
        Figure(
            name="CPU per delivery, workers and servers",
            unit="µs",
            ours=[one.all_us for one in mine],
            other=[one.all_us for one in plain],
            rival="Celery",
            details={"workers": last.workers_us, "PostgreSQL": last.postgres_us, "Valkey": last.valkey_us},
        ),
        Figure(
            name="worker CPU per delivery / bare http.client POST",
            unit="µs",
            ours=[one.workers_us for one in mine],
            other=bare_us,
            rival="http.client",
            goal=4.0,
            at_most=True,
        ),
        Figure(
            name="memory of a worker after the drain",
            unit="MB",
            ours=[one.resident_mb for one in mine],
            goal=150.0,
            at_most=True,
        ),
        Figure(name="ledger per delivery, lead included", unit="bytes", ours=[one.stored for one in mine]),
        Figure(name="WAL per delivery, lead included", unit="bytes", ours=[one.logged for one in mine]),
    ]


def _rival(bench: Bench, count: int, name: str, argv: Sequence[str]) -> Drain:
    def wait() -> float:
        bench.await_received(count)
        tally = bench.sink.tally()
        return tally.last - tally.first

    with bench.rival(name, *argv) as process:
        bench.await_received(1)  # the CPU of its start is not counted
        return _measured(bench, count, [process.pid], wait)


def _measured(bench: Bench, count: int, roots: Sequence[int], drain: Callable[[], float]) -> Drain:
    parts = [roots, [bench.postgres], [bench.valkey], [bench.sink_pid]]
    before = [cpu_seconds(*part) for part in parts]
    left = count - bench.sink.tally().count
    took = drain()
    used = [(cpu_seconds(*part) - was) / left * 1e6 for part, was in zip(parts, before, strict=True)]
    return Drain(
        rate=count / took,
        workers_us=used[0],
        postgres_us=used[1],
        valkey_us=used[2],
        sink_us=used[3],
        resident_mb=resident_mb(*roots),
    )


PART = Part(
    name="drain",
    measures={
        "drain: leadrelay": ours,
        "drain: Celery + requests": celery,
        "drain: dramatiq + requests": dramatiq,
        "drain: taskiq + aiohttp": taskiq,
        "bare http.client POST": bare_post_us,
    },
    figures=figures,
)
