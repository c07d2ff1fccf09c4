"""A schema of OpenAPI as properties to be mapped: what is required, what each means, a value to begin with.

Whatever the document says of a value is a hint: nothing is checked against it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from app.draft.document import Document, listed, mapping
from app.draft.field import field_of
from app.draft.line import FILL_IN, Property, literal, shown
from app.redaction import is_secret

_LEVELS = 8
_MOST = 400
_WORK = 20_000
"""So many schemas are looked at; a document may have a few that hold each other a million times."""
_EMPTY: Mapping[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}


class Properties:
    """The properties of one body; `notes` tells what a person has to decide."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._left = _WORK
        self.notes: list[str] = []

    def of(self, schema: Any, example: Any = None) -> list[Property]:
        """Every property: those required or known are on, the others are comments."""
        found: list[Property] = []
        for one in self._of(self.merged(schema), "", example, _refs(schema), required=True):
            if len(found) == _MOST:
                self.notes.append(f"only the first {_MOST} properties are written")
                break
            found.append(one)
        return found

    def merged(self, schema: Any, levels: int = _LEVELS) -> dict[str, Any]:
        """A schema with its references followed and `allOf` joined; of `oneOf` and `anyOf` the first that is not null."""
        self._left -= 1
        found = dict(self._document.resolved(schema))
        if levels == 0 or self._left < 0:
            return found
        parts = [self.merged(part, levels - 1) for part in listed(found.pop("allOf", None))]
        for key in ("oneOf", "anyOf"):
            choices = [one for one in listed(found.pop(key, None)) if mapping(one).get("type") != "null"]
            if len(choices) > 1:
                name = found.get("title") or "what is sent or answered"
                self.notes.append(f"{shown(str(name))} has {len(choices)} forms ({key}): the first is written")
            parts += [self.merged(one, levels - 1) for one in choices[:1]]
        if not parts:
            return found
        properties: dict[str, Any] = {}
        required: list[Any] = []
        joined: dict[str, Any] = {}
        for part in [*parts, found]:
            properties |= mapping(part.get("properties"))
            required += listed(part.get("required"))
            joined |= part
        return {**joined, "properties": properties, "required": required}

    def _of(
        self, schema: Mapping[str, Any], path: str, example: Any, above: frozenset[str], *, required: bool
    ) -> Iterator[Property]:
        """The properties of an object; `above` names the references that led here."""
        if example is None:
            example = schema.get("example", next(iter(listed(schema.get("examples"))), None))
        needed = {str(name) for name in listed(schema.get("required"))}
        for name, node in mapping(schema.get("properties")).items():
            inner = self.merged(node)
            if inner.get("readOnly") is True:
                continue
            below = f"{path}.{name}" if path else str(name)
            inside, is_required = mapping(example).get(name), required and name in needed
            items = self.merged(inner.get("items")) if kind_of(inner) == "array" else {}
            refs = _refs(node) | _refs(inner.get("items"))
            nested = refs & above or below.count(".") >= _LEVELS or self._left < 0
            if kind_of(inner) == "object" and inner.get("properties") and not nested:
                yield from self._of(inner, below, inside, above | refs, required=is_required)
            elif items.get("properties") and not nested:
                first = next(iter(listed(inside)), None)
                yield from self._of(items, f"{below}.0", first, above | refs, required=is_required)
            else:
                yield _property(inner, below, inside, required=is_required)


def _refs(node: Any) -> frozenset[str]:
    """References that a schema is, or is made of."""
    made_of = [node, *(one for key in ("allOf", "oneOf", "anyOf") for one in listed(mapping(node).get(key)))]
    found = (mapping(one).get("$ref") for one in made_of)
    return frozenset(one for one in found if isinstance(one, str))


def kind_of(schema: Mapping[str, Any]) -> str:
    """The type; of several (3.1) the first that is not null."""
    found = schema.get("type")
    if isinstance(found, list):
        found = next((one for one in found if one != "null"), None)
    return str(found or ("object" if "properties" in schema else "string"))


def beginning(schema: Mapping[str, Any], example: Any = None) -> tuple[Any, bool]:
    """A value to begin with, and whether the document means it to be sent as it is."""
    for key in ("const", "default"):
        if schema.get(key) is not None:
            return schema[key], True
    choices = [one for one in listed(schema.get("enum")) if one is not None]
    if choices:
        return choices[0], len(choices) == 1
    if example is None:
        example = schema.get("example", next(iter(listed(schema.get("examples"))), None))
    return (_EMPTY.get(kind_of(schema), "") if example is None else example), False


def _property(schema: Mapping[str, Any], name: str, example: Any, *, required: bool) -> Property:
    kind = kind_of(schema)
    told = [f"{kind} ({schema['format']})" if isinstance(schema.get("format"), str) else kind]
    if choices := [str(one) for one in listed(schema.get("enum")) if one is not None]:
        told.append(f"one of {', '.join(choices)}")
    if isinstance(title := schema.get("description") or schema.get("title"), str):
        told.append(shown(title))
    comment = shown("; ".join(told))
    known = field_of(name) if kind in {"string", "integer", "number"} and not choices else None
    value, is_meant = beginning(schema, example)
    if schema.get("format") == "binary":
        return Property(name=name, value="", comment=f"{FILL_IN}: a file", off=True)
    if is_secret(name):
        secret = f"{FILL_IN}: a secret, which a mapping cannot refer to"
        return Property(name=name, value="", comment=secret, off=True, key="sent" if required else "optional")
    if known:
        return Property(name=name, value=f"{{{{ lead.{known} }}}}", comment=_prefixed(comment, required=required))
    if is_meant:
        return Property(
            name=name, value=literal(value), comment=_prefixed(comment, required=required), off=not required
        )
    start = f"{FILL_IN}, required" if required else "optional"
    return Property(name=name, value=literal(value), comment=f"{start}: {comment}", off=not required)


def _prefixed(comment: str, *, required: bool) -> str:
    return f"required: {comment}" if required else comment
