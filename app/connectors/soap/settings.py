"""The connection settings of a SOAP destination; docs/connectors/soap.md shows them as a table.

A WSDL that is given as text, which is what a file becomes when a configuration is applied, is read here; one that lies at
an address is read when it is there.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from app.config.base import SECRET_REFERENCE
from app.config.wsdl import ROOT, absolute, gather, is_address, is_text, relative
from app.connectors._http.agreement import of_headers
from app.connectors._http.credentials import Auth
from app.connectors._http.settings import HttpSettings
from app.connectors._http.value import FixedAddress, HeaderName, HeaderValue, Settings, fixed_address
from app.connectors.soap import interface
from app.connectors.soap.interface import Operation
from app.errors import Complaint, InvalidConfig


def _wsdl(text: str) -> str:
    if is_text(text) or SECRET_REFERENCE.search(text):
        return text
    if is_address(text):
        return fixed_address(text)
    raise ValueError("neither an address nor a WSDL; a file's name is known only where a folder is applied")


Wsdl = Annotated[str, AfterValidator(_wsdl)]


class UsernameSettings(Settings):
    """A user and a password in each message (WSS UsernameToken Profile 1.1)."""

    username: str = Field(min_length=1, examples=["leads"])
    """User name."""
    password: SecretStr = Field(examples=["${env:BUYER_PASSWORD}"])
    """Password."""
    form: Literal["digest", "text"] = Field("digest", examples=["text"])
    """How it travels: hashed with a nonce and the time, or as it is, which only TLS protects."""


class SignatureSettings(Settings):
    """A signature of each message's body, timestamp and addressing headers (WSS X.509 Token Profile 1.1)."""

    private_key: SecretStr = Field(examples=["${file:/run/secrets/leads.key}"])
    """Our private key, RSA of 2048 bits or more or on the curve P-256, in PEM without a password."""
    certificate: str = Field(examples=["${file:/run/secrets/leads.crt}"])
    """Our certificate, in PEM; it travels with each message."""


class VerificationSettings(Settings):
    """What an answer must be signed with."""

    certificate: str = Field(examples=["${file:/run/secrets/buyer.crt}"])
    """The destination's certificate, in PEM. An answer whose body is not signed by its key is not believed."""


class SecuritySettings(Settings):
    """What goes into the header wsse:Security (WS-Security 1.1)."""

    username: UsernameSettings | None = Field(
        None, examples=[{"username": "leads", "password": "${env:BUYER_PASSWORD}"}]
    )
    """Name and password."""
    signature: SignatureSettings | None = Field(
        None,
        examples=[{"private_key": "${file:/run/secrets/leads.key}", "certificate": "${file:/run/secrets/leads.crt}"}],
    )
    """Sign each message."""
    verify_answers: VerificationSettings | None = Field(
        None, examples=[{"certificate": "${file:/run/secrets/buyer.crt}"}]
    )
    """Believe only answers that the destination signed."""
    timestamp_seconds: int | None = Field(None, ge=10, le=3600, examples=[300])
    """Send a timestamp that ends so long after the message was made; always there with a signature (then 300)."""

    @property
    def sends(self) -> bool:
        """Whether messages carry anything of it."""
        return bool(self.username or self.signature or self.timestamp_seconds)

    @model_validator(mode="after")
    def _something(self) -> "SecuritySettings":
        if not (self.sends or self.verify_answers):
            raise ValueError("give username, signature, verify_answers or timestamp_seconds")
        return self


