"""Payloads as JSON, form and XML."""

from base64 import b64encode
from codecs import lookup
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from email import message_from_bytes
from email.policy import HTTP
from encodings.aliases import aliases
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pydantic import ValidationError

from app.catalog import compile_document
from app.config.schema import Document
from app.connectors._http.body import content_type, encoder
from app.connectors._http.charset import codec_of
from app.connectors._http.multipart import BOUNDARY
from app.connectors._http.settings import HttpSettings
from app.errors import DataFault, InvalidConfig
from app.mapping import compile_mapping

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))


def configured(body: str, **settings: Any) -> HttpSettings:
    return HttpSettings.model_validate({"url": "https://x.example", "body": body, **settings})


def encoded(body: str, payload: Mapping[str, Any], rendered: Mapping[str, str] | None = None, **settings: Any) -> bytes:
    return encoder(configured(body, **settings))(payload, rendered or {})


def xml(payload: Mapping[str, Any]) -> str:
    body = encoded("xml", payload)
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
        ({"a": "1 < 2 & 3 > 2\r"}, "<lead><a>1 &lt; 2 &amp; 3 &gt; 2&#13;</a></lead>"),
        ({"@xmlns:x": "urn:x", "x:a": "é"}, '<lead xmlns:x="urn:x"><x:a>é</x:a></lead>'),
        ({"on": date(2026, 11, 23)}, "<lead><on>2026-11-23</on></lead>"),
    ],
)
def test_xml_is_written_as_the_names_say(payload: Mapping[str, Any], expected: str) -> None:
    assert xml(payload) == expected


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ({"b.0": "x", "b.0@id": 1, "b.1": "y"}, '<b id="1">x</b><b>y</b>'),
        ({"b.1": "y", "b.0@id": 1, "b.0": "{{ lead.a }}"}, '<b id="1">Ann</b><b>y</b>'),
        ({"v.0.make": "{{ lead.a }}", "v.0@status": "new", "v.1.make": "z"}, None),
        (
            {"c.name.0": "{{ lead.a }}", "c.name.0@part": "first", "c.name.1": "Lee", "c.name.1@part": "last"},
            '<c><name part="first">Ann</name><name part="last">Lee</name></c>',
        ),
        ({"b.0@id": 1, "b.1": "y", "b.2#cdata": "<"}, '<b id="1"/><b>y</b><b><![CDATA[<]]></b>'),
        ({"b.0": "x", "b.10": "{{ lead.no }}", "b.2@id": "{{ lead.a }}"}, '<b>x</b><b id="Ann"/>'),
    ],
)
def test_mapped_repeats_have_attributes_of_their_own(mapping: Mapping[str, Any], expected: str | None) -> None:
    expected = expected or '<v status="new"><make>Ann</make></v><v><make>z</make></v>'
    config = {"name": "b", "type": "http", "settings": {"url": "https://x.example", "body": "xml"}, "mapping": mapping}
    step = compile_document(Document.model_validate({"destinations": [config]}), 1).steps["b"]
    assert xml(step.mapping.render({"lead": {"a": "Ann"}})) == f"<lead>{expected}</lead>"


@pytest.mark.parametrize(
    "mapping", [{"b.0": "x", "b.0@id": 1}, {"a": {}, "c.b.1.x": "x", "c.b.0#text": "{{ lead.a }}"}]
)
@pytest.mark.parametrize("kind", [{"body": "json"}, {"body": "form"}])
def test_only_xml_gives_places_of_a_list_attributes(mapping: Mapping[str, Any], kind: Mapping[str, Any]) -> None:
    settings = {"url": "https://x.example", **kind}
    config = {"name": "b", "type": "http", "settings": settings, "mapping": mapping}
    with pytest.raises(InvalidConfig, match=r"mapping\.(b\.0@id|c\.b\.0#text): whole numbers .* do not mix"):
        compile_document(Document.model_validate({"destinations": [config]}), 1)


