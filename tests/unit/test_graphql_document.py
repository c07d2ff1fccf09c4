"""Documents, schemas and mappings of GraphQL destinations: every mistake is found when they are applied, in its place."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.catalog import compile_document
from app.config.loading import load_folder
from app.config.schema import DestinationConfig, Document
from app.connectors.graphql.document import read_operation
from app.connectors.graphql.settings import GraphqlSettings
from app.errors import DataFault, InvalidConfig

SDL = """
scalar Json
enum State { TX CA }
input AddressInput { city: String! state: State }
input LeadInput { email: String! age: Int score: Float consent: Boolean ref: ID tags: [String!] notes: Json
  address: AddressInput addresses: [AddressInput!] parent: LeadInput vip: Boolean! = false }
type Lead { id: ID! }
type Query { version: String }
type Mutation { createLead(lead: LeadInput!, campaign: String): Lead }
"""
DOCUMENT = (
    'mutation M($lead: LeadInput!, $campaign: String = "none") { createLead(lead: $lead, campaign: $campaign) { id } }'
)


def complaints(mapping: dict[str, Any] | None = None, **given: Any) -> list[str]:
    """What applying a destination says, as `field: detail`."""
    config = {"url": "https://crm.example.com/graphql", "document": DOCUMENT, "schema": {"sdl": SDL}} | given
    destination = DestinationConfig.model_validate(
        {"name": "crm", "type": "graphql", "mapping": mapping or {"lead.email": "x"}, "settings": config}
    )
    try:
        compile_document(Document(destinations=[destination]), 1)
    except InvalidConfig as invalid:
        return [str(complaint).removeprefix("destination crm: ") for complaint in invalid.complaints]
    return []


def test_document_and_mapping_that_fit_are_taken() -> None:
    mapping = {
        "lead.email": "{{ lead.email }}",
        "lead.addresses.0.city": "a",
        "lead.address.city": "b",
        "lead.notes.any.thing": 1,
        "lead.tags": ["a", "b"],
        "lead.parent": {"email": "c"},
        "campaign": "spring",
    }
    assert complaints(mapping) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"document": "mutation { "},
            "settings.document: Syntax Error: Expected Name, found <EOF>. (line 1, column 12)",
        ),
        ({"document": "type A { b: Int }"}, "settings.document: holds no operation"),
        ({"document": "subscription S { a }", "schema": None}, "settings.document: a subscription delivers nothing"),
        (
            {"document": "query A { version } query B { version }"},
            "settings.operation: the document holds 2 operations",
        ),
        ({"operation": "N"}, "settings.operation: the document holds no operation N (M)"),
        ({"document": DOCUMENT.replace("id }", "idd }")}, "settings.document: Cannot query field 'idd' on type 'Lead'"),
        (
            {"document": DOCUMENT.replace("$lead:", "$led:"), "schema": None},
            "settings.document: Variable '$lead' is not",
        ),
        (
            {"document": "{ a(b: " + "[" * 5000 + "]" * 5000 + ") }"},
            "settings.document: Syntax Error: Document is nested too deep",
        ),
        ({"schema": {"sdl": "type Query { a: }"}}, "settings.schema.sdl: Syntax Error"),
        ({"schema": {"sdl": "type Query { a: Nothing }"}}, "settings.schema.sdl: Unknown type 'Nothing'"),
        ({"url": "ftp://x/"}, "settings.url: "),
        ({"headers": {"X-Key": "a", "x-key": "b"}}, "settings.headers.x-key: this header stands there twice"),
        ({"idempotency_header": "accept"}, "settings.idempotency_header: this header tells which answers"),
    ],
)
def test_settings_that_cannot_work_are_complained_about(given: dict[str, Any], told: str) -> None:
    found = complaints(**given)
    assert found
    assert found[0].startswith(told), found


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        (
            {"lead.email": "x", "name": "y"},
            "mapping.name: the document declares no variable $name; it declares $lead, $campaign",
        ),
        ({"campaign": "x"}, "mapping: the document requires a value for $lead (LeadInput!): map it"),
        (
            {"lead.emial": "x", "lead.email": "y"},
            "mapping.lead.emial: LeadInput has no field emial. Did you mean 'email'?",
        ),
        ({"lead.age": 1}, "mapping.lead: LeadInput requires email (String!): map lead.email"),
        ({"lead.email": "x", "lead.address.state": "TX"}, "mapping.lead.address: AddressInput requires city"),
        ({"lead.email.work": "x"}, "mapping.lead.email.work: lead.email is of type String, which has no parts"),
        ({"lead": {"email": "x", "more": 1}}, "mapping.lead.more: LeadInput has no field more."),
    ],
)
def test_mapping_that_does_not_fit_is_complained_about(mapping: dict[str, Any], told: str) -> None:
    assert [one for one in complaints(mapping) if one.startswith(told)], complaints(mapping)


def test_unknown_variables_are_found_without_a_schema() -> None:
    assert complaints({"lead.email": "x", "b": "y"}, schema=None)[0].startswith("mapping.b: the document declares no")
    assert complaints({"lead.anything": "x"}, schema=None) == []


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("age", " 41 ", 41),
        ("age", 41.0, 41),
        ("score", "2.50", Decimal("2.50")),
        ("consent", "TRUE", True),
        ("ref", 7, "7"),
        ("tags", "a", ["a"]),
        ("tags", ["a", 1], ["a", "1"]),
        ("notes", {"a": [1]}, {"a": [1]}),
        ("address", {"city": "b", "state": "TX"}, {"city": "b", "state": "TX"}),
        ("age", None, None),
    ],
)
def test_values_take_the_form_of_their_type(name: str, value: Any, read: Any) -> None:
    operation = read_operation(DOCUMENT, None, SDL)
    assert operation.fill({"lead": {"email": "a", name: value}})["lead"][name] == read


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("age", "Miller", "variable lead.age: not a value of Int"),
        ("age", "4.5", "variable lead.age: not a value of Int"),
        ("age", 2**31, "variable lead.age: not a value of Int"),
        ("age", True, "variable lead.age: not a value of Int"),
        ("age", float("inf"), "variable lead.age: not a value of Int"),
        ("score", "NaN", "variable lead.score: not a value of Float"),
        ("consent", "perhaps", "variable lead.consent: not a value of Boolean"),
        ("ref", ["a"], "lead.ref cannot be written as text"),
        ("address", "Miller", "variable lead.address: AddressInput is an object"),
        ("address", {"state": "Miller"}, "variable lead.address.state: no value of State, which are TX, CA"),
        ("address", {"state": "TX"}, "variable lead.address.city has no value"),
        ("email", None, "variable lead.email has no value"),
        ("Miller", 1, "variable lead: LeadInput has no such field"),
    ],
)
def test_value_that_does_not_fit_is_a_data_fault_that_names_the_variable(name: str, value: Any, told: str) -> None:
    with pytest.raises(DataFault) as caught:
        read_operation(DOCUMENT, None, SDL).fill({"lead": {"email": "a", name: value}})
    assert told in caught.value.reason
    assert "Miller" not in caught.value.reason


def test_built_in_types_are_known_without_a_schema() -> None:
    operation = read_operation("query Q($n: Int!, $x: Other) { a(n: $n, x: $x) }", None, None)
    assert operation.fill({"n": "5", "x": "5"}) == {"n": 5, "x": "5"}


def test_schema_is_read_from_the_file_that_the_destination_names(tmp_path: Path) -> None:
    for folder in ("sources", "destinations", "schemas"):
        (tmp_path / folder).mkdir()
    text = (
        "type: graphql\nmapping: {lead.email: x}\nsettings:\n"
        "  url: https://crm.example.com/\n  schema: {sdl: ../schemas/crm.graphql}\n"
    )
    (tmp_path / "destinations/crm.yaml").write_text(f"{text}  document: '{DOCUMENT}'\n")
    with pytest.raises(
        InvalidConfig, match=r"crm\.yaml:5: settings\.schema\.sdl: \.\./schemas/crm\.graphql cannot be read"
    ):
        load_folder(tmp_path)
    (tmp_path / "schemas/crm.graphql").write_text(SDL)
    loaded = load_folder(tmp_path)
    assert GraphqlSettings.model_validate(loaded.document.destinations[0].settings).known_schema
