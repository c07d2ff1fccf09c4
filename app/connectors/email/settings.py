"""What an integrator sets for a mail server, and what counts as a mailbox.

Knows nothing of SMTP itself: `message.py` composes and `session.py` talks.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, ConfigDict, Field, SecretStr, model_validator

from app.config.base import SECRET_REFERENCE, Strict


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """One address, its domain in ASCII (IDNA, RFC 5891); `name` is the display name, "" for none."""

    name: str
    local: str
    domain: str

    @property
    def address(self) -> str:
        """The address as the envelope carries it."""
        return f"{self.local}@{self.domain}"

    @property
    def is_international(self) -> bool:
        """Whether only a server with SMTPUTF8 (RFC 6531) can take it."""
        return not self.local.isascii()


def mailbox(text: str) -> Mailbox:
    """Read `a@b.c` or `Name <a@b.c>`; raises ValueError that does not repeat the text.

    Exactly one address: a comma in a lead's field must not add a recipient. Syntax only, nothing is looked up.
    """
    try:
        found = validate_email(text, check_deliverability=False, test_environment=True, allow_display_name=True)
    except EmailNotValidError:
        raise ValueError("not one valid e-mail address") from None
    return Mailbox(name=found.display_name or "", local=found.local_part, domain=found.ascii_domain)


def _is_mailbox(text: str) -> str:
    if not SECRET_REFERENCE.search(text):  # a reference is looked at when its value is there
        mailbox(text)
    return text


Address = Annotated[str, AfterValidator(_is_mailbox)]

DEFAULT_PORTS = {"starttls": 587, "tls": 465, "none": 25}


class EmailSettings(Strict):
    """Connection settings of a destination of type `email`."""

    model_config = ConfigDict(hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)

    host: str = Field(min_length=1, examples=["smtp.example.com"])
    """Mail server that takes the messages."""
    port: int | None = Field(None, ge=1, le=65535, examples=[587])
    """Its port; if not set, 587 for starttls, 465 for tls, 25 for none."""
    security: Literal["starttls", "tls", "none"] = Field("starttls", examples=["tls"])
    """TLS after STARTTLS, TLS from the first byte, or none (only inside a trusted network). TLS is 1.2 or newer."""
    ca_file: Path | None = Field(None, examples=["/etc/ssl/our-ca.pem"])
    """Certificates to trust instead of the system's, for a server with a private CA."""
    username: str | None = Field(None, examples=["leads@example.com"])
    """Login name; no login if not set."""
    password: SecretStr | None = Field(None, examples=["${env:SMTP_PASSWORD}"])
    """Password of the login."""
    sender: Address = Field(alias="from", examples=["Leads <leads@example.com>"])
    """Sender of every message; its domain is also that of the Message-ID."""
    to: list[Address] = Field([], examples=[["sales@example.com"]])
    """Recipients when the mapping has no `to`."""
    cc: list[Address] = Field([], examples=[["desk@example.com"]])
    """Recipients of a copy when the mapping has no `cc`."""
    bcc: list[Address] = Field([], examples=[["archive@example.com"]])
    """Recipients unseen by the others when the mapping has no `bcc`."""
    ehlo_name: str | None = Field(None, pattern=r"^[A-Za-z0-9.:\[\]-]+$", examples=["relay.example.com"])
    """Name we greet the server with; this machine's full name if not set."""
    idle_seconds: float = Field(30.0, ge=0, le=300, examples=[30])
    """How long an unused connection is kept for the next message."""

    @model_validator(mode="after")
    def _login_makes_sense(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if self.username is not None and self.security == "none":
            raise ValueError("a password is never sent in clear: set security to starttls or tls")
        return self

    @property
    def effective_port(self) -> int:
        """The port to connect to."""
        return self.port or DEFAULT_PORTS[self.security]
