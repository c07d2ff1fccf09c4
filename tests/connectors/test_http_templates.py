"""Addresses, query parameters and headers that the lead fills in: where values go, and what they cannot do there."""

import re
from collections.abc import Iterator, Mapping
from gzip import decompress
from time import monotonic
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.catalog import Compiled, compile_document, create_connector
from app.config.schema import Document
from app.connectors._http.connector import HttpConnector
from app.connectors._http.head import Target
from app.connectors._http.settings import HttpSettings
from app.errors import ConfigurationFault, DataFault, InvalidConfig
from app.model import Item, Outcome
from tests.connectors import fault_server
from tests.connectors.fault_server import LOCAL, FaultServer, answer

LEAD = {"id": "L 1/2", "email": "Ann.Lee@Example.com", "state": "TX", "note": "a&b=c #d"}
KEY = "0199c8e2-0000-7000-8000-000000000001"
SHARED = "a secret of thirty-two bytes or more"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server.running(answer()) as running:
        yield running


def compiled(connection: Mapping[str, Any], **destination: Any) -> Compiled:
    config = {"name": "buyer", "type": "http", "settings": connection, "network": LOCAL.model_dump(), **destination}
    return compile_document(Document.model_validate({"destinations": [config]}), 1)


def deliver(
    connection: Mapping[str, Any], lead: Mapping[str, Any] = LEAD, environ: Mapping[str, str] | None = None, **more: Any
) -> Outcome:
    """Compile as `config apply` does, render and send as a worker does."""
    step = compiled(connection, **more).steps["buyer"]
    seen = {"lead": lead, "source": {"name": "web"}, "delivery": {}, "steps": {}}
    connector = create_connector(step, environ or {})
    rendered = step.templates.render(seen) if step.templates else None
    item = Item(payload=step.mapping.render(seen), key=KEY, attempt=1, deadline=monotonic() + 5, rendered=rendered)
    try:
        return connector.deliver(item)
    finally:
        connector.close()


def complaints(connection: Mapping[str, Any]) -> list[str]:
    with pytest.raises(InvalidConfig) as caught:
        compiled(connection)
    return [str(complaint) for complaint in caught.value.complaints]


def test_address_query_and_headers_take_values_of_the_lead(server: FaultServer) -> None:
    outcome = deliver(
        {
            "url": f"{server.url}/leads/{{{{ lead.id }}}}/x?from={{{{ source.name }}}}",
            "method": "PUT",
            "query": {
                "mail": "{{ lead.email | downcase }}",
                "note": "{{ lead.note }}",
                "kind": "home",
                "gone": "{{ lead.no }}",
            },
            "headers": {"X-State": "US-{{ lead.state | downcase }}", "X-Gone": "{{ lead.no }}", "X-Fixed": "1"},
        },
        mapping={"a": 1},
    )
    request = server.received[0]
    assert request.target == "/leads/L%201%2F2/x?from=web&mail=ann.lee%40example.com&note=a%26b%3Dc%20%23d&kind=home"
    assert (request.headers["x-state"], request.headers["x-fixed"], request.body) == ("US-tx", "1", b'{"a":1}')
    assert "x-gone" not in request.headers
    assert outcome.transcript is not None
    assert outcome.transcript["request"]["url"] == server.url + request.target
    assert outcome.transcript["request"]["headers"]["X-State"] == "US-tx"


def test_fixed_query_stands_beside_the_body_and_the_query_body(server: FaultServer) -> None:
    deliver(
        {"url": f"{server.url}/in", "method": "GET", "body": "query", "query": {"v": "2"}},
        mapping={"a": "{{ lead.state }}"},
    )
    assert server.received[0].target == "/in?v=2&a=TX"


def test_tags_choose_within_a_header(server: FaultServer) -> None:
    header = "{% if lead.state == 'TX' %}south{% else %}{{ lead.state }}{% endif %}"
    deliver({"url": server.url, "headers": {"X-Region": header}})
    assert server.received[0].headers["x-region"] == "south"