def of_mapping(settings: Mapping[str, Any], mapping: Mapping[str, Any]) -> list[str]:
    """What is complained about when the configuration is applied."""
    config = {"name": "b", "type": "http", "settings": {"url": "https://x.example", **settings}, "mapping": mapping}
    try:
        compile_document(Document.model_validate({"destinations": [config]}), 1)
    except InvalidConfig as invalid:
        return [f"{one.field.removeprefix('destination b: ')}: {one.detail}" for one in invalid.complaints]
    return []


@pytest.mark.parametrize(
    ("settings", "mapping", "place"),
    [
        ({"xml_root": "a:lead"}, {}, "settings.xml_root"),
        ({"xml_root": "a:lead", "xml_namespaces": {"": "urn:a", "b": "urn:b"}}, {}, "settings.xml_root"),
        ({}, {"b:email": "x"}, "mapping.b:email"),
        ({}, {"c.b:email.d": "x", "c.e@xmlns:b": "urn:b"}, "mapping.c.b:email.d"),
        ({}, {"c@b:id": "x"}, "mapping.c@b:id"),
        ({}, {"c.@b:id": "x"}, "mapping.c.@b:id"),
        ({}, {"c": {"d": [{"b:e": "x"}]}}, "mapping.c.d.0.b:e"),
        ({}, {"b:c.0": "x", "b:c.0@xmlns:b": "urn:b", "b:c.1": "y"}, "mapping.b:c.1"),
        (
            {"auth": {"api_key": {"in": "body", "name": "b:key", "value": "${env:KEY}"}}},
            {},
            "settings.auth.api_key.name",
        ),
    ],
)
def test_a_prefix_that_nothing_declares_is_refused(settings: Any, mapping: Any, place: str) -> None:
    [found] = of_mapping({"body": "xml", **settings}, mapping)
    assert found.startswith(f"{place}: nothing declares the prefix {'a' if 'xml_root' in place else 'b'}: add it to")
    assert "prefix" not in str(of_mapping({"body": "json"}, mapping))


@pytest.mark.parametrize(
    ("settings", "mapping"),
    [
        ({"xml_root": "a:lead", "xml_namespaces": {"a": "urn:a"}}, {"a:b@a:c": "x", "d@xml:lang": "en"}),
        ({"xml_root": "a:lead"}, {"@xmlns:a": "urn:a", "b.a:c": "x"}),
        ({}, {"c.a:b": "x", "c@xmlns:a": "urn:a"}),
        ({}, {"a:b": "x", "a:b@xmlns:a": "urn:a", "a:b@a:c": "y"}),
        ({}, {"a:c.0": "x", "a:c.0@xmlns:a": "urn:a", "@xmlns": "urn:d"}),
        ({}, {"b": {"@xmlns:a": "urn:a", "a:c": "x"}}),
    ],
)
def test_what_is_let_through_is_well_formed(settings: Any, mapping: Any) -> None:
    assert of_mapping({"body": "xml", **settings}, mapping) == []
    etree.fromstring(encoded("xml", compile_mapping(mapping).render({}), **settings))


@pytest.mark.parametrize(
    ("mapping", "place"),
    [
        ({"0.email": "{{ lead.a }}", "1.email": "x", "phone": "{{ lead.b }}"}, "mapping.phone"),
        ({"email": "x", "0": "y"}, "mapping.email"),
        ({"0.email": "x", "1.email": "x"}, None),
        ({"email.0": "x", "phone": "y"}, None),
    ],
)
def test_an_array_holds_places_or_one_object(mapping: Any, place: str | None) -> None:
    found = of_mapping({"body": "json", "json_array": True}, mapping)
    assert [one.partition(": ")[0] for one in found] == ([place] if place else [])
    assert all("do not mix" in one for one in found)


def test_a_key_in_the_body_has_no_place_beside_those_of_an_array() -> None:
    keyed = {"auth": {"api_key": {"in": "body", "name": "id", "value": "${env:KEY}"}}, "json_array": True}
    [found] = of_mapping(keyed, {"0.a": "x"})
    assert found.startswith("settings.auth.api_key.name: whole numbers")


