"""An operation of a WSDL as a destination: where it goes, its arguments as a mapping, and rules for its answers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.config.embedding import read_wsdl
from app.config.wsdl import ROOT, absolute, gather, is_address
from app.connectors._http.value import fixed_address
from app.connectors.base import Property as Argument
from app.connectors.soap import checking, description, interface
from app.connectors.soap.interface import Interface, Operation
from app.draft.destination import in_house
from app.draft.field import field_of
from app.draft.line import FILL_IN, Draft, Property, shown
from app.draft.operation import GOOD, OUTCOME_NAMES, PRICE_NAMES, REASON_NAMES, REFERENCE_NAMES, UNKNOWN_SERVER
from app.errors import Complaint, InvalidInput
from app.redaction import is_secret

_ROUNDS = 8
_SHOWN = 6
_EMPTY: dict[str, Any] = {"boolean": False, "int": 0, "integer": 0, "long": 0, "short": 0, "decimal": 0, "double": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One operation at one port, with its arguments."""

    service: str
    port: str
    version: str
    operation: str
    address: str | None
    arguments: Sequence[Argument]

    @classmethod
    def of(cls, operation: Operation) -> "Offer":
        """The operation for people."""
        return cls(
            service=operation.service,
            port=operation.port,
            version=operation.version,
            operation=operation.name,
            address=operation.address,
            arguments=description.arguments(operation),
        )

    @property
    def summary(self) -> str:
        """The first arguments; required ones are marked."""
        names = [f"{one.name}{'*' if one.required else ''}" for one in self.arguments[:_SHOWN]]
        return ", ".join(names) + (", …" if len(self.arguments) > _SHOWN else "")


def read(wsdl: str, fetch: Callable[[str], bytes] | None) -> Interface:
    """What a WSDL offers: one at an address, had by `fetch`, or in a file. Raises `InvalidInput`."""
    place = wsdl if is_address(wsdl) else ROOT
    try:
        if fetch is not None:
            texts = gather(place, lambda one: fetch(one) if is_address(one) else None)
        else:
            text, imports = read_wsdl(Path(wsdl))
            texts = {ROOT: text, **{absolute(name): one for name, one in imports.items()}}
    except ValueError as error:
        raise InvalidInput([Complaint(field="wsdl", detail=str(error))]) from None
    return interface.read(place, tuple(sorted(texts.items())))


def from_operation(found: Interface, operation: Operation, wsdl: str) -> Draft:
    """A destination that calls the operation; what a person has to decide is marked and noted."""
    made = Draft(type="soap", settings={"wsdl": wsdl})
    if len({one.service for one in found.operations}) > 1:
        made.settings["service"] = operation.service
    if len({one.port for one in found.operations}) > 1:
        made.settings["port"] = operation.port
    made.settings["operation"] = operation.name
    _write_address(operation, wsdl, made)
    for header in description.headers(operation):
        made.notes.append(f"the WSDL has the SOAP header {header.name} ({header.type}): soap_headers sends it")
    arguments = description.arguments(operation)
    made.properties = _fitted(operation, arguments, [_property(one) for one in arguments])
    made.response = _response(description.results(operation))
    if made.response:
        made.notes.append("the response rules are guesses from the names in the WSDL: look through them")
    if operation.one_way:
        made.notes.append("nothing is answered (one-way): that the endpoint took the message is all there is to know")
    if not is_address(wsdl):
        made.notes.append(f"{shown(wsdl)} is looked for relative to the file that this is saved as")
    return made


def _write_address(operation: Operation, wsdl: str, made: Draft) -> None:
    address = operation.address
    if address is None or not _is_usable(address):
        what = "no address" if address is None else "an address that is no http or https one"
        address = made.settings["url"] = UNKNOWN_SERVER
        made.notes.append(f"the WSDL has {what}: {FILL_IN} url")
    elif is_address(wsdl) and _differ(address, wsdl):
        made.settings["url"] = address
        made.notes.append(f"leads go to {address}, which is another host than the WSDL's: look whether that is meant")
    hosts = [host for one in (wsdl, address) if is_address(one) and (host := in_house(one))]
    if hosts:
        made.network = {"allow": list(dict.fromkeys(hosts))}
        made.notes.append(f"{', '.join(dict.fromkeys(hosts))}: in-house, so network.allow names it")


def _is_usable(address: str) -> bool:
    try:
        fixed_address(address)
    except ValueError:
        return False
    return True


def _differ(one: str, other: str) -> bool:
    return urlsplit(one).hostname != urlsplit(other).hostname


def _property(one: Argument) -> Property:
    told = shown("; ".join(part for part in (one.type, one.label) if part))
    choice = one.label.startswith("one of ")
    known = field_of(one.name) if not choice else None
    if is_secret(one.name):
        return Property(
            name=one.name, value="", comment=f"{FILL_IN}: a secret, which a mapping cannot refer to", off=True
        )
    if known:
        value = f"{{{{ lead.{known} }}}}"
        return Property(name=one.name, value=value, comment=f"required: {told}" if one.required else told)
    start = f"{FILL_IN}, required" if one.required else "optional"
    return Property(name=one.name, value=_EMPTY.get(one.type, ""), comment=f"{start}: {told}", off=not one.required)


def _fitted(operation: Operation, arguments: Sequence[Argument], properties: list[Property]) -> list[Property]:
    """With all that the WSDL requires beside what is mapped, or without what would require more."""
    needed = {one.name for one in arguments if one.required}
    for _ in range(_ROUNDS):
        mapping = {one.name: one.value for one in properties if not one.off}
        changes = dict(_changes(list(checking.complaints(operation, mapping)), properties, needed))
        if not changes:
            break
        properties = [
            replace(one, off=changes[one.name], comment=one.comment.replace("optional", f"{FILL_IN}, required"))
            if one.name in changes
            else one
            for one in properties
        ]
    return properties


def _changes(
    complaints: Sequence[tuple[str, str]], properties: Sequence[Property], needed: set[str]
) -> Iterator[tuple[str, bool]]:
    """Names to turn on or off (true)."""
    for place, detail in complaints:
        parent = place.removeprefix("mapping").lstrip(".")
        inside = [one.name for one in properties if not parent or one.name.startswith((f"{parent}.", f"{parent}@"))]
        if parent and needed.isdisjoint(inside):
            yield from ((name, True) for name in inside)
        else:
            missing = detail.rpartition(": map ")[2].partition(" or ")[0]
            yield from (
                (name, False) for name in inside if name == missing or name.startswith((f"{missing}.", f"{missing}@"))
            )


def _response(results: Sequence[Argument]) -> dict[str, Any] | None:
    """Rules that the names in the answer give a hint of."""
    rules: dict[str, Any] = {}
    for one in results:
        name = _plain(one.name)
        if name in map(_plain, OUTCOME_NAMES) and "search" not in rules:
            good = next((term for term in one.label.removeprefix("one of ").split(", ") if term.lower() in GOOD), None)
            term = "true" if one.type == "boolean" else good
            if term:
                rules["search"] = {"path": _path(one.name), "term": term}
        for rule, names in (("reason", REASON_NAMES), ("price", PRICE_NAMES), ("reference", REFERENCE_NAMES)):
            if name in map(_plain, names):
                rules.setdefault(rule, _path(one.name))
    return rules or None


def _path(name: str) -> str:
    return ".".join("*" if part == "0" else part for part in name.split("."))


def _plain(name: str) -> str:
    return name.removesuffix(".0").rpartition(".")[2].replace("_", "").lower()
