"""What an element may hold, in the few words that writing, reading and checking need.

Names are the local names that stand in the XML.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from app.connectors.soap.facet import Restrictions
from app.connectors.soap.value import Read, Write
from app.errors import DataFault

_EXAMPLES = {"date": "2026-01-31", "dateTime": "2026-01-31T12:30:00Z", "time": "12:30:00", "boolean": "true or false"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Simple:
    """A simple type: `label` is its name for people, `choices` what it is restricted to."""

    label: str
    choices: Sequence[str]
    read: Read
    _name: str | None
    _write: Write
    _restrictions: Restrictions

    def text(self, value: Any, path: str) -> str:
        """A value in its lexical form; raises `DataFault` naming the argument, never the value."""
        try:
            text = self._write(value)
        except (ValueError, DataFault):
            form = f", which is written {_EXAMPLES[self.label]}" if self.label in _EXAMPLES else ""
            raise DataFault(f"argument {path}: not a value of {self.label}{form}") from None
        if wrong := self._restrictions.complaint(self._name, text):
            raise DataFault(f"argument {path}: not a value of {self.label}: {wrong}")
        return text

    def empty(self, path: str) -> str:
        """The text of an element that none is mapped or left for, where the type allows for none; raises `DataFault`."""
        try:
            return self.text("", path)
        except DataFault:
            raise DataFault(f"argument {path} has no value, and the WSDL requires one") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """An attribute of an element."""

    name: str
    tag: str
    required: bool
    simple: Simple


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """An element in its place: how often it may stand there (`most` may be infinite), and whether it may be nil."""

    name: str
    tag: str
    least: int
    most: float
    nillable: bool
    kind: Any
    """zeep's type of it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """Elements that follow each other, or of which one is chosen; `names` are those of all parts at any depth."""

    order: Literal["all", "choice", "sequence"]
    children: Sequence["Part | Group"]
    least: int
    most: float
    names: frozenset[str]

    @property
    def may_be_empty(self) -> bool:
        """Whether nothing at all satisfies it."""
        if self.least == 0:
            return True
        empty = [child.least == 0 if isinstance(child, Part) else child.may_be_empty for child in self.children]
        return (any(empty) or not empty) if self.order == "choice" else all(empty)

    @property
    def branches(self) -> Sequence[str]:
        """The first part's name of each child."""
        return [
            name
            for child in self.children
            for name in ([child.name] if isinstance(child, Part) else child.branches[:1])
        ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shape:
    """What an element of a type holds: text (`simple`), parts (`content`), both being None where anything goes."""

    label: str
    simple: Simple | None = None
    content: Group | None = None
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)
    """Every part by its name, whatever group it is in."""
    repeated: frozenset[str] = frozenset()
    """Names of parts that may stand there more than once."""
    open: bool = False
    """Whether there may be parts that the schema does not name."""
    item: Any = None
    """zeep's type of the items of a SOAP-encoded array."""
    item_label: str = ""


def attribute_name(path: str, name: str) -> str:
    """The property of an attribute (or `#text`), as a mapping has it: in a list's place it stands behind a dot."""
    mark = "." if path.rpartition(".")[2].isdecimal() else ""
    return f"{path}{mark}{name}"


def names_of(child: Part | Group) -> frozenset[str]:
    """The names of all parts of a group's child."""
    return child.names if isinstance(child, Group) else frozenset({child.name})


def below(path: str, name: str) -> str:
    """The dotted name of a part."""
    return f"{path}.{name}" if path else name
