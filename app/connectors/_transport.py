"""The way out for everything that speaks HTTP: connections, their reuse, time limits, and faults told apart.

`session()` gives a `requests.Session` for vendors' SDKs and auth classes; `exchange()` sends a prepared request through
it, and `Session.send_message()` one already in bytes, which is the hot path. All three end in `_connection.py`, which
alone opens connections, to addresses that the guard lets pass. Nothing follows a redirect, retries, keeps cookies or
reads proxies and .netrc from the environment. It may not know what a body means, nor what becomes of a fault.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers

from app.config.network import NetworkConfig
from app.config.schema import LimitsConfig
from app.connectors._connection import Origin, Pool
from app.connectors._network import Network
from app.connectors._wire import Answer
from app.errors import DataFault, TransientFault

BODY_CAP_BYTES = 2_000_000


class Session(requests.Session):
    """A `requests.Session` whose every request ends in time, on reused connections, with faults of ours.

    `timeout_seconds` of the destination's limits bounds a request in total; `until` sets a nearer instant for all
    requests of the calling thread. Sending raises `TransientFault` and `ConfigurationFault`, never an exception of
    requests (those carry URLs), and answers of any status are returned.
    """

    def __init__(self, limits: LimitsConfig, network: NetworkConfig | None = None) -> None:
        super().__init__()
        self.trust_env = False
        self._network = Network.of(network)
        self._timeout = limits.timeout_seconds
        self._keep = limits.concurrency
        self._pools: dict[Origin, Pool] = {}
        self._inside = threading.local()
        adapter = _Adapter(self)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """All requests of this thread inside end by `deadline`, a `time.monotonic()` instant."""
        self._inside.deadline = deadline
        try:
            yield
        finally:
            del self._inside.deadline

    def deadline(self, timeout_seconds: float | None = None) -> float:
        """The instant a request begun now must have ended."""
        latest = monotonic() + min(timeout_seconds or self._timeout, self._timeout)
        return min(latest, getattr(self._inside, "deadline", latest))

    def send_message(
        self,
        origin: Origin,
        message: bytes,
        *,
        deadline: float,
        connect_by: float | None = None,
        body_cap_bytes: int = BODY_CAP_BYTES,
        keep: bool = True,
    ) -> Answer:
        """Send a whole HTTP/1.1 request, head and body, already in bytes; a new connection must stand by `connect_by`.

        With `keep` false, which is for hosts that a destination names, nothing of a new one is kept.
        """
        pool = self._pool(origin) if keep or origin in self._pools else Pool(origin, self._network, keep=0)
        return pool.exchange(message, deadline=deadline, cap_bytes=body_cap_bytes, connect_by=connect_by)

    def reach(self, origin: Origin, *, deadline: float) -> None:
        """Open a connection, through TLS where the scheme asks for it, and send nothing; raises as sending does."""
        self._pool(origin).open(deadline)

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002  # the overridden signature
        """Nowhere: a redirect is an answer like any other, so a lead never goes where nobody configured it to go."""
        return None

    def close(self) -> None:
        """Close idle connections now, and those in use as soon as their answer is there."""
        super().close()
        for pool in self._pools.values():
            pool.close()

    def _pool(self, origin: Origin) -> Pool:
        return self._pools.get(origin) or self._pools.setdefault(origin, Pool(origin, self._network, keep=self._keep))


def session(limits: LimitsConfig, network: NetworkConfig | None = None) -> Session:
    """A session for one destination in one process; any thread may use it. Raises `InvalidConfig` (TLS files)."""
    return Session(limits, network)


def exchange(
    through: Session, request: requests.PreparedRequest, *, deadline: float, body_cap_bytes: int = BODY_CAP_BYTES
) -> Answer:
    """Send a prepared request and return the answer, whatever its status.

    Raises `TransientFault` (ambiguous once the request had left), `ConfigurationFault` (certificate not accepted, not
    a usable address) and `DataFault` (a header holds a line break).
    """
    origin = Origin.of(request.url or "")
    message = head(request.method or "GET", request.url or "", request.headers) + _body(request)
    return through.send_message(origin, message, deadline=deadline, body_cap_bytes=body_cap_bytes)


def head(method: str, url: str, headers: Mapping[str, str | bytes]) -> bytes:
    """The head of a request up to and including the empty line; raises `DataFault` for what would break it."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    for name, value in headers.items():
        lines.append(f"{name}: {value.decode('latin-1') if isinstance(value, bytes) else value}")
    text = "\r\n".join(lines)
    # Header injection (CWE-113): nothing but the joints above may break a line.
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1 or "\0" in text:
        raise DataFault("a header or the address holds a line break")
    try:
        return text.encode("latin-1") + b"\r\n\r\n"
    except UnicodeEncodeError:
        raise DataFault("a header holds characters that headers cannot carry") from None


class _Adapter(BaseAdapter):
    """What `requests` calls: its request in, its response out, sent like every other."""

    def __init__(self, through: Session) -> None:
        super().__init__()
        self._session = through

    def send(  # noqa: PLR0917  # the overridden signature
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002, FBT001, FBT002  # the overridden signature; answers are read whole
        timeout: Any = None,
        verify: bool | str = True,  # noqa: ARG002, FBT001, FBT002  # certificates are always verified
        cert: Any = None,  # noqa: ARG002  # the overridden signature
        proxies: Any = None,  # noqa: ARG002  # the overridden signature
    ) -> requests.Response:
        seconds = max(timeout) if isinstance(timeout, tuple) else timeout
        answer = exchange(self._session, request, deadline=self._session.deadline(seconds))
        if answer.truncated:
            raise TransientFault("the answer is too long", ambiguous=True)
        response = requests.Response()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(answer.headers)
        response.encoding = get_encoding_from_headers(response.headers)
        response.url = request.url or ""
        response.request = request
        response.elapsed = timedelta(milliseconds=answer.ms)
        response.raw = BytesIO(answer.body)
        response.connection = self  # type: ignore[assignment]  # auth classes that answer a challenge send through it
        return response

    def close(self) -> None:
        """Nothing of its own: the session closes the pools."""


def _body(request: requests.PreparedRequest) -> bytes:
    if request.body is None:
        return b""
    if isinstance(request.body, str):
        return request.body.encode()
    if not isinstance(request.body, bytes):
        raise TypeError("streamed request bodies are not supported")
    return request.body


__all__ = ["BODY_CAP_BYTES", "Answer", "Origin", "Session", "exchange", "head", "session"]
