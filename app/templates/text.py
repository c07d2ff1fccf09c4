"""How values leave a template: as text inside other text, as plain data on their own."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any


def to_text(value: Any) -> str:
    """A value as text: null is empty, booleans are `true` and `false`, lists and objects JSON, times ISO 8601 in UTC."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple | Mapping):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=to_plain)
    return str(to_plain(value))


def to_plain(value: Any) -> Any:
    """A value that JSON has: times, UUIDs and the like become text, all else stays what it is."""
    if value is None or isinstance(value, str | int | float | list | tuple):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else str(value)
