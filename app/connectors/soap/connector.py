"""A lead as one call of a SOAP operation, sent as every HTTP destination's request is.

It may not know how WSDLs are read, messages are written or answers are read: it joins them. What needs the WSDL is made
when it is first needed: where that lies at an address, it is fetched then, once for each connector.
"""

import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from time import monotonic
from typing import Any, ClassVar, Unpack

from pydantic import ValidationError

from app.config.base import SECRET_REFERENCE
from app.config.network import NetworkConfig
from app.config.schema import ResponseConfig
from app.config.wsdl import is_address, is_text
from app.connectors._http.authentication import TEMPLATED_CLAIMS
from app.connectors._http.connector import HttpConnector
from app.connectors._response import ResponseRules
from app.connectors._transport import Origin
from app.connectors.base import Capability, Connector, Given, Property
from app.connectors.soap import checking, description
from app.connectors.soap.envelope import Envelope
from app.connectors.soap.fetching import beside, fetched, known
from app.connectors.soap.interface import Operation
from app.connectors.soap.response import Reader, SoapRules
from app.connectors.soap.security import Security, Signature, Verifier, read_certificate
from app.connectors.soap.settings import SecuritySettings, SoapSettings
from app.errors import ConfigurationFault, TransientFault
from app.model import Fault, Item, Outcome

_REFUSED = frozenset({401, 403})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """What is known once the WSDL is."""

    operation: Operation
    address: str
    http: HttpConnector


