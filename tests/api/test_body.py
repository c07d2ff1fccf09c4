"""Bodies of single leads, without a server."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.body import Fields, read_form, read_json, read_xml, reader
from app.api.problem import Problem

MULTIPART = "multipart/form-data; boundary=XX"


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'--XX\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


def refusal(content_type: str, raw: bytes) -> Problem:
    with pytest.raises(Problem) as found:
        reader(content_type)(raw)
    return found.value


@pytest.mark.parametrize(
    ("content_type", "raw"),
    [
        ("application/json", b'{"email": "a@b.co", "tags": ["x", "y"]}'),
        ("application/vnd.acme+json; charset=UTF-8", b'\xef\xbb\xbf{"email": "a@b.co", "tags": ["x", "y"]}'),
        ("application/x-www-form-urlencoded", b"email=a%40b.co&tags=x&tags=y"),
        (MULTIPART, part("email", b"a@b.co") + part("tags", b"x") + part("tags", b"y") + b"--XX--\r\n"),
        ("text/xml", b'<lead xmlns="urn:l"><email>a@b.co</email> <tags>x</tags>\n<tags>y</tags></lead>'),
    ],
)
def test_every_form_of_body_gives_the_same_fields(content_type: str, raw: bytes) -> None:
    assert reader(content_type)(raw) == {"email": "a@b.co", "tags": ["x", "y"]}


@pytest.mark.parametrize(
    ("content_type", "raw", "said"),
    [
        ("application/json", b'{"a": 1,\n "b" 2}', "line 2, column 6"),
        ("application/json", b"", "is not JSON"),
        ("application/json", b"[1]", "must be a JSON object"),
        ("application/json", b'{"a": "\xff"}', "not UTF-8 at byte 8"),
        ("application/json", b'{"a": 1, "a": 2}', "a: appears twice"),
        ("application/json", b'{"a": {"b": 1, "b": 2}}', "b: appears twice"),
        ("application/json", b'{"a": NaN}', "NaN is no JSON number"),
        ("application/json", b'{"a": ' + b"9" * 5000 + b"}", "thousands of digits"),
        ("application/json", b'{"a":' + b"[" * 50_000, "nested too deeply"),
        ("application/x-www-form-urlencoded", b"a=%ff", "not UTF-8"),
        ("application/x-www-form-urlencoded", b"&".join([b"a=1"] * 1001), "more than 1000 fields"),
        ("application/xml", b"<a><b>1</c></a>", "not well-formed XML at column"),
        ("application/xml", b"<a>\n<b>1</b>", "line 2, column"),
        (
            "application/xml",
            b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a><b>&x;</b></a>',
            "document type",
        ),
        ("application/xml", b'<?xml version="1.0" encoding="utf-7"?><a/>', "encoding"),
        ("application/xml", b"<a><b><c>1</c></b></a>", "b: has elements inside"),
        ("application/xml", b'<a><b type="x">1</b></a>', "b: has attributes"),
        ("application/xml", b"<a>loose<b>1</b></a>", "text outside"),
        (MULTIPART, part("a", b"1"), "ends in the middle"),
        (MULTIPART, part("a", b"1", '; filename="x.txt"') + b"--XX--\r\n", "a: is a file"),
        (MULTIPART, part("a", b"\xff") + b"--XX--\r\n", "not UTF-8"),
        (MULTIPART, b"nonsense", "not a multipart form"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_with_its_place(content_type: str, raw: bytes, said: str) -> None:
    problem = refusal(content_type, raw)
    assert problem.status == 400
    assert said in problem.detail


@pytest.mark.parametrize(
    ("content_type", "raw"),
    [
        ("", b"{}"),
        ("text/plain", b"{}"),
        ("application/x-ndjson", b"{}\n"),
        ("application/json; charset=latin-1", b"{}"),
        ("multipart/form-data", b""),
        ("application/x-www-form-urlencoded", b'{"email": "a@b.co"}'),
    ],
)
def test_a_type_that_is_not_taken_is_told_with_a_remedy(content_type: str, raw: bytes) -> None:
    assert refusal(content_type, raw).status == 415


def test_a_refusal_quotes_no_value() -> None:
    assert "secret" not in str(refusal("application/json", b'{"a": "secret" "b"}').document())


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), values))
def test_json_is_read_as_it_was_written(fields: dict[str, Any]) -> None:
    assert read_json(json.dumps(fields).encode()) == fields


def answer(read: Callable[[bytes], Fields], raw: bytes) -> int:
    try:
        return 202 if isinstance(read(raw), dict) else 500
    except Problem as problem:
        return problem.status


PIECES = (
    b'<a> </a> <!DOCTYPE <!ENTITY &x; <![CDATA[ ]]> <?xml \xff \x00 { } [ ] : , " 1e999 NaN - \\ud800 = & %00 %f --XX -- '
    b"\r\n\r\n --XX\r\n Content-Disposition: form-data; name= filename= a"
)
pieces = st.lists(st.sampled_from(PIECES.split(b" ")) | st.binary(max_size=4), max_size=30).map(b"".join)


@given(pieces)
def test_no_body_whatsoever_is_a_defect(raw: bytes) -> None:
    for read in (read_json, read_form, read_xml, reader(MULTIPART)):
        assert answer(read, raw) in {202, 400, 415}


@given(st.text(st.characters(max_codepoint=255), max_size=60))  # what a header can hold
def test_no_content_type_whatsoever_is_a_defect(content_type: str) -> None:
    def read(raw: bytes) -> Fields:
        return reader(content_type)(raw)

    assert answer(read, b"{}") in {202, 400, 415}
