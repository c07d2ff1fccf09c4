"""Payloads as JSON, form and XML."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from app.connectors.http.body import encoder
from app.errors import DataFault

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))


def xml(payload: Mapping[str, Any]) -> str:
    body = encoder("xml", xml_root="lead")(payload)
    assert etree.fromstring(body) is not None
    return body.decode().partition("?>\n")[2]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({}, "<lead/>"),
        ({"a": None, "b": "", "c": False}, "<lead><a/><b/><c>false</c></lead>"),
        ({"a": {"b": 1, "c": {"d": Decimal("1.50")}}}, "<lead><a><b>1</b><c><d>1.50</d></c></a></lead>"),
        ({"a": ["x", {"b": 1}]}, "<lead><a>x</a><a><b>1</b></a></lead>"),
        ({"a@id": "7", "a": "x"}, '<lead><a id="7">x</a></lead>'),
        ({"a": "x", "a@id": "7"}, '<lead><a id="7">x</a></lead>'),
        ({"a@id": 'q"<\n'}, '<lead><a id="q&quot;&lt;&#10;"/></lead>'),
        ({"@version": "2", "a": "x"}, '<lead version="2"><a>x</a></lead>'),
        ({"a": {"b@unit": "m", "b#text": "5"}}, '<lead><a><b unit="m">5</b></a></lead>'),
        ({"a@id": "7", "a": {"b": "x"}}, '<lead><a id="7"><b>x</b></a></lead>'),
        ({"a#cdata": "<b>&]]></b>"}, "<lead><a><![CDATA[<b>&]]]]><![CDATA[></b>]]></a></lead>"),
        ({"a": {"0": "x", "0@id": "1", "1": "y"}}, '<lead><a id="1">x</a><a>y</a></lead>'),
        ({"a": "1 < 2 & 3 > 2\r"}, "<lead><a>1 &lt; 2 &amp; 3 &gt; 2&#13;</a></lead>"),
        ({"@xmlns:x": "urn:x", "x:a": "é"}, '<lead xmlns:x="urn:x"><x:a>é</x:a></lead>'),
        ({"on": date(2026, 11, 23)}, "<lead><on>2026-11-23</on></lead>"),
    ],
)
def test_xml_is_written_as_the_names_say(payload: Mapping[str, Any], expected: str) -> None:
    assert xml(payload) == expected


@given(TEXT)
def test_any_text_comes_back_out_of_xml(text: str) -> None:
    body = encoder("xml", xml_root="lead")({"a": text, "b@c": text, "d#cdata": text})
    root = etree.fromstring(body)
    assert [root.findtext("a"), root.find("b").get("c"), root.findtext("d")] == [text, text, text]  # type: ignore[union-attr]  # an element that is missing fails the test


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        ({"a": {"b": "\x00secret"}}, "a.b holds"),
        ({"a": ["x", "\ud800"]}, "a.1 holds"),
        ({"a": {"1x": "y", "b": "z"}}, "a.1x is not"),
        ({"a b": "y"}, "a b is not"),
        ({"a@b c": "y"}, "a.@b c is not"),
        ({"a": object()}, "a cannot"),
    ],
)
def test_what_xml_cannot_carry_names_the_property(payload: Mapping[str, Any], named: str) -> None:
    with pytest.raises(DataFault, match=named) as caught:
        encoder("xml", xml_root="lead")(payload)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("body", ["json", "form"])
@pytest.mark.parametrize("value", ["\ud800", object()])
def test_what_json_and_form_cannot_carry_names_the_property(body: Any, value: Any) -> None:
    with pytest.raises(DataFault, match=r"property a\.b cannot"):
        encoder(body, xml_root="lead")({"a": {"b": value}})


def test_values_of_every_type_are_written_in_a_form() -> None:
    payload = {
        "none": None,
        "no": False,
        "price": Decimal("1.50"),
        "at": datetime(2026, 11, 23, 10, tzinfo=UTC),
        "id": UUID(int=1),
        "nested": [[1, 2]],
        "é ": "~/",
    }
    assert encoder("form", xml_root="lead")(payload) == (
        b"none=&no=false&price=1.50&at=2026-11-23T10%3A00%3A00%2B00%3A00&id=00000000-0000-0000-0000-000000000001"
        b"&nested.0=1&nested.0=2&%C3%A9%20=~%2F"
    )


def test_decimals_are_numbers_in_json() -> None:
    assert encoder("json", xml_root="lead")({"price": Decimal("1.50")}) == b'{"price":1.50}'