def test_text_body_and_file_names_take_values_of_the_lead(server: FaultServer) -> None:
    template = "{% for c in lead.note %}{% endfor %}<m>{{ lead.note | escape }}</m>"
    deliver({"url": server.url, "body": "text", "template": template, "content_type": "text/xml", "compress": "gzip"})
    files = {"cv": {"filename": "{{ lead.state }}.txt", "encoding": "text"}}
    deliver({"url": server.url, "body": "multipart", "files": files}, mapping={"cv": "{{ lead.note }}"})
    text, form = server.received
    assert (text.headers["content-type"], text.headers["content-encoding"]) == ("text/xml; charset=utf-8", "gzip")
    assert decompress(text.body) == b"<m>a&amp;b=c #d</m>"
    assert form.headers["content-type"].startswith("multipart/form-data; boundary=leadrelay-")
    assert b'filename="TX.txt"' in form.body


def test_transcript_of_a_compressed_body_is_readable(server: FaultServer) -> None:
    outcome = deliver({"url": server.url, "compress": "gzip"}, mapping={"a": "b", "password": "hush"})
    assert decompress(server.received[0].body) == b'{"a":"b","password":"hush"}'
    assert outcome.transcript is not None
    assert outcome.transcript["request"]["body"] == '{"a":"b","password":"***"}'


def test_template_that_makes_too_much_is_a_data_fault_within_bounded_time(server: FaultServer) -> None:
    for template in (
        "{% for i in (1..999999999) %}x{% endfor %}",
        "{% for i in (1..9999) %}{% for j in (1..9999) %}x{% endfor %}{% endfor %}",
        "{% for i in (1..9999) %}{{ lead.note }}{% endfor %}",
        "{{ lead.long }} " * 4_000,
        "{% assign a = lead.note %}{% for i in (1..40) %}{% assign a = a | append: a %}{% endfor %}{{ a }}",
    ):
        begun = monotonic()
        with pytest.raises(DataFault, match=r"setting 'template'|the template makes"):
            deliver(
                {"url": server.url, "body": "text", "template": template}, {"note": "x" * 1000, "long": "x" * 300_000}
            )
        assert monotonic() - begun < 5
    assert not server.received


def test_secret_beside_a_template_is_resolved_and_masked_by_name(server: FaultServer) -> None:
    connection = {"url": server.url, "headers": {"X-Api-Key": "${env:BUYER_KEY}-{{ lead.state }}"}}
    outcome = deliver(connection, environ={"BUYER_KEY": "k3y"})
    assert server.received[0].headers["x-api-key"] == "k3y-TX"
    assert "k3y" not in str(outcome.transcript)


def test_credentials_with_braces_are_no_templates(server: FaultServer) -> None:
    deliver({"url": server.url, "auth": {"bearer": {"token": "${env:T}"}}}, environ={"T": "a{{b"})
    assert server.received[0].headers["authorization"] == "Bearer a{{b"


@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "a\nb", "a\rb", "a\x00b", "a\x7fb", "a\r\n\r\nGET / HTTP/1.1"])
def test_header_that_a_value_would_break_is_a_data_fault_that_names_it(server: FaultServer, value: str) -> None:
    with pytest.raises(DataFault, match=r"header X-Note: .* control character") as caught:
        deliver({"url": server.url, "headers": {"X-Note": "{{ lead.note }}"}}, {"note": value})
    assert value not in str(caught.value)
    assert not server.received


def test_header_that_cannot_carry_a_character_is_a_data_fault(server: FaultServer) -> None:
    with pytest.raises(DataFault, match=r"header X-Note: .* cannot carry"):
        deliver({"url": server.url, "headers": {"X-Note": "{{ lead.note }}"}}, {"note": "5 €"})
    deliver({"url": server.url, "headers": {"X-Note": "{{ lead.note }}"}}, {"note": "Zoë"})
    assert server.received[0].headers["x-note"] == "Zoë"


