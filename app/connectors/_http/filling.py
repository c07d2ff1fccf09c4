"""Texts with places that the lead fills in."""

from collections.abc import Mapping, Sequence

from app.errors import ConfigurationFault
from app.templates import Slot, joined

NOTHING: Mapping[str, str] = {}


def fill(parts: Sequence[str], rendered: Mapping[str, str], place: str) -> str:
    """Literals and values joined; `place` is what a fault names. Raises `DataFault` for a text beyond all measure."""
    return joined([value_of(part, rendered, place) if isinstance(part, Slot) else part for part in parts])


def value_of(slot: Slot, rendered: Mapping[str, str], place: str) -> str:
    """The text rendered for a slot; raises `ConfigurationFault` when the catalog saw no such template."""
    value = rendered.get(slot)
    if value is None:
        raise ConfigurationFault(f"{place}: the value of a secret holds '{{{{'")
    return value