class SoapSettings(Settings):
    """Which operation takes a lead, where, and with which credentials."""

    wsdl: Wsdl = Field(min_length=1, examples=["https://buyer.example.com/leads?wsdl"])
    """The WSDL: its address, or the name of a file relative to this one, which is read in with all that it imports."""
    imports: dict[str, str] = Field({}, examples=[{"types.xsd": "<schema …/>"}])
    """What a WSDL given as text imports, by the names it has there; filled in where the WSDL is a file."""
    service: str | None = Field(None, examples=["LeadService"])
    """Name of the service; required if several have the operation."""
    port: str | None = Field(None, examples=["LeadServiceSoap12"])
    """Name of the port, which decides between SOAP 1.1 and 1.2; the first with the operation if not set."""
    operation: str | None = Field(None, examples=["SubmitLead"])
    """Name of the operation; required if there are several."""
    url: FixedAddress | None = Field(None, examples=["https://buyer.example.com/leads"])
    """Address of the endpoint, if it is not the one in the WSDL."""
    soap_headers: dict[str, Any] = Field(
        {}, examples=[{"AuthHeader.Username": "leads", "AuthHeader.Password": "${env:BUYER_PASSWORD}"}]
    )
    """SOAP headers by dotted names, those of the WSDL or `{namespace}Name`; values may hold `{{ }}`."""
    addressing: bool = Field(False, examples=[True])
    """Send WS-Addressing 1.0 headers; the message's id is the delivery's, the same on every retry."""
    security: SecuritySettings | None = Field(
        None, examples=[{"username": {"username": "leads", "password": "${env:BUYER_PASSWORD}"}}]
    )
    """WS-Security; none if not set."""
    headers: dict[HeaderName, HeaderValue] = Field({}, examples=[{"X-Campaign": "{{ lead.campaign }}"}])
    """Further HTTP headers; may hold `{{ }}`. One whose templates render to nothing is left out."""
    auth: Auth | None = Field(None, examples=[{"basic": {"username": "leads", "password": "${env:BUYER_PASSWORD}"}}])
    """Credentials of HTTP; none if not set."""
    idempotency_header: HeaderName | None = Field("Idempotency-Key", examples=["X-Request-Id"])
    """HTTP header that carries the delivery's id, the same on every retry; null to send none."""

    def known(self) -> Operation | None:
        """The operation of a WSDL that is here as text with all that it imports; raises `InvalidConfig`."""
        texts, elsewhere = self._documents()
        return None if elsewhere else self.chosen(ROOT, texts)

    def unread(self) -> list[str]:
        """Addresses of what of the WSDL is not here; raises `InvalidConfig`."""
        return self._documents()[1]

    def _documents(self) -> tuple[dict[str, str], list[str]]:
        """What is here of the WSDL, by its places, and the addresses of what it names beside that."""
        if not is_text(self.wsdl):
            return {}, [self.wsdl]
        missing: list[str] = []

        def read(place: str) -> str | None:
            text = self.text(place)
            if text is None:
                missing.append(place)
            return text

        try:
            texts = gather(ROOT, read)
        except ValueError as error:
            raise InvalidConfig([Complaint(field="wsdl", detail=str(error))]) from None
        if beside := [place for place in missing if not is_address(place)]:
            detail = f"imports {relative(beside[0])[:200]}, which is not there: give it under imports"
            raise InvalidConfig([Complaint(field="wsdl", detail=detail)])
        return texts, missing

    def text(self, place: str) -> str | None:
        """A document that is here as text."""
        if place == ROOT:
            return self.wsdl
        return next((text for name, text in self.imports.items() if absolute(name) == place), None)

    def chosen(self, place: str, texts: dict[str, str]) -> Operation:
        """The operation of a WSDL at a place; raises `InvalidConfig`."""
        found = interface.read(place, tuple(sorted(texts.items())))
        return found.select(self.service, self.port, self.operation)

    def request(self, url: str, operation: Operation) -> HttpSettings:
        """The request that carries a message (SOAP 1.1, 6; SOAP 1.2 part 2, 7.5)."""
        action = operation.action
        if operation.version == "1.2":
            kind = "application/soap+xml; charset=utf-8" + (f'; action="{action}"' if action else "")
            ours = {"Content-Type": kind, "Accept": "application/soap+xml, multipart/related, text/xml;q=0.8"}
        else:
            ours = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{action}"'}
            ours["Accept"] = "text/xml, multipart/related"
        named = {name.lower() for name in self.headers}
        return HttpSettings(
            url=url,
            body="none",
            headers={name: value for name, value in ours.items() if name.lower() not in named} | self.headers,
            auth=self.auth,
            idempotency_header=self.idempotency_header,
        )

    @model_validator(mode="after")
    def _fits_together(self) -> "SoapSettings":
        found: list[tuple[tuple[str | int, ...], str]] = []
        if self.imports and not is_text(self.wsdl):
            found.append((("imports",), "belong to a WSDL that is given as text"))
        if self.auth is not None and self.auth.body_key() is not None:
            found.append(
                (("auth", "api_key", "in"), "the body is the envelope: map the key to an argument, or to soap_headers")
            )
        found += of_headers(self.headers, self.auth, self.idempotency_header)
        for name, value in self.soap_headers.items():
            if not isinstance(value, str | int | float | bool | None):
                found.append((("soap_headers", name), "takes one value: name what is below it with dots"))
        try:
            operation = self.known()
            if operation is not None and self.url is None and operation.address is None:
                found.append((("url",), "the WSDL has no address: give one"))
        except InvalidConfig as invalid:
            found += [
                (tuple(one.field.split(".")), f"{one.detail}{f' ({one.remedy})' if one.remedy else ''}")
                for one in invalid.complaints
            ]
        if found:
            errors = [
                {"type": PydanticCustomError("soap", "{detail}", {"detail": detail}), "loc": place, "input": None}
                for place, detail in found
            ]
            raise ValidationError.from_exception_data("SoapSettings", errors)  # type: ignore[arg-type]  # as told there
        return self