@pytest.mark.parametrize("value", ["..", ".", "", None])
def test_value_that_would_make_another_address_is_a_data_fault(server: FaultServer, value: Any) -> None:
    with pytest.raises(DataFault, match=r"the address has no value|another address"):
        deliver({"url": f"{server.url}/leads/{{{{ lead.id }}}}", "method": "DELETE", "body": "none"}, {"id": value})
    assert not server.received


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_value_stays_one_part_of_the_address(value: str) -> None:
    connection = {"url": "http://x.example/a/{{ lead.v }}/b?p={{ lead.v }}&q=1", "query": {"r": "{{ lead.v }}"}}
    target = Target(connection["url"], HttpSettings.model_validate(connection))
    try:
        split = urlsplit(target.filled({"{{ lead.v }}": value}))
    except DataFault:
        assert value in {".", ".."}
        return
    assert [unquote(part) for part in split.path.split("/")] == ["", "a", value, "b"]
    assert parse_qsl(split.query.replace("+", "%2B"), keep_blank_values=True) == [
        ("p", value),
        ("q", "1"),
        ("r", value),
    ]


@pytest.mark.parametrize(
    ("connection", "complaint"),
    [
        ({"url": "https://{{ lead.host }}/x"}, "settings.url: .*scheme, host and port are the same for every lead"),
        ({"url": "{{ lead.url }}"}, "settings.url: .*scheme, host and port"),
        ({"url": "https://x.example{{ lead.path }}"}, "settings.url: .*scheme, host and port"),
        ({"url": "https://x.example:{{ lead.port }}/"}, "settings.url: .*scheme, host and port"),
        ({"url": "https://{{ lead.user }}@x.example/"}, "settings.url: .*scheme, host and port"),
        ({"url": "https://x.example/{% if lead.a %}b{% endif %}"}, "settings.url: .*no tags"),
        ({"url": "https://x.example/{{ led.id }}"}, "settings.url: .*unknown name 'led'"),
        ({"url": "https://x.example/{{ lead.id"}, "settings.url: .*not closed"),
        ({"endpoints": [{"url": "https://x.example/{{ led.id }}"}]}, r"settings.endpoints.0.url: .*unknown name"),
        ({"standby": "https://y.example/{{ led.id }}"}, "settings.standby: .*unknown name"),
        ({"query": {"a": "x {{ lead.id | nope }}"}}, r"settings.query.a: .*line 1, column 3: unknown filter 'nope'"),
        (
            {"headers": {"X-A": "{{ lead.a | truncate: 1, 2, 3 }}"}},
            "settings.headers.X-A: .*takes 0 to 2",
        ),
        ({"headers": {"X-A": "{% if lead.a %}"}}, "settings.headers.X-A"),
        ({"headers": {"X-A": "{{ '${env:K}' }}"}}, "settings.headers.X-A: .*a secret stands within"),
        ({"headers": {"X-A": "{{ steps.verify.score }}"}}, "settings.headers.X-A: uses steps.verify"),
        ({"check_url": "https://x.example/{{ lead.id }}"}, "settings.check_url: .*same for every lead"),
        ({"query": {"": "a"}}, r"settings.query..*at least 1 character"),
    ],
)
def test_what_cannot_be_filled_in_is_refused_at_apply_with_its_place(
    connection: Mapping[str, Any], complaint: str
) -> None:
    url = {} if "endpoints" in connection else {"url": "https://x.example/leads"}
    found = complaints({**url, **connection})
    assert len(found) == 1

    assert re.search(complaint, found[0]), found


def test_every_setting_that_cannot_be_filled_in_is_complained_about() -> None:
    found = complaints({"url": "https://x.example/{{ led.id }}", "headers": {"X-A.B": "{{ lead.a | nope }}"}})
    assert [one.partition(": ")[2].partition(":")[0] for one in found] == ["settings.url", "settings.headers.X-A.B"]


def test_secret_before_a_template_in_the_host_is_refused_when_it_is_resolved() -> None:
    step = compiled({"url": "${env:BASE}{{ lead.path }}"}).steps["buyer"]
    with pytest.raises(ConfigurationFault, match="url"):
        create_connector(step, {"BASE": "https://x.example"})


def test_destination_without_templates_has_nothing_to_render() -> None:
    step = compiled({"url": "https://x.example/a", "headers": {"X": "1"}, "query": {"a": "b"}}).steps["buyer"]
    assert step.templates is None
    connector = create_connector(step, {})
    assert isinstance(connector, HttpConnector)
    assert connector._first._fixed is not None
    connector.close()


