"""Values taken out of answers: reasons, prices, references, captures, the document."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from time import monotonic
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.schema import ResponseConfig
from app.connectors._price import read_price
from app.connectors._response import ResponseRules
from app.model import Outcome, Result

JSON = "application/json"


def interpret(body: str | bytes = b"", content_type: str = JSON, *, status: int = 200, **rules: Any) -> Outcome:
    config = ResponseConfig.model_validate(rules) if rules else None
    data = body.encode() if isinstance(body, str) else body
    return ResponseRules(config).interpret(status, {"content-type": content_type}, data)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"reason": "errors.*.text"}, "blank email, too old"),
        ({"reason": {"path": "errors.1.text"}}, "too old"),
        ({"reason": {"regex": '"text": "([^"]*)"'}}, "blank email, too old"),
        ({"reason": {"regex": "/TOO \\w+/i"}}, "too old"),
        ({"reason": "missing", "default_reason": "no reason given"}, "no reason given"),
        ({"reason": "missing"}, None),
    ],
)
def test_reasons_are_trimmed_sorted_and_joined_on_success_too(rules: Mapping[str, Any], reason: str | None) -> None:
    body = '{"errors": [{"text": ""}, {"text": " too old "}, {"text": "blank email"}, {"text": null}]}'
    outcome = interpret(body, **rules)
    assert (outcome.result, outcome.reason) == (Result.SUCCESS, reason)


def test_reason_is_capped() -> None:
    outcome = interpret('{"reason": "' + "x" * 1000 + '"}', reason="reason")
    assert outcome.reason == "x" * 200


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("12", "12"),
        ("$1,234.50", "1234.50"),
        ("12,50 EUR", "12.50"),
        ("1,234", "1234"),
        ("USD -3.25", "-3.25"),
        ("free", "9.99"),
        ("1.2.3", "9.99"),
        ("", "9.99"),
        ("9" * 40, "9.99"),
        ("1.234,50", "1234.50"),
        ("1.234,50 €", "1234.50"),
        ("0,125", "0.125"),
        ("12.50.", "12.50"),
        ("0.00000001", "0.00000001"),
        ("1e3", "1000"),
        ("1e16", "9.99"),
        ("1.234", "1.234"),
        ("1.234.567", "1234567"),
        ("1,00,000.00", "100000.00"),
        ("1 234,50 zł", "1234.50"),
        ("CHF 1'234.50", "1234.50"),
        ("1234,567", "1234.567"),
        ("012,345", "9.99"),
        ("1,2,3", "9.99"),
        ("Rs. 500", "500"),
        ("Rs.500", "9.99"),
        ("pre-paid 5.00", "5.00"),
        ("-$5", "-5"),
        ("fee - 12.50", "9.99"),
        ("(5.00)", "9.99"),
        ("5.00-", "9.99"),
        ("50.-", "50"),
        ("12:50", "9.99"),
        ("12.50 for 2 leads", "9.99"),
        ("2026-01-31", "9.99"),
        ("12%", "9.99"),
        ("12k", "9.99"),
    ],
)
def test_prices_are_read_as_people_write_them(text: str, price: str) -> None:
    outcome = interpret(f'{{"price": "{text}"}}', price="price", fallback_price="9.99")
    assert outcome.price == Decimal(price)


def test_price_of_a_json_number_is_exact() -> None:
    assert interpret('{"price": 0.1}', price="price").price == Decimal("0.1")


@pytest.mark.parametrize(
    ("number", "price"), [("1e16", None), ("1e-8", "0.00000001"), ("1250", "1250"), ("1.234", "1.234"), ("true", None)]
)
def test_price_of_a_json_number_is_that_number_or_none(number: str, price: str | None) -> None:
    assert interpret(f'{{"price": {number}}}', price="price").price == (price and Decimal(price))
    assert interpret(f'{{"price": {{"amount": {number}}}}}', price="price").price is None


@given(
    st.decimals(min_value=0, max_value=10**11, places=2),
    st.sampled_from([(",", "."), (".", ","), (" ", ","), ("\u202f", ","), ("'", "."), ("", "."), ("", ",")]),
    st.sampled_from(["{}", "${}", "{} EUR", "USD {}", "Price: {}.", "-{}"]),
)
def test_price_is_the_same_however_it_is_written(number: Decimal, marks: tuple[str, str], around: str) -> None:
    written = f"{number:,.2f}".translate({ord(","): marks[0], ord("."): marks[1]})
    assert read_price(around.format(written)) == (-number if around.startswith("-") else number)


@given(st.text(alphabet="01259.,-+' eEk$€%()A\u00a0\u2212", max_size=30))
def test_what_is_read_as_a_price_has_all_digits_of_the_text_and_no_other(text: str) -> None:
    price = read_price(text)
    if price is not None and not set(text) & {"e", "E"}:
        assert f"{price:f}".lstrip("-").replace(".", "").lstrip("0") == re.sub(r"\D", "", text).lstrip("0")


def test_price_takes_no_time_whatever_the_text() -> None:
    begun = monotonic()
    for text in ("(" + " " * 100_000 + "1", "1 234 " * 100_000, "-" * 100_000 + "1", "1," * 100_000, "9" * 100_000):
        read_price(text)
        read_price(text[:999])
    assert monotonic() - begun < 1


def test_reference_and_captures_keep_what_was_found() -> None:
    outcome = interpret(
        '{"id": 17, "tags": ["a", "b"], "deep": {"x": [1]}}',
        reference="id",
        capture={"tags": "tags.*", "deep": "deep", "code": {"regex": '"id": (\\d+)'}, "none": "missing"},
    )
    assert outcome.reference == "17"
    assert outcome.captured is not None
    assert {name: value for name, value in outcome.captured.items() if name != "document"} == {
        "tags": ["a", "b"],
        "deep": {"x": [1]},
        "code": "17",
    }


@pytest.mark.parametrize(
    ("body", "content_type", "document"),
    [
        ('{"a": [1]}', JSON, {"a": [1]}),
        (
            '<r xmlns="urn:x" v="1">t<a>1</a><a>2</a><a>3</a><b/></r>',
            "text/xml",
            {"@v": "1", "a": ["1", "2", "3"], "b": "", "#text": "t"},
        ),
        ("plain", "text/plain", "plain"),
        ('"' + "x" * 17_000 + '"', JSON, None),
        ("", JSON, None),
    ],
)
def test_document_is_captured_up_to_its_bound(body: str, content_type: str, document: Any) -> None:
    captured = interpret(body, content_type).captured
    assert (captured or {}).get("document") == document


def test_reference_and_captures_are_bounded_and_without_control_characters() -> None:
    body = json.dumps(
        {
            "id": "A-1\x00\x1b[31m\n" + "x" * 100_000,
            "long": "y\x07\n" * 50_000,
            "many": list(range(1, 5000)),
            "texts": ["z" * 10_000] * 100,
            "big": {"a": "x" * 20_000},
            "small": {"a\x07": ["\x1b[0m", 1.5, None, True]},
        }
    )
    capture = {name: name for name in ("long", "big", "small")} | {
        "many": "many.*",
        "texts": "texts.*",
        "page": {"regex": "(?s).*"},
    }
    outcome = interpret(body, reference="id", reason="long", capture=capture)
    assert outcome.reference == "A-1[31m " + "x" * 992
    assert outcome.reason == "y " * 99 + "y"
    captured = dict(outcome.captured or {})
    assert captured["small"] == {"a": ["[0m", 1.5, None, True]}
    assert "big" not in captured
    assert captured["long"].startswith("y\ny\n")
    assert len(captured["many"]) == 1000
    assert [len(text) for text in captured["texts"]] == [10_000, 6384]
    assert all(len(text) <= 16_384 for text in (captured["long"], captured["page"]))


@pytest.mark.parametrize(
    ("value", "found"),
    [("0", [0]), ("false", [False]), ('""', []), ("[]", []), ("{}", []), ("null", []), ("[null]", [[None]])],
)
def test_capture_of_zero_and_false_is_kept_and_of_nothing_is_not(value: str, found: list[Any]) -> None:
    captured = interpret(f'{{"a": {value}}}', capture={"a": "a"}).captured or {}
    assert [captured[name] for name in captured if name == "a"] == found


@given(st.text(max_size=300), st.sampled_from(["reason", "reference"]))
def test_reasons_and_references_are_one_printable_line(text: str, rule: str) -> None:
    found = getattr(interpret(json.dumps({"a": text * 5}), **{rule: "a"}), rule)
    assert found is None or not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", found)
    assert found is None or found == found.strip()
