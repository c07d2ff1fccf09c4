"""Stand-in for a mail server: an SMTP sink that keeps what it is given and delivers nothing anywhere.

STARTTLS is offered with a self-made certificate, AUTH (PLAIN, LOGIN) for whoever wants it. The idempotency key is the
left part of the Message-ID (RFC 5322, section 3.6.4): one seen before is a repeat. Replies follow RFC 5321 and RFC 3463.
"""

import asyncio
from collections.abc import Mapping
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

import msgspec
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from app.sandbox.certificate import make_tls
from app.sandbox.door import HANG_SECONDS
from app.sandbox.faults import Faults, Misfortune, Refusal, SmtpPlan
from app.sandbox.receipts import Receipts

USER = "sandbox"
PASSWORD = "sandbox-password"  # noqa: S105  # published on purpose: it opens nothing but the sandbox
MESSAGE_LIMIT = 33_554_432


class MailSink:
    """One mail server; `protocol` makes the protocol of each connection, `certificate` is the PEM to trust for STARTTLS."""

    def __init__(self, faults: Faults, receipts: Receipts) -> None:
        self._faults = faults
        self._receipts = receipts
        self._tls, self.certificate = make_tls()

    def protocol(self) -> asyncio.Protocol:
        """A new connection's protocol."""
        protocol: asyncio.Protocol = SMTP(
            self,
            loop=asyncio.get_running_loop(),
            hostname="sandbox.localhost",
            ident="leadrelay sandbox, a stand-in",
            data_size_limit=MESSAGE_LIMIT,
            enable_SMTPUTF8=True,
            tls_context=self._tls,
            authenticator=self._authenticate,
            auth_required=self._plan().require_auth,
            auth_require_tls=False,
        )
        return protocol

    # The names and positional arguments of the hooks below are aiosmtpd's.

    async def handle_MAIL(  # noqa: N802  # aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """MAIL FROM: refused while the plan says that no credentials are good."""
        if self._plan().unauthorized:
            self._receipts.count_fault("smtp")
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """RCPT TO: refused for the recipients that the plan names."""
        if address.lower() in {refused.lower() for refused in self._plan().refuse_recipients}:
            self._receipts.count_fault("smtp")
            return "550 5.1.1 No such mailbox here"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's name
        """The end of a message: where the plan's faults happen and the message is kept."""
        misfortune = self._faults.draw("smtp") or Misfortune()
        await asyncio.sleep(misfortune.latency_seconds)
        if misfortune.hang:
            self._receipts.count_fault("smtp")
            await asyncio.sleep(HANG_SECONDS)
        if misfortune.refusal:
            self._receipts.count_fault("smtp")
            return _reply(misfortune.refusal)
        rejected = self._take(envelope)
        if misfortune.reset:
            self._receipts.count_fault("smtp")
            cast("asyncio.WriteTransport", server.transport).abort()
            await asyncio.sleep(HANG_SECONDS)  # until the lost connection cancels this
        return f"550 5.7.1 {rejected}" if rejected else "250 2.0.0 OK: kept by the sandbox"

    def _take(self, envelope: Envelope) -> str | None:
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        message = message_from_bytes(content, policy=policy.default)
        key = str(message.get("Message-ID") or "").strip().lstrip("<").partition("@")[0] or None
        rejected = self._faults.rejection("smtp")
        body = msgspec.json.encode(_describe(message, envelope))
        self._receipts.take("smtp", key=key, body=body, rejected=rejected)
        return rejected

    def _authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        if good and not self._plan().unauthorized:
            return AuthResult(success=True)
        return AuthResult(success=False, handled=False, message=f"535 5.7.8 {mechanism} credentials invalid")

    def _plan(self) -> SmtpPlan:
        plan = self._faults.plan("smtp")
        assert isinstance(plan, SmtpPlan)
        return plan


def _reply(refusal: Refusal) -> str:
    if refusal.kind == "unauthorized":
        return "530 5.7.0 Authentication required"
    if refusal.kind == "rate_limit":
        return f"{refusal.status or 450} 4.7.1 Too many messages, try again later"
    status = refusal.status or 451
    return f"{status} {status // 100}.3.0 The sandbox was asked to fail"


def _describe(message: EmailMessage, envelope: Envelope) -> Mapping[str, Any]:
    """What is kept of a message; nothing that changes when the same message is built again (boundaries, Date)."""
    text = message.get_body(("plain", "html"))
    return {
        "from": envelope.mail_from,
        "to": envelope.rcpt_tos,
        "subject": str(message.get("Subject") or ""),
        "message_id": str(message.get("Message-ID") or ""),
        "text": text.get_content() if text is not None else "",
        "attachments": [part.get_filename() or part.get_content_type() for part in message.iter_attachments()],
    }
