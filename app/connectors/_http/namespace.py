"""Prefixes in an XML body that nothing declares: no reader takes such a document (Namespaces in XML 1.0, 5).

Pure. It knows the names of a mapping, not what becomes of them; a declaration counts whatever its value will be.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

_MARK = re.compile(r"(?<!^)(?=[@#])")
_OF_XML = "xml"
"""Bound by definition (Namespaces in XML 1.0, 3)."""
Path = tuple[str, ...]


def undeclared(root: str, declared: Collection[str], mapping: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
    """Which property uses a prefix that neither the root nor an element above it declares: its name, and the prefix.

    None stands for the root element. `declared` are the prefixes that the root has from elsewhere.
    """
    names = [name for property_name, value in mapping.items() for name in _names(property_name, value)]
    known: set[tuple[Path, str]] = {((), prefix) for prefix in (*declared, _OF_XML)}
    for name in names:
        *above, last = _segments(name)
        if last.startswith("@xmlns:"):
            known.add((tuple(above), last.removeprefix("@xmlns:")))
    uses: list[tuple[str | None, Path, str]] = [(None, (), root), *_uses(names)]
    for where, path, used in uses:
        prefix = used.partition(":")[0]
        if prefix != used and not any((path[:depth], prefix) in known for depth in range(len(path) + 1)):
            yield where, prefix


def _uses(names: Collection[str]) -> Iterator[tuple[str, Path, str]]:
    """Each name of an element or attribute, and the path of the element that may declare its prefix."""
    for name in names:
        segments = _segments(name)
        for depth, segment in enumerate(segments):
            below = segments[depth + 1 : depth + 2]
            if segment.startswith("@"):
                if segment != "@xmlns" and not segment.startswith("@xmlns:"):
                    yield name, tuple(segments[:depth]), segment[1:]
            elif not segment.startswith("#") and not (depth and segment.isdecimal()):
                # Of a repeated element each has its own attributes.
                own = depth + 2 if below and below[0].isdecimal() else depth + 1
                yield name, tuple(segments[:own]), segment


def _segments(name: str) -> list[str]:
    """Elements, places and marks one by one: `a.b@id` is a, b, @id."""
    return [part for segment in name.split(".") for part in _MARK.split(segment, maxsplit=1)]


def _names(name: str, value: Any) -> Iterator[str]:
    """The name, and those below it where the value is no single one."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _names(f"{name}.{key}", inner)
    elif isinstance(value, list) and value:
        for place, inner in enumerate(value):
            yield from _names(f"{name}.{place}", inner)
    else:
        yield name
