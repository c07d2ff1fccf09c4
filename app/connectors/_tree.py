"""The names of a mapping as a tree, for connector types that know what may stand where."""

from collections.abc import Mapping
from typing import Any


def planted(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Names of a mapping as a tree; a leaf is an empty one. Names that cannot stand together are the mapping's own matter."""
    tree: dict[str, Any] = {}
    for name, value in mapping.items():
        branch = tree
        for segment in segments(name):
            branch = branch.setdefault(segment, {})
        branch |= _below(value)
    return tree


def segments(name: str) -> list[str]:
    """The parts of a dotted name; a namespace in braces at its beginning is one with the first of them."""
    if name.startswith("{") and "}" in name:
        namespace, _, rest = name.partition("}")
        first, *others = rest.split(".")
        return [f"{namespace}}}{first}", *others]
    return name.split(".")


def _below(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {str(key): _below(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return {str(place): _below(inner) for place, inner in enumerate(value)}
    return {}