def test_address_is_brought_into_form_around_its_templates() -> None:
    connection = {"url": "HTTPS://X.example/a b/{{ lead.id | append: '#' }}/ü?q={{ lead.q }}#frag"}
    assert (
        HttpSettings.model_validate(connection).url
        == "https://x.example/a%20b/{{ lead.id | append: '#' }}/%C3%BC?q={{ lead.q }}"
    )


def claims_of(server: FaultServer) -> list[dict[str, Any]]:
    tokens = [request.headers["authorization"].removeprefix("Bearer ") for request in server.received]
    return [jwt.decode(token, SHARED, algorithms=["HS256"], options={"verify_aud": False}) for token in tokens]


def signed(**claims: Any) -> dict[str, Any]:
    return {"jwt": {"algorithm": "HS256", "secret": "${env:SHARED}", "claims": {"iss": "partner-7", **claims}}}


def test_claims_that_hold_templates_are_signed_for_each_lead(server: FaultServer) -> None:
    auth = signed(sub="{{ lead.id }}", scope="leads:{{ lead.state | downcase }}", aud=["{{ lead.state }}", "all"], n=3)
    for lead in (LEAD, {**LEAD, "id": "L 2", "state": "OK"}):
        outcome = deliver({"url": server.url, "auth": auth}, lead, {"SHARED": SHARED}, mapping={"a": 1})
        assert "eyJ" not in str(outcome.transcript)
    first, second = claims_of(server)
    told = {"iss": "partner-7", "sub": "L 1/2", "scope": "leads:tx", "aud": ["TX", "all"], "n": 3}
    assert {name: first[name] for name in told} == told
    assert (second["sub"], second["scope"], second["aud"]) == ("L 2", "leads:ok", ["OK", "all"])
    assert first["jti"] != second["jti"]


def test_a_claim_whose_templates_render_to_nothing_is_left_out(server: FaultServer) -> None:
    auth = signed(sub="{{ lead.gone }}", aud=["{{ lead.gone }}"])
    deliver({"url": server.url, "auth": auth}, LEAD, {"SHARED": SHARED}, mapping={"a": 1})
    [claims] = claims_of(server)
    assert claims.keys() == {"iss", "iat", "exp", "jti"}


def test_claims_of_the_lead_go_to_every_endpoint_and_redirect(server: FaultServer) -> None:
    moved = answer(307, location="/moved")
    server.behaviour = lambda connection, request: (answer() if request.target == "/moved" else moved)(
        connection, request
    )
    closed = fault_server.closed_port()
    settings = {"endpoints": [{"url": f"http://127.0.0.1:{closed}/"}, {"url": server.url}], "redirects": 1}
    deliver({**settings, "auth": signed(sub="{{ lead.id }}")}, LEAD, {"SHARED": SHARED}, mapping={"a": 1})
    assert [claims["sub"] for claims in claims_of(server)] == ["L 1/2", "L 1/2"]


def test_a_check_signs_without_the_claims_of_a_lead(server: FaultServer) -> None:
    settings = {"url": server.url, "check_url": server.url, "auth": signed(sub="{{ lead.id }}")}
    connector = create_connector(compiled(settings).steps["buyer"], {"SHARED": SHARED})
    connector.check()
    connector.close()
    assert "sub" not in claims_of(server)[0]


def test_a_claim_that_cannot_be_compiled_is_refused_with_its_place() -> None:
    [complaint] = complaints({"url": "https://x.example", "auth": signed(sub="{{ lead.id | nosuch }}")})
    assert complaint.startswith("destination buyer: settings.auth.jwt.claims.sub: ")


def test_graphql_signs_claims_of_the_lead_too(server: FaultServer) -> None:
    server.behaviour = answer(200, b'{"data":{"a":1}}')
    settings = {"url": server.url, "document": "mutation { a }", "auth": signed(sub="{{ lead.id }}")}
    deliver(settings, LEAD, {"SHARED": SHARED}, type="graphql")
    assert claims_of(server)[0]["sub"] == "L 1/2"
