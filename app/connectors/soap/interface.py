"""A WSDL read by zeep: which services, ports and operations it has, and what an operation takes and gives.

From texts alone: what is not among them is not there. It may not know settings, leads or connections.
"""

import re
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import zeep.exceptions
from lxml import etree
from zeep.settings import Settings
from zeep.wsdl import Document
from zeep.wsdl.bindings import Soap12Binding
from zeep.wsdl.bindings.soap import SoapBinding

from app.config.suggestion import suggest
from app.config.wsdl import relative
from app.connectors.soap.expansion import MOST, expanded_size
from app.connectors.soap.facet import Restrictions
from app.connectors.soap.schema import Shapes, root_part
from app.connectors.soap.shape import Part
from app.connectors.soap.standard import SCHEMAS
from app.errors import Complaint, InvalidConfig

SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
_DETAIL = 200

# zeep tells a broken schema by whatever it stumbles over.
_PLACES = re.compile(r"file:///(?:_/)*")
_DEFECTS = (
    zeep.exceptions.Error,
    etree.LxmlError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    RecursionError,
)
_lock = threading.Lock()
"""`warnings.catch_warnings` is for one thread at a time."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation:
    """An operation of one port; used by many threads.

    `parts` are what the body holds: one part that wraps the arguments (`wrapped`), or the arguments themselves.
    `one_way`: the WSDL says that nothing is answered.
    """

    service: str
    port: str
    name: str
    envelope: str
    address: str | None
    action: str
    addressing_action: str
    parts: Sequence[Part]
    wrapped: bool
    headers: Mapping[str, Part]
    results: Mapping[str, Part]
    one_way: bool
    shapes: Shapes

    @property
    def version(self) -> str:
        """Of SOAP."""
        return "1.2" if self.envelope == SOAP_12 else "1.1"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Interface:
    """What a WSDL offers over SOAP."""

    operations: Sequence[Operation]

    def select(self, service: str | None, port: str | None, operation: str | None) -> Operation:
        """The first operation that fits; raises `InvalidConfig` for none, or where it is not clear which is meant."""
        left = list(self.operations)
        for field, wanted in (("service", service), ("port", port), ("operation", operation)):
            names = list(dict.fromkeys(_name(one, field) for one in left))
            if wanted is not None and wanted not in names:
                raise _invalid(field, f"the WSDL has no {field} {wanted}", suggest(wanted, names))
            left = [one for one in left if wanted is None or _name(one, field) == wanted]
        names = sorted({one.name for one in left})
        if len(names) > 1:
            raise _invalid(
                "operation", f"the WSDL has {len(names)} operations: say which one to call", suggest("", names)
            )
        services = sorted({one.service for one in left})
        if len(services) > 1:
            raise _invalid("service", f"several services have the operation {names[0]}", suggest("", services))
        return left[0]


class _Texts:
    """What zeep loads documents through."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def load(self, url: Any) -> bytes:
        """The document of an address."""
        place = str(url).strip()
        # zeep asks by https for what lies beside a WSDL that came so.
        for one in (place, place.replace("https://", "http://", 1)):
            text = SCHEMAS.get(one) or self._texts.get(one)
            if text is not None:
                return text.encode()
        raise _invalid("wsdl", f"imports {relative(place)[:_DETAIL]}, which is not there")


@lru_cache(maxsize=16)
def read(place: str, texts: tuple[tuple[str, str], ...]) -> Interface:
    """The interface of a WSDL at a place, from (place, text) pairs; raises `InvalidConfig`.

    The same texts are read once in a process.
    """
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parts in bindings that are not SOAP's
        try:
            if expanded_size(text for _, text in texts) > MOST:
                raise _invalid("wsdl", f"its types and groups come to more than {MOST:,} elements")
            document = Document(
                place,
                _Texts(dict(texts)),  # type: ignore[arg-type]  # `load` is all that is asked of it
                settings=Settings(forbid_dtd=True, forbid_entities=True),
            )
            shapes = Shapes(document.types, Restrictions(text for _, text in texts))
            operations = list(_operations(document, shapes))
        except _DEFECTS as error:
            detail = "is nested too deep" if isinstance(error, RecursionError) else _plain(error)
            raise _invalid("wsdl", f"cannot be understood: {detail[:_DETAIL] or type(error).__name__}") from None
    if not operations:
        raise _invalid("wsdl", "has no operation over SOAP 1.1 or 1.2 and HTTP")
    return Interface(operations=operations)


def _operations(document: Any, shapes: Shapes) -> Iterator[Operation]:
    for service in document.services.values():
        for port in service.ports.values():
            if not isinstance(port.binding, SoapBinding):
                continue
            for one in port.binding.all().values():
                if one.input is not None and one.abstract is not None:
                    yield _operation(service.name, port, one, shapes)


def _operation(service: str, port: Any, one: Any, shapes: Shapes) -> Operation:
    envelope = SOAP_12 if isinstance(port.binding, Soap12Binding) else SOAP_11
    body = one.input.body
    if body is None:
        parts: list[Part] = []
    elif body.qname.text == f"{{{envelope}}}Body":  # several parts, each an element of the body's
        parts = [root_part(element) for _, element in body.type.elements]
    else:
        parts = [root_part(body)]
    wrapped = len(parts) == 1 and (one.style == "rpc" or shapes.of(parts[0].kind).content is not None)
    headers = [] if one.input.header is None else [element for _, element in one.input.header.type.elements]
    output = one.output.body if one.output is not None else None
    results = [] if output is None else [output]
    if output is not None and output.qname.text == f"{{{envelope}}}Body":
        results = [element for _, element in output.type.elements]
    return Operation(
        service=service,
        port=port.name,
        name=one.name,
        envelope=envelope,
        address=(port.binding_options or {}).get("address"),
        action=one.soapaction or "",
        addressing_action=one.abstract.wsa_action or one.soapaction or _default_action(port, one),
        parts=parts,
        wrapped=wrapped,
        headers={part.name: part for part in map(root_part, headers)},
        results={part.name: part for part in map(root_part, results)},
        one_way=one.output is None,
        shapes=shapes,
    )


def _default_action(port: Any, one: Any) -> str:
    """WS-Addressing 1.0 Metadata, 4.4.4."""
    name = port.binding.port_type.name
    namespace = name.namespace or ""
    mark = ":" if namespace.startswith("urn:") else "/"
    return f"{namespace.rstrip(mark)}{mark}{name.localname}{mark}{one.input.name or f'{one.name}Request'}"


def _name(operation: Operation, field: str) -> str:
    return {"service": operation.service, "port": operation.port, "operation": operation.name}[field]


def _plain(error: BaseException) -> str:
    """What zeep says of a WSDL, in one line, by the names that its own documents have."""
    told = " ".join(str(error).split())
    return _PLACES.sub("", told)


def _invalid(field: str, detail: str, remedy: str | None = None) -> InvalidConfig:
    return InvalidConfig([Complaint(field=field, detail=detail, remedy=remedy)])
