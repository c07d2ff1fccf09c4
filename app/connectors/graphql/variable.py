"""One variable of an operation: what may be mapped to it, and values in the form its type takes.

Types come from the document for built-in scalars and from the schema for all else; a type that is not known takes
anything. Rules are the GraphQL specification's (3.5, input coercion), but for texts, which leads hold where numbers are
meant. It may not know documents.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    is_required_input_field,
)
from graphql.pyutils import did_you_mean, suggestion_list

from app.connectors._http.scalar import to_text
from app.connectors.base import Property
from app.errors import DataFault

_LEVELS = 6
"""How deep `describe` goes: input types may hold themselves."""
_INT = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A declared variable; `kind` is its type without the outermost `!`, None where nothing is known of it."""

    name: str
    written: str
    required: bool
    kind: GraphQLInputType | None

    def read(self, value: Any) -> Any:
        """The value in the form its type takes; raises `DataFault` naming the variable, never the value."""
        return value if self.kind is None else _read(self.kind, value, self.name)

    def complaints(self, tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """What is wrong with the properties mapped below it; the place and what it is."""
        return _complaints(self.kind, tree, self.name)

    def properties(self) -> Iterator[Property]:
        """The variable, or what it is made of."""
        return _properties(self.kind, self.name, self.written, required=self.required, levels=_LEVELS)


def _read(kind: Any, value: Any, path: str) -> Any:
    if isinstance(kind, GraphQLNonNull):
        if value is None:
            raise DataFault(f"variable {path} has no value, and the schema requires one")
        return _read(kind.of_type, value, path)
    if value is None:
        return None
    if isinstance(kind, GraphQLList):
        values = value if isinstance(value, list) else [value]
        return [_read(kind.of_type, one, f"{path}.{place}") for place, one in enumerate(values)]
    if isinstance(kind, GraphQLInputObjectType):
        return _read_object(kind, value, path)
    return _read_leaf(kind, value, path)


def _read_leaf(kind: Any, value: Any, path: str) -> Any:
    if isinstance(kind, GraphQLEnumType):
        text = to_text(value, path)
        if text not in kind.values:
            raise DataFault(f"variable {path}: no value of {kind.name}, which are {_some(kind.values)}")
        return text
    scalar = _SCALARS.get(kind.name)
    if scalar is None:  # a scalar of the destination's own: it knows what that takes
        return value
    try:
        return scalar(value, path)
    except (ValueError, InvalidOperation):
        raise DataFault(f"variable {path}: not a value of {kind.name}") from None


def _read_object(kind: GraphQLInputObjectType, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise DataFault(f"variable {path}: {kind.name} is an object, map its fields as {path}.NAME")
    found = {}
    for name, inner in value.items():
        if name not in kind.fields:
            raise DataFault(f"variable {path}: {kind.name} has no such field as one that was mapped")
        found[name] = _read(kind.fields[name].type, inner, f"{path}.{name}")
    for name, field in kind.fields.items():
        if name not in found and is_required_input_field(field):
            raise DataFault(f"variable {path}.{name} has no value, and the schema requires one")
    return found


def _int(value: Any, _path: str) -> int:
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,10}\s*", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError  # noqa: TRY004  # all that is wrong with a value is one kind of fault
    if not -_INT <= value < _INT or value != int(value):
        raise ValueError
    return int(value)


def _float(value: Any, _path: str) -> int | float | Decimal:
    if isinstance(value, str):
        value = Decimal(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        raise ValueError
    return value


def _boolean(value: Any, _path: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    raise ValueError


_SCALARS: Mapping[str, Callable[[Any, str], Any]] = {
    "String": to_text,
    "ID": to_text,
    "Int": _int,
    "Float": _float,
    "Boolean": _boolean,
}


def _complaints(kind: Any, tree: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    if isinstance(kind, GraphQLNonNull):
        yield from _complaints(kind.of_type, tree, path)
    elif not tree:
        return
    elif isinstance(kind, GraphQLList):
        if all(segment.isdecimal() for segment in tree):
            for place, below in tree.items():
                yield from _complaints(kind.of_type, below, f"{path}.{place}")
        else:
            yield from _complaints(kind.of_type, tree, path)
    elif isinstance(kind, GraphQLInputObjectType):
        yield from _complaints_of_fields(kind, tree, path)
    elif isinstance(kind, GraphQLEnumType) or (kind is not None and kind.name in _SCALARS):
        yield f"mapping.{path}.{next(iter(tree))}", f"{path} is of type {kind.name}, which has no parts"


def _complaints_of_fields(
    kind: GraphQLInputObjectType, tree: Mapping[str, Any], path: str
) -> Iterator[tuple[str, str]]:
    for name, below in tree.items():
        field = kind.fields.get(name)
        if field is None:
            near = did_you_mean(suggestion_list(name, list(kind.fields)))
            yield f"mapping.{path}.{name}", f"{kind.name} has no field {name}.{near}"
        else:
            yield from _complaints(field.type, below, f"{path}.{name}")
    for name, field in kind.fields.items():
        if name not in tree and is_required_input_field(field):
            yield f"mapping.{path}", f"{kind.name} requires {name} ({field.type}): map {path}.{name}"


def _properties(kind: Any, path: str, written: str, *, required: bool, levels: int) -> Iterator[Property]:
    inner = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
    item = _item(inner)
    if levels and isinstance(item, GraphQLInputObjectType):
        below = path if item is inner else f"{path}.0"
        for name, field in item.fields.items():
            needed = required and is_required_input_field(field)
            yield from _properties(field.type, f"{below}.{name}", str(field.type), required=needed, levels=levels - 1)
    else:
        label = f"one of {_some(item.values)}" if isinstance(item, GraphQLEnumType) else ""
        yield Property(name=path, type=written, required=required, label=label)


def _item(kind: Any) -> Any:
    while isinstance(kind, GraphQLList | GraphQLNonNull):
        kind = kind.of_type
    return kind


def _some(names: Mapping[str, Any]) -> str:
    shown = list(names)[:20]
    return ", ".join(shown) + (", …" if len(names) > len(shown) else "")