@given(TEXT)
def test_any_text_comes_back_out_of_xml(text: str) -> None:
    body = encoded("xml", {"a": text, "b@c": text, "d#cdata": text})
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
        encoded("xml", payload)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("body", ["json", "form"])
@pytest.mark.parametrize("value", ["\ud800", object()])
def test_what_json_and_form_cannot_carry_names_the_property(body: Any, value: Any) -> None:
    with pytest.raises(DataFault, match=r"property a\.b cannot"):
        encoded(body, {"a": {"b": value}})


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
    assert encoded("form", payload) == (
        b"none=&no=false&price=1.50&at=2026-11-23T10%3A00%3A00%2B00%3A00&id=00000000-0000-0000-0000-000000000001"
        b"&nested.0=1&nested.0=2&%C3%A9%20=~%2F"
    )


def test_decimals_are_numbers_in_json() -> None:
    assert encoded("json", {"price": Decimal("1.50")}) == b'{"price":1.50}'


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"a": 1}, b'[{"a":1}]'),
        ({}, b"[{}]"),
        ({"2": {"b": 2}, "0": {"a": 1}, "10": "x"}, b'[{"a":1},{"b":2},"x"]'),
    ],
)
def test_json_array_is_the_root(payload: Mapping[str, Any], expected: bytes) -> None:
    assert encoded("json", payload, json_array=True) == expected


def test_namespaces_are_declared_on_the_root_and_a_mapped_one_wins() -> None:
    body = encoded(
        "xml", {"a:name": "x", "@xmlns:b": "urn:mapped"}, xml_namespaces={"": "urn:d", "a": "u&1", "b": "urn:b"}
    )
    root = etree.fromstring(body)
    assert root.nsmap == {None: "urn:d", "a": "u&1", "b": "urn:mapped"}
    assert root.findtext("{u&1}name") == "x"


def test_xml_declaration_is_left_out_on_request() -> None:
    assert encoded("xml", {"a": "é"}, xml_declaration=False) == "<lead><a>é</a></lead>".encode()


@pytest.mark.parametrize("charset", ["iso-8859-1", "us-ascii", "utf-16", "windows-1252", "utf-8"])
def test_any_text_comes_back_out_of_xml_in_another_charset(charset: str) -> None:
    body = encoded("xml", {"a": "Zoë €😀", "b@c": "Zoë €😀"}, charset=charset)
    root = etree.fromstring(body)
    assert [root.findtext("a"), root.find("b").get("c")] == ["Zoë €😀"] * 2  # type: ignore[union-attr]  # as above


@pytest.mark.parametrize(
    ("payload", "named"),
    [({"a#cdata": "5 €"}, r"a\.#cdata holds"), ({"a€": "x"}, "a€ is not"), ({"b@ł": "x"}, "is not")],
)
def test_what_a_charset_cannot_carry_in_xml_names_the_property(payload: Mapping[str, Any], named: str) -> None:
    with pytest.raises(DataFault, match=named):
        encoded("xml", payload, charset="iso-8859-1")


def test_form_in_another_charset() -> None:
    assert encoded("form", {"näme": "Zoë"}, charset="iso-8859-1") == b"n%E4me=Zo%EB"
    assert content_type(configured("form", charset="latin1")) == "application/x-www-form-urlencoded; charset=ISO-8859-1"
    with pytest.raises(DataFault, match="property a cannot be written as a form field in ISO-8859-1"):
        encoded("form", {"a": "5 €"}, charset="iso-8859-1")


@pytest.mark.parametrize(
    ("configured_as", "sent"),
    [
        ("cp1252", "windows-1252"),
        ("Windows-1252", "windows-1252"),
        ("latin-1", "ISO-8859-1"),
        ("iso8859_15", "ISO-8859-15"),
        ("euc_kr", "EUC-KR"),
        ("iso2022_jp", "ISO-2022-JP"),
        ("sjis", "Shift_JIS"),
        ("cp932", "Windows-31J"),
        ("windows-31j", "Windows-31J"),
        ("ascii", "US-ASCII"),
        ("866", "IBM866"),
        ("utf-16", "UTF-16"),
    ],
)
def test_a_charset_goes_by_the_name_that_iana_knows(configured_as: str, sent: str) -> None:
    assert content_type(configured("xml", charset=configured_as)) == f"application/xml; charset={sent}"
    body = encoded("xml", {"a": "x"}, charset=configured_as)
    assert f'encoding="{sent}"' in body.decode("cp932" if sent == "Windows-31J" else sent)
    if sent != "Windows-31J":  # unknown to libxml2 on some systems
        assert etree.fromstring(body).findtext("a") == "x"


