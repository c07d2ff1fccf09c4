"""Files that a destination's file names, read in: a version of the configuration is whole without the folder it came from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.errors import Complaint, InvalidConfig

MAX_FILE_BYTES = 1_000_000
_MARKS = {"xsd": "<", "sdl": "{"}
"""What tells a schema itself from the name of a file: none does without it."""


def embed(data: dict[str, Any], beside: Path, *, line: Callable[[str], int | None]) -> dict[str, Any]:
    """The settings with what `schema` names read in, under `response` and `settings`; names are relative to `beside`.

    `line` gives the line of a setting. Raises `InvalidConfig` for a file that cannot be read.
    """
    for holder in ("response", "settings"):
        settings = data.get(holder)
        schema = settings.get("schema") if isinstance(settings, dict) else None
        if isinstance(settings, dict) and isinstance(schema, dict):
            field = f"{holder}.schema"
            read = {
                kind: _read(kind, name, beside, field, line(field))
                for kind, name in schema.items()
                if _is_name(kind, name)
            }
            data = {**data, holder: {**settings, "schema": {**schema, **read}}}
    return data


def _is_name(kind: str, value: Any) -> bool:
    return isinstance(value, str) and (kind == "json" or (kind in _MARKS and _MARKS[kind] not in value))


def _read(kind: str, name: str, beside: Path, field: str, line: int | None) -> Any:
    detail = "is not JSON"
    try:
        with (beside.parent / name).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) <= MAX_FILE_BYTES:
            return json.loads(content) if kind == "json" else content.decode()
        detail = f"is longer than {MAX_FILE_BYTES} bytes"
    except OSError as error:
        detail = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        detail = "is not UTF-8"
    except (ValueError, RecursionError):
        pass
    remedy = f"its place is relative to {beside.parent}"
    raise InvalidConfig(
        [Complaint(field=f"{field}.{kind}", detail=f"{name} {detail}", remedy=remedy, file=str(beside), line=line)]
    )
