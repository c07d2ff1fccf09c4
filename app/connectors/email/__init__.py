"""E-mail: a lead becomes a message handed to a mail server over SMTP.

`settings.py` is what an integrator sets, `message.py` composes, `session.py` is one connection; here a message is sent
and the server's replies are classed (RFC 5321, 4.2). Most mail servers do not look for repeats, so an answer lost after
the message had left is ambiguous and may end in a second copy with the same Message-ID.
"""

import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from time import monotonic
from typing import Any, ClassVar, Unpack

from app.connectors.base import Capability, Connector, Given, Property
from app.connectors.email.message import PROPERTIES, Mail, compose
from app.connectors.email.session import Session
from app.connectors.email.settings import EmailSettings
from app.errors import ConfigurationFault, DataFault, DeliveryFault, PermanentFault, TransientFault
from app.model import Fault, Item, Outcome, Result

_OK = 250
_SHUTTING_DOWN = 421
_START_MAIL_INPUT = 354
_TRANSCRIPT_CHARS = 4000
_ADDRESS = re.compile(r"[^\s<>]+@[^\s<>]+")
_LOGIN_NEEDED = frozenset({530, 534, 535, 538})
"""Replies that ask for (other) credentials at whatever command (RFC 4954, 6)."""
_REFERENCES = (
    re.compile(r"queued as ([\w.-]+)", re.IGNORECASE),  # Postfix
    re.compile(r"\bid=([\w.-]+)"),  # Exim
    re.compile(r"\bInternalId=(\d+)"),  # Exchange
    re.compile(r"\b(\w{10,}) Message accepted"),  # Sendmail
    re.compile(r"^Ok ([0-9a-f]{16}-[0-9a-f-]+)$"),  # Amazon SES
)


class EmailConnector(Connector[EmailSettings]):
    """Sends each lead as one message; connections are kept and shared by the destination's threads."""

    Settings = EmailSettings
    capabilities = Capability.IDEMPOTENT | Capability.CHECK | Capability.DESCRIBE  # the Message-ID carries the key
    # smtplib's exceptions are OSErrors too; whatever is told apart below never gets here.
    faults: ClassVar[Mapping[type[Exception], Fault]] = {OSError: Fault.TRANSIENT}

    def __init__(self, name: str, settings: EmailSettings, **given: Unpack[Given]) -> None:
        super().__init__(name, settings, **given)
        self._idle: list[Session] = []
        self._lock = threading.Lock()
        self._closed = False

    def deliver(self, item: Item) -> Outcome:
        """Send one message; success means the server took responsibility for it, not that it was read."""
        mail = compose(item.payload, item.key, self.settings, test=item.test)
        deadline = min(item.deadline, monotonic() + self.limits.timeout_seconds)
        transcript = self._transcript(mail)
        with self._session(deadline) as session:
            try:
                return self._send(session, mail, transcript)
            except smtplib.SMTPServerDisconnected:
                reason = "the connection was lost before the message had been sent"
                raise TransientFault(reason, transcript=transcript) from None

    def request(self, item: Item, *, reveal: bool) -> Mapping[str, Any]:  # noqa: ARG002  # a message holds no credentials
        """The message, whole, and whom the mail server is told it is for."""
        mail = compose(item.payload, item.key, self.settings, test=item.test)
        return {**self._envelope(mail), "message": mail.data.decode("utf-8", "replace")}

    def check(self) -> None:
        """Connect anew, encrypt, log in and ask for nothing."""
        session = self._opened(monotonic() + self.limits.timeout_seconds)
        code, text = session.noop()
        self._give_back(session)
        if code != _OK:
            raise _fault("NOOP", code, text, ours=True)

    def describe(self) -> list[Property]:
        """The properties a mapping may set."""
        return list(PROPERTIES)

    def close(self) -> None:
        """Give back threads and connections."""
        super().close()
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _send(self, session: Session, mail: Mail, transcript: Mapping[str, Any]) -> Outcome:
        options: Sequence[str] = ()
        if mail.is_international:
            if not session.has_extn("smtputf8"):
                raise DataFault("to: an address needs SMTPUTF8, which the mail server does not offer")
            options = ("SMTPUTF8", "BODY=8BITMIME")
        code, text = session.mail(mail.sender, options)
        if code != _OK:
            raise _fault("sender", code, text, ours=True, transcript=transcript)
        refused = _recipients(session, mail, transcript)
        code, text = session.docmd("DATA")
        if code != _START_MAIL_INPUT:
            raise _fault("message", code, text, transcript=transcript)
        session.send(_dotted(mail.data))
        try:
            code, text = session.getreply()
        except smtplib.SMTPServerDisconnected:
            reason = "no answer came after the message had been sent"
            raise TransientFault(reason, ambiguous=True, transcript=transcript) from None
        if code != _OK:
            raise _fault("message", code, text, transcript=transcript)
        return _taken(mail, _readable(text), refused, transcript)

    @contextmanager
    def _session(self, deadline: float) -> Iterator[Session]:
        session = self._reused(deadline) or self._opened(deadline)
        try:
            yield session
        finally:
            self._give_back(session)

    def _reused(self, deadline: float) -> Session | None:
        """A kept connection that still answers; RSET ends whatever was begun on it (RFC 5321, 4.1.1.5)."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                session = self._idle.pop()
            session.deadline = deadline
            try:
                if monotonic() - session.used_at <= self.settings.idle_seconds and session.rset()[0] == _OK:
                    return session
            except (OSError, smtplib.SMTPException):
                pass  # nothing was sent on it: the next one, or a new one, will do
            session.close()

    def _opened(self, deadline: float) -> Session:
        try:
            return Session(self.settings, ehlo_name=self._ehlo_name, tls=self._tls, deadline=deadline)
        except smtplib.SMTPResponseException as refusal:
            stage = "login" if isinstance(refusal, smtplib.SMTPAuthenticationError) else "connection"
            raise _fault(stage, refusal.smtp_code, refusal.smtp_error, ours=True) from None
        except smtplib.SMTPServerDisconnected:
            raise TransientFault(f"{self._where} closed the connection or did not answer in time") from None
        except smtplib.SMTPException as error:  # STARTTLS, or any way to log in that we know, is not offered
            raise ConfigurationFault(f"{self._where}: {error}") from None
        except ssl.SSLCertVerificationError as error:
            raise ConfigurationFault(
                f"the certificate of {self._where} is not accepted: {error.verify_message}"
            ) from None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise TransientFault(f"the TLS handshake with {self._where} failed") from None
        except ssl.SSLError as error:
            reason = f"no TLS with {self._where}: {error.reason}; is `security` right?"
            raise ConfigurationFault(reason) from None
        except OSError as error:
            problem = "timed out" if isinstance(error, TimeoutError) else error.strerror or "failed"
            raise TransientFault(f"cannot connect to {self._where}: {problem.lower()}") from None

    def _give_back(self, session: Session) -> None:
        session.used_at = monotonic()
        with self._lock:
            if session.sock is not None and not self._closed:
                self._idle.append(session)
                return
        session.close()

    @property
    def _where(self) -> str:
        return f"{self.settings.host}:{self.settings.effective_port}"

    @cached_property
    def _ehlo_name(self) -> str:
        if self.settings.ehlo_name:
            return self.settings.ehlo_name
        # Looked up once: where the name service is broken, each look-up takes seconds.
        name = socket.getfqdn()
        return (
            name if "." in name else "[127.0.0.1]"
        )  # an address literal where there is no full name (RFC 5321, 4.1.4)

    @cached_property
    def _tls(self) -> ssl.SSLContext | None:
        if self.settings.security == "none":
            return None
        try:
            context = ssl.create_default_context(cafile=self.settings.ca_file)
        except OSError as error:
            raise ConfigurationFault(f"ca_file cannot be used: {error.strerror or 'not PEM'}") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _transcript(self, mail: Mail) -> dict[str, Any]:
        text = mail.data.decode("utf-8", "replace")
        shown = text[:_TRANSCRIPT_CHARS] + ("…" if len(text) > _TRANSCRIPT_CHARS else "")
        return {"request": {**self._envelope(mail), "message": shown}}

    def _envelope(self, mail: Mail) -> dict[str, Any]:
        return {"server": self._where, "sender": mail.sender, "recipients": list(mail.recipients)}


def _recipients(session: Session, mail: Mail, transcript: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Name every recipient; returns the refused ones, raises when none is left."""
    refused: list[dict[str, Any]] = []
    for address in mail.recipients:
        code, text = session.rcpt(address)
        if code == _SHUTTING_DOWN:
            raise _fault("recipient", code, text, transcript=transcript)
        if code not in {_OK, 251}:
            refused.append({"address": address, "code": code, "text": _readable(text)})
    if len(refused) == len(mail.recipients):
        # One that may be accepted later is reason enough to try again.
        worst = min(refused, key=lambda refusal: int(refusal["code"]))
        raise _fault("recipient", worst["code"], worst["text"].encode(), transcript=transcript)
    return refused


