"""A load generator: `python -m tests.benchmarks.load URL SECONDS CONNECTIONS RATE [HEADER: VALUE]...`.

Rate 0: each connection sends one lead after the other (a closed loop, as wrk does). Else so many leads a second are due,
evenly spaced, whatever the server does (an open loop, as wrk2's): the latency of one that found no connection free counts
from when it was due. Each lead differs. Prints one JSON object: accepted, refused, the instants of the first request and
the last answer (CLOCK_MONOTONIC), latencies in ms.
"""

import asyncio
import json
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

from tests.benchmarks.leads import lead
from tests.benchmarks.process import TREE

CONNECTIONS = 32
_TICK_SECONDS = 0.001
_ACCEPTED = (b"HTTP/1.1 200", b"HTTP/1.1 202")


def load(url: str, seconds: float, *headers: str, rate: float = 0.0) -> dict[str, Any]:
    """Run the generator as a process of its own; what it prints. Raises `RuntimeError` if anything was refused."""
    argv = [sys.executable, "-m", "tests.benchmarks.load", url, str(seconds), str(CONNECTIONS), str(rate), *headers]
    found: dict[str, Any] = json.loads(subprocess.run(argv, cwd=TREE, check=True, stdout=subprocess.PIPE).stdout)
    if found["refused"]:
        raise RuntimeError(f"{found['refused']} requests were refused: {found['last_refusal']}")
    return found


@dataclass(slots=True, kw_only=True)
class Run:
    """One run while it lasts."""

    head: bytes
    ends: float
    closed: bool
    number: int = 0
    refused: int = 0
    last_refusal: str = ""
    latencies: list[float] = field(default_factory=list)
    idle: deque["_Client"] = field(default_factory=deque)
    due: deque[float] = field(default_factory=deque)

    def request(self) -> bytes:
        """The next request."""
        self.number += 1
        body = json.dumps(lead(self.number)).encode()
        return self.head % len(body) + body

    def send_due(self) -> None:
        """Send what is due over connections that are free."""
        while self.due and self.idle:
            self.idle.popleft().send(self.due.popleft())


class _Client(asyncio.Protocol):
    def __init__(self, run: Run, done: "asyncio.Future[None]") -> None:
        self._run = run
        self._done = done
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        if not self._done.done():
            self._done.set_exception(ConnectionError("the server closed a connection"))

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, rest = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(rest) < length:
            return
        self._data = b""
        if head.startswith(_ACCEPTED):
            self._run.latencies.append(monotonic() - self._begun)
        else:
            self._run.refused += 1
            self._run.last_refusal = rest.decode(errors="replace")[:300]
        self._rest()

    def send(self, begun: float) -> None:
        self._begun = begun
        self._transport.write(self._run.request())

    def finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)
            self._transport.close()

    def _rest(self) -> None:
        run = self._run
        if run.due:
            self.send(run.due.popleft())
        elif monotonic() >= run.ends:
            self.finish()
        elif run.closed:
            self.send(monotonic())
        else:
            run.idle.append(self)


async def _offer(run: Run, rate: float) -> None:
    """Make leads due at this rate until the end, then let the connections that rest go."""
    due = monotonic()
    while (now := monotonic()) < run.ends:
        while due <= now:
            run.due.append(due)
            due += 1 / rate
        run.send_due()
        await asyncio.sleep(_TICK_SECONDS)
    for client in list(run.idle):
        client.finish()


async def _load(url: str, seconds: float, connections: int, rate: float, headers: Sequence[str]) -> dict[str, object]:
    place = urlsplit(url)
    target = place.path + (f"?{place.query}" if place.query else "")
    lines = [f"POST {target} HTTP/1.1", f"Host: {place.netloc}", "Content-Type: application/json", *headers]
    begun = monotonic()
    run = Run(head="\r\n".join([*lines, "Content-Length: %d", "", ""]).encode(), ends=begun + seconds, closed=not rate)
    loop = asyncio.get_running_loop()
    assert place.hostname is not None
    assert place.port is not None
    waits = []
    for _ in range(connections):
        done = loop.create_future()
        waits.append(done)
        await loop.create_connection(lambda done=done: _Client(run, done), place.hostname, place.port)  # type: ignore[misc]  # bound per connection
    if rate:
        await _offer(run, rate)
    await asyncio.gather(*waits)
    ordered = sorted(run.latencies)
    return {
        "accepted": len(ordered),
        "refused": run.refused,
        "last_refusal": run.last_refusal,
        "begun": begun,
        "ended": monotonic(),
        "p50_ms": ordered[len(ordered) // 2] * 1000,
        "p95_ms": ordered[len(ordered) * 95 // 100] * 1000,
        "p99_ms": ordered[len(ordered) * 99 // 100] * 1000,
    }


if __name__ == "__main__":
    address, duration, width, wanted, *extra = sys.argv[1:]
    found = uvloop.run(_load(address, float(duration), int(width), float(wanted), extra))
    sys.stdout.write(json.dumps(found) + "\n")
