"""A sandbox beside the caller, for tests: in a thread of this process, on free ports, gone when the block ends.

A thread rather than a child process: it cannot be orphaned by a killed test run. Benchmarks start a process of its own.
"""

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.sandbox.server import Server

START_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Where a running sandbox listens; `url` has no slash at its end."""

    url: str
    host: str
    port: int
    smtp_port: int


@contextmanager
def running(host: str = "127.0.0.1", port: int = 0, smtp_port: int = 0) -> Iterator[Running]:
    """Run a sandbox while the block lasts; raises `Unavailable` if a port that was named is taken."""
    server = Server(host, port, smtp_port)
    thread = threading.Thread(target=server.run, name="sandbox", daemon=True)
    thread.start()
    place = f"[{host}]" if ":" in host else host
    url = f"http://{place}:{server.port}"
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=START_SECONDS):  # noqa: S310  # always http, just above
            yield Running(url=url, host=host, port=server.port, smtp_port=server.smtp_port)
    finally:
        server.stop()
        thread.join(START_SECONDS)
