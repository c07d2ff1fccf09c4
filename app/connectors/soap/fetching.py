"""The WSDL of a destination, from its settings or from where it lies.

It may not know what is done with it, nor which credentials and which way a request has: whoever asks brings these.
"""

from app.config.wsdl import MOST_BYTES, ROOT, gather, is_text
from app.connectors._http.connector import HttpConnector
from app.connectors._http.credentials import Auth
from app.connectors._http.settings import HttpSettings
from app.connectors._response import ResponseRules
from app.connectors.soap.interface import Operation
from app.connectors.soap.settings import SoapSettings
from app.errors import ConfigurationFault, InvalidConfig, TransientFault
from app.model import Fault

_NOWHERE = "http://localhost"


def beside(home: str | None = None, auth: Auth | None = None) -> HttpSettings:
    """Settings of requests beside the leads'; credentials go to their home only."""
    return HttpSettings(url=home or _NOWHERE, body="none", auth=auth, idempotency_header=None)


def known(settings: SoapSettings) -> Operation | None:
    """The operation of a WSDL that need not be fetched; raises `ConfigurationFault`."""
    try:
        return settings.known()
    except InvalidConfig as invalid:
        raise _misfit(invalid) from None


def fetched(settings: SoapSettings, http: HttpConnector, deadline: float) -> Operation:
    """The operation of a WSDL that lies, whole or in parts, at addresses.

    Raises `TransientFault` and `ConfigurationFault`. `deadline` is an instant of `time.monotonic()`.
    """
    place = ROOT if is_text(settings.wsdl) else settings.wsdl

    def read(one: str) -> bytes | str | None:
        here = settings.text(one) if place == ROOT else None
        return _document(http, one, deadline) if here is None else here

    try:
        return settings.chosen(place, gather(place, read))
    except ValueError as error:
        raise ConfigurationFault(f"settings.wsdl: {error}") from None
    except InvalidConfig as invalid:
        raise _misfit(invalid) from None


def _misfit(invalid: InvalidConfig) -> ConfigurationFault:
    return ConfigurationFault(f"settings.{invalid.complaints[0]}")


def _document(http: HttpConnector, place: str, deadline: float) -> bytes:
    """A document of a WSDL; raises `TransientFault` and `ConfigurationFault`, both unsent: no lead has left."""
    if not place.startswith(("http://", "https://")):
        raise ValueError(f"imports {place[:200]}, which is no address")
    try:
        answer = http.asking.get(place, deadline=deadline, body_cap_bytes=MOST_BYTES)
    except TransientFault as fault:
        raise TransientFault(f"the WSDL cannot be fetched: {fault.reason}", unsent=True) from None
    except ConfigurationFault as fault:
        raise ConfigurationFault(f"the WSDL cannot be fetched: {fault.reason}", unsent=True) from None
    if answer.truncated:
        raise ValueError(f"is longer than {MOST_BYTES:,} bytes")
    told = ResponseRules(None).interpret(answer.status, answer.headers, b"")
    if told.fault is Fault.TRANSIENT:
        raise TransientFault(f"the WSDL cannot be fetched: {told.reason}", unsent=True, retry_after=told.retry_after)
    if told.reason is not None:  # any other answer than 2xx has one
        raise ConfigurationFault(f"the WSDL cannot be fetched: {told.reason}", unsent=True)
    return answer.body
