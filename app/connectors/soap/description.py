"""What an operation takes and gives, by dotted names: for people who write a mapping or response rules."""

from collections.abc import Iterable, Iterator

from app.connectors.base import Property
from app.connectors.soap.facet import some
from app.connectors.soap.interface import Operation
from app.connectors.soap.schema import Shapes
from app.connectors.soap.shape import Group, Part, Shape, Simple, attribute_name, names_of

_LEVELS = 6
_MOST = 400


def arguments(operation: Operation) -> list[Property]:
    """Every argument; those of a type within itself are told once."""
    walk = _Walk(operation.shapes)
    if not operation.wrapped:
        return _first(one for part in operation.parts for one in walk.part(part, part.name, required=part.least > 0))
    return _first(walk.below(operation.shapes.of(operation.parts[0].kind), "", required=True, above=()))


def results(operation: Operation) -> list[Property]:
    """What an answer holds, by the paths that response rules take."""
    walk = _Walk(operation.shapes)
    return _first(one for name, part in operation.results.items() for one in walk.part(part, name, required=True))


def headers(operation: Operation) -> list[Property]:
    """What the SOAP headers that the WSDL declares hold."""
    walk = _Walk(operation.shapes)
    return _first(one for name, part in operation.headers.items() for one in walk.part(part, name, required=True))


class _Walk:
    """A walk through the types of one WSDL; `above` holds the shapes that led to where it is."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes

    def part(
        self, part: Part, path: str, *, required: bool, notes: tuple[str, ...] = (), above: tuple[Shape, ...] = ()
    ) -> Iterator[Property]:
        """An element, or what it is made of."""
        shape = self._shapes.of(part.kind)
        required = required and not part.nillable
        notes = (*notes, "may be nil") if part.nillable else notes
        nested = shape.content is not None and (shape.parts or shape.attributes)
        if nested and shape not in above and len(above) < _LEVELS:
            yield from self.below(shape, path, required=required, above=above)
        elif shape.simple is not None:
            in_list = shape.attributes and path.rpartition(".")[2].isdecimal()
            name = attribute_name(path, "#text") if in_list else path
            yield _property(name, shape.simple, notes, required=required)
            yield from self.below(shape, path, required=required, above=above)
        else:
            label = f"list of {shape.item_label.rpartition('}')[2] or 'any'}" if shape.item is not None else shape.label
            yield Property(name=path, type=label, required=required, label="; ".join(notes))

    def below(self, shape: Shape, path: str, *, required: bool, above: tuple[Shape, ...]) -> Iterator[Property]:
        """Attributes and parts."""
        for one in shape.attributes.values():
            name = attribute_name(path, f"@{one.name}")
            yield _property(name, one.simple, (), required=required and one.required)
        if shape.content is not None:
            yield from self._group(shape.content, path, required=required, notes=(), above=(*above, shape))

    def _group(
        self,
        group: Group,
        path: str,
        *,
        required: bool,
        notes: tuple[str, ...],
        above: tuple[Shape, ...],
        many: bool = False,
    ) -> Iterator[Property]:
        required, many = required and group.least > 0, many or group.most > 1
        if group.order == "choice" and len(group.children) > 1:
            named = some(["+".join(sorted(names_of(child))) for child in group.children])
            needed = "" if group.may_be_empty or not required else " is required"
            required, notes = False, (f"one of {named}{needed}",)
        for child in group.children:
            if isinstance(child, Group):
                yield from self._group(child, path, required=required, notes=notes, above=above, many=many)
                continue
            here = f"{path}.{child.name}" if path else child.name
            here = f"{here}.0" if many or child.most > 1 else here
            yield from self.part(child, here, required=required and child.least > 0, notes=notes, above=above)


def _first(found: Iterable[Property]) -> list[Property]:
    unique: dict[str, Property] = {}
    for one in found:
        unique.setdefault(one.name, one)
        if len(unique) == _MOST:
            break
    return list(unique.values())


def _property(name: str, simple: Simple, notes: tuple[str, ...], *, required: bool) -> Property:
    told = (f"one of {some(simple.choices)}", *notes) if simple.choices else notes
    return Property(name=name, type=simple.label, required=required, label="; ".join(told))