def _taken(mail: Mail, text: str, refused: list[dict[str, Any]], transcript: Mapping[str, Any]) -> Outcome:
    captured: dict[str, Any] = {"message_id": mail.message_id}
    reason = None
    if refused:
        captured["refused"] = refused
        reason = f"{len(refused)} of {len(mail.recipients)} recipients refused"
    answer = re.sub(r"^\d\.\d\.\d+ ", "", text)  # the enhanced status code (RFC 2034) stands before the server's words
    found = next((match for pattern in _REFERENCES if (match := pattern.search(answer))), None)
    return Outcome(
        result=Result.SUCCESS,
        reason=reason,
        reference=found[1] if found else None,
        captured=captured,
        transcript={**transcript, "response": {"code": _OK, "text": text}},
    )


def _fault(
    what: str, code: int, text: bytes | str, *, ours: bool = False, transcript: Mapping[str, Any] | None = None
) -> DeliveryFault:
    """A negative reply as a fault: 4xx may pass; 5xx will not, for every lead (`ours`) or only for this message."""
    words = _readable(text)
    kind: type[DeliveryFault]
    if code in _LOGIN_NEEDED:
        kind = ConfigurationFault
    elif 500 <= code < 600:  # noqa: PLR2004  # the permanent negative replies (RFC 5321, 4.2.1)
        kind = ConfigurationFault if ours else PermanentFault
    else:
        kind = TransientFault
    answered = None if transcript is None else {**transcript, "response": {"code": code, "text": words}}
    return kind(f"{what} refused: {code} {_ADDRESS.sub('***', words)}", transcript=answered)


def _readable(text: bytes | str) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return " ".join(words.split())[:_TRANSCRIPT_CHARS]


def _dotted(data: bytes) -> bytes:
    """The message as DATA wants it: a dot that begins a line is doubled, a dot alone is the end (RFC 5321, 4.5.2)."""
    return re.sub(rb"(?m)^\.", b"..", data) + (b"" if data.endswith(b"\r\n") else b"\r\n") + b".\r\n"


CONNECTOR = EmailConnector