class SoapConnector(Connector[SoapSettings]):
    """One SOAP operation in one process."""

    Settings: ClassVar[type[SoapSettings]] = SoapSettings
    capabilities = (
        Capability.IDEMPOTENT
        | Capability.CHECK
        | Capability.DESCRIBE
        | Capability.RESPONSE
        | Capability.NETWORK
        | Capability.HTTP
    )
    templated = ("headers.*", "soap_headers.*", *TEMPLATED_CLAIMS)

    def __init__(self, name: str, settings: SoapSettings, **given: Unpack[Given]) -> None:
        super().__init__(name, settings, **given)
        self._rules = SoapRules(self.response, self._reader)
        self._lock = threading.Lock()
        self._ready: _Ready | None = None

    @cached_property
    def _security(self) -> Security | None:
        """Keys are loaded when a message is signed: what only shows one needs none."""
        return _security(self.settings.security) if self.settings.security is not None else None

    @cached_property
    def _verifier(self) -> Verifier | None:
        security = self.settings.security
        if security is None or security.verify_answers is None:
            return None
        return Verifier(security.verify_answers.certificate)

    @classmethod
    def check_response(cls, response: ResponseConfig) -> None:
        """Compile response rules; raises `InvalidTemplate` naming what is wrong."""
        SoapRules(response, _no_reader)

    @classmethod
    def check_mapping(cls, settings: SoapSettings, mapping: Mapping[str, Any]) -> list[tuple[str, str]]:
        """What of a mapping does not fit the operation, where the WSDL is at hand; certificates that are none."""
        found = list(_certificate_complaints(settings))
        operation = settings.known()
        return found if operation is None else [*found, *_misfits(settings, operation, mapping)]

    def complaints(self, mapping: Mapping[str, Any]) -> list[tuple[str, str]]:
        """What of a mapping does not fit the operation, by the WSDL as it is now."""
        return _misfits(self.settings, self._known().operation, mapping)

    def deliver(self, item: Item) -> Outcome:
        """Call the operation for one lead; raises `DataFault` for an argument without a fit value, else as HTTP does."""
        http = self._known(item.deadline).http
        try:
            return http.deliver(item)
        finally:
            self.notice, http.notice = http.notice or self.notice, None

    def request(self, item: Item, *, reveal: bool) -> Mapping[str, Any]:
        """The request that `deliver` would send."""
        return self._known().http.request(item, reveal=reveal)

    def interpret(self, status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
        """What an answer would mean."""
        return self._rules.interpret(status, headers, body)

    @classmethod
    def unread(cls, settings: SoapSettings) -> list[str]:
        """Where the WSDL lies, or parts of it, unless all of it is here; raises `InvalidConfig`."""
        return settings.unread()

    def learn(self, network: NetworkConfig | None) -> None:
        """Read the WSDL where it lies, without credentials; raises as `deliver` does, before anything is sent."""
        deadline = monotonic() + self.limits.timeout_seconds
        with closing(HttpConnector(self.name, beside(), limits=self.limits, network=network)) as http:
            self._ready = self._calling(fetched(self.settings, http, deadline))

    def check(self) -> None:
        """Read the WSDL anew, load keys, and ask the endpoint for nothing with the credentials of HTTP.

        No operation is called, so WS-Security's credentials are not tried. Raises as `deliver` does.
        """
        ready = self._known()
        _ = self._security, self._verifier  # loads the keys
        deadline = monotonic() + self.limits.timeout_seconds
        with self._plain(ready.address) as http:
            answer = http.asking.get(ready.address, deadline=deadline)
        if answer.status in _REFUSED:
            raise ConfigurationFault(f"HTTP {answer.status}: the credentials were refused")
        told = ResponseRules(None).interpret(answer.status, answer.headers, b"")
        # A GET is nothing that an endpoint has to understand: what stands before it says whether it is there.
        if told.fault is Fault.TRANSIENT and answer.status in {429, 502, 503, 504}:
            raise TransientFault(told.reason or "", retry_after=told.retry_after)

    def describe(self) -> list[Property]:
        """The operation's arguments."""
        return description.arguments(self._known().operation)

    def secrets(self) -> Sequence[str]:
        """Credentials of the requests that this thread sent last."""
        return self._ready.http.secrets() if self._ready is not None else ()

    def close(self) -> None:
        """Give back threads and connections."""
        super().close()
        with self._lock:
            if self._ready is not None:
                self._ready.http.close()

    def _known(self, deadline: float | None = None) -> _Ready:
        """What the WSDL says, read if need be by `deadline`, an instant of `time.monotonic()`."""
        if self._ready is not None:
            return self._ready
        until = min(deadline or monotonic() + self.limits.timeout_seconds, monotonic() + self.limits.timeout_seconds)
        if not self._lock.acquire(timeout=max(0.0, until - monotonic())):
            raise TransientFault("the WSDL is still being read", unsent=True)
        try:
            if self._ready is None:
                self._ready = self._made(until)
            return self._ready
        finally:
            self._lock.release()

    def _made(self, deadline: float) -> _Ready:
        settings = self.settings
        operation = known(settings)
        if operation is None:
            with self._plain(settings.url if is_text(settings.wsdl) else settings.wsdl) as http:
                operation = fetched(settings, http, deadline)
        return self._calling(operation)

    def _calling(self, operation: Operation) -> _Ready:
        settings = self.settings
        address = settings.url or operation.address
        if address is None:
            raise ConfigurationFault("settings.url: the WSDL has no address: give one")
        if settings.url is None and is_address(settings.wsdl) and not keeps_to(settings.wsdl, address):
            # A WSDL is somebody else's text: it does not send leads and credentials where nobody configured.
            reason = (
                f"the WSDL's address is at another host, or without TLS, {Origin.of(address)}: set url if that is meant"
            )
            raise ConfigurationFault(f"settings.url: {reason}")
        envelope = Envelope(
            operation,
            address=address,
            headers=settings.soap_headers,
            addressing=settings.addressing,
            security=(lambda: self._security) if settings.security is not None and settings.security.sends else None,
        )
        try:
            request = settings.request(address, operation)
        except ValidationError:
            raise ConfigurationFault("settings.url: the WSDL's address or action is none that HTTP can carry") from None
        http = HttpConnector(
            self.name,
            request,
            limits=self.limits,
            network=self.network,
            tokens=self.tokens,
            rules=self._rules,
            writer=envelope,
        )
        return _Ready(operation=operation, address=address, http=http)

    def _plain(self, home: str | None) -> closing[HttpConnector]:
        """Requests beside the leads', with credentials for one host."""
        auth = self.settings.auth if home and keeps_to(self.settings.url or home, home) else None
        settings = beside(home, auth)
        return closing(HttpConnector(self.name, settings, limits=self.limits, network=self.network, tokens=self.tokens))

    def _reader(self) -> Reader:
        return Reader(operation=self._known().operation, verifier=self._verifier)


def _security(settings: SecuritySettings) -> Security | None:
    if not settings.sends:
        return None
    user, signature = settings.username, settings.signature
    return Security(
        username=user.username if user else None,
        password=user.password.get_secret_value() if user else "",
        plain=user is not None and user.form == "text",
        timestamp_seconds=settings.timestamp_seconds,
        signature=Signature.of(signature.private_key.get_secret_value(), signature.certificate) if signature else None,
    )


def _misfits(settings: SoapSettings, operation: Operation, mapping: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        *checking.header_complaints(operation, settings.soap_headers),
        *checking.complaints(operation, mapping),
    ]


def _certificate_complaints(settings: SoapSettings) -> checking.Complaints:
    security = settings.security
    for name in ("signature", "verify_answers"):
        given = getattr(security, name, None)
        if given is not None and not SECRET_REFERENCE.search(given.certificate):
            try:
                read_certificate(given.certificate, f"settings.security.{name}.certificate")
            except ConfigurationFault as fault:
                yield tuple(fault.reason.split(": ", 1))  # type: ignore[misc]  # its place and what is wrong


def _no_reader() -> Reader:
    raise ConfigurationFault("rules are compiled without a WSDL")


def keeps_to(home: str, address: str) -> bool:
    """Whether an address is at the host of another, and no less safe."""
    one, other = Origin.of(home), Origin.of(address)
    return one.is_same_host(other) and (one.scheme, other.scheme) != ("https", "http")
