"""Pydantic's errors in the words of the product: file, line, dotted field, what is wrong and the remedy.

Knows the schema of the model that was tried and the data it was tried on, nothing of files.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from app.config.suggestion import suggest
from app.errors import Complaint

_NAME_PATTERN = "^[a-z][a-z0-9_-]{0,62}$"
_FIELD_NAME_PATTERN = "^[A-Za-z_][A-Za-z0-9_]{0,62}$"
_PATTERNS = {
    _NAME_PATTERN: "must be lower-case letters, digits, - and _, a letter first, 63 at most",
    _FIELD_NAME_PATTERN: "must be letters, digits and _, no digit first, 63 at most",
    "^[A-Z]{2}$": "must be a two-letter country code in capitals",
    "^[A-Z]{3}$": "must be a three-letter currency code in capitals, such as USD (ISO 4217)",
}
_DETAILS = {
    "missing": "is required",
    "extra_forbidden": "is not a known setting",
    "model_type": "must be a mapping of settings",
    "model_attributes_type": "must be a mapping of settings",
    "dict_type": "must be a mapping of settings",
    "list_type": "must be a list",
}
_QUOTED = re.compile(r"'([^']*)'")


class Lines(Protocol):
    """What knows the file and the line of a dotted path."""

    @property
    def file(self) -> str:
        """The file."""

    def line(self, path: str) -> int | None:
        """The line of a setting, or of the closest one around it."""


def complaints_of(
    error: ValidationError,
    model: type[BaseModel],
    data: Any,
    origin: Lines | None = None,
    *,
    whole: str = "file",
    counts: Callable[[ErrorDetails], bool] = lambda _: True,
) -> list[Complaint]:
    """One complaint for each thing wrong with `data`, named `whole`, as a `model`; `origin` adds file and line.

    `counts` tells which of pydantic's errors are to be heard.
    """
    schema = model.model_json_schema()
    details: dict[str, tuple[list[str], str | None]] = {}
    for problem in filter(counts, error.errors(include_url=False)):
        path = _path(problem, data)
        texts, _ = details.setdefault(".".join(path), ([], _remedy(problem, path, schema)))
        texts.append(_detail(problem))
    complaints = [
        Complaint(
            field=where or whole,
            detail=" or ".join(dict.fromkeys(texts)),
            remedy=remedy,
            file=origin.file if origin else None,
            line=origin.line(where) if origin else None,
        )
        for where, (texts, remedy) in details.items()
        # Of a value that could be one of several things, what is wrong deeper inside says it best.
        if not any(other.startswith(f"{where}.") for other in details)
    ]
    return sorted(complaints, key=lambda complaint: complaint.line or 0)


def _path(problem: ErrorDetails, data: Any) -> list[str]:
    """The location as places in the data: without the names pydantic gives to the members of a union."""
    if "detail" in problem.get("ctx", {}):  # of our own, which names places of the data, also such as are not there
        return [str(part) for part in problem["loc"]]
    path: list[str] = []
    value = data
    for place, part in enumerate(problem["loc"]):
        absent = place == len(problem["loc"]) - 1 and problem["type"] == "missing"
        if isinstance(value, Mapping) and (part in value or absent):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int):
            value = value[part] if part < len(value) else None
        else:
            continue
        path.append(str(part))
    return path


def _detail(problem: ErrorDetails) -> str:
    context = problem.get("ctx", {})
    if problem["type"] == "string_pattern_mismatch":
        return _PATTERNS.get(context.get("pattern", ""), "is not written as it must be")
    if problem["type"] == "value_error":
        return str(context.get("error", problem["msg"]))
    return _DETAILS.get(problem["type"]) or problem["msg"].replace("Input should be", "must be", 1)


def _remedy(problem: ErrorDetails, path: Sequence[str], schema: Mapping[str, Any]) -> str | None:
    if problem["type"] == "extra_forbidden":
        return suggest(path[-1], _known_keys(schema, path[:-1]))
    if problem["type"] in ("enum", "literal_error") and isinstance(problem["input"], str):
        return suggest(problem["input"], _QUOTED.findall(str(problem.get("ctx", {}).get("expected", ""))))
    return None


def _known_keys(schema: Mapping[str, Any], path: Sequence[str]) -> set[str]:
    """The settings that may stand at a path, by the JSON Schema of the model."""
    nodes = list(_members(schema, schema))
    for part in path:
        below = [child for node in nodes for child in _children(node, part)]
        nodes = [member for child in below for member in _members(child, schema)]
    return {key for node in nodes for key in node.get("properties", {})}


def _members(node: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The node itself, what it refers to, and each member of a union."""
    if "$ref" in node:
        yield from _members(schema["$defs"][node["$ref"].rpartition("/")[2]], schema)
        return
    yield node
    for key in ("anyOf", "oneOf", "allOf"):
        for member in node.get(key, []):
            yield from _members(member, schema)


def _children(node: Mapping[str, Any], part: str) -> Iterator[Mapping[str, Any]]:
    if part in node.get("properties", {}):
        yield node["properties"][part]
    else:
        yield from (node[key] for key in ("additionalProperties", "items") if isinstance(node.get(key), dict))
        yield from node.get("patternProperties", {}).values()
