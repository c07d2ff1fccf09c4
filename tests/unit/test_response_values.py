"""Values taken out of answers: reasons, prices, references, captures, the document."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from app.config.schema import ResponseConfig
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
    ],
)
def test_prices_are_read_as_people_write_them(text: str, price: str) -> None:
    outcome = interpret(f'{{"price": "{text}"}}', price="price", fallback_price="9.99")
    assert outcome.price == Decimal(price)


def test_price_of_a_json_number_is_exact() -> None:
    assert interpret('{"price": 0.1}', price="price").price == Decimal("0.1")


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
