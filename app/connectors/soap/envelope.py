"""A lead as a SOAP message: headers, addressing, security, and the body that the operation's schema says.

It may not know connections or answers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lxml import etree

from app.connectors._http.filling import NOTHING, fill
from app.connectors._http.scalar import to_text
from app.connectors._tree import segments
from app.connectors.soap.interface import Operation
from app.connectors.soap.security import WSA, WSSE, Security
from app.connectors.soap.writing import XSI, Writer
from app.errors import DataFault
from app.model import Item
from app.redaction import MASK, is_secret
from app.templates import Slot, slots

_ANONYMOUS = f"{WSA}/anonymous"
_XSD = "http://www.w3.org/2001/XMLSchema"


class Envelope:
    """Writes the messages of one destination; used by many threads.

    `address` is where they go; `security`, None for none, is asked for when a message is sent.
    """

    def __init__(
        self,
        operation: Operation,
        *,
        address: str,
        headers: Mapping[str, Any],
        addressing: bool,
        security: Callable[[], Security | None] | None,
    ) -> None:
        self._operation = operation
        self._writer = Writer(operation.shapes)
        self._address = address
        self._headers = [(segments(name), name, _parts(value)) for name, value in headers.items()]
        self._addressing = addressing
        self._security = security
        self._env = operation.envelope
        namespaces = {part.tag[1:].partition("}")[0] for part in operation.parts if part.tag.startswith("{")}
        prefixes = {f"ns{place}": one for place, one in enumerate(sorted(namespaces))}
        self._nsmap = {"soap": self._env, **prefixes, "xsi": XSI, "xsd": _XSD}

    def encode(self, item: Item) -> bytes:
        """The message as it is sent; raises `DataFault` naming the argument that does not fit."""
        envelope, header, body = self._written(item)
        security = self._security() if self._security is not None else None
        if security is not None:
            security.apply(envelope, self._made(envelope, header), body)
        return _bytes(envelope)

    def shown(self, item: Item, content: bytes | None = None) -> bytes:
        """The message as people see it: nothing of wsse:Security, and nothing under secret names.

        `content` is what `encode` gave, if it did: what is only shown needs no keys.
        """
        envelope = self._written(item)[0] if content is None else etree.fromstring(content)
        hides = self._security is not None
        for element in envelope.iter(etree.Element):
            if len(element) == 0 and element.text and is_secret(etree.QName(element).localname):
                element.text, hides = MASK, True
            for name in element.attrib:
                if is_secret(etree.QName(name).localname):
                    element.set(name, MASK)
                    hides = True
        if content is not None and not hides:
            return content
        if self._security is not None:
            _hide_security(self._made(envelope, envelope.find(f"{{{self._env}}}Header")))
        return _bytes(envelope)

    def _written(self, item: Item) -> tuple[Any, Any, Any]:
        """Envelope, header (None if there is none) and body, without security."""
        envelope = etree.Element(f"{{{self._env}}}Envelope", nsmap=self._nsmap)
        header = None
        if self._headers or self._addressing:
            header = etree.SubElement(envelope, f"{{{self._env}}}Header")
            self._write_headers(header, item.rendered or NOTHING)
            if self._addressing:
                self._write_addressing(header, item.key)
        body = etree.SubElement(envelope, f"{{{self._env}}}Body")
        operation = self._operation
        self._writer.arguments(operation.parts, item.payload, body, wrapped=operation.wrapped)
        return envelope, header, body

    def _made(self, envelope: Any, header: Any) -> Any:
        if header is None:
            header = etree.Element(f"{{{self._env}}}Header")
            envelope.insert(0, header)
        return header

    def _write_headers(self, header: Any, rendered: Mapping[str, str]) -> None:
        values: dict[str, Any] = {}
        for path, name, parts in self._headers:
            literal = not any(isinstance(part, Slot) for part in parts)
            value = fill(parts, rendered, f"soap_headers.{name}")
            if not value and not literal:
                continue
            branch = values
            for segment in path[:-1]:
                branch = branch.setdefault(segment, {})
            branch[path[-1]] = value
        for name, value in values.items():
            part = self._operation.headers.get(name) or self._operation.shapes.element(name)
            try:
                if part is not None:
                    self._writer.element(part, value, header, name)
                else:
                    _write_unknown(header, name, value, etree.QName(name).namespace)
            except DataFault as fault:
                raise DataFault(f"soap_headers: {fault.reason}") from None

    def _write_addressing(self, header: Any, key: str) -> None:
        """WS-Addressing 1.0, 3.2: Core and SOAP Binding."""
        nsmap = {"wsa": WSA}
        values = {
            "Action": self._operation.addressing_action,
            "To": self._address,
            "MessageID": f"urn:uuid:{key}",
        }
        for name, value in values.items():
            etree.SubElement(header, f"{{{WSA}}}{name}", nsmap=nsmap).text = value
        answer = etree.SubElement(header, f"{{{WSA}}}ReplyTo", nsmap=nsmap)
        etree.SubElement(answer, f"{{{WSA}}}Address").text = _ANONYMOUS


def _hide_security(header: Any) -> None:
    found = header.find(f"{{{WSSE}}}Security")
    if found is not None:
        header.remove(found)
    etree.SubElement(header, f"{{{WSSE}}}Security", nsmap={"wsse": WSSE}).text = MASK


def _parts(value: Any) -> Sequence[str]:
    return slots(value) if isinstance(value, str) else [to_text(value, "")]


def _write_unknown(parent: Any, name: str, value: Any, namespace: str | None) -> None:
    """A header that no schema speaks of: all of it is in the namespace of its first element."""
    tag = name if name.startswith("{") or not namespace else f"{{{namespace}}}{name}"
    try:
        node = etree.SubElement(parent, tag)
        if not isinstance(value, Mapping):
            node.text = value
            return
        for inner, below in value.items():
            _write_unknown(node, inner, below, namespace)
    except ValueError:
        raise DataFault(f"{name} cannot be written as XML") from None


def _bytes(envelope: Any) -> bytes:
    content: bytes = etree.tostring(envelope, encoding="UTF-8", xml_declaration=True)
    return content


__all__ = ["Envelope"]