def test_every_charset_there_is_goes_by_a_name_that_is_understood_here() -> None:
    for codec in {*aliases.values(), "cp874", "koi8_u"}:
        try:
            settings = configured("xml", charset=codec)
        except ValidationError:  # none of characters
            continue
        named = content_type(settings).partition("charset=")[2]  # type: ignore[union-attr]  # one of XML is never None
        assert codec_of(named) == lookup(codec).name


def test_a_charset_without_a_name_there_goes_by_its_own() -> None:
    assert content_type(configured("xml", charset="CP949")) == "application/xml; charset=CP949"


@pytest.mark.parametrize("body", ["json", "form", "xml", "multipart"])
def test_ascii_transliterates_values_and_leaves_names(body: str) -> None:
    sent = encoded(body, {"a": {"b": ["Zoë Müller", 1, None]}, "ł": "Łódź Straße Київ"}, ascii=True)
    assert b"Zoe" in sent
    assert b"Lodz" in sent
    assert b"Strasse" in sent
    assert "Zoë".encode() not in sent


def test_json_and_xml_go_into_a_form_field() -> None:
    assert encoded("json", {"a": "ü&"}, wrap="lead json") == b"lead%20json=%7B%22a%22%3A%22%C3%BC%26%22%7D"
    assert encoded("xml", {"a": "x"}, wrap="x", xml_declaration=False) == b"x=%3Clead%3E%3Ca%3Ex%3C%2Fa%3E%3C%2Flead%3E"
    assert content_type(configured("xml", wrap="x")) == "application/x-www-form-urlencoded"


def test_text_body_is_its_template() -> None:
    template = "{{ lead.a }};é"
    assert encoded("text", {}, {"{{ lead.a }}": "ü"}, template=template, charset="latin-1") == b"\xfc;\xe9"
    assert encoded("text", {}, {"{{ lead.a }}": "ü"}, template=template, ascii=True) == "u;é".encode()
    assert content_type(configured("text", template="x", content_type="text/csv")) == "text/csv; charset=utf-8"
    with pytest.raises(DataFault, match="template"):
        encoded("text", {}, {"{{ lead.a }}": "€"}, template=template, charset="latin-1")


def parts(body: bytes) -> list[Any]:
    """Read by the standard library's reader of MIME."""
    head = f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n".encode()
    return list(message_from_bytes(head + body, policy=HTTP).iter_parts())


def test_multipart_carries_fields_and_files() -> None:
    payload = {
        "name": "Zoë",
        "tag": ["x", "y"],
        "cv": {"pdf": b64encode(b"\x00\r\n--x").decode()},
        "note": "hi",
        "none": "",
    }
    files = {
        "cv.pdf": {"filename": "{{ lead.n }}.pdf", "content_type": "application/pdf"},
        "note": {"filename": "n.txt", "encoding": "text"},
        "none": {"filename": "x"},
    }
    read = parts(encoded("multipart", payload, {"{{ lead.n }}": "Lee"}, files=files))
    assert [part.get_param("name", header="content-disposition") for part in read] == [
        "name",
        "tag",
        "tag",
        "cv.pdf",
        "note",
    ]
    assert [part.get_payload(decode=True) for part in read] == ["Zoë".encode(), b"x", b"y", b"\x00\r\n--x", b"hi"]
    assert [part.get_filename() for part in read] == [None, None, None, "Lee.pdf", "n.txt"]
    assert [part.get_content_type() for part in read[3:]] == ["application/pdf", "application/octet-stream"]


