"""Whether a mapping fits an operation, told before any lead meets it.

Pure: shapes and names in, complaints out. What depends on the lead, such as which part of a choice is given, is told by the
writer then.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.config.suggestion import suggest
from app.connectors._tree import planted
from app.connectors.soap.facet import some
from app.connectors.soap.interface import Operation
from app.connectors.soap.schema import Shapes
from app.connectors.soap.shape import Group, Part, Shape, attribute_name, below, names_of
from app.templates import is_template

Complaints = Iterator[tuple[str, str]]


def complaints(operation: Operation, mapping: Mapping[str, Any]) -> Complaints:
    """What is wrong with a mapping: the dotted place in the destination's file, and what it is."""
    tree = planted(mapping)
    check = _Check(operation.shapes, operation.name, _templated(mapping))
    if operation.wrapped:
        yield from check.shape(operation.shapes.of(operation.parts[0].kind), tree, "")
        return
    children = list(operation.parts)
    group = Group(order="sequence", children=children, least=1, most=1, names=frozenset(part.name for part in children))
    shape = Shape(label=operation.name, content=group, parts={part.name: part for part in children})
    yield from check.shape(shape, tree, "")


def header_complaints(operation: Operation, headers: Mapping[str, Any]) -> Complaints:
    """What is wrong with the SOAP headers of the settings."""
    for name, tree in planted(headers).items():
        part = operation.headers.get(name) or operation.shapes.element(name)
        if part is not None:
            path = f"soap_headers.{name}"
            check = _Check(operation.shapes, name, _templated(headers, above=name))
            for place, detail in check.shape(operation.shapes.of(part.kind), tree, ""):
                yield f"settings.{path}.{place.partition('mapping')[2].lstrip('.')}".rstrip("."), detail
        elif not name.startswith("{"):
            remedy = suggest(name, operation.headers)
            yield f"settings.soap_headers.{name}", f"the operation has no such header: {remedy}, or {{namespace}}name"


@dataclass(frozen=True, slots=True)
class _Check:
    """A walk through the types of one operation; `whole` is its name, `templated` the properties that depend on the lead."""

    shapes: Shapes
    whole: str
    templated: frozenset[str]

    def shape(self, shape: Shape, tree: Mapping[str, Any], path: str) -> Complaints:
        tree = _merged(tree)
        place = f"mapping.{path}" if path else "mapping"
        if "@xsi:type" in tree:  # known only once its value is
            return
        if shape.item is not None or (shape.open and shape.content is None):
            return
        yield from self._attributes(shape, tree, path)
        if shape.content is None:
            for name in tree:
                if not name.startswith(("@", "#")):
                    yield f"{place}.{name}", f"{path or self.whole} is of type {shape.label}, which has no parts"
            return
        for name, inner in tree.items():
            if name.startswith(("@", "#")):
                continue
            part = shape.parts.get(name)
            here = below(path, name)
            if part is not None:
                yield from self._places(part, inner, here, many=name in shape.repeated)
            elif not shape.open:
                yield f"mapping.{here}", f"{path or self.whole} has no part {name}: {suggest(name, shape.parts)}"
        yield from self._group(shape.content, tree, path)

    def _attributes(self, shape: Shape, tree: Mapping[str, Any], path: str) -> Complaints:
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

    def _places(self, part: Part, places: Mapping[str, Any], path: str, *, many: bool) -> Complaints:
        """A part, or its places in a list."""
        shape = self.shapes.of(part.kind)
        if places and all(segment.isdecimal() for segment in places):
            if shape.item is not None:
                return
            if not many:
                yield f"mapping.{path}", f"{path} stands there once: map it without a number"
                return
            for place, inner in places.items():
                if inner or shape.content is None:
                    yield from self.shape(shape, inner, f"{path}.{place}")
        elif places:
            yield from self.shape(shape, places, path)
        elif shape.simple is not None:
            yield from self._attributes(shape, {}, path)

    def _group(self, group: Group, tree: Mapping[str, Any], path: str) -> Complaints:
        given = group.names & tree.keys()
        if not given and group.least == 0:
            return
        if group.order == "choice":
            yield from self._choice(group, tree, path)
        elif given or group.most == 1:
            for child in group.children:
                if isinstance(child, Group):
                    yield from self._group(child, tree, path)
                elif child.least and not child.nillable and child.name not in tree:
                    here = below(path, child.name)
                    detail = f"{path or self.whole} requires {child.name}: map {here}"
                    yield f"mapping.{path}" if path else "mapping", detail

    def _choice(self, group: Group, tree: Mapping[str, Any], path: str) -> Complaints:
        """None of a required choice, or more than one whatever the lead is."""
        place = f"mapping.{path}" if path else "mapping"
        chosen = [child for child in group.children if not names_of(child).isdisjoint(tree)]
        if not chosen and not group.may_be_empty:
            parts = some([below(path, name) for name in group.branches], " or ")
            yield place, f"{path or self.whole} requires one of the parts of a choice: map {parts}"
        sure = [
            {name for name in names_of(child) & tree.keys() if self._is_sure(below(path, name))} for child in chosen
        ]
        fixed = set().union(*sure)
        if group.most == 1 and len(chosen) > 1 and not any(fixed <= names_of(child) for child in chosen):
            yield place, f"{', '.join(sorted(below(path, name) for name in fixed))}: the WSDL takes one of them"
        for child in chosen:
            if isinstance(child, Group) and len(chosen) == 1:
                yield from self._group(child, tree, path)

    def _is_sure(self, path: str) -> bool:
        """Whether nothing at or below the path depends on the lead."""
        return not any(
            name == path or name.startswith((f"{path}.", f"{path}@", f"{path}#")) or path.startswith(f"{name}.")
            for name in self.templated
        )


def _templated(mapping: Mapping[str, Any], above: str = "") -> frozenset[str]:
    """Names of the properties that hold a template, without what is `above`."""
    return frozenset(
        name.removeprefix(f"{above}.") if above else name for name, value in mapping.items() if _holds_template(value)
    )


def _holds_template(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_template, value.values()))
    if isinstance(value, list):
        return any(map(_holds_template, value))
    return isinstance(value, str) and is_template(value)


def _merged(tree: Mapping[str, Any]) -> dict[str, Any]:
    """`name@attr` and `name#text` moved below their element."""
    found: dict[str, Any] = {}
    for key, inner in tree.items():
        place = next((index for index, letter in enumerate(key) if index and letter in "@#"), None)
        if place is None or key.startswith("{"):
            found[key] = {**found.get(key, {}), **inner}
        else:
            found[key[:place]] = {**found.get(key[:place], {}), key[place:]: inner}
    return found
