"""Single values as text, and nested ones laid out flat: what forms and XML are made of."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from app.errors import DataFault


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values under dotted names; a list of plain values repeats its name, one of objects counts."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from flat(inner, f"{name}.{place}" if isinstance(inner, Mapping | list) else name)
    else:
        yield name, value


def to_text(value: Any, name: str) -> str:
    """A single value as text; raises `DataFault` naming the property for one that has no such form."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, int | float | Decimal | UUID):
        return str(value)
    raise DataFault(f"property {name} cannot be written as text")
