"""What a mapping with literals and empty templates comes to in a SOAP message."""

from collections.abc import Mapping
from functools import lru_cache
from time import monotonic
from typing import Any

import pytest
from lxml import etree

from app.config.schema import LimitsConfig
from app.connectors.soap.connector import SoapConnector
from app.connectors.soap.settings import SoapSettings
from app.errors import DataFault
from app.mapping import compile_mapping
from app.model import Item
from tests.connectors import soap_wsdl

CAMPAIGN = '<xs:element name="campaign" type="xs:string" minOccurs="0"/>'
PAIRS = """<xs:sequence minOccurs="0" maxOccurs="unbounded">
  <xs:element name="key" type="xs:string"/><xs:element name="val" type="xs:int" minOccurs="0"/>
</xs:sequence>"""


REACH = """<xs:choice>
  <xs:element name="fax" type="xs:string"/>
  <xs:sequence><xs:element name="code" type="xs:string"/><xs:element name="number" type="xs:string"/></xs:sequence>
</xs:choice>"""
TWICE = '<xs:element name="tag" type="xs:string" minOccurs="2" maxOccurs="3"/>'


@lru_cache
def sender(more: str) -> SoapConnector:
    document = soap_wsdl.wsdl().replace(CAMPAIGN, CAMPAIGN + more)
    settings = SoapSettings.model_validate({"wsdl": document, "operation": "SubmitLead"})
    return SoapConnector("buyer", settings, limits=LimitsConfig())


def written(mapping: Mapping[str, Any], lead: Mapping[str, Any], *, more: str = "") -> list[str]:
    """Elements without their children, attributes and text behind them, in order."""
    payload = compile_mapping({"lead.email": "a@example.com", **mapping}).render({"lead": lead})
    item = Item(payload=payload, key="k", attempt=1, deadline=monotonic() + 5)
    root = etree.fromstring(sender(more).request(item, reveal=True)["body"].encode())
    found = []
    for one in root.iter(f"{{{soap_wsdl.BUYER}}}*"):
        attributes = "".join(f" {name}={value}" for name, value in one.attrib.items() if "}" not in name)
        found.append(f"{etree.QName(one).localname}{attributes} {one.text or ''}".strip())
    return found[2:]


def complaints(mapping: Mapping[str, Any], *, more: str) -> list[str]:
    return [detail for _, detail in sender(more).complaints({"lead.email": "a@example.com", **mapping})]


REACHED = {"fax": "{{ lead.fax }}", "code": "{{ lead.code }}", "number": "{{ lead.number }}"}
PRICED = {"lead.budget": "{{ lead.budget }}", "lead.budget@currency": "EUR"}
PHONED = {
    "lead.phones.0.number": "{{ lead.one }}",
    "lead.phones.0.@kind": "home",
    "lead.phones.1.number": "{{ lead.two }}",
    "lead.phones.1.@kind": "work",
}
FRIEND = {"lead.friend.email": "{{ lead.friend }}", "lead.friend.state": "TX"}


@pytest.mark.parametrize(
    ("mapping", "lead", "told"),
    [
        (PRICED, {"budget": 5}, ["email a@example.com", "seen", "budget currency=EUR 5"]),
        (PRICED, {}, ["email a@example.com", "seen"]),
        (PRICED | FRIEND, {}, ["email a@example.com", "seen"]),
        (PHONED, {}, ["email a@example.com", "seen"]),
        (PHONED, {"two": "7"}, ["email a@example.com", "seen", "phones kind=work", "number 7"]),
        ({"lead.friend.email": "x", "lead.friend.state": "TX"}, {}, None),
        ({"lead.budget": "5", "lead.budget@currency": "EUR"}, {}, None),
        ({"campaign": "spring"}, {}, ["email a@example.com", "seen", "campaign spring"]),
    ],
)
def test_optional_element_in_which_only_literals_are_left_is_omitted(
    mapping: Mapping[str, Any], lead: Mapping[str, Any], told: list[str] | None
) -> None:
    found = written(mapping, lead)
    if told is None:  # literals alone are meant as they stand
        assert "budget currency=EUR 5" in found or found[2:4] == ["friend", "email x"]
    else:
        assert found == told


def test_required_element_in_which_only_literals_are_left_is_a_data_fault() -> None:
    price = '<xs:element name="price" type="b:Budget"/>'
    with pytest.raises(DataFault, match="argument price has no value, and the WSDL requires one"):
        written({"price": "{{ lead.budget }}", "price@currency": "EUR"}, {}, more=price)


