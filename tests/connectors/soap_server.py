"""A buyer with a SOAP interface that others' code speaks: soapbar under uvicorn in a thread, WS-Security checked."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from soapbar import AsgiSoapApp, BindingStyle, SoapApplication, SoapFault, SoapService, SoapVersion, soap_operation
from soapbar.core.wssecurity import UsernameTokenValidator

from tests.connectors.asgi import serving

USER, PASSWORD = "leads", "pw-51c7e0"


@dataclass
class Buyer:
    """What it has seen, and what it raises."""

    url: str = ""
    error: Exception | None = None
    leads: list[tuple[Any, ...]] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


class Users(UsernameTokenValidator):
    def get_password(self, username: str) -> str | None:
        return PASSWORD if username == USER else None


def _service(buyer: Buyer, version: SoapVersion, style: BindingStyle) -> SoapService:
    class Leads(SoapService):
        __service_name__ = "Leads"
        __tns__ = "urn:buyer"
        __soap_version__ = version
        __binding_style__ = style

        @soap_operation()
        def submit_lead(self, email: str, age: int, consent: bool, city: str | None = None) -> str:  # noqa: FBT001  # as the operation's arguments are
            if buyer.error is not None:
                raise buyer.error
            buyer.leads.append((email, age, consent, city))
            return f"L-{len(buyer.leads)}"

    return Leads()


@contextmanager
def running(
    version: SoapVersion = SoapVersion.SOAP_11,
    *,
    style: BindingStyle = BindingStyle.DOCUMENT_LITERAL_WRAPPED,
    secure: bool = False,
) -> Iterator[Buyer]:
    """The server for as long as the block lasts, on a free port."""
    buyer = Buyer()

    def make(url: str) -> Any:
        with warnings.catch_warnings():  # that it is no https
            warnings.simplefilter("ignore")
            application = SoapApplication(
                service_url=url, security_validator=Users() if secure else None, allow_plaintext_credentials=True
            )
        application.register(_service(buyer, version, style))
        inner = AsgiSoapApp(application)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            content = b""

            async def heard() -> Any:
                nonlocal content
                message = await receive()
                content += message.get("body", b"")
                return message

            await inner(scope, heard, send)
            headers = {name.decode(): value.decode() for name, value in scope.get("headers", ())}
            buyer.requests.append((headers, content))

        return app

    with serving(make) as url:
        buyer.url = url
        yield buyer


__all__ = ["PASSWORD", "USER", "BindingStyle", "Buyer", "SoapFault", "SoapVersion", "running"]
