"""The addresses of the stack: are they free, and does somebody answer there?"""

import errno
import http.client
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.errors import Conflict

ANSWER_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A host and port, with the setting each comes from."""

    host: str
    port: int
    host_setting: str
    port_setting: str

    @property
    def reachable_host(self) -> str:
        """The host to connect to: an address that means every interface is no address to call."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104  # compared with, not bound to

    @property
    def url(self) -> str:
        """The address as a person opens it."""
        host = self.reachable_host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def check_free(addresses: Sequence[Address]) -> None:
    """Raise `Conflict` for the first address that cannot be listened on, naming its setting; all are tried at once."""
    with ExitStack() as listening:
        for address in addresses:
            listening.enter_context(_listen(address))


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # As servers do: connections of the last run that are still in TIME_WAIT do not make a port taken.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
        listener.listen(1)
    except OSError as error:
        listener.close()
        raise Conflict(_complaint(address, error)) from error
    return listener


def _complaint(address: Address, error: OSError) -> str:
    port, setting = address.port, address.port_setting
    if error.errno == errno.EADDRINUSE:
        return f"port {port} ({setting}) is taken; stop what uses it or set {setting}"
    if error.errno == errno.EACCES:
        return f"port {port} ({setting}) is not allowed to you; set {setting} to one above 1023"
    return f"cannot listen on {address.host} ({address.host_setting}): {error.strerror}; correct {address.host_setting}"
