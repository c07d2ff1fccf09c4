"""A vendor's server that answers in turn what a test tells it to, and a look at the connections of the sandbox."""

import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any

import pytest

from tests.connectors.fault_server import Behaviour, FaultServer, Received, answer, running


class Scripted:
    """Behaves in turn as stands in `answers`, then as `otherwise`."""

    def __init__(self) -> None:
        self.answers: deque[Behaviour] = deque()
        self.otherwise = reply(500)
        self.server = FaultServer(self.behave)

    def behave(self, connection: socket, request: Received) -> bool:
        return (self.answers.popleft() if self.answers else self.otherwise)(connection, request)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def seen(self) -> list[Received]:
        return self.server.received


@contextmanager
def scripted() -> Iterator[Scripted]:
    """Run one on a free port while the block lasts."""
    script = Scripted()
    with running(script.behave) as script.server:
        yield script


def reply(status: int = 200, body: Any = None, **headers: str) -> Behaviour:
    """An answer with this body: bytes as they are, anything else as JSON."""
    return answer(status, body if isinstance(body, bytes) else json.dumps(body).encode(), **headers)


def connections_to(port: int) -> int:
    """Connections now open to a port of this machine, as the kernel lists them."""
    table = Path("/proc/net/tcp")
    if not table.exists():
        pytest.skip("this system has no /proc/net/tcp to count connections by")
    rows = [row.split() for row in table.read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)  # 01: established
