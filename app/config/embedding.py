"""Files that a destination's file names, read in: a version of the configuration is whole without the folder it came from."""

import json
from pathlib import Path
from typing import Any

from app.errors import Complaint, InvalidConfig

MAX_FILE_BYTES = 1_000_000


def embed(data: dict[str, Any], beside: Path, *, line: int | None = None) -> dict[str, Any]:
    """The settings with `response.schema.json` and `.xsd` in place of their files' names, which are relative to `beside`.

    Raises `InvalidConfig` for a file that cannot be read.
    """
    response = data.get("response")
    schema = response.get("schema") if isinstance(response, dict) else None
    if not isinstance(response, dict) or not isinstance(schema, dict):
        return data
    read = {kind: _read(kind, name, beside, line) for kind, name in schema.items() if _is_name(kind, name)}
    return {**data, "response": {**response, "schema": {**schema, **read}}}


def _is_name(kind: str, value: Any) -> bool:
    return isinstance(value, str) and (kind == "json" or (kind == "xsd" and "<" not in value))


def _read(kind: str, name: str, beside: Path, line: int | None) -> Any:
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
    field = f"response.schema.{kind}"
    raise InvalidConfig([Complaint(field=field, detail=f"{name} {detail}", remedy=remedy, file=str(beside), line=line)])
