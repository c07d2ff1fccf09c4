"""A GraphQL document read: the operation to run, what its variables are, and whether it fits the destination's schema.

Pure: texts in, complaints and values out. It may not know requests, answers or settings beyond these texts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLInputType,
    GraphQLNonNull,
    GraphQLSchema,
    NonNullTypeNode,
    OperationDefinitionNode,
    OperationType,
    build_schema,
    parse,
    print_ast,
    specified_rules,
    specified_scalar_types,
    type_from_ast,
    validate,
)
from graphql.validation import (
    NoFragmentCyclesRule,
    NoUndefinedVariablesRule,
    NoUnusedFragmentsRule,
    NoUnusedVariablesRule,
    UniqueArgumentNamesRule,
    UniqueFragmentNamesRule,
    UniqueInputFieldNamesRule,
    UniqueOperationNamesRule,
    UniqueVariableNamesRule,
)

from app.connectors._tree import planted
from app.connectors.graphql.variable import Variable
from app.errors import Complaint, DataFault, InvalidConfig

MAX_TOKENS = 20_000
"""A longer document is not read: checking one takes time that grows with the square of its fields."""
_SHOWN = 300
_MOST_COMPLAINTS = 20

# What can be told without a schema: everything about variables, fragments and names.
_RULES_WITHOUT_SCHEMA = (
    NoFragmentCyclesRule,
    NoUndefinedVariablesRule,
    NoUnusedFragmentsRule,
    NoUnusedVariablesRule,
    UniqueArgumentNamesRule,
    UniqueFragmentNamesRule,
    UniqueInputFieldNamesRule,
    UniqueOperationNamesRule,
    UniqueVariableNamesRule,
)
_NO_SCHEMA = GraphQLSchema(types=list(specified_scalar_types.values()), assume_valid=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """The operation that a destination runs; used by many threads."""

    text: str
    """The whole document, as it is sent."""
    name: str | None
    """What tells the operation from others of the document; None where it has no name."""
    variables: Mapping[str, Variable]
    ast: DocumentNode

    def fill(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Variables for a payload, typed as declared; raises `DataFault` naming the variable, never its value."""
        filled = {
            name: self.variables[name].read(value) if name in self.variables else value
            for name, value in payload.items()
        }
        for name, variable in self.variables.items():
            if variable.required and filled.get(name) is None:
                raise DataFault(f"variable {name} has no value, and the document requires one")
        return filled

    def complaints(self, mapping: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """What is wrong with a mapping: the dotted place and what it is."""
        tree = planted(mapping)
        for name, below in tree.items():
            if name in self.variables:
                yield from self.variables[name].complaints(below)
            else:
                known = ", ".join(f"${one}" for one in self.variables) or "none"
                yield (
                    f"mapping.{_first(mapping, name)}",
                    f"the document declares no variable ${name}; it declares {known}",
                )
        for name, variable in self.variables.items():
            if variable.required and name not in tree:
                yield "mapping", f"the document requires a value for ${name} ({variable.written}): map it"


@lru_cache(maxsize=64)
def read_operation(text: str, operation: str | None, sdl: str | None) -> Operation:
    """The operation of a document, checked against the schema if there is one.

    Raises `InvalidConfig` with a complaint for each thing wrong; places are `document`, `operation` and `schema.sdl`.
    """
    return checked_operation(text, operation, None if sdl is None else _schema(sdl))


def checked_operation(text: str, operation: str | None, schema: GraphQLSchema | None) -> Operation:
    """The same against a schema that is there already."""
    try:
        ast = parse(text, no_location=False, max_tokens=MAX_TOKENS)
        found = _selected(ast, operation)
        errors = (
            validate(_NO_SCHEMA, ast, rules=_RULES_WITHOUT_SCHEMA)
            if schema is None
            else validate(schema, ast, rules=specified_rules, max_errors=_MOST_COMPLAINTS)
        )
    except GraphQLError as error:
        errors = [error]
    except RecursionError:
        raise _invalid("document", "is nested too deep") from None
    if errors:
        raise InvalidConfig([Complaint(field="document", detail=_told(error)) for error in errors])
    variables = {
        declared.variable.name.value: _variable(declared, schema or _NO_SCHEMA)
        for declared in found.variable_definitions or ()
    }
    return Operation(text=text, name=found.name.value if found.name else None, variables=variables, ast=ast)


@lru_cache(maxsize=16)
def _schema(sdl: str) -> GraphQLSchema:
    try:
        return build_schema(sdl)
    except GraphQLError as error:
        raise _invalid("schema.sdl", _told(error)) from None
    except TypeError as error:  # what the library says of a definition as a whole, one paragraph each
        raise _invalid("schema.sdl", " ".join(str(error).split())[:_SHOWN]) from None
    except RecursionError:
        raise _invalid("schema.sdl", "is nested too deep") from None


def _selected(ast: DocumentNode, name: str | None) -> OperationDefinitionNode:
    operations = [node for node in ast.definitions if isinstance(node, OperationDefinitionNode)]
    names = ", ".join(node.name.value for node in operations if node.name) or "none has a name"
    if name is None and len(operations) > 1:
        raise _invalid("operation", f"the document holds {len(operations)} operations: say which one to run ({names})")
    found = [node for node in operations if name is None or (node.name and node.name.value == name)]
    if not found and name is not None:
        raise _invalid("operation", f"the document holds no operation {name} ({names})")
    if not found:
        raise _invalid("document", "holds no operation: begin it with 'mutation' or 'query'")
    if found[0].operation is OperationType.SUBSCRIPTION:
        raise _invalid("document", "a subscription delivers nothing: use a mutation or a query")
    return found[0]


def _variable(declared: Any, schema: GraphQLSchema) -> Variable:
    node = declared.type
    kind: GraphQLInputType | None = type_from_ast(schema, node)
    name = declared.variable.name.value
    required = isinstance(node, NonNullTypeNode) and declared.default_value is None
    if kind is not None and isinstance(kind, GraphQLNonNull):
        kind = kind.of_type
    return Variable(name=name, written=print_ast(node), required=required, kind=kind)


def _first(mapping: Mapping[str, Any], variable: str) -> str:
    """The property as written that speaks of a variable."""
    return next(name for name in mapping if name.split(".")[0] == variable)


def _told(error: GraphQLError) -> str:
    """What is wrong and where in the text, on one line."""
    place = error.locations[0] if error.locations else None
    message = " ".join(error.message.split())[:_SHOWN]
    return f"{message} (line {place.line}, column {place.column})" if place else message


def _invalid(field: str, detail: str) -> InvalidConfig:
    return InvalidConfig([Complaint(field=field, detail=detail)])


__all__ = ["Operation", "checked_operation", "read_operation"]