@pytest.mark.parametrize(
    ("mapping", "lead", "told"),
    [
        ({"key.0": "a", "val.0": "1", "key.1": "b", "val.1": "2"}, {}, ["key a", "val 1", "key b", "val 2"]),
        (
            {"key.0": "{{ lead.a }}", "val.0": "{{ lead.x }}", "key.1": "{{ lead.b }}", "val.1": "{{ lead.y }}"},
            {"a": "a", "b": "b", "y": 1},
            ["key a", "key b", "val 1"],
        ),
        ({"key.0": "a", "val.0": "{{ lead.x }}", "key.1": "b", "val.1": "{{ lead.y }}"}, {"y": 1}, ["key b", "val 1"]),
        ({"key.0": "a", "val.0": "{{ lead.x }}", "key.1": "b", "val.1": "{{ lead.y }}"}, {}, []),
        ({"key.0": "a", "key.1": "b", "val.1": "{{ lead.y }}"}, {"y": 1}, ["key a", "key b", "val 1"]),
        (
            {"key": "{{ lead.keys }}", "val": "{{ lead.vals }}"},
            {"keys": ["a", "b"], "vals": [1]},
            ["key a", "val 1", "key b"],
        ),
    ],
)
def test_what_stands_at_one_place_of_a_repeated_group_stays_together(
    mapping: Mapping[str, Any], lead: Mapping[str, Any], told: list[str]
) -> None:
    assert written(mapping, lead, more=PAIRS)[2:] == told


def test_repeat_that_lacks_what_it_requires_is_a_data_fault() -> None:
    with pytest.raises(DataFault, match="argument key has no value"):
        written({"key.0": "{{ lead.a }}", "val.0": "{{ lead.y }}", "key.1": "b"}, {"y": 2}, more=PAIRS)


@pytest.mark.parametrize(
    ("lead", "told"),
    [({"fax": "7"}, ["fax 7"]), ({"code": "4", "number": "1"}, ["code 4", "number 1"])],
)
def test_the_lead_decides_which_part_of_a_choice_is_sent(lead: Mapping[str, Any], told: list[str]) -> None:
    assert written(REACHED, lead, more=REACH)[2:] == told


@pytest.mark.parametrize(
    ("lead", "told"),
    [
        ({}, "none of the arguments fax, code has a value, and the WSDL requires one of them"),
        ({"fax": "7", "code": "4"}, "arguments code, fax: the WSDL takes one of them"),
        ({"code": "4"}, "argument number has no value"),
    ],
)
def test_lead_that_gives_none_or_several_parts_of_a_choice_is_refused(lead: Mapping[str, Any], told: str) -> None:
    with pytest.raises(DataFault) as fault:
        written(REACHED, lead, more=REACH)
    assert fault.value.reason.startswith(told)


def test_choice_of_what_may_be_left_out_takes_nothing() -> None:
    for more in (REACH.replace('name="fax"', 'name="fax" minOccurs="0"'), REACH.replace("</xs:ch", "<xs:any/></xs:ch")):
        assert written({}, {}, more=more) == ["email a@example.com", "seen"]
        assert complaints({}, more=more) == []


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        (REACHED, []),
        ({"fax": "7"}, []),
        ({"fax": "7", "code": "{{ lead.code }}", "number": "1"}, ["fax, number: the WSDL takes one of them"]),
        ({"fax": "{{ lead.fax }}", "code": "4", "number": "{{ lead.number }}"}, []),
        ({}, ["SubmitLead requires one of the parts of a choice: map fax or code"]),
        ({"number": "1"}, ["SubmitLead requires code: map code"]),
    ],
)
def test_choice_is_told_of_at_apply_where_no_lead_can_mend_it(mapping: Mapping[str, Any], told: list[str]) -> None:
    assert complaints(mapping, more=REACH) == told


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        ({"tag": "{{ lead.tags }}"}, "argument tag: the WSDL requires 2"),
        ({"tag": "one"}, "argument tag: the WSDL requires 2: map tag.0, tag.1 and so on"),
    ],
)
def test_element_that_is_required_several_times_is_not_sent_once(mapping: Mapping[str, Any], told: str) -> None:
    assert written({"tag": "{{ lead.tags }}"}, {"tags": ["a", "b"]}, more=TWICE)[2:] == ["tag a", "tag b"]
    with pytest.raises(DataFault) as fault:
        written(mapping, {"tags": ["a"]}, more=TWICE)
    assert fault.value.reason == told


def test_value_of_a_unions_inner_type_is_sent() -> None:
    inner = (
        '<xs:simpleType><xs:restriction base="xs:string"><xs:enumeration value="any"/></xs:restriction></xs:simpleType>'
    )
    names = '<xs:element name="kind"><xs:simpleType><xs:union memberTypes="xs:int b:State">'
    union = names + "{}</xs:union></xs:simpleType></xs:element>"
    assert written({"kind": "any"}, {}, more=union.format(inner))[2:] == ["kind any"]
    assert written({"kind": "TX"}, {}, more=union.format(""))[2:] == ["kind TX"]
    with pytest.raises(DataFault, match="argument kind: not a value of string"):
        written({"kind": "any"}, {}, more=union.format(""))
