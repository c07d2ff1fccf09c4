"""A payload becomes a message: headers, bodies, attachments, recipients.

Pure: no socket, no clock but the Date header's. Everything a lead may bring is checked here, so that no value can add
a header, a recipient or an SMTP command.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import localtime
from typing import Any

from app.connectors.base import TEST_HEADER, Property
from app.connectors.email.settings import EmailSettings, Mailbox, mailbox
from app.errors import ConfigurationFault, DataFault

PROPERTIES = (
    Property(name="to", type="address or list", label="Recipients"),
    Property(name="cc", type="address or list", label="Recipients of a copy"),
    Property(name="bcc", type="address or list", label="Recipients unseen by the others"),
    Property(name="reply_to", type="address", label="Where answers go"),
    Property(name="subject", type="text", label="Subject"),
    Property(name="text", type="text", label="Body as plain text"),
    Property(name="html", type="text", label="Body as HTML"),
    Property(name="attachments.N.filename", type="text", label="Name of an attachment"),
    Property(name="attachments.N.content", type="text", label="Its content, sent as UTF-8"),
    Property(name="attachments.N.content_type", type="text", label="Its media type; text/plain if not set"),
)
_KNOWN = frozenset(known.name.partition(".")[0] for known in PROPERTIES)
_KNOWN_OF_ATTACHMENT = frozenset(known.name.rpartition(".")[2] for known in PROPERTIES if "." in known.name)
_MEDIA_TYPE = re.compile(r"([A-Za-z0-9][\w.+-]*)/([A-Za-z0-9][\w.+-]*)", re.ASCII)
# Control characters, line and paragraph separators, lone surrogates: none belongs in a header (RFC 5322, 2.2).
_UNFIT_IN_HEADERS = frozenset({"Cc", "Zl", "Zp", "Cs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A message ready to send: `data` has CRLF line ends; `is_international` asks for SMTPUTF8."""

    sender: str
    recipients: tuple[str, ...]
    message_id: str
    data: bytes
    is_international: bool


def compose(payload: Mapping[str, Any], key: str, settings: EmailSettings, *, test: bool = False) -> Mail:
    """The message of one delivery; its Message-ID comes from `key` and is the same on every retry.

    One for a `test` lead says so in a header, for programs, and before its subject, for people.

    Raises `DataFault` naming the property (never its value), `ConfigurationFault` for one that does not exist.
    """
    _refuse_unknown(payload, _KNOWN, "")
    sender = mailbox(settings.sender)
    people = {name: _mailboxes(payload, name, getattr(settings, name)) for name in ("to", "cc", "bcc")}
    everyone = [person for group in people.values() for person in group]
    if not everyone:
        raise DataFault("to: no recipient")
    replies = _mailboxes(payload, "reply_to", [])
    international = any(person.is_international for person in (sender, *everyone, *replies))
    message = EmailMessage(policy=(policy.SMTPUTF8 if international else policy.SMTP).clone(cte_type="7bit"))
    message["From"] = _header([sender])
    for name, group in (("To", people["to"]), ("Cc", people["cc"]), ("Reply-To", replies)):
        if group:
            message[name] = _header(group)
    subject = _line(payload, "subject")
    if subject or test:
        message["Subject"] = f"{'[TEST] ' if test else ''}{subject}".strip()
    message["Date"] = localtime()
    message["Message-ID"] = f"<{key}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: keeps out-of-office answers away
    if test:
        message[TEST_HEADER] = "true"
    _add_bodies(message, payload)
    _add_attachments(message, payload.get("attachments", []))
    return Mail(
        sender=sender.address,
        recipients=tuple(dict.fromkeys(person.address for person in everyone)),
        message_id=str(message["Message-ID"]),
        data=message.as_bytes(),
        is_international=international,
    )


def _add_bodies(message: EmailMessage, payload: Mapping[str, Any]) -> None:
    text, html = _text(payload, "text"), _text(payload, "html")
    if not text and not html:
        raise DataFault("text: neither text nor html has content")
    if text:
        message.set_content(text)
    if text and html:
        message.add_alternative(html, subtype="html")
    elif html:
        message.set_content(html, subtype="html")


def _add_attachments(message: EmailMessage, attachments: Any) -> None:
    if not isinstance(attachments, list):
        raise ConfigurationFault("attachments: not a list; map attachments.0.filename, attachments.0.content")
    for number, attachment in enumerate(attachments):
        where = f"attachments.{number}"
        if not isinstance(attachment, Mapping):
            raise ConfigurationFault(f"{where}: map {where}.filename and {where}.content")
        _refuse_unknown(attachment, _KNOWN_OF_ATTACHMENT, f"{where}.")
        content = _text(attachment, "content", where=f"{where}.")
        filename = _line(attachment, "filename", where=f"{where}.") or f"attachment-{number + 1}"
        media_type = _line(attachment, "content_type", where=f"{where}.") or "text/plain"
        if (kind := _MEDIA_TYPE.fullmatch(media_type)) is None or kind[1].lower() in {"multipart", "message"}:
            raise DataFault(f"{where}.content_type: not a media type that can be attached")
        message.add_attachment(content.encode(), maintype=kind[1], subtype=kind[2], filename=filename)
        if kind[1].lower() == "text":
            *_, part = message.iter_attachments()
            part.set_param("charset", "utf-8")


def _mailboxes(payload: Mapping[str, Any], name: str, default: Iterable[str]) -> list[Mailbox]:
    value = payload.get(name, default)
    found = []
    for number, text in enumerate([value] if isinstance(value, str) else value if isinstance(value, list) else [""]):
        try:
            found.append(mailbox(text if isinstance(text, str) else ""))
        except ValueError as error:
            raise DataFault(f"{name if isinstance(value, str) else f'{name}.{number}'}: {error}") from None
    return found


def _header(group: Iterable[Mailbox]) -> tuple[Address, ...]:
    return tuple(Address(person.name, person.local, person.domain) for person in group)


def _text(payload: Mapping[str, Any], name: str, *, where: str = "") -> str:
    """A property as text; "" when it is absent."""
    value = payload.get(name, "")
    if isinstance(value, Mapping | list):
        raise DataFault(f"{where}{name}: not a single value")
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataFault(f"{where}{name}: holds a broken character (a lone surrogate)") from None
    return text


def _line(payload: Mapping[str, Any], name: str, *, where: str = "") -> str:
    """A property that goes into a header, where a line break would start another one."""
    text = _text(payload, name, where=where)
    if any(unicodedata.category(letter) in _UNFIT_IN_HEADERS for letter in text):
        raise DataFault(f"{where}{name}: holds a line break or another control character")
    return text


def _refuse_unknown(payload: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    for name in payload:
        if name not in known:
            raise ConfigurationFault(
                f"{where}{name}: an e-mail has no such property; it has {', '.join(sorted(known))}"
            )
