"""A destination that answers at once and counts: `python -m tests.benchmarks.sink PORT`, a process of its own.

A few microseconds per request, so that what is measured is the sender. `GET /tally` tells the count and the instants of
the first and last request (CLOCK_MONOTONIC, which all processes of a machine share); `GET /arrivals` the instant by
idempotency key of requests to `/traced`; `DELETE /tally` begins anew.

It can be ill: `/hanging` never answers, and between `PUT /outage` and `DELETE /outage` everything is answered 503. Neither
is counted.
"""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from time import monotonic
from typing import Any, cast

import uvloop

_DOWN = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
_OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'


@dataclass(slots=True, kw_only=True)
class Tally:
    """What came in since the last reset."""

    count: int = 0
    first: float = 0.0
    last: float = 0.0


class Sink:
    """A running sink, seen from the bench."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port = port

    def tally(self) -> Tally:
        """What came in; raises `OSError` while it does not listen yet."""
        return Tally(**self._ask("GET", "/tally"))

    def arrivals(self) -> dict[str, float]:
        """When each traced delivery came first, by idempotency key."""
        found: dict[str, float] = self._ask("GET", "/arrivals")
        return found

    def reset(self) -> None:
        """Forget what came in."""
        self._ask("DELETE", "/tally")

    def fall_ill(self, *, ill: bool) -> None:
        """Refuse everything with 503, or no more."""
        self._ask("PUT" if ill else "DELETE", "/outage")

    def _ask(self, method: str, path: str) -> Any:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=15)
        try:
            connection.request(method, path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


@dataclass(slots=True)
class _State:
    tally: Tally
    arrivals: dict[str, float]
    ill: bool = False


class _Protocol(asyncio.Protocol):
    """Just enough HTTP/1.1 for clients that send a Content-Length."""

    def __init__(self, state: _State) -> None:
        self._state = state
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (head_ends := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:head_ends].lower()
            ends = head_ends + 4 + int(_header(head, b"content-length") or 0)
            if len(self._data) < ends:
                return
            self._data = self._data[ends:]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        if head.startswith(b"post "):
            self._take(head)
            return
        state = self._state
        if head.startswith(b"delete /tally"):
            state.tally, state.arrivals = Tally(), {}
        elif b" /outage " in head:
            state.ill = head.startswith(b"put ")
        body = json.dumps(state.arrivals if b" /arrivals " in head else asdict(state.tally)).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def _take(self, head: bytes) -> None:
        state = self._state
        if state.ill:
            self._transport.write(_DOWN)
            return
        if head.startswith(b"post /hanging "):
            return
        tally, now = state.tally, monotonic()
        tally.first = tally.first or now
        tally.last = now
        tally.count += 1
        if head.startswith(b"post /traced "):
            state.arrivals.setdefault(_header(head, b"idempotency-key").decode(), now)
        self._transport.write(_OK)


def _header(head: bytes, name: bytes) -> bytes:
    begins = head.find(b"\r\n" + name + b":")
    if begins < 0:
        return b""
    begins += len(name) + 3
    ends = head.find(b"\r\n", begins)
    return head[begins : ends if ends >= 0 else None].strip()


async def _serve(port: int) -> None:
    state = _State(Tally(), {})
    server = await asyncio.get_running_loop().create_server(lambda: _Protocol(state), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
