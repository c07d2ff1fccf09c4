"""Connections to destinations that speak HTTP: how one is opened, secured, kept and told from a dead one.

`connect` is the only place that opens one. It may not know requests or answers beyond what `_wire` makes of them.
"""

import ssl
from dataclasses import dataclass
from functools import cache
from socket import IPPROTO_TCP, SO_KEEPALIVE, SOCK_STREAM, SOL_SOCKET, TCP_NODELAY, gaierror, getaddrinfo, socket
from time import monotonic
from urllib.parse import urlsplit

import certifi
from urllib3.util import wait_for_read

from app.connectors._wire import Answer, converse
from app.errors import ConfigurationFault, TransientFault

IDLE_SECONDS = 4.0
"""Idle connections older than this are not used again: many servers close theirs after 5 s (Node.js, Apache)."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections go: scheme, host and port (RFC 6454)."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin":
        """The origin of an absolute URL; raises `ConfigurationFault` for anything else than http and https."""
        try:
            parts = urlsplit(url)
            port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        except (ValueError, KeyError):
            raise ConfigurationFault("the address is not an absolute http or https URL") from None
        if not parts.hostname:
            raise ConfigurationFault("the address names no host")
        return cls(parts.scheme, parts.hostname, port)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Pool:
    """Connections to one origin, the one last used first."""

    def __init__(self, origin: Origin, *, keep: int) -> None:
        self._origin = origin
        self._keep = keep
        self._idle: list[tuple[socket, float]] = []
        self._closed = False

    def open(self, deadline: float) -> None:
        self._give_back(self._reused() or connect(self._origin, deadline))

    def exchange(self, message: bytes, *, deadline: float, cap_bytes: int, connect_by: float | None = None) -> Answer:
        sock = self._reused() or connect(self._origin, connect_by or deadline)
        reusable = False
        try:
            answer, reusable = converse(sock, message, deadline=deadline, cap_bytes=cap_bytes)
        finally:
            if reusable:
                self._give_back(sock)
            else:
                sock.close()
        return answer

    def _give_back(self, sock: socket) -> None:
        if len(self._idle) < self._keep:
            self._idle.append((sock, monotonic()))
        else:
            sock.close()
        if self._closed:  # in the meantime, maybe by another thread
            self.close()

    def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.pop()[0].close()

    def _reused(self) -> socket | None:
        """A connection that is still open; one with something to read was closed by the other side, or talks nonsense.

        This is what keeps an idle connection's end from looking like a lost answer.
        """
        oldest = monotonic() - IDLE_SECONDS
        while True:
            try:
                sock, since = self._idle.pop()
            except IndexError:  # emptied by another thread as well
                return None
            if since >= oldest and not wait_for_read(sock, timeout=0.0):
                return sock
            sock.close()


def connect(origin: Origin, deadline: float) -> socket:
    """A connection, through TLS where the scheme asks for it; each address gets its share of the time left.

    Raises faults that are `unsent`.
    """
    try:
        found = getaddrinfo(origin.host, origin.port, type=SOCK_STREAM)
    except (gaierror, UnicodeError):
        raise TransientFault(f"the name of {origin} cannot be resolved", unsent=True) from None
    problem = "timed out"
    for count, (family, kind, protocol, _, address) in enumerate(found):
        left = deadline - monotonic()
        if left <= 0:
            break
        sock = socket(family, kind, protocol)
        try:
            sock.settimeout(left / (len(found) - count))
            sock.connect(address)
        except OSError as error:
            problem = "timed out" if isinstance(error, TimeoutError) else (error.strerror or "failed").lower()
            sock.close()
            continue
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        sock.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
        return _secured(sock, origin, deadline) if origin.scheme == "https" else sock
    raise TransientFault(f"cannot connect to {origin}: {problem}", unsent=True)


def _secured(sock: socket, origin: Origin, deadline: float) -> socket:
    try:
        sock.settimeout(max(deadline - monotonic(), 0.001))
        return tls_context().wrap_socket(sock, server_hostname=origin.host)
    except ssl.SSLCertVerificationError as error:
        sock.close()
        problem = f"the certificate of {origin} is not accepted: {error.verify_message}"
        raise ConfigurationFault(problem, unsent=True) from None
    except OSError as error:  # ssl.SSLError and TimeoutError are OSErrors
        sock.close()
        problem = "timed out" if isinstance(error, TimeoutError) else "failed"
        raise TransientFault(f"the TLS handshake with {origin} {problem}", unsent=True) from None


@cache
def tls_context() -> ssl.SSLContext:
    """The system's trusted certificates (SSL_CERT_FILE as OpenSSL reads it), or certifi's where the system has none."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(certifi.where())
    return context
