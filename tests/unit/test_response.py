"""Statuses, bodies and response rules as outcomes."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.schema import ResponseConfig, SearchConfig
from app.connectors._response import ResponseRules
from app.errors import InvalidTemplate
from app.model import Fault, Outcome, Result

JSON = "application/json"
BILLION_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {name} "{f"&{inner};" * 10}">' for inner, name in pairwise("abcdefghij"))
    + "]><r>&j;</r>"
)


def interpret(body: str | bytes = b"", content_type: str = JSON, *, status: int = 200, **rules: Any) -> Outcome:
    config = ResponseConfig.model_validate(rules) if rules else None
    data = body.encode() if isinstance(body, str) else body
    return ResponseRules(config).interpret(status, {"content-type": content_type}, data)


@pytest.mark.parametrize(
    ("status", "result", "fault"),
    [
        (200, Result.SUCCESS, None),
        (204, Result.SUCCESS, None),
        (301, Result.ERROR, Fault.CONFIGURATION),
        (304, Result.ERROR, Fault.CONFIGURATION),
        (400, Result.FAILURE, None),
        (401, Result.ERROR, Fault.CONFIGURATION),
        (403, Result.ERROR, Fault.CONFIGURATION),
        (404, Result.FAILURE, None),
        (408, Result.ERROR, Fault.TRANSIENT),
        (409, Result.FAILURE, None),
        (422, Result.FAILURE, None),
        (425, Result.ERROR, Fault.TRANSIENT),
        (429, Result.ERROR, Fault.TRANSIENT),
        (500, Result.ERROR, Fault.TRANSIENT),
        (503, Result.ERROR, Fault.TRANSIENT),
        (999, Result.ERROR, Fault.TRANSIENT),
    ],
)
def test_status_decides_before_any_rule(status: int, result: Result, fault: Fault | None) -> None:
    outcome = ResponseRules(None).interpret(status, {}, b"")
    assert (outcome.result, outcome.fault) == (result, fault)
    assert outcome.reason or status < 300


def test_error_statuses_are_not_searched() -> None:
    outcome = interpret('{"ok": true}', status=500, search={"path": "ok", "term": "true"})
    assert (outcome.result, outcome.captured) == (Result.ERROR, None)


@pytest.mark.parametrize(
    ("on_match", "status", "found", "result"),
    [
        ("success", 200, True, Result.SUCCESS),
        ("success", 200, False, Result.FAILURE),
        ("failure", 200, True, Result.FAILURE),
        ("failure", 200, False, Result.SUCCESS),
        ("error", 200, True, Result.ERROR),
        ("error", 200, False, Result.SUCCESS),
        ("success", 409, True, Result.SUCCESS),
        ("success", 409, False, Result.FAILURE),
        ("failure", 409, True, Result.FAILURE),
        ("failure", 409, False, Result.FAILURE),
        ("error", 409, True, Result.ERROR),
        ("error", 409, False, Result.FAILURE),
    ],
)
def test_match_and_its_inverse(on_match: str, status: int, found: bool, result: Result) -> None:  # noqa: FBT001  # a test's parameter
    body = '{"said": "the Magic word"}' if found else '{"said": "nothing"}'
    search = {"path": "said", "term": "magic", "on_match": on_match}
    outcome = interpret(body, status=status, search=search)
    assert outcome.result is result
    assert outcome.fault is (Fault.TRANSIENT if result is Result.ERROR else None)


@pytest.mark.parametrize(
    ("path", "term", "matches"),
    [
        ("leads.0.status", "accepted", True),
        ("leads.1.status", "accepted", False),
        ("leads.*.status", "refused", True),
        ("leads.2.status", "accepted", False),
        ("leads.status", "accepted", False),
        ("count", "2", True),
        ("ok", "true", True),
        ("nothing", "null", False),
        ("missing.*", "a", False),
        ("leads.0", '"status":"accepted"', True),
        (None, "REFUSED", True),
        (None, "/REFUSED/", False),
        (None, "/re.used/i", True),
        ("leads.0.status", "/^accepted$/", True),
        ("leads.0.status", "/^accept$/", False),
        ("0.1", "dotted", False),
    ],
)
def test_json_paths_and_terms(path: str | None, term: str, matches: bool) -> None:  # noqa: FBT001  # a test's parameter
    body = '{"leads":[{"status":"accepted"},{"status":"refused"}],"count":2,"ok":true,"nothing":null}'
    outcome = interpret(body, search={"path": path, "term": term})
    assert (outcome.result is Result.SUCCESS) is matches


XML = '<?xml version="1.0"?><r xmlns:s="urn:s"><s:code ok="1">ACCEPTED</s:code><why>b</why><why> a </why><why/></r>'


@pytest.mark.parametrize("content_type", ["text/xml", "application/xml; charset=utf-8", "application/soap+xml"])
@pytest.mark.parametrize(
    ("path", "term", "matches"),
    [
        ("//s:code", "accepted", True),
        ("/r/why[2]", "a", True),
        ("//s:code/@ok", "1", True),
        ("count(//why)", "3", True),
        ("//other:code", "accepted", False),
        ("//missing", "accepted", False),
    ],
)
def test_xpath_in_xml(content_type: str, path: str, term: str, matches: bool) -> None:  # noqa: FBT001  # a test's parameter
    outcome = interpret(XML, content_type, search={"path": path, "term": term}, reason="//why")
    assert (outcome.result is Result.SUCCESS) is matches
    assert outcome.reason == "a, b"


def test_no_path_reaches_into_a_document_with_a_doctype() -> None:
    search = {"path": "//a", "term": "yes"}
    assert interpret("<r><a>yes</a></r>", "text/xml", search=search).result is Result.SUCCESS
    unread = interpret("<!DOCTYPE r><r><a>yes</a></r>", "text/xml", search=search)
    assert unread.reason == "the answer is unreadable text/xml, no XML or HTML that search.path could be applied to"


def test_css_in_html_that_came_with_200() -> None:
    page = "<!doctype html><html><body><p class='error'>Sorry, <b>duplicate</b></p></body></html>"
    search = {"path": "p.error", "term": "sorry", "on_match": "failure"}
    outcome = interpret(page, "text/html; charset=utf-8", search=search, reason="p.error b")
    assert (outcome.result, outcome.reason) == (Result.FAILURE, "duplicate")


@pytest.mark.parametrize("on_match", ["success", "failure", "error"])
@pytest.mark.parametrize(
    ("body", "content_type", "rules", "reason"),
    [
        ('{"outcome": "succ', JSON, {"path": "outcome"}, "unreadable application/json, no JSON or XML"),
        ("<h1>Sorry</h1>", "text/html; charset=utf-8", {"path": "outcome"}, "text/html, no JSON or XML"),
        ("<h1>Sorry</h1>", "text/html", {"path": "data.status"}, "text/html, no JSON or XML"),
        ("<h1>Sorry</h1>", "text/html", {"path": "h1", "format": "json"}, "text/html, no JSON"),
        ("success", "text/plain", {"path": "h1"}, "text/plain, no JSON or XML or HTML"),
        ('{"outcome": "success"}', "", {"path": "outcome"}, "of no known type, no JSON or XML"),
        ("x", "ann@example.com secret", {"path": "outcome"}, "of no known type, no JSON or XML"),
        ("<r><outcome>", "text/xml", {"path": "//outcome"}, "unreadable text/xml, no XML or HTML"),
        ("<html>Sorry", "text/html", {"path": "//outcome", "format": "xml"}, "text/html, no XML"),
        ("[1]", JSON, {"path": "//outcome"}, "application/json, no XML or HTML"),
    ],
)
def test_2xx_that_is_no_document_for_the_path_may_have_arrived(
    body: str, content_type: str, rules: dict[str, str], reason: str, on_match: str
) -> None:
    search = {"path": rules["path"], "term": "success", "on_match": on_match}
    kept = {"search": search, "format": rules.get("format", "auto")}
    outcome = interpret(body, content_type, **kept)
    assert (outcome.result, outcome.fault, outcome.ambiguous) == (Result.ERROR, Fault.TRANSIENT, True)
    assert outcome.reason == f"the answer is {reason} that search.path could be applied to"
    assert interpret(body, content_type, status=422, **kept).result is Result.FAILURE


@pytest.mark.parametrize(
    ("body", "content_type", "path"),
    [
        ("", JSON, "outcome"),
        (" \r\n", "text/html", "outcome"),
        ("null", JSON, "outcome"),
        ("{}", JSON, "outcome"),
        ("<r/>", "text/xml", "outcome"),
        ("<h1>Sorry</h1>", "text/html", "p.error"),
        ("<h1>Sorry</h1>", "text/html", "#error"),
        ("<h1>Sorry</h1>", "text/html", "//outcome"),
        ("<outcome>no</outcome>", "text/html", "outcome"),
    ],
)
def test_path_that_finds_nothing_in_what_it_is_a_path_into_does_not_match(
    body: str, content_type: str, path: str
) -> None:
    outcome = interpret(body, content_type, search={"path": path, "term": "success"})
    assert (outcome.result, outcome.fault) == (Result.FAILURE, None)
    outcome = interpret(body, content_type, search={"path": path, "term": "duplicate", "on_match": "failure"})
    assert outcome.result is Result.SUCCESS


def test_path_into_pages_of_ones_own_elements_needs_the_format() -> None:
    search = {"path": "x-error", "term": "duplicate", "on_match": "failure"}
    assert interpret("<p>Hello", "text/html", search=search).ambiguous
    assert interpret("<p>Hello", "text/html", search=search, format="html").result is Result.SUCCESS


@pytest.mark.parametrize("content_type", [JSON, "text/json; charset=UTF-8", "application/problem+json"])
def test_json_types_are_json(content_type: str) -> None:
    assert interpret('{"id": 7}', content_type, reference="id").reference == "7"


def test_format_overrides_the_content_type() -> None:
    assert interpret('{"id": 7}', "text/html", reference="id", format="json").reference == "7"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"broken', JSON),
        (b"[" * 100_000, JSON),
        (b"[" * 500 + b"]" * 500, JSON),
        (b"<r>", "text/xml"),
        (b"", "text/xml"),
        (b'<!DOCTYPE r [<!ENTITY a "x">]><r>&a;</r>', "text/xml"),
        (b'<!DOCTYPE r SYSTEM "file:///etc/passwd"><r/>', "text/xml"),
        (b"<r>" * 1000 + b"</r>" * 1000, "text/xml"),
        (b"\xff\xfe", "text/plain; charset=idna"),
        (b"", "text/html"),
        (b"", ""),
        (b"\x00\xff", 'text/plain; charset="'),
    ],
)
def test_body_that_does_not_parse_is_text(body: bytes, content_type: str) -> None:
    outcome = interpret(body, content_type, search={"term": "never there", "on_match": "failure"})
    assert outcome.result is Result.SUCCESS
    document = (outcome.captured or {}).get("document")
    assert document is None or isinstance(document, str)


@given(st.binary(max_size=200), st.sampled_from([JSON, "text/xml", "text/html", "text/plain; charset=utf-16", "x"]))
def test_no_body_is_too_strange(body: bytes, content_type: str) -> None:
    outcome = interpret(body, content_type, reason="a.b", search={"path": "a", "term": "x"})
    assert outcome.result in {Result.SUCCESS, Result.FAILURE} or outcome.ambiguous
    assert "\0" not in str(outcome.captured)


@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "latin-1"])
@pytest.mark.parametrize("format", ["auto", "html"])
def test_entities_are_never_expanded(charset: str, format: str) -> None:  # noqa: A002  # the word of the configuration
    with_file = '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]><r>&x;</r>'
    for body in (BILLION_LAUGHS, with_file):
        begun = monotonic()
        kept = interpret(body.encode(charset), f"text/xml; charset={charset}", format=format).captured or {}
        assert monotonic() - begun < 5
        assert len(str(kept)) < 4000
        assert Path("/etc/hostname").read_text(encoding="utf-8").strip() not in str(kept).replace("/etc/hostname", "")


FRAGMENTS = st.sampled_from(
    [
        '{"a":',
        "[",
        "]",
        "}",
        '"b"',
        "<a>",
        "</a>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "&#0;",
        "&lt;",
        "<a:b",
        ' c="d"',
        ">",
        "\ud7ff",
        "\\u0000",
        "\\ud800",
        "1e999",
        "-0",
        "null",
        "<!DOCTYPE x>",
        "<?xml version='1.0' encoding='utf-7'?>",
        "\ufeff",
    ]
)
ALL_RULES = {
    "reason": "a.*",
    "price": {"regex": r"(\d+)"},
    "reference": "//a",
    "capture": {"all": "*", "first": "a > b"},
}


@given(
    st.lists(FRAGMENTS, max_size=30).map("".join),
    st.sampled_from(["utf-8", "utf-16", "latin-1"]),
    st.sampled_from([JSON, "text/xml", "text/html", "text/plain; charset=utf-7", "application/xml; charset=utf-16"]),
)
def test_no_document_is_too_strange(body: str, charset: str, content_type: str) -> None:
    outcome = interpret(body.encode(charset, "replace"), content_type, **ALL_RULES)
    assert outcome.result is Result.SUCCESS
    msgspec.json.encode(outcome.captured)
    assert "\0" not in str(outcome.captured)


def test_charset_of_the_content_type_is_used() -> None:
    outcome = interpret("José".encode("latin-1"), "text/plain; charset=ISO-8859-1", search={"term": "josé"})
    assert outcome.result is Result.SUCCESS


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("120", 120.0), ("0", 0.0), ("soon", None), ("-5", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("", None)],
)
def test_retry_after_is_read(value: str, seconds: float | None) -> None:
    assert ResponseRules(None).interpret(503, {"retry-after": value}, b"").retry_after == seconds


def test_retry_after_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    found = ResponseRules(None).interpret(429, {"retry-after": date}, b"").retry_after
    assert found is not None
    assert 85 < found <= 90


def test_redirect_names_the_host_and_nothing_else() -> None:
    outcome = ResponseRules(None).interpret(302, {"location": "https://u:p@new.example/a?email=ann@x.co"}, b"")
    assert outcome.reason == "HTTP 302: redirected to new.example; correct the address"


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ({"search": {"path": "a..b", "term": "x"}, "format": "json"}, "search.path"),
        ({"search": {"path": "//a[", "term": "x"}}, "search.path"),
        ({"search": {"path": "a >", "term": "x"}, "format": "html"}, "search.path"),
        ({"search": {"path": "a", "term": "x"}, "format": "text"}, "search.path"),
        ({"search": {"term": "/(/"}}, "search.term"),
        ({"search": {"term": "/a/q"}}, "search.term"),
        ({"reason": {"regex": "["}}, "reason.regex"),
        ({"price": "//["}, "price"),
        ({"reference": {"path": "//["}}, "reference"),
        ({"capture": {"code": {"regex": "(?"}}}, "capture.code"),
    ],
)
def test_rule_that_cannot_be_compiled_is_named(rules: Mapping[str, Any], named: str) -> None:
    with pytest.raises(InvalidTemplate, match=named):
        ResponseRules(ResponseConfig.model_validate(rules))


def test_of_an_answer_too_long_to_read_only_what_was_found_counts() -> None:
    rules = ResponseRules(ResponseConfig(search=SearchConfig(term="accepted")))
    lost = rules.interpret(200, {}, b"x" * 100, truncated=True)
    assert (lost.fault, lost.ambiguous) == (Fault.TRANSIENT, True)
    assert rules.interpret(200, {}, b"accepted" + b"x" * 100, truncated=True).result is Result.SUCCESS
    assert rules.interpret(400, {}, b"x" * 100, truncated=True).result is Result.FAILURE


PROMISED = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string", "maxLength": 5}}}
XSD = (
    '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="r"><xs:complexType><xs:sequence>'
    '<xs:element name="price" type="xs:decimal"/></xs:sequence></xs:complexType></xs:element></xs:schema>'
)


@pytest.mark.parametrize(
    ("body", "content_type", "where"),
    [
        ("{}", JSON, "the whole breaks 'required'"),
        ('{"id": "hush-hush"}', JSON, "id breaks 'maxLength'"),
        ('{"id": "a', JSON, "it is no JSON"),
        ("<html><h1>Sorry", "text/html", "it is no JSON"),
        ("", JSON, "it is no JSON"),
    ],
)
def test_answer_that_breaks_its_json_schema_is_a_transient_error_that_may_have_arrived(
    body: str, content_type: str, where: str
) -> None:
    outcome = interpret(body, content_type, schema={"json": PROMISED})
    assert (outcome.result, outcome.fault, outcome.ambiguous) == (Result.ERROR, Fault.TRANSIENT, True)
    assert outcome.reason == f"the answer does not fit its schema: {where}"


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        ("<r><price>1.5</price></r>", True),
        ("<r><price>hush</price></r>", False),
        ("<r/>", False),
        ("<!DOCTYPE r><r><price>1.5</price></r>", False),
        ("<r><price>1.5</pri", False),
    ],
)
def test_answer_is_held_against_its_xml_schema(body: str, fits: bool) -> None:  # noqa: FBT001  # a test's parameter
    outcome = interpret(body, "text/xml", schema={"xsd": XSD})
    assert (outcome.result is Result.SUCCESS) is fits
    assert "hush" not in (outcome.reason or "")


def test_answer_that_fits_goes_on_to_the_rules_and_a_4xx_is_not_held_against_the_schema() -> None:
    rules: Mapping[str, Any] = {"schema": {"json": PROMISED}, "reference": "id", "reason": "why"}
    assert interpret('{"id": "r-1"}', **rules).reference == "r-1"
    refused = interpret('{"why": "duplicate"}', status=422, **rules)
    assert (refused.result, refused.reason) == (Result.FAILURE, "duplicate")


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ({"json": {"type": "wat"}}, "schema.json: not a JSON Schema"),
        ({"json": {"pattern": "("}}, "schema.json: not a JSON Schema"),
        ({"json": {"$ref": "http://127.0.0.1:9/x.json"}}, "schema.json: .*Retrieval is disabled"),
        ({"json": {"$ref": "file:///etc/hostname"}}, "schema.json: .*Retrieval is disabled"),
        ({"json": {"$ref": "#/$defs/none"}}, "schema.json: .*does not exist"),
        ({"json": "acme.json"}, "schema.json: a file's name"),
        ({"xsd": "<a/>"}, "schema.xsd: not an XML schema"),
        ({"xsd": "<a"}, "schema.xsd: not XML"),
        ({"xsd": f'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>{XSD}'}, "schema.xsd: a DOCTYPE"),
        ({"xsd": BILLION_LAUGHS}, "schema.xsd: "),
        (
            {"xsd": XSD.replace("<xs:element", '<xs:include schemaLocation="file:///etc/hostname"/><xs:element', 1)},
            "schema.xsd: other schemas are not fetched",
        ),
        (
            {"xsd": XSD.replace("<xs:element", '<xs:import schemaLocation="http://127.0.0.1:9/"/><xs:element', 1)},
            "schema.xsd: other schemas are not fetched",
        ),
    ],
)
def test_schema_that_cannot_be_used_is_refused_with_its_place(schema: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidTemplate, match=complaint):
        ResponseRules(ResponseConfig.model_validate({"schema": schema}))


def test_xpath_reads_html_where_a_path_is_no_selector() -> None:
    page = "<table><tr><td>Id</td><td> 77 </td></tr></table>"
    assert interpret(page, "text/html", reference="//td[2]").reference == "77"
    assert interpret(page, "text/html", reference="//td[2]/text()", format="html").reference == "77"
    assert interpret(page, "text/html", reference="td + td").reference == "77"


@pytest.mark.parametrize(
    "rules",
    [
        {"search": {"term": "/x*y?(a|aa)+$/"}},
        {"reason": {"regex": "x*y?(a|aa)+$"}},
        {"capture": {"c": {"regex": "(x*y?(?:a|aa)+)$"}}},
    ],
)
def test_regular_expression_that_runs_for_ever_ends_with_a_clear_error(rules: Mapping[str, Any]) -> None:
    begun = monotonic()
    outcome = interpret("a" * 100_000 + "!", "text/plain", **rules)
    assert monotonic() - begun < 5
    assert (outcome.fault, outcome.ambiguous) == (Fault.TRANSIENT, True)
    assert "takes too long" in (outcome.reason or "")
    assert interpret("a" * 100_000 + "!", "text/plain", status=400, **rules).ambiguous is False


def test_prefixes_of_a_path_are_those_of_the_document_and_others_find_nothing() -> None:
    body = '<r xmlns:p="urn:x"><p:id>7</p:id><id>8</id></r>'
    assert interpret(body, "text/xml", reference="//p:id").reference == "7"
    assert interpret(body, "text/xml", reference="//q:id").reference is None
    assert interpret(body, "text/xml", reference="//child::id").reference == "8"
    assert interpret("<r><id>8</id></r>", "text/xml", reference="//p:id").reference is None
