"""Mappings: nested payloads, typed values, and what is left out."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import DataFault, InvalidTemplate
from app.mapping import compile_mapping

CONTEXT: dict[str, Any] = {
    "lead": {
        "email": "jane@example.com",
        "age": 42,
        "zero": 0,
        "no": False,
        "phones": [],
        "tags": ["a"],
        "phone": "+14155552671",
    },
    "source": {"name": "web"},
    "delivery": {"id": "d1", "destination": "crm", "attempt": 2},
    "steps": {},
}


def payload(mapping: dict[str, Any]) -> dict[str, Any]:
    return compile_mapping(mapping).render(CONTEXT)


def test_dots_make_objects_and_numbers_make_lists() -> None:
    assert payload(
        {
            "contact.email": "{{ lead.email }}",
            "contact.phones.1.kind": "other",
            "contact.phones.0.number": "{{ lead.phone }}",
            "contact.phones.0.kind": "home",
            "id": "{{ delivery.id }}",
        }
    ) == {
        "contact": {
            "email": "jane@example.com",
            "phones": [{"number": "+14155552671", "kind": "home"}, {"kind": "other"}],
        },
        "id": "d1",
    }


def test_properties_keep_the_order_they_are_written_in() -> None:
    assert list(payload({"z": "1", "b": "{{ lead.age }}", "a": "3"})) == ["z", "b", "a"]


def test_single_path_keeps_its_type_and_other_templates_are_text() -> None:
    assert payload({"n": "{{ lead.age }}", "t": "{{ lead.age }}.", "l": "{{ lead.tags }}"}) == {
        "n": 42,
        "t": "42.",
        "l": ["a"],
    }


def test_empty_renders_are_left_out_and_zero_and_false_are_sent() -> None:
    assert payload(
        {
            "a": "{{ lead.nothing }}",
            "b": "{{ lead.nothing }}{{ lead.nothing }}",
            "c.d": "{{ lead.nothing }}",
            "e.0": "{{ lead.nothing }}",
            "e.1": "{{ lead.email }}",
            "f": "{{ lead.phones }}",
            "g": "{{ lead.zero }}",
            "h": "{{ lead.no }}",
        }
    ) == {"e": ["jane@example.com"], "g": 0, "h": False}


def test_literals_are_sent_as_they_stand() -> None:
    literals: dict[str, Any] = {
        "text": "a",
        "empty": "",
        "null": None,
        "n": 1,
        "f": 1.5,
        "no": False,
        "list": [],
        "object": {},
        "l": [1, None, ""],
    }
    assert payload(literals) == literals


def test_templates_nest_in_literal_lists_and_objects() -> None:
    nested = {
        "x": [{"email": "{{ lead.email }}", "gone": "{{ lead.nothing }}"}, "{{ lead.nothing }}", "{{ lead.age }}", 7]
    }
    assert payload(nested) == {"x": [{"email": "jane@example.com"}, 42, 7]}
    assert payload({"x": {"gone": "{{ lead.nothing }}"}, "y": ["{{ lead.nothing }}"]}) == {}


def test_dots_inside_nested_keys_are_just_text() -> None:
    assert payload({"x": {"a.b": 1}}) == {"x": {"a.b": 1}}


def test_xml_marks_stay_in_their_segment() -> None:
    assert payload({"lead.name@lang": "en", "lead.name#text": "{{ lead.email }}"}) == {
        "lead": {"name@lang": "en", "name#text": "jane@example.com"}
    }


def test_empty_mapping_gives_an_empty_payload() -> None:
    assert payload({}) == {}


@pytest.mark.parametrize(
    ("mapping", "complaint"),
    [
        ({"a": "1", "a.b": "2"}, "property 'a.b': 'a' already has a value"),
        ({"a.b": "1", "a": "2"}, "property 'a': another property is nested under it"),
        ({"a.0": "1", "a.b": "2"}, "do not mix"),
        ({"a.0": "1", "a.0@b": "2", "a.b": "3"}, "do not mix"),
        ({"a.0": "1", "a.00": "2"}, "different numbers"),
        ({"a.0": "1", "a.00@b": "2"}, "different numbers"),
        ({"a.1": "1", "a.1000@b": "2"}, "from 0 to 999"),
        ({"a.1000": "1"}, "from 0 to 999"),
        ({"a..b": "1"}, "is empty"),
        ({"": "1"}, "is empty"),
        ({".".join("a" * 17): "1"}, "levels"),
        ({"a": "{{ lead.x | nope }}"}, "property 'a': line 1, column 1: unknown filter 'nope'"),
        ({"a": [{"b": "\n{{ x }}"}]}, "property 'a.0.b': line 2, column 1"),
        ({f"p{i}": "" for i in range(1001)}, "at most 1000"),
    ],
)
def test_mistake_names_the_property_and_the_place(mapping: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidTemplate) as refused:
        compile_mapping(mapping)
    assert complaint in str(refused.value)


def test_data_fault_names_property_and_template_and_not_the_value() -> None:
    with pytest.raises(DataFault) as fault:
        payload({"contact.age": "{{ lead.email | round }}"})
    assert fault.value.reason == "property 'contact.age': filter 'round' needs a number, in {{ lead.email | round }}"


leaf_values = st.sampled_from(
    ["{{ lead.email }}", "{{ lead.age }}", "{{ lead.nothing }}", "x{{ lead.tags }}", "literal", "", 1, None, [1]]
)
names = st.lists(st.sampled_from(["a", "b", "0", "1", "x@y", ""]), min_size=1, max_size=4).map(".".join)


@given(st.dictionaries(names, leaf_values, max_size=6))
def test_any_mapping_gives_json_or_is_refused(mapping: dict[str, Any]) -> None:
    try:
        compiled = compile_mapping(mapping)
    except InvalidTemplate:
        return
    json.dumps(compiled.render(CONTEXT), allow_nan=False)


objects = st.recursive(
    st.dictionaries(st.sampled_from("abc"), st.integers() | st.text("xyz", min_size=1), min_size=1, max_size=3),
    lambda inner: st.dictionaries(
        st.sampled_from("abc"), inner | st.lists(inner, min_size=1, max_size=3), min_size=1, max_size=3
    ),
    max_leaves=6,
)


def _flat(value: Any, path: str) -> dict[str, Any]:
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list):
        parts = {str(place): item for place, item in enumerate(value)}.items()
    else:
        return {path: value}
    return {name: leaf for key, item in parts for name, leaf in _flat(item, f"{path}.{key}" if path else key).items()}


@given(objects)
def test_flattened_objects_come_back_whole(nested: dict[str, Any]) -> None:
    flat = _flat(nested, "")
    context = {**CONTEXT, "lead": {f"f{place}": value for place, value in enumerate(flat.values())}}
    mapping = {name: f"{{{{ lead.f{place} }}}}" for place, name in enumerate(flat)}
    assert compile_mapping(mapping).render(context) == nested
