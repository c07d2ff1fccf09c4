"""Credentials that are made for each request: put into a request that is already in bytes, just before it leaves.

What is signed is so what is sent. Credentials that never change are no matter of this module: they stand in the request
from the beginning. It may not know where tokens and keys come from.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from app.connectors._concealment import Carried
from app.connectors._token import SharedToken
from app.connectors._transport import Answer, Origin, Session
from app.errors import ConfigurationFault, DeliveryFault

Send = Callable[[Mapping[str, str]], Answer]
"""Send the request with these headers added."""
UNAUTHORIZED = 401


class Request:
    """A whole HTTP/1.1 request as it would leave without credentials."""

    __slots__ = ("_head", "body", "method", "target")

    def __init__(self, message: bytes) -> None:
        head, _, self.body = message.partition(b"\r\n\r\n")
        line, _, self._head = head.partition(b"\r\n")
        method, _, rest = line.decode("latin-1").partition(" ")
        self.method, self.target = method, rest.rpartition(" ")[0]

    def header(self, name: str) -> str:
        """The value of a header, empty if there is none."""
        for line in self._head.decode("latin-1").split("\r\n"):
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return ""


class Authenticator(Protocol):
    """One way to show who we are; threads share it."""

    def prepare(self, deadline: float) -> None:
        """Obtain what requests need, before it is said where they go; raises faults that are `unsent`."""

    def exchange(self, send: Send, request: Request, deadline: float) -> Answer:
        """Send the request with credentials, once more where a 401 says that others are needed: it was not taken."""


class Authenticated:
    """A session whose requests carry credentials made for each, of which `carried` knows the last."""

    def __init__(self, through: Session, how: Authenticator, carried: Carried) -> None:
        self._session = through
        self._how = how
        self._carried = carried

    def send_message(self, origin: Origin, message: bytes, *, deadline: float, **options: Any) -> Answer:
        """As `Session.send_message`; `message` has no credentials yet."""
        line, joint, rest = message.partition(b"\r\n")

        def send(headers: Mapping[str, str]) -> Answer:
            added = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
            if added.count("\n") != len(headers) or added.count("\r") != len(headers) or not added.isascii():
                raise ConfigurationFault("the credentials hold characters that headers cannot carry", unsent=True)
            self._carried.put(headers.values())
            whole = line + joint + added.encode("ascii") + rest
            return self._session.send_message(origin, whole, deadline=deadline, **options)

        return self._how.exchange(send, Request(message), deadline)


class SharedBearer:
    """A bearer token that all workers share and that ends (RFC 6750)."""

    def __init__(self, token: SharedToken) -> None:
        self._token = token

    def prepare(self, deadline: float) -> None:
        """See that there is a token."""
        self._token.get(deadline)

    def exchange(self, send: Send, _request: Request, deadline: float) -> Answer:
        """Send with the token; where the destination no longer takes it, once more with a new one."""
        token = self._token.get(deadline)
        answer = send({"Authorization": f"Bearer {token.value}"})
        try:
            other = self._token.instead_of(token, deadline) if answer.status == UNAUTHORIZED else None
        except DeliveryFault as fault:
            fault.unsent = False  # it was sent, and not taken
            raise
        return answer if other is None else send({"Authorization": f"Bearer {other.value}"})
