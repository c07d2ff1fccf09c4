"""From an answer to an outcome: the envelope first, then a fault, then the response rules on the result.

A fault decides whatever the status is; without an envelope the status does (SOAP 1.1, 6.2; SOAP 1.2 part 2, 7.5.2). It may
not know requests.
"""

import binascii
import quopri
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.message import Message
from typing import Any

import msgspec
from lxml import etree

from app.config.schema import ResponseConfig
from app.connectors._parsing import parse
from app.connectors._response import ResponseRules, seconds_of
from app.connectors.soap.fault import SoapFault, read_fault
from app.connectors.soap.interface import SOAP_11, SOAP_12, Operation
from app.connectors.soap.reading import read_body
from app.connectors.soap.security import Verifier
from app.errors import InvalidTemplate
from app.model import Fault, Outcome, Result

_STATUSES = ResponseRules(None)
_JSON = {"content-type": "application/json"}
_XML = {"content-type": "text/xml; charset=utf-8"}
_ENVELOPES = {f"{{{namespace}}}Envelope": namespace for namespace in (SOAP_11, SOAP_12)}
# Nobody who speaks SOAP answers a well-formed request to the right address so (RFC 9110, 15.5).
_WRONG_ADDRESS = frozenset({404, 405, 406, 410, 415})
_CREDENTIALS = frozenset({401, 403})
_TOO_LARGE = 413
_MOST_PARTS, _HEAD_BYTES, _KIND_CHARS = 100, 8192, 1000
_PART_HEADER = re.compile(rb"^(content-id|content-transfer-encoding):[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What reading answers needs to know of an operation; `verifier` is None where any answer is believed."""

    operation: Operation
    verifier: Verifier | None


class SoapRules:
    """Reads the answers of one destination; `reader` is asked when the first one comes.

    Raises `InvalidTemplate` naming the rule that cannot be compiled.
    """

    def __init__(self, config: ResponseConfig | None, reader: Callable[[], Reader]) -> None:
        if config is not None and config.format not in {"auto", "json", "xml"}:
            raise InvalidTemplate("format: a SOAP answer is read as json, or as xml; leave it out for json")
        self._rules = ResponseRules(config)
        self._as_xml = config is not None and config.format == "xml"
        # Rules speak of a fault only where they name it: a word that means success may stand in one.
        self._fault_rules = _rules_of_faults(config) if config is not None else None
        self._on_match = config.search.on_match if config is not None and config.search is not None else None
        self._reader = reader

    def interpret(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        transcript: Mapping[str, Any] | None = None,
        *,
        truncated: bool = False,
    ) -> Outcome:
        """What an answer means; parameters as those of `ResponseRules.interpret`."""
        envelope = None if truncated else _envelope(headers, body)
        found = None if envelope is None else _body(envelope)
        if found is None:
            return self._without_body(status, headers, body, transcript, truncated=truncated)
        fault = read_fault(found)
        if fault is not None:
            return self._of_fault(fault, envelope, status, headers, transcript)
        if status >= 300:  # noqa: PLR2004  # the classes of RFC 9110, 15
            return _STATUSES.interpret(status, headers, b"", transcript)
        reader = self._reader()
        if reader.verifier is not None:
            try:
                found = reader.verifier.body(envelope)
            except ValueError as error:
                return _error(Fault.CONFIGURATION, str(error), transcript, ambiguous=True)
        return self._ruled(self._rules, reader.operation, found, transcript)

    def _ruled(
        self, rules: ResponseRules, operation: Operation, body: Any, transcript: Mapping[str, Any] | None
    ) -> Outcome:
        if self._as_xml:
            return rules.interpret(200, _XML, etree.tostring(body, encoding="UTF-8"), transcript)
        result = read_body(body, operation.results, operation.shapes)
        return rules.interpret(200, _JSON, msgspec.json.encode(result), transcript)

    def _of_fault(
        self,
        fault: SoapFault,
        envelope: Any,
        status: int,
        headers: Mapping[str, str],
        transcript: Mapping[str, Any] | None,
    ) -> Outcome:
        reader = self._reader()
        is_believed = reader.verifier is None or _is_signed(reader.verifier, envelope)
        if not is_believed and fault.meaning is None:  # nobody who is not known decides what becomes of a lead
            return _error(Fault.TRANSIENT, f"an unsigned fault: {fault.reason}", transcript, ambiguous=True)
        if is_believed and self._fault_rules is not None:
            ruled = self._ruled(self._fault_rules, reader.operation, _body(envelope), transcript)
            if ruled.result == self._on_match:  # a rule's inverse speaks of results only
                return replace(ruled, reason=ruled.reason or fault.reason)
        meaning = fault.meaning
        if status in _CREDENTIALS and (meaning is Fault.PERMANENT or fault.is_general):
            meaning = Fault.CONFIGURATION
        wait = seconds_of(headers.get("retry-after")) if meaning is Fault.TRANSIENT else None
        return Outcome(
            result=Result.FAILURE if meaning is None else Result.ERROR,
            fault=meaning,
            reason=fault.reason,
            retry_after=wait,
            transcript=transcript,
        )

    def _without_body(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        transcript: Mapping[str, Any] | None,
        *,
        truncated: bool,
    ) -> Outcome:
        told = _STATUSES.interpret(status, headers, b"", transcript)
        if told.result is Result.ERROR:
            return told
        if status < 300:  # noqa: PLR2004  # as above
            if not body.strip() and self._reader().operation.one_way:
                return told
            reason = "the answer is too long" if truncated else f"HTTP {status}, but the answer is no SOAP envelope"
            return _error(Fault.TRANSIENT, reason, transcript, ambiguous=True)
        if status in _WRONG_ADDRESS:
            reason = f"HTTP {status}: no SOAP endpoint there; correct the address"
            return _error(Fault.CONFIGURATION, reason, transcript)
        fault = Fault.DATA if status == _TOO_LARGE else Fault.PERMANENT
        return _error(fault, f"HTTP {status} without a SOAP envelope", transcript)


def _rules_of_faults(config: ResponseConfig) -> ResponseRules | None:
    path = config.search.path if config.search is not None else None
    named = "Fault" in (path or "") if config.format == "xml" else (path or "").split(".")[0] == "Fault"
    return ResponseRules(config.model_copy(update={"answer_schema": None})) if named else None


def _envelope(headers: Mapping[str, str], body: bytes) -> Any:
    """The envelope in a body, None where there is none that can be read."""
    kind = headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() == "multipart/related":
        kind, body = _root_part(kind, body)
    parsed = parse(body, kind, format="xml")
    if parsed.kind != "xml":  # the header may be wrong about the charset where the document is not
        parsed = parse(body, "text/xml", format="xml")
    return parsed.value if parsed.kind == "xml" and parsed.value.tag in _ENVELOPES else None


def _body(envelope: Any) -> Any:
    return envelope.find(f"{{{etree.QName(envelope).namespace}}}Body")


def _is_signed(verifier: Verifier, envelope: Any) -> bool:
    try:
        verifier.body(envelope)
    except ValueError:
        return False
    return True


def _root_part(kind: str, body: bytes) -> tuple[str, bytes]:
    """The first part of a message with attachments, or the one its header names (RFC 2387), in time linear in its length."""
    header = Message()
    header["Content-Type"] = "".join(kind[:_KIND_CHARS].splitlines())
    boundary, start = str(header.get_param("boundary") or ""), str(header.get_param("start") or "").strip("<> ")
    sections = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1", "replace"), _MOST_PARTS + 1)
    parts = [_part(section) for section in sections[1:] if not section.startswith(b"--")] if boundary else []
    root = next((content for name, content in parts if start and name == start), None)
    return "text/xml", parts[0][1] if root is None and parts else root or b""


def _part(section: bytes) -> tuple[str, bytes]:
    """Content-ID and content of one part."""
    head, _, content = section.partition(b"\r\n\r\n")
    known = {name.lower(): value.strip() for name, value in _PART_HEADER.findall(head[:_HEAD_BYTES])}
    encoding = known.get(b"content-transfer-encoding", b"").lower()
    if encoding == b"base64":
        try:
            content = b64decode(content)
        except binascii.Error:
            content = b""
    elif encoding == b"quoted-printable":
        content = quopri.decodestring(content)
    return known.get(b"content-id", b"").decode("latin-1").strip("<> "), content


def _error(fault: Fault, reason: str, transcript: Mapping[str, Any] | None, *, ambiguous: bool = False) -> Outcome:
    return Outcome(result=Result.ERROR, fault=fault, reason=reason, ambiguous=ambiguous, transcript=transcript)
