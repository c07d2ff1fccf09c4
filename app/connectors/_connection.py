"""Connections to destinations that speak HTTP: how one is opened, secured, kept and told from a dead one.

`connect` is the only place that opens one, to no other address than one that the guard has let pass. It may not know
requests or answers beyond what `_wire` and `_proxy` make of them.
"""

import re
import ssl
from dataclasses import dataclass
from socket import IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET, TCP_NODELAY, socket
from time import monotonic
from urllib.parse import urlsplit

from urllib3.util import wait_for_read

from app.connectors._network import Network
from app.connectors._proxy import Proxy
from app.connectors._resolution import Found, addresses, literal, resolve
from app.connectors._tls import refusal
from app.connectors._wire import Answer, converse
from app.errors import ConfigurationFault, DeliveryFault, TransientFault

IDLE_SECONDS = 4.0
"""Idle connections older than this are not used again: many servers close theirs after 5 s (Node.js, Apache)."""
_HOST = re.compile(r"[\w.:%~-]+", re.ASCII)
_WEB_PORTS = frozenset({80, 443})


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
            host = parts.hostname or ""
            if not host.isascii():
                host = host.encode("idna").decode()  # UnicodeError is a ValueError
        except (ValueError, KeyError):
            raise ConfigurationFault("the address is not an absolute http or https URL") from None
        if not host:
            raise ConfigurationFault("the address names no host")
        if not _HOST.fullmatch(host):  # it goes into requests to a proxy
            raise ConfigurationFault("the host in the address is written with characters that no host has")
        return cls(parts.scheme, host, port)

    def is_same_host(self, other: "Origin") -> bool:
        """Whether both are one host: the ports too, but that those of the web stand for each other."""
        return self.host == other.host and (self.port == other.port or {self.port, other.port} <= _WEB_PORTS)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Pool:
    """Connections to one origin, the one last used first."""

    def __init__(self, origin: Origin, network: Network, *, keep: int) -> None:
        self._origin = origin
        self._network = network
        self._addressed_to = network.proxy if origin.scheme == "http" else None
        self._keep = keep
        self._idle: list[tuple[socket, float]] = []
        self._closed = False

    def open(self, deadline: float) -> None:
        self._give_back(self._reused() or connect(self._origin, self._network, deadline))

    def exchange(self, message: bytes, *, deadline: float, cap_bytes: int, connect_by: float | None = None) -> Answer:
        sock = self._reused() or connect(self._origin, self._network, connect_by or deadline)
        reusable = False
        if self._addressed_to is not None:
            message = self._addressed_to.addressed(message, str(self._origin))
        try:
            answer, reusable = converse(sock, message, deadline=deadline, cap_bytes=cap_bytes)
        finally:
            if reusable:
                self._give_back(sock)
            else:
                sock.close()
        if self._addressed_to is not None:
            self._addressed_to.check(answer.status, unsent=False)
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


def connect(origin: Origin, network: Network, deadline: float) -> socket:
    """A connection, through the proxy and TLS where these are asked for; each address gets its share of the time left.

    A name is resolved once, and what was judged is what is connected to. Behind a proxy names are the proxy's to resolve
    and to judge; an address in place of a name is judged here all the same. Raises faults that are `unsent`.
    """
    proxy = network.proxy
    if proxy is None:
        found = resolve(origin.host, origin.port, deadline)
        network.guard.check(origin.host, addresses(found))
        sock = _reached(found, str(origin), deadline)
    else:
        network.guard.check(origin.host, addresses(literal(origin.host, origin.port)))
        sock = _reached(resolve(proxy.host, proxy.port, deadline), "the proxy", deadline)
    if origin.scheme == "http":
        return sock
    if proxy is not None:
        _tunnelled(sock, proxy, origin, deadline)
    return _secured(sock, origin, network, deadline)


def _reached(found: Found, where: str, deadline: float) -> socket:
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
        return sock
    raise TransientFault(f"cannot connect to {where}: {problem}", unsent=True)


def _tunnelled(sock: socket, proxy: Proxy, origin: Origin, deadline: float) -> None:
    try:
        proxy.tunnel(sock, str(origin), deadline)
    except DeliveryFault:
        sock.close()
        raise


def _secured(sock: socket, origin: Origin, network: Network, deadline: float) -> socket:
    try:
        sock.settimeout(max(deadline - monotonic(), 0.001))
        return network.context().wrap_socket(sock, server_hostname=origin.host.removesuffix("."))
    except ssl.SSLCertVerificationError as error:
        sock.close()
        problem = f"the certificate of {origin} is not accepted: {error.verify_message}"
        raise ConfigurationFault(problem, unsent=True) from None
    except OSError as error:  # ssl.SSLError and TimeoutError are OSErrors
        sock.close()
        if (said := refusal(error)) is not None:
            raise ConfigurationFault(f"{origin} {said}", unsent=True) from None
        problem = "timed out" if isinstance(error, TimeoutError) else "failed"
        raise TransientFault(f"the TLS handshake with {origin} {problem}", unsent=True) from None
