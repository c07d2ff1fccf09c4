"""What a draft holds until it is written: the lines of its mapping, its settings, and notes for a person. Values only."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

TO_MAP = "to map: now the same for every lead"
FILL_IN = "fill in"
_EXAMPLE_CHARACTERS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One line of a mapping; `comment` stands behind it, and one that is `off` is a comment as a whole."""

    name: str
    value: Any
    comment: str = ""
    off: bool = False
    key: Literal["sent", "optional"] | None = None
    """It may be the API key: a text that is always sent, or need not be."""
    variable: str | None = None
    """The environment variable that a secret is in."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """What a destination's file says; `variables` names the environment variables it refers to, and what each holds."""

    type: str = "http"
    settings: dict[str, Any] = field(default_factory=dict)
    properties: list[Property] = field(default_factory=list)
    response: dict[str, Any] | None = None
    limits: dict[str, Any] | None = None
    network: dict[str, Any] | None = None
    variables: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def literal(value: Any) -> Any:
    """A value as a mapping sends it as it stands: braces that would open a template are written by one."""
    match value:
        case str():
            return re.sub(r"\{(?=[{%])", "{{ '{' }}", value)
        case list():
            return [literal(one) for one in value]
        case dict():
            return {name: literal(one) for name, one in value.items()}
        case _:
            return value


def shown(text: str) -> str:
    """A text on one line, short enough for a comment."""
    line = " ".join(text.split())
    return line if len(line) <= _EXAMPLE_CHARACTERS else f"{line[:_EXAMPLE_CHARACTERS]}…"
