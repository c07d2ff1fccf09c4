"""What servers put into `errors`, and what each makes of an attempt; docs/connectors/graphql.md has the same table."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.connectors.graphql.error import CODES, Meaning, meaning_of, reason_of, wait_of
from app.connectors.graphql.response import GraphqlRules
from app.model import Fault, Outcome

PAGE = Path(__file__).parents[2] / "docs/connectors/graphql.md"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["data", "errors", "extensions", "code", "message", "path", "cost", "a"]), inner
        )
    ),
    max_leaves=20,
)


def coded(code: Any, **more: Any) -> dict[str, Any]:
    return {"message": "no", "extensions": {"code": code}, **more}


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (coded("UNAUTHENTICATED", path=["a"]), Meaning.CONFIGURATION),
        ({"message": "no", "type": "FORBIDDEN", "path": ["a"]}, Meaning.CONFIGURATION),
        ({"message": "no", "type": "RATE_LIMITED"}, Meaning.TRANSIENT),
        ({"message": "no", "errorType": "Unauthorized", "path": ["a"]}, Meaning.CONFIGURATION),
        (coded("undefinedField", path=["mutation", "a"]), Meaning.CONFIGURATION),
        (coded("validation-failed"), Meaning.CONFIGURATION),
        (coded("constraint-violation"), Meaning.REJECTED),
        (coded("data-exception"), Meaning.DATA),
        (coded("BAD_USER_INPUT"), Meaning.DATA),
        (coded("BAD_USER_INPUT", path=["a"]), Meaning.REJECTED),
        (coded("INTERNAL_SERVER_ERROR", path=["a"]), Meaning.TRANSIENT),
        (coded("OUT_OF_CHEESE"), Meaning.PERMANENT),
        (coded("OUT_OF_CHEESE", path=["a"]), Meaning.PERMANENT),
        (coded(429), Meaning.TRANSIENT),
        (coded("401"), Meaning.CONFIGURATION),
        (coded(403, path=["a"]), Meaning.CONFIGURATION),
        (coded("503", path=["a"]), Meaning.TRANSIENT),
        (coded(422), Meaning.REJECTED),
        (coded(1042), Meaning.PERMANENT),
        (coded(True, path=["a"]), Meaning.TRANSIENT),
        ({"message": "Cannot query field 'a' on type 'B'."}, Meaning.CONFIGURATION),
        ({"message": 'Variable "$a" got invalid value "x"'}, Meaning.DATA),
        ({"message": "Boom", "path": ["a"]}, Meaning.TRANSIENT),
        ({"message": 7, "extensions": ["what"]}, Meaning.CONFIGURATION),
    ],
)
def test_error_is_classed(error: dict[str, Any], meaning: Meaning) -> None:
    assert meaning_of([error]) is meaning


def test_worst_of_several_errors_counts() -> None:
    assert meaning_of([coded("CONFLICT"), coded("THROTTLED")]) is Meaning.TRANSIENT
    assert meaning_of([coded("THROTTLED"), coded("FORBIDDEN")]) is Meaning.CONFIGURATION


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            'Variable "$a" got invalid value {"name":"Miller"} at "a.b"; Int wanted',
            'Variable "$a" got invalid value *** at "a.b"; Int wanted',
        ),
        (
            "Variable '$a' has invalid value at .age: no integer value: 'Miller'",
            "Variable '$a' has invalid value at .age: no integer value: ***",
        ),
        (
            'Variable $a was provided invalid value for b (Could not coerce value "Miller" to Int)',
            "Variable $a was provided invalid value for b (Could not coerce value ***",
        ),
        ("mail to ann.lee@example.com\nfailed", "mail to [email] failed"),
    ],
)
def test_reason_repeats_no_values(message: str, told: str) -> None:
    assert reason_of([{"message": message}]) == told


def test_a_code_that_is_a_status_says_more_than_that_of_the_answer() -> None:
    body = msgspec.json.encode({"data": None, "errors": [coded(429, path=["a"])]})
    outcome = GraphqlRules(None).interpret(403, {"content-type": "application/json"}, body)
    assert (outcome.fault, outcome.reason) == (Fault.TRANSIENT, "429: no")


@pytest.mark.parametrize("message", [{"a": 1}, [1], 7, None, True])
def test_a_message_that_is_no_text_is_no_reason(message: Any) -> None:
    assert reason_of([{"message": message}]) == "an error without a message"
    assert reason_of([{"message": message, "extensions": {"code": "X"}}]) == "X"


def test_reason_holds_each_message_once_and_its_code() -> None:
    assert reason_of([coded("A"), coded("A"), {"message": "b"}]) == "A: no; b"
    assert reason_of([{}]) == "an error without a message"


@pytest.mark.parametrize(
    ("errors", "extensions", "header", "seconds"),
    [
        ([coded("THROTTLED")], {}, 7.0, 7.0),
        ([{"extensions": {"retryAfter": 3}}], {}, None, 3.0),
        ([{"extensions": {"retry_after": True}}], {}, None, None),
        ([{"extensions": {"retryAfter": -1}}], {"cost": {"throttleStatus": []}}, None, None),
        (
            [{}],
            {"cost": {"requestedQueryCost": 10, "throttleStatus": {"currentlyAvailable": 0, "restoreRate": 0}}},
            None,
            None,
        ),
    ],
)
def test_wait_is_what_the_destination_asks_for(
    errors: list[Any], extensions: dict[str, Any], header: float | None, seconds: float | None
) -> None:
    assert wait_of(errors, extensions, header) == seconds


@given(JSON, st.sampled_from([200, 294, 400, 401, 404, 429, 500]))
def test_every_json_answer_makes_an_outcome(value: Any, status: int) -> None:
    body = msgspec.json.encode(value)
    assert isinstance(GraphqlRules(None).interpret(status, {"content-type": "application/json"}, body), Outcome)


@given(st.binary(max_size=200))
def test_every_body_makes_an_outcome(body: bytes) -> None:
    assert isinstance(GraphqlRules(None).interpret(200, {"content-type": "application/json"}, body), Outcome)


def test_page_names_every_code() -> None:
    named = set(re.findall(r"`([A-Z_]+)`", PAGE.read_text(encoding="utf-8")))
    assert not {code for codes in CODES.values() for code in codes} - named