@given(st.dictionaries(TEXT.filter(bool), st.one_of(TEXT, st.lists(TEXT)), max_size=5), TEXT)
def test_any_fields_come_back_out_of_multipart(payload: dict[str, Any], filename: str) -> None:
    files = {"f": {"filename": "{{ lead.n }}", "encoding": "text"}}
    body = encoded("multipart", {**payload, "f": "text"}, {"{{ lead.n }}": filename}, files=files)
    expected = {name: value if isinstance(value, list) else [value] for name, value in {**payload, "f": "text"}.items()}
    found: dict[str, list[str]] = {}
    for part in body.split(f"--{BOUNDARY}".encode())[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
        name = head.decode().partition('name="')[2].partition('"')[0]
        found.setdefault(name, []).append(content.decode())
    assert found == {name.replace('"', "%22"): values for name, values in expected.items() if values}


@given(st.dictionaries(TEXT.filter(bool), TEXT, max_size=5))
def test_any_fields_come_back_out_of_a_form(payload: dict[str, str]) -> None:
    body = encoded("form", payload).decode()
    assert parse_qsl(body, keep_blank_values=True) == list(payload.items())


@given(TEXT, st.sampled_from(["iso-8859-1", "utf-16", "cp1252"]))
def test_any_text_comes_back_out_of_xml_in_any_charset(text: str, charset: str) -> None:
    root = etree.fromstring(encoded("xml", {"a": text, "b@c": text}, charset=charset))
    assert [root.findtext("a"), root.find("b").get("c")] == [text, text]  # type: ignore[union-attr]  # as above


def test_names_and_file_names_cannot_break_out_of_their_part() -> None:
    files = {"f": {"filename": "{{ lead.n }}", "encoding": "text"}}
    body = encoded("multipart", {'a"\r\nX: 1': "v", "f": "t"}, {"{{ lead.n }}": 'a"; x="b\r\nX-Evil: 1'}, files=files)
    assert b"\r\nX" not in body
    assert b'name="a%22%0D%0AX: 1"' in body
    assert b'filename="a%22; x=%22b%0D%0AX-Evil: 1"' in body


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        ({"f": "no base64!"}, "property f is not base64"),
        ({"f": "ü"}, "property f is not base64"),
        ({"a": f"x{BOUNDARY}"}, "property a holds the line"),
        ({"a": "\ud800"}, "property a cannot"),
        ({"a": object()}, "property a cannot"),
    ],
)
def test_what_multipart_cannot_carry_names_the_property(payload: Mapping[str, Any], named: str) -> None:
    with pytest.raises(DataFault, match=named):
        encoded("multipart", payload, files={"f": {"filename": "x"}})


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"body": "json", "charset": "latin-1"}, "charset is for body"),
        ({"body": "json", "xml_namespaces": {"a": "b"}}, "xml_namespaces is for body"),
        ({"body": "form", "wrap": "x"}, "wrap is for body"),
        ({"body": "query", "compress": "gzip"}, "compress is for body"),
        ({"body": "json", "template": "x"}, "template is for body"),
        ({"body": "form", "files": {"a": {"filename": "x"}}}, "files is for body"),
        ({"body": "text"}, "needs a template"),
        ({"body": "text", "template": "${env:KEY}"}, "a secret would stand"),
        ({"body": "form", "charset": "utf-16"}, "a form cannot be written"),
        ({"body": "xml", "charset": "klingon"}, "not a character set"),
        ({"body": "xml", "charset": "idna"}, "not a character set"),
        ({"body": "xml", "charset": "base64"}, "not a character set"),
        ({"body": "xml", "xml_namespaces": {"xmlns": "b"}}, "not a prefix"),
        ({"body": "xml", "xml_namespaces": {"a:b": "b"}}, "not a prefix"),
        ({"body": "text", "template": "x", "content_type": "text/x\r\nX: 1"}, "not a media type"),
    ],
)
def test_settings_of_bodies_that_make_no_sense_are_refused(settings: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        HttpSettings.model_validate({"url": "https://x.example", "method": "POST", **settings})
