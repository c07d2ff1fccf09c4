"""What a SOAP fault means: its code says whose it is, and codes of WS-Security and WS-Addressing say more.

Sources: SOAP 1.1, 4.4; SOAP 1.2 part 1, 5.4; WSS SOAP Message Security 1.1.1, 12; WS-Addressing 1.0 SOAP Binding, 6.4;
docs/connectors/soap.md has the table. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lxml import etree

from app.connectors._vendor import REASON_CHARS, words
from app.connectors.soap.interface import SOAP_12
from app.model import Fault

MEANINGS: Mapping[Fault | None, frozenset[str]] = {
    Fault.CONFIGURATION: frozenset(
        [
            # Of the envelope: what no lead could change.
            "VersionMismatch",
            "MustUnderstand",
            "DataEncodingUnknown",
            # Of WS-Security.
            "UnsupportedSecurityToken",
            "UnsupportedAlgorithm",
            "InvalidSecurity",
            "InvalidSecurityToken",
            "FailedAuthentication",
            "FailedCheck",
            "SecurityTokenUnavailable",
            "MessageExpired",
            # Of WS-Addressing.
            "ActionNotSupported",
            "ActionMismatch",
            "InvalidAddressingHeader",
            "MessageAddressingHeaderRequired",
            "OnlyAnonymousAddressSupported",
            # Servers' own, after the dot of a code (SOAP 1.1, 4.4.1).
            "Authentication",
            "Authorization",
            "AuthenticationFailed",
            "AccessDenied",
            "Unauthorized",
            "NotAuthorized",
            # Of WSS4J, which CXF, Spring and others answer with where they tell no more.
            "SecurityError",
        ]
    ),
    Fault.TRANSIENT: frozenset(
        # The last is WCF's, of an exception in the service.
        {"Server", "Receiver", "DestinationUnreachable", "EndpointUnavailable", "InternalServiceFault"}
    ),
    Fault.DATA: frozenset({"Client", "Sender", "DeserializationFailed"}),  # the last is WCF's
    None: frozenset({"DuplicateMessageID"}),
}
"""Codes by what they make of an attempt; None is a rejection. Of several the first row counts but for a rejection, which
says more than any other: the destination has had this message before."""
_ORDER: Sequence[Fault | None] = (None, Fault.CONFIGURATION, Fault.TRANSIENT, Fault.DATA)
_BY_CODE = {code.lower(): meaning for meaning, codes in MEANINGS.items() for code in codes}
_GENERAL = frozenset({"client", "sender"})
_LEVELS = 8
_DETAIL_CHARS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class SoapFault:
    """A fault: its codes from the outermost to the innermost without prefixes, its words, and its detail's text."""

    codes: tuple[str, ...]
    text: str
    detail: str

    @property
    def meaning(self) -> Fault | None:
        """The fault of an attempt, None for a rejection. A code that nobody knows will most likely be the same next time."""
        known = {_BY_CODE[code.lower()] for code in self.codes if code.lower() in _BY_CODE}
        return next((one for one in _ORDER if one in known), Fault.PERMANENT)

    @property
    def is_general(self) -> bool:
        """Whether all it says is that the sender is to blame."""
        return all(code.lower() in _GENERAL for code in self.codes)

    @property
    def reason(self) -> str:
        """For people: code, words and detail, without what looks personal."""
        detail = "" if self.detail in self.text else self.detail
        told = ": ".join(part for part in (".".join(self.codes)[:80], self.text, detail) if part)
        return words(told)[:REASON_CHARS] or "a fault without a word"


def read_fault(body: Any) -> SoapFault | None:
    """The fault in a body, if there is one."""
    namespace = etree.QName(body).namespace
    fault = body.find(f"{{{namespace}}}Fault")
    if fault is None:
        return None
    return _of_12(fault) if namespace == SOAP_12 else _of_11(fault)


def _of_11(fault: Any) -> SoapFault:
    # Its parts have no namespace, but some servers give them the envelope's.
    parts = {etree.QName(child).localname: child for child in fault.iterchildren(etree.Element)}
    code = _text(parts.get("faultcode"))
    return SoapFault(
        codes=tuple(part for part in _local(code).split(".") if part),
        text=_text(parts.get("faultstring")),
        detail=_detail(parts.get("detail")),
    )


def _of_12(fault: Any) -> SoapFault:
    parts = {etree.QName(child).localname: child for child in fault.iterchildren(etree.Element)}
    codes = []
    one = parts.get("Code")
    for _ in range(_LEVELS):
        if one is None:
            break
        inside = {etree.QName(child).localname: child for child in one.iterchildren(etree.Element)}
        codes.append(_local(_text(inside.get("Value"))))
        one = inside.get("Subcode")
    reasons = (
        [] if parts.get("Reason") is None else [_text(text) for text in parts["Reason"].iterchildren(etree.Element)]
    )
    return SoapFault(
        codes=tuple(code for code in codes if code),
        text=next((text for text in reasons if text), ""),
        detail=_detail(parts.get("Detail")),
    )


def _local(code: str) -> str:
    return code.rpartition(":")[2].strip()


def _text(element: Any) -> str:
    return "" if element is None else " ".join("".join(element.itertext()).split())[: 2 * _DETAIL_CHARS]


def _detail(element: Any) -> str:
    """The texts of a detail; stack traces are no words for people."""
    if element is None:
        return ""
    told = []
    for one in element.iter(etree.Element):
        name = etree.QName(one).localname.lower()
        text = " ".join((one.text or "").split())
        if text and "trace" not in name:
            told.append(text)
    return ", ".join(dict.fromkeys(told))[:_DETAIL_CHARS]
