"""An API key as a property of the body: where it goes in each format, where it is shown, and what is refused."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog import compile_document
from app.config.schema import Document
from app.connectors._http.addition import Addition, clash
from app.connectors._http.body import encoder
from app.connectors._http.connector import HttpConnector
from app.connectors._http.settings import HttpSettings
from app.errors import ConfigurationFault, DataFault, InvalidConfig, InvalidTemplate
from app.mapping import compile_mapping
from app.model import Item, Outcome
from tests.connectors import fault_server
from tests.connectors.contract import LIMITS
from tests.connectors.fault_server import LOCAL, FaultServer, answer

SECRET = "k3y-7f"
LEAD = {"email": "ann.lee@example.com"}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server.running(answer()) as running:
        yield running


def made(url: str, name: str, **settings: Any) -> HttpConnector:
    auth = {"api_key": {"in": "body", "name": name, "value": SECRET}}
    found = HttpSettings.model_validate({"url": url, "auth": auth, **settings})
    return HttpConnector("buyer", found, limits=LIMITS, network=LOCAL)


def item(payload: Mapping[str, Any] = LEAD) -> Item:
    return Item(payload=payload, key="0199c8e2-0000-7000-8000-000000000001", attempt=1, deadline=monotonic() + 5)


def deliver(sender: HttpConnector, payload: Mapping[str, Any] = LEAD) -> Outcome:
    try:
        return sender.deliver(item(payload))
    finally:
        sender.close()


@pytest.mark.parametrize(
    ("settings", "name", "expected"),
    [
        ({"body": "json"}, "login.partner", b'{"email":"ann.lee@example.com","login":{"partner":"k3y-7f"}}'),
        ({"body": "json", "json_array": True}, "id", b'[{"email":"ann.lee@example.com","id":"k3y-7f"}]'),
        (
            {"body": "json", "wrap": "lead"},
            "id",
            b"id=k3y-7f&lead=%7B%22email%22%3A%22ann.lee%40example.com%22%7D",
        ),
        ({"body": "text", "template": "x&y", "wrap": "lead"}, "login.id", b"login.id=k3y-7f&lead=x%26y"),
        ({"body": "form"}, "login.partner", b"email=ann.lee%40example.com&login.partner=k3y-7f"),
        ({"body": "xml", "xml_declaration": False}, "@id", b'<lead id="k3y-7f"><email>ann.lee@example.com</email></lead>'),
        (
            {"body": "xml", "xml_declaration": False, "ascii": True},
            "a.b",
            b"<lead><email>ann.lee@example.com</email><a><b>k3y-7f</b></a></lead>",
        ),
    ],
)  # fmt: skip
def test_the_key_is_a_property_of_the_body_and_shown_nowhere(
    server: FaultServer, settings: dict[str, Any], name: str, expected: bytes
) -> None:
    sender = made(server.url, name, **settings)
    revealed, preview = sender.request(item(), reveal=True), sender.request(item(), reveal=False)
    outcome = deliver(sender)
    assert server.received[0].body == expected
    assert revealed["body"] == expected.decode()
    assert outcome.transcript is not None
    for shown in (preview, outcome.transcript["request"]):
        assert SECRET not in str(shown)
        assert shown["body"].replace("%2A", "*") == expected.decode().replace(SECRET, "***")


def test_form_fields_stand_beside_a_wrapped_body(server: FaultServer) -> None:
    form = {"api_password": "hush-1", "v": "2", "state": "{{ lead.state }}", "none": "{{ lead.no }}", "empty": ""}
    sender = made(
        server.url, "key", body="xml", wrap="lead_xml", form=form, xml_declaration=False, charset="iso-8859-1"
    )
    rendered = {"{{ lead.state }}": "Zoë & co", "{{ lead.no }}": ""}
    one = replace(item({"a": "ë"}), rendered=rendered)
    preview, outcome = sender.request(one, reveal=False), sender.deliver(one)
    with pytest.raises(DataFault, match="form field state cannot be written in ISO-8859-1"):
        sender.deliver(replace(one, rendered={**rendered, "{{ lead.state }}": "5 €"}))
    sender.close()
    sent = server.received[0]
    assert sent.headers["content-type"] == "application/x-www-form-urlencoded; charset=ISO-8859-1"
    assert parse_qsl(sent.body.decode(), keep_blank_values=True, encoding="iso-8859-1") == [
        ("key", SECRET),
        ("api_password", "hush-1"),
        ("v", "2"),
        ("state", "Zoë & co"),
        ("empty", ""),
        ("lead_xml", "<lead><a>ë</a></lead>"),
    ]
    assert outcome.transcript is not None
    for shown in (preview["body"], outcome.transcript["request"]["body"]):
        assert SECRET not in shown
        assert "hush-1" not in shown


def test_form_fields_do_not_follow_a_redirect_to_another_host(server: FaultServer) -> None:
    with fault_server.running(answer()) as other:
        server.behaviour = answer(307, location=f"{other.url}/elsewhere")
        settings = {"url": server.url, "wrap": "x", "form": {"v": "2"}, "redirects": 1}
        sender = HttpConnector("buyer", HttpSettings.model_validate(settings), limits=LIMITS, network=LOCAL)
        with pytest.raises(ConfigurationFault, match="another host"):
            deliver(sender)
        assert not other.received


def test_the_key_is_a_part_of_a_multipart_body(server: FaultServer) -> None:
    outcome = deliver(made(server.url, "login.partner", body="multipart"))
    assert b'name="login.partner"\r\n\r\nk3y-7f\r\n' in server.received[0].body
    assert SECRET not in str(outcome.transcript)


def test_the_key_is_a_parameter_of_properties_in_the_query(server: FaultServer) -> None:
    sender = made(f"{server.url}/leads?v=2", "partner", body="query", method="GET")
    preview, outcome = sender.request(item(), reveal=False), deliver(sender)
    assert parse_qs(server.received[0].target.partition("?")[2]) == {
        "v": ["2"],
        "email": ["ann.lee@example.com"],
        "partner": [SECRET],
    }
    assert outcome.transcript is not None
    assert SECRET not in f"{preview} {outcome.transcript}"
    assert "partner=%2A%2A%2A" in outcome.transcript["request"]["url"]


def test_properties_under_secret_names_are_masked_beside_the_key(server: FaultServer) -> None:
    outcome = deliver(made(server.url, "id"), {"login": {"password": "hush-1"}})
    assert msgspec.json.decode(server.received[0].body) == {"login": {"password": "hush-1"}, "id": SECRET}
    assert outcome.transcript is not None
    assert msgspec.json.decode(outcome.transcript["request"]["body"]) == {"login": {"password": "***"}, "id": "***"}


def test_a_body_with_the_key_does_not_follow_a_redirect_to_another_host(server: FaultServer) -> None:
    with fault_server.running(answer()) as other:
        server.behaviour = answer(307, location=f"{other.url}/elsewhere")
        with pytest.raises(ConfigurationFault, match="another host"):
            deliver(made(server.url, "id", redirects=1))
        assert not other.received


def complaints(settings: Mapping[str, Any], mapping: Mapping[str, Any], kind: str = "http") -> list[tuple[str, str]]:
    config = {"name": "buyer", "type": kind, "settings": {"url": "https://x.example", **settings}, "mapping": mapping}
    with pytest.raises(InvalidConfig) as caught:
        compile_document(Document.model_validate({"destinations": [config]}), 1)
    return [(one.field.removeprefix("destination buyer: "), one.detail) for one in caught.value.complaints]


def auth(name: str, value: str = "${env:KEY}") -> dict[str, Any]:
    return {"api_key": {"in": "body", "name": name, "value": value}}


@pytest.mark.parametrize(
    ("settings", "mapping", "field", "said"),
    [
        ({"auth": auth("id"), "body": "none"}, {}, "settings.auth.api_key.in", "has no properties"),
        ({"auth": auth("id"), "body": "text", "template": "x"}, {}, "settings.auth.api_key.in", "has no properties"),
        ({"auth": auth("a..b")}, {}, "settings.auth.api_key.name", "segment between dots is empty"),
        ({"auth": auth("a\n")}, {}, "settings.auth.api_key.name", "not printable"),
        ({"auth": {"api_key": {"name": "a b", "value": "${env:KEY}"}}}, {}, "settings.auth.api_key.name", "header name"),
        ({"auth": auth("x"), "wrap": "x"}, {}, "settings.auth.api_key.name", "another form field"),
        ({"auth": auth("y"), "wrap": "x", "form": {"y": "1"}}, {}, "settings.auth.api_key.name", "another form field"),
        ({"wrap": "x", "form": {"x": "1"}}, {}, "settings.form.x", "rename one of the two"),
        ({"form": {"x": "1"}}, {}, "settings.form", "set wrap"),
        ({"form": {"x": "{{ lead.a }}"}, "wrap": "y", "batch": {"size": 2}}, {}, "settings.form.x", "several leads"),
        ({"auth": auth("id")}, {"id": "x"}, "mapping.id", "leave it out of the mapping"),
        ({"auth": auth("a.id")}, {"a": "{{ lead.a }}"}, "mapping.a", "leave it out of the mapping"),
        ({"auth": auth("a")}, {"a.id": "x"}, "mapping.a.id", "leave it out of the mapping"),
        ({"auth": auth("a.id")}, {"a.0.id": "x"}, "mapping.a.0.id", "do not mix"),
    ],
)  # fmt: skip
def test_what_leaves_no_place_for_the_key_is_refused_by_name(
    settings: dict[str, Any], mapping: dict[str, Any], field: str, said: str
) -> None:
    [(where, detail)] = complaints(settings, mapping)
    assert (where, said in detail) == (field, True), detail


def test_graphql_takes_no_key_in_its_body() -> None:
    settings = {"document": "mutation($email: String) { a(email: $email) }", "auth": auth("key")}
    [(where, detail)] = complaints(settings, {"email": "{{ lead.email }}"}, "graphql")
    assert (where, "header or the query" in detail) == ("settings.auth.api_key.in", True)


@pytest.mark.parametrize(
    ("settings", "field", "said"),
    [
        ({"auth": {"bearer": {"token": "${env:KEY}"}}, "idempotency_header": "authorization"}, "idempotency_header", "auth sets"),
        ({"idempotency_header": "Content-Type"}, "idempotency_header", "tells what the body is"),
        ({"idempotency_header": "X-Leadrelay-Test"}, "idempotency_header", "marks test leads"),
        ({"idempotency_header": "X-A", "headers": {"x-a": "b"}}, "idempotency_header", "headers sets x-a"),
        ({"headers": {"idempotency-key": "{{ lead.id }}"}}, "idempotency_header", "headers sets idempotency-key"),
        ({"body": "multipart", "headers": {"content-type": "multipart/form-data"}}, "headers.content-type", "remove the header"),
        ({"headers": {"X-a": "1", "x-A": "2"}}, "headers.x-A", "stands there twice"),
        ({"headers": {"x-leadrelay-test": "true"}}, "headers.x-leadrelay-test", "marks test leads"),
        ({"headers": {"content-encoding": "gzip"}, "compress": "gzip"}, "headers.content-encoding", "compress sets"),
        ({"headers": {"cookie": "a=b"}, "cookies": True}, "headers.cookie", "cookies sets"),
        ({"auth": {"api_key": {"name": "Content-Type", "value": "${env:KEY}"}}}, "auth", "name another"),
        (
            {"auth": {"jwt": {"algorithm": "HS256", "secret": "${env:KEY}", "header": "X-T"}}, "headers": {"x-t": "1"}},
            "headers.x-t",
            "auth sets this header, too: remove it",
        ),
    ],
)  # fmt: skip
def test_headers_that_would_clash_are_refused_by_name(settings: dict[str, Any], field: str, said: str) -> None:
    [(where, detail)] = complaints(settings, {})
    assert (where, said in detail) == (f"settings.{field}", True), detail


NAMES = st.lists(st.sampled_from(["a", "b", "0", "1"]), min_size=1, max_size=3).map(".".join)


@given(added=NAMES, mapped=st.lists(NAMES, max_size=4, unique=True))
def test_the_key_stands_where_a_mapping_would_have_put_it(added: str, mapped: list[str]) -> None:
    """Wherever no complaint is made, the addition is one more property of the mapping."""
    try:
        alone = compile_mapping({name: name for name in mapped}).render({})
    except InvalidTemplate:
        return
    wrong = [clash(added, name) for name in mapped if clash(added, name)]
    try:
        together = compile_mapping({**{name: name for name in mapped}, added: SECRET}).render({})
    except InvalidTemplate:
        assert wrong
        return
    if added in mapped:
        assert wrong
        return
    assert not wrong
    before = str(alone)
    found = Addition(added, SECRET).to(alone)
    assert str(alone) == before, "what is given stays as it is"
    if not any(segment.isdigit() for segment in added.split(".")[1:]):  # places shift where something is left out
        assert found == together
    assert str(found).count(SECRET) == 1


def test_without_a_key_the_body_is_what_it_was() -> None:
    settings = HttpSettings.model_validate({"url": "https://x.example"})
    assert encoder(settings)(LEAD, {}) == b'{"email":"ann.lee@example.com"}'
