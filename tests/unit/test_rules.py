"""Conditions: CEL, with absent values made easy and every failure declared."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import DataFault, InvalidTemplate
from app.rules import compile_rule

LEAD = {
    "state": "CA",
    "age": 42,
    "score": "high",
    "tags": ["solar", "roof"],
    "address": {"city": "Oakland"},
    "Form Name": "solar",
    "id": "0190-7",
    "consent": True,
}
CONTEXT = {"lead": LEAD, "source": {"name": "web"}, "delivery": {}, "steps": {}}


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("lead.state == 'CA'", True),
        ("lead.state in ['NY', 'CA'] && lead.age >= 18", True),
        ("source.name == 'web'", True),
        ("lead.consent", True),
        ("lead.age > 41.5", True),
        ("lead.tags.exists(tag, tag == 'roof')", True),
        ("lead.tags.exists(tag, tag == lead.state)", False),
        ("lead.tags[1] == 'roof'", True),
        ("lead['Form Name'] == 'solar'", True),
        ('lead["state"] == "CA"', True),
        ("lead.address.city == 'Oakland'", True),
        ("lower(lead.state) == 'ca' && lead.score.upper() == 'HIGH'", True),
        ("lead.state.startsWith('C')", True),
        ("lead.state.matches('^C[A-Z]$')", True),
        ("lead.id == '0190-7'", True),
        ("'lead.state' == 'lead.' + 'state'", True),
        ("type(lead.age) == int", True),
        ("lead.age == 42 // lead.nothing", True),
        ("size(lead) > 3 && size(lead.tags) == 2", True),
        ("true", True),
    ],
)
def test_rule_answers(rule: str, holds: bool) -> None:  # noqa: FBT001  # a parametrized expectation
    assert compile_rule(rule).matches(CONTEXT) is holds


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("lead.county == 'Kern'", False),
        ("lead.county != 'Kern'", True),
        ("lead.county == null", True),
        ("lead.county.code == null", True),
        ("lead.address.zip == '1'", False),
        ("lead.tags[9] == 'x'", False),
        ("has(lead.county)", False),
        ("has( lead.state ) && !has(lead.address.zip)", True),
        ("lead.income >= 1000", False),
        ("!(lead.income >= 1000)", False),
        ("lead.county.startsWith('K')", False),
        ("lower(lead.county) == 'kern'", False),
        ("lead.income >= 1000 || lead.state == 'CA'", True),
        ("lead[lead.state] == 1", False),
    ],
)
def test_absent_value_is_null_and_never_an_error(rule: str, holds: bool) -> None:  # noqa: FBT001  # likewise
    assert compile_rule(rule).matches(CONTEXT) is holds


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ("lead.state = 'CA'", "line 1, column 12"),
        ("lead.state ==\n  'CA", "line 2, column 3"),
        ("", "line 1, column 1"),
        ("true &&\n leed.state == 'CA'", "line 2, column 2: unknown name 'leed': did you mean \"lead\"?"),
        ("lead.state.startWith('C')", "unknown function 'startWith': did you mean \"startsWith\"?"),
        ("lead.tags.exists(lead, lead == 'x')", "cannot name the items"),
        (".lead.state == 'CA'", "unknown name"),
        ("(" * 500, "line 1"),
        ("x" * 5000, "at most"),
    ],
)
def test_mistake_is_found_when_compiling_with_its_place(rule: str, complaint: str) -> None:
    with pytest.raises(InvalidTemplate) as refused:
        compile_rule(rule)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    "rule", ["lead.score >= 18", "lead.state", "1/0 == 1", "int(lead.score) > 1", "lower(lead.age) == ''"]
)
def test_rule_that_does_not_fit_the_values_is_a_data_fault_naming_the_rule(rule: str) -> None:
    with pytest.raises(DataFault) as fault:
        compile_rule(rule).matches(CONTEXT)
    assert rule in fault.value.reason
    assert "high" not in fault.value.reason


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
pieces = st.sampled_from(
    [
        "lead",
        ".",
        "state",
        "age",
        "[",
        "]",
        "(",
        ")",
        "'",
        '"',
        "==",
        "!=",
        "&&",
        "||",
        "!",
        "<",
        "+",
        "'CA'",
        "1",
        "1.5",
        "null",
        "has",
        "size",
        "map",
        ",",
        "x",
        "in",
        "{",
        "}",
        ":",
        "?",
        "//",
        "\\",
        "true",
        "lead.a",
        "lead.b",
    ]
)


@given(st.lists(pieces, max_size=12).map(" ".join) | st.text(max_size=30))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    try:
        rule = compile_rule(text)
    except InvalidTemplate:
        return
    with suppress(DataFault):
        assert rule.matches(CONTEXT) in (True, False)


rules = st.sampled_from(
    [
        compile_rule(text)
        for text in (
            "lead.a == lead.b",
            "lead.a > 1 || lead.b.startsWith('x')",
            "size(lead.a) > 2",
            "lead.a.b == lead[lead.b]",
            "lead.a[0] == 1",
        )
    ]
)


@given(rules, values, values)
def test_any_value_is_answered_or_a_data_fault(rule: Any, a: Any, b: Any) -> None:
    with suppress(DataFault):
        assert rule.matches({**CONTEXT, "lead": {"a": a, "b": b}}) in (True, False)
