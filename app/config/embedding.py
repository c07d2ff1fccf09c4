"""Files that a destination's file names, read in: a version of the configuration is whole without the folder it came from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.config.wsdl import MOST_BYTES, ROOT, gather, is_address, is_text, relative
from app.errors import Complaint, InvalidConfig

MAX_FILE_BYTES = 1_000_000
_MARKS = {"xsd": "<", "sdl": "{"}
"""What tells a schema itself from the name of a file: none does without it."""


def embed(data: dict[str, Any], beside: Path, *, line: Callable[[str], int | None]) -> dict[str, Any]:
    """The settings with what `schema` names read in, under `response` and `settings`, and a `wsdl` with all it imports.

    Names are relative to `beside`; `line` gives the line of a setting. Raises `InvalidConfig` for a file that cannot be read.
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
    settings = data.get("settings")
    name = settings.get("wsdl") if isinstance(settings, dict) else None
    if isinstance(settings, dict) and isinstance(name, str) and not (is_address(name) or is_text(name)):
        try:
            wsdl, imports = read_wsdl(beside.parent / name)
        except ValueError as error:
            remedy = f"its place is relative to {beside.parent}"
            complaint = Complaint(
                field="settings.wsdl",
                detail=f"{name}: {error}",
                remedy=remedy,
                file=str(beside),
                line=line("settings.wsdl"),
            )
            raise InvalidConfig([complaint]) from None
        data = {**data, "settings": {**settings, "wsdl": wsdl, **({"imports": imports} if imports else {})}}
    return data


def read_wsdl(path: Path) -> tuple[str, dict[str, str]]:
    """A WSDL from a file, and what it imports from files by their names; raises `ValueError` for what cannot be read.

    What it imports from addresses is left to whoever uses it.
    """

    def read(place: str) -> bytes | None:
        name = relative(place)
        if "://" in name:
            return None
        try:
            with (path if place == ROOT else path.parent / name).open("rb") as file:
                return file.read(MOST_BYTES + 1)
        except (OSError, ValueError) as error:
            problem = getattr(error, "strerror", None) or "no file"
            raise ValueError(f"{'' if place == ROOT else f'{name} '}cannot be read: {problem}") from None

    texts = gather(ROOT, read)
    return texts.pop(ROOT), {relative(place): text for place, text in texts.items()}


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
