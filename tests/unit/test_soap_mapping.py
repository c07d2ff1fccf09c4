"""WSDLs, mappings and values of SOAP destinations: mistakes are found when they are applied, values before they are sent."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from app.catalog import compile_document
from app.config.loading import load_folder
from app.config.schema import DestinationConfig, Document, LimitsConfig
from app.config.wsdl import MOST_BYTES, ROOT, gather
from app.connectors.soap.connector import SoapConnector
from app.connectors.soap.settings import SoapSettings
from app.errors import DataFault, InvalidConfig
from app.model import Item
from tests.connectors import soap_wsdl

MAPPING = {"lead.email": "{{ lead.email }}"}
SETTINGS = SoapSettings.model_validate({"wsdl": soap_wsdl.wsdl(), "operation": "SubmitLead"})
WRITER = SoapConnector("buyer", SETTINGS, limits=LimitsConfig())
B = f"{{{soap_wsdl.BUYER}}}"


def complaints(mapping: Mapping[str, Any] = MAPPING, **given_: Any) -> list[str]:
    config = {"wsdl": soap_wsdl.wsdl(), "operation": "SubmitLead"} | given_
    destination = DestinationConfig(name="buyer", type="soap", mapping=dict(mapping), settings=config)
    try:
        compile_document(Document(destinations=[destination]), 1)
    except InvalidConfig as invalid:
        return [str(one).removeprefix("destination buyer: ") for one in invalid.complaints]
    return []


def test_mapping_that_fits_is_accepted() -> None:
    assert complaints() == []
    attributes = {
        "lead.phones.0.number": "1",
        "lead.phones.0.@kind": "home",
        "lead.budget": "1",
        "lead.budget@currency": "EUR",
    }
    assert complaints(MAPPING | attributes) == []
    assert complaints({"lead": {"email": "x", "phones": [{"number": "1"}]}, "lead.born": "x"}) == [
        "mapping.lead.born: property 'lead.born': 'lead' already has a value of its own"
    ]


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        ({"campaign": "x"}, ["mapping: SubmitLead requires lead: map lead"]),
        ({"lead.born": "x"}, ["mapping.lead: lead requires email: map lead.email"]),
        (
            {"lead.emial": "x"},
            ['mapping.lead.emial: lead has no part emial: did you mean "email"?', "mapping.lead: lead"],
        ),
        (MAPPING | {"lead.born.year": "x"}, ["mapping.lead.born.year: lead.born is of type date, which has no parts"]),
        ({"lead.email.0": "x"}, ["mapping.lead.email: lead.email stands there once"]),
        (
            MAPPING | {"lead.phones.0.kind": "x"},
            ["mapping.lead.phones.0.kind: lead.phones.0 has no part", "mapping.lead.ph"],
        ),
        (MAPPING | {"lead.email@kind": "x"}, ["mapping.lead.email@kind: lead.email has no attribute kind"]),
        (MAPPING | {"lead.budget": "1"}, ["mapping.lead.budget: lead.budget requires the attribute currency"]),
        (MAPPING | {"lead.budget#text": "1"}, ["mapping.lead.budget: lead.budget requires the attribute currency"]),
        (
            MAPPING | {"lead.home": "1", "lead.office": "2"},
            ["mapping.lead: lead.home, lead.office: the WSDL takes one"],
        ),
        (MAPPING | {"lead.friend.born": "1"}, ["mapping.lead.friend: lead.friend requires email"]),
    ],
)
def test_mapping_that_does_not_fit_is_told_with_its_place(mapping: Mapping[str, Any], told: list[str]) -> None:
    found = complaints(mapping)
    assert len(found) == len(told)
    for one, start in zip(found, told, strict=True):
        assert one.startswith(start)


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ({"operation": None}, "settings.operation: the WSDL has 2 operations"),
        (
            {"operation": "SubmitLeads"},
            'settings.operation: the WSDL has no operation SubmitLeads (did you mean "SubmitLead"?)',
        ),
        ({"port": "Leads13"}, "settings.port: the WSDL has no port Leads13 (did you mean"),
        ({"service": "Other"}, "settings.service: the WSDL has no service Other"),
        ({"wsdl": "leads.wsdl"}, "settings.wsdl: neither an address nor a WSDL"),
        ({"wsdl": "https://x.example/{{ lead.a }}"}, "settings.wsdl: this address is the same"),
        ({"wsdl": "<html/>"}, "settings.wsdl: it is no WSDL 1.1: its root is html"),
        ({"wsdl": "<a>"}, "settings.wsdl: it is not XML"),
        ({"wsdl": soap_wsdl.importing("t.xsd")}, "settings.wsdl: imports t.xsd, which is not there"),
        ({"imports": {"t.xsd": "<a/>"}, "wsdl": "https://x.example/?wsdl"}, "settings.imports: belong to a WSDL"),
        (
            {"soap_headers": {"Sesion.user": "x"}},
            "settings.soap_headers.Sesion: the operation has no such header: did you",
        ),
        ({"soap_headers": {"Session.usr": "x"}}, "settings.soap_headers.Session.usr: Session has no part usr"),
        ({"soap_headers": {"Session": {"user": "x"}}}, "settings.soap_headers.Session: takes one value"),
        ({"security": {}}, "settings.security: give username"),
        (
            {"security": {"signature": {"private_key": "${env:KEY}", "certificate": "x"}}},
            "settings.security.signature.certificate: not a certificate in PEM",
        ),
        (
            {"security": {"username": {"username": "a", "password": "b"}}},
            "settings.security.username.password: a secret stands here in clear",
        ),
        ({"wsdl": soap_wsdl.wsdl(types="<x:y/>")}, "settings.wsdl: it is not XML"),
        ({"wsdl": soap_wsdl.wsdl(types="")}, "settings.wsdl: "),
        (
            {"wsdl": soap_wsdl.wsdl().replace('type="b:Person"', 'type="b:Gone"')},
            f"settings.wsdl: cannot be understood: Unable to resolve type {{{soap_wsdl.BUYER}}}Gone in main.wsdl. (via",
        ),
    ],
)
def test_settings_that_are_wrong_are_told_with_their_place(given_: Mapping[str, Any], told: str) -> None:
    found = complaints(**given_)
    assert found
    assert found[0].startswith(told)


def test_wsdl_at_an_address_is_not_asked_for_when_it_is_applied() -> None:
    assert complaints({"anything.at.all": "x"}, wsdl="https://buyer.example.com/leads?wsdl") == []
    assert complaints({"anything": "x"}, wsdl=soap_wsdl.importing("https://buyer.example.com/t.xsd")) == []


def test_wsdl_in_a_file_is_read_in_with_its_imports(tmp_path: Path) -> None:
    for folder in ("sources", "destinations", "schemas", "schemas/types"):
        (tmp_path / folder).mkdir()
    file = tmp_path / "destinations/buyer.yaml"
    file.write_text(
        "type: soap\nsettings:\n  wsdl: ../schemas/leads.wsdl\n  operation: SubmitLead\nmapping:\n  lead.emial: x\n"
    )
    with pytest.raises(InvalidConfig, match=r"buyer\.yaml:3: settings\.wsdl: \.\./schemas/leads\.wsdl: cannot be read"):
        load_folder(tmp_path)
    in_utf_16 = soap_wsdl.importing("types/a.xsd").replace('encoding="utf-8"', 'encoding="utf-16"')
    (tmp_path / "schemas/leads.wsdl").write_bytes(in_utf_16.encode("utf-16"))
    with pytest.raises(InvalidConfig, match=r"leads\.wsdl: types/a\.xsd cannot be read: No such file"):
        load_folder(tmp_path)
    outer = (
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="{soap_wsdl.BUYER}">'
        '<xs:include schemaLocation="../b.xsd"/></xs:schema>'
    )
    (tmp_path / "schemas/types/a.xsd").write_text(outer)
    (tmp_path / "schemas/b.xsd").write_text(soap_wsdl.schema())
    loaded = load_folder(tmp_path)
    assert set(loaded.document.destinations[0].settings["imports"]) == {"types/a.xsd", "b.xsd"}
    with pytest.raises(InvalidConfig) as refused:
        compile_document(loaded.document, 1, place=loaded.complaint)
    assert str(refused.value.complaints[0]) == (
        f'{file}:6: mapping.lead.emial: lead has no part emial: did you mean "email"?'
    )


def test_file_with_a_doctype_is_refused_where_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "destinations").mkdir()
    (tmp_path / "destinations/buyer.yaml").write_text("type: soap\nsettings: {wsdl: a.wsdl}\n")
    (tmp_path / "destinations/.a.wsdl").write_text("")
    (tmp_path / "destinations/a.wsdl").write_text(f"<!DOCTYPE a>{soap_wsdl.wsdl().partition('?>')[2]}")
    with pytest.raises(InvalidConfig, match=r"settings\.wsdl: a\.wsdl: it has a DOCTYPE"):
        load_folder(tmp_path)


def test_documents_are_bounded_in_number_and_size() -> None:
    numbers = count()
    with pytest.raises(ValueError, match="more than 200 documents"):
        gather(ROOT, lambda _: soap_wsdl.importing(f"{next(numbers)}.xsd").replace("xs:import", "xs:include"))
    with pytest.raises(ValueError, match="more than 10,000,000 bytes"):
        gather(ROOT, lambda _: soap_wsdl.wsdl() + " " * MOST_BYTES)


# Values


def written(lead: Mapping[str, Any], **others: Any) -> Any:
    """The element of the lead in the message."""
    payload = {"lead": {"email": "a@example.com", **lead}, **others}
    item = Item(payload=payload, key="k", attempt=1, deadline=monotonic() + 5)
    body = WRITER.request(item, reveal=True)["body"].encode()
    return etree.fromstring(body).find(f".//{B}lead")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("age", "41", "41"),
        ("age", "41.0", "41"),
        ("age", Decimal(41), "41"),
        ("age", -(2**31), "-2147483648"),
        ("consent", True, "true"),
        ("consent", "False", "false"),
        ("consent", 1, "true"),
        ("born", "1990-12-31", "1990-12-31"),
        ("born", date(1990, 12, 31), "1990-12-31"),
        ("born", "1990-12-31T10:00:00Z", "1990-12-31"),
        ("seen", "2026-01-31", "2026-01-31T00:00:00"),
        ("seen", "2026-01-31 10:20", "2026-01-31T10:20:00"),
        ("seen", datetime(2026, 1, 31, 10, 20, tzinfo=UTC), "2026-01-31T10:20:00Z"),
        ("seen", "2026-01-31T10:20:30.5+02:00", "2026-01-31T10:20:30.5+02:00"),
        ("state", "TX", "TX"),
        ("code", 12345, "12345"),
        ("email", '<&">', '<&">'),
    ],
)
def test_value_takes_the_form_of_its_type(name: str, value: Any, text: str) -> None:
    assert written({name: value}).findtext(f"{B}{name}") == text


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("age", "4l", "int"),
        ("age", 41.5, "int"),
        ("age", 2**31, "int"),
        ("age", True, "int"),
        ("age", "1e3", "int"),
        ("consent", "yes please", "boolean"),
        ("born", "31/12/1990", "date, which is written 2026-01-31"),
        ("born", "1990-02-30", "date, which is written 2026-01-31"),
        ("seen", "yesterday", "dateTime, which is written 2026-01-31T12:30:00Z"),
        ("state", "NY", "string"),
        ("code", "123456", "string"),
        ("email", "a\x00b", "string"),
        ("email", "\ud800", "string"),
        ("budget", {"#text": "12,50", "@currency": "EUR"}, "decimal"),
        ("budget", {"#text": "NaN", "@currency": "EUR"}, "decimal"),
    ],
)
def test_value_that_does_not_fit_is_told_by_its_name_only(name: str, value: Any, kind: str) -> None:
    with pytest.raises(DataFault) as fault:
        written({name: value})
    assert fault.value.reason.startswith(f"argument lead.{name}: not a value of {kind}")
    assert str(value) not in fault.value.reason


@pytest.mark.parametrize(
    ("lead", "told"),
    [
        ({"email": None}, "argument lead.email has no value"),
        ({"phones": [{"number": "1"}] * 4}, "argument lead.phones: the WSDL allows 3 at most"),
        ({"phones": [{"kind": "home"}]}, "argument lead.phones.0.number has no value"),
        ({"phones": ["555"]}, "argument lead.phones.0 is made of parts: map lead.phones.0.number"),
        ({"budget": "1"}, "argument lead.budget@currency has no value"),
        ({"budget": {"#text": "1"}}, "argument lead.budget@currency has no value"),
        ({"home": "1", "office": "2"}, "arguments lead.home, lead.office: the WSDL takes one of them"),
        ({"nothing": "1"}, "argument lead: the WSDL has no such part"),
        ({"email": {"x": 1}}, "argument lead.email: the WSDL has no such part"),
    ],
)
def test_lead_that_does_not_fit_is_refused(lead: Mapping[str, Any], told: str) -> None:
    with pytest.raises(DataFault) as fault:
        written(lead)
    assert fault.value.reason.startswith(told)


def test_parts_stand_in_the_order_of_the_schema_with_attributes_and_nil() -> None:
    lead = {
        "phones": [{"number": "1", "@kind": "home"}, {"number": "2"}],
        "budget@currency": "EUR",
        "budget": "12.50",
        "age": 7,
        "born": "1990-12-31",
    }
    found = written(lead)
    names = [etree.QName(child).localname for child in found]
    assert names == ["email", "born", "age", "seen", "phones", "phones", "budget"]
    assert found.find(f"{B}seen").attrib == {"{http://www.w3.org/2001/XMLSchema-instance}nil": "true"}
    assert found.find(f"{B}phones").get("kind") == "home"
    assert (found.find(f"{B}budget").text, found.find(f"{B}budget").get("currency")) == ("12.50", "EUR")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_NAMES = st.sampled_from(
    ["email", "born", "age", "seen", "state", "phones", "budget", "budget@currency", "home", "friend"]
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(_NAMES | st.text(max_size=5), _JSON, max_size=4))
def test_no_payload_makes_anything_but_a_message_or_a_data_fault(lead: dict[str, Any]) -> None:
    item = Item(payload={"lead": lead}, key="k", attempt=1, deadline=monotonic() + 5)
    try:
        body = WRITER.request(item, reveal=True)["body"]
    except DataFault:
        return
    etree.fromstring(body.encode())


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=200), st.integers(0, 400), st.sampled_from([200, 202, 400, 500]))
def test_no_answer_makes_anything_but_an_outcome(noise: bytes, place: int, status: int) -> None:
    body = soap_wsdl.ACCEPTED[:place] + noise + soap_wsdl.ACCEPTED[place:]
    for kind in ("text/xml", "text/xml; charset=utf-16", 'multipart/related; boundary="x"', "application/soap+xml"):
        assert WRITER.interpret(status, {"content-type": kind}, body)
