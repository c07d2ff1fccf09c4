"""An HTTP proxy between us and destinations: tunnels for https (RFC 9110, 9.3.6), whole addresses for http (RFC 9112, 3.2.2).

It may not know how connections are made or secured.
"""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from http import HTTPStatus
from socket import socket
from time import monotonic
from urllib.parse import unquote, urlsplit

from app.errors import ConfigurationFault, TransientFault

_MAX_HEAD_BYTES = 65_536
_FORBIDDEN = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED})
_STATUS = re.compile(rb"HTTP/1\.\d (\d{3})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy; `authorization` is a whole header line, or nothing."""

    host: str
    port: int
    authorization: bytes = field(default=b"", repr=False)

    @classmethod
    def of(cls, url: str) -> "Proxy":
        """The proxy at an address that `app.config.network` has checked; user and password are percent-encoded in it."""
        parts = urlsplit(url)
        credentials = b""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            credentials = b"Proxy-Authorization: Basic " + b64encode(pair.encode()) + b"\r\n"
        return cls(host=parts.hostname or "", port=parts.port or 80, authorization=credentials)

    def addressed(self, message: bytes, authority: str) -> bytes:
        """A request to an http origin as the proxy takes it."""
        method, _, rest = message.partition(b" ")
        line, _, headers = rest.partition(b"\r\n")
        return b"%s http://%s%s\r\n%s%s" % (method, authority.encode("ascii"), line, self.authorization, headers)

    def tunnel(self, sock: socket, authority: str, deadline: float) -> None:
        """Have a fresh connection lead on to a host and port.

        Raises `ConfigurationFault` when the proxy does not let us, `TransientFault` when it cannot; both are unsent.
        """
        target = authority.encode("ascii")
        request = b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (target, target, self.authorization)
        try:
            sock.settimeout(max(deadline - monotonic(), 0.001))
            sock.sendall(request)
            status = _status(sock, deadline)
        except OSError as error:
            problem = (
                "did not answer in time"
                if isinstance(error, TimeoutError)
                else "closed the connection without an answer"
            )
            raise TransientFault(f"the proxy {problem}", unsent=True) from None
        self.check(status, unsent=True)
        if status in _FORBIDDEN:
            raise ConfigurationFault(f"the proxy does not let us connect to {authority}: HTTP {status}", unsent=True)
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise TransientFault(f"the proxy cannot reach {authority}: HTTP {status}", unsent=True)

    def check(self, status: int, *, unsent: bool) -> None:
        """Raise `ConfigurationFault` for an answer that is the proxy's own: it does not know us."""
        if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            reason = f"the proxy asks for {'other ' if self.authorization else ''}credentials (network.proxy): HTTP 407"
            raise ConfigurationFault(reason, unsent=unsent)


def _status(sock: socket, deadline: float) -> int:
    """The status of the answer to CONNECT; a destination that speaks TLS says nothing before we do."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _MAX_HEAD_BYTES:
        left = deadline - monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left)
        data = sock.recv(4096)
        if not data:
            break
        head += data
    found = _STATUS.match(head)
    if found is None or b"\r\n\r\n" not in head:
        raise ConnectionResetError
    return int(found[1])
