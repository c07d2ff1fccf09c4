"""A JSON Schema as rows of a table: one for each setting, nested ones by dotted name. Pure.

Knows what pydantic writes (`$defs`, `anyOf` with null, `additionalProperties`), not the models it comes from.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from app.cli.reference.markdown import code

Schema = Mapping[str, Any]
Refer = Callable[[str], str]
"""How a named shape is written where another refers to it."""

_FORMATS = {
    "password": "secret",
    "date-time": "time",
    "uuid": "UUID",
    "path": "path",
    "file-path": "path",
    "decimal": "decimal",
}
_WORDS = {"string": "text", "object": "mapping", "array": "list"}


def settings(schema: Schema) -> Iterator[tuple[str, str, str, str]]:
    """(name, type, default, description) of everything that can be set, depth first."""
    yield from _settings(schema, schema.get("$defs", {}), "")


def type_of(node: Schema, definitions: Mapping[str, Schema], refer: Refer) -> str:
    """A value's type in words, with its bounds."""
    if "$ref" in node:
        target = definitions[_name(node)]
        return refer(_name(node)) if "properties" in target else type_of(target, definitions, refer)
    if "const" in node or "enum" in node:
        return ", ".join(code(value) for value in node.get("enum", [node.get("const")]))
    if "anyOf" in node:
        members = [member for member in node["anyOf"] if member.get("type") != "null"]
        return " or ".join(dict.fromkeys(type_of(member, definitions, refer) for member in members))
    inner = node.get("items") or _values(node)
    return f"{_WORDS[node['type']]} of {type_of(inner, definitions, refer)}" if inner else _plain(node)


def _settings(schema: Schema, definitions: Mapping[str, Schema], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for name, node in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        below = list(_below(node, definitions))
        required = name in schema.get("required", [])
        yield path, type_of(node, definitions, lambda _: "mapping"), _default(node, required=required), _text(node)
        for step, inner in below:
            yield from _settings(inner, definitions, f"{path}{step}.")


def _below(node: Schema, definitions: Mapping[str, Schema]) -> Iterator[tuple[str, Schema]]:
    """Shapes inside a value, and the step of the path that leads to them."""
    if "$ref" in node:
        target = definitions[_name(node)]
        if "properties" in target:
            yield "", target
    for member in node.get("anyOf", []):
        yield from _below(member, definitions)
    for step, inner in _below(_values(node), definitions) if _values(node) else ():
        yield f".NAME{step}", inner
    for step, inner in _below(node["items"], definitions) if "items" in node else ():
        yield f".N{step}", inner


def _values(node: Schema) -> Schema:
    """What a mapping's values are; nothing if they may be anything."""
    for inner in (node.get("additionalProperties"), *node.get("patternProperties", {}).values()):
        if isinstance(inner, Mapping):
            return inner
    return {}


def _plain(node: Schema) -> str:
    kind = str(node.get("type", "any value"))
    name = _FORMATS.get(node.get("format", ""), _WORDS.get(kind, kind))
    bounds = [
        f"{word} {node[bound]:,.10g}"
        for word, bound in (
            ("from", "minimum"),
            ("above", "exclusiveMinimum"),
            ("to", "maximum"),
            ("below", "exclusiveMaximum"),
        )
        if bound in node
    ]
    return " ".join([name, *bounds])


def _default(node: Schema, *, required: bool) -> str:
    if required:
        return "**required**"
    value = node.get("default")
    if value in (None, "", []) or isinstance(value, Mapping):
        return ""
    return code(value if isinstance(value, str) else json.dumps(value))


def _text(node: Schema) -> str:
    told = str(node.get("description", ""))
    if node.get("examples") and "enum" not in node:
        example = node["examples"][0]
        told += f" Example: {code(example if isinstance(example, str) else json.dumps(example))}."
    return told.strip()


def _name(node: Schema) -> str:
    return str(node["$ref"]).rpartition("/")[2]
