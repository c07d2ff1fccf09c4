"""Whether a mapping fits an operation, told before any lead meets it.

Pure: shapes and names in, complaints out.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from app.config.suggestion import suggest
from app.connectors._tree import planted
from app.connectors.soap.interface import Operation
from app.connectors.soap.schema import Shapes
from app.connectors.soap.shape import Group, Part, Shape, attribute_name

Complaints = Iterator[tuple[str, str]]


def complaints(operation: Operation, mapping: Mapping[str, Any]) -> Complaints:
    """What is wrong with a mapping: the dotted place in the destination's file, and what it is."""
    tree = planted(mapping)
    shapes = operation.shapes
    if operation.wrapped:
        yield from _of_shape(shapes.of(operation.parts[0].kind), tree, "", shapes, operation.name)
        return
    children = list(operation.parts)
    group = Group(order="sequence", children=children, least=1, most=1, names=frozenset(part.name for part in children))
    shape = Shape(label=operation.name, content=group, parts={part.name: part for part in children})
    yield from _of_shape(shape, tree, "", shapes, operation.name)


def header_complaints(operation: Operation, headers: Mapping[str, Any]) -> Complaints:
    """What is wrong with the SOAP headers of the settings."""
    for name, below in planted(headers).items():
        part = operation.headers.get(name) or operation.shapes.element(name)
        if part is not None:
            path = f"soap_headers.{name}"
            for place, detail in _of_shape(operation.shapes.of(part.kind), below, "", operation.shapes, name):
                yield f"settings.{path}.{place.partition('mapping')[2].lstrip('.')}".rstrip("."), detail
        elif not name.startswith("{"):
            remedy = suggest(name, operation.headers)
            yield f"settings.soap_headers.{name}", f"the operation has no such header: {remedy}, or {{namespace}}name"


def _of_shape(shape: Shape, tree: Mapping[str, Any], path: str, shapes: Shapes, whole: str) -> Complaints:
    tree = _merged(tree)
    place = f"mapping.{path}" if path else "mapping"
    if "@xsi:type" in tree:  # known only once its value is
        return
    if shape.item is not None or (shape.open and shape.content is None):
        return
    yield from _of_attributes(shape, tree, path)
    if shape.content is None:
        for name in tree:
            if not name.startswith(("@", "#")):
                yield f"{place}.{name}", f"{path or whole} is of type {shape.label}, which has no parts"
        return
    for name, below in tree.items():
        if name.startswith(("@", "#")):
            continue
        part = shape.parts.get(name)
        here = f"{path}.{name}" if path else name
        if part is not None:
            yield from _of_places(part, below, here, shapes, many=name in shape.repeated, whole=whole)
        elif not shape.open:
            yield f"mapping.{here}", f"{path or whole} has no part {name}: {suggest(name, shape.parts)}"
    yield from _of_group(shape.content, tree, path, whole)


def _of_attributes(shape: Shape, tree: Mapping[str, Any], path: str) -> Complaints:
    known = {f"@{name}" for name in shape.attributes}
    for name in tree:
        if name.startswith("@") and name not in known:
            yield (
                f"mapping.{attribute_name(path, name)}",
                f"{path} has no attribute {name[1:]}: {suggest(name[1:], shape.attributes)}",
            )
    for one in shape.attributes.values():
        if one.required and f"@{one.name}" not in tree:
            name = attribute_name(path, f"@{one.name}")
            yield (
                f"mapping.{path}",
                f"{path} requires the attribute {one.name} ({one.simple.label}): map {name}",
            )


def _of_places(
    part: Part, below: Mapping[str, Any], path: str, shapes: Shapes, *, many: bool, whole: str
) -> Complaints:
    """A part, or its places in a list."""
    shape = shapes.of(part.kind)
    if below and all(segment.isdecimal() for segment in below):
        if shape.item is not None:
            return
        if not many:
            yield f"mapping.{path}", f"{path} stands there once: map it without a number"
            return
        for place, inner in below.items():
            if inner or shape.content is None:
                yield from _of_shape(shape, inner, f"{path}.{place}", shapes, whole)
    elif below:
        yield from _of_shape(shape, below, path, shapes, whole)
    elif shape.simple is not None:
        yield from _of_attributes(shape, {}, path)


def _of_group(group: Group, tree: Mapping[str, Any], path: str, whole: str) -> Complaints:
    """Required parts that are not mapped, and choices of which more than one is."""
    given = group.names & tree.keys()
    if not given and (group.least == 0 or group.most > 1):
        return
    if group.order == "choice":
        chosen = [child for child in group.children if not _names(child).isdisjoint(given)]
        best = max(chosen, key=lambda one: len(_names(one) & given), default=None)
        if best is not None and group.most == 1 and given - _names(best):
            places = ", ".join(sorted(f"{path}.{name}" if path else name for name in given))
            yield f"mapping.{path}" if path else "mapping", f"{places}: the WSDL takes one of them"
        for child in chosen:
            if isinstance(child, Group):
                yield from _of_group(child, tree, path, whole)
        return
    for child in group.children:
        if isinstance(child, Group):
            yield from _of_group(child, tree, path, whole)
        elif child.least and not child.nillable and child.name not in tree:
            here = f"{path}.{child.name}" if path else child.name
            yield f"mapping.{path}" if path else "mapping", f"{path or whole} requires {child.name}: map {here}"


def _names(child: Part | Group) -> frozenset[str]:
    return child.names if isinstance(child, Group) else frozenset({child.name})


def _merged(tree: Mapping[str, Any]) -> dict[str, Any]:
    """`name@attr` and `name#text` moved below their element."""
    found: dict[str, Any] = {}
    for key, below in tree.items():
        place = next((index for index, letter in enumerate(key) if index and letter in "@#"), None)
        if place is None or key.startswith("{"):
            found[key] = {**found.get(key, {}), **below}
        else:
            found[key[:place]] = {**found.get(key[:place], {}), key[place:]: below}
    return found
