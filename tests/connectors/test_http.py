"""The HTTP connector against the contract, and what is its own: bodies, credentials, headers, checks, transcripts."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from time import monotonic
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from app import connectors
from app.config.schema import LimitsConfig, ResponseConfig
from app.connectors._http.connector import HttpConnector
from app.connectors._http.settings import HttpSettings
from app.connectors.base import Connector
from app.errors import ConfigurationFault, DataFault, InvalidTemplate, TransientFault
from app.model import Fault, Item, Outcome, Result
from tests.connectors import fault_server
from tests.connectors.contract import LIMITS, ConnectorContract, Stage
from tests.connectors.fault_server import LOCAL, FaultServer, Received, answer
from tests.connectors.fault_stage import FaultStage

KEY = "0199c8e2-0000-7000-8000-000000000001"
RULES = ResponseConfig.model_validate(
    {"search": {"path": "outcome", "term": "success"}, "reason": "reason", "reference": "id", "price": "price"}
)


class HttpStage(FaultStage):
    payload: Mapping[str, Any] = {"email": "ann.lee@example.com", "address": {"city": "Springfield"}}
    poison: Mapping[str, Any] = {"email": "bo.day@example.com", "notes": {"unwritable": object()}}
    secrets: Sequence[str] = ("tok-5f1c9a",)

    def connector(self, limits: LimitsConfig) -> Connector[Any]:
        return connector(f"{self.server.url}/leads", limits=limits, auth={"bearer": {"token": "tok-5f1c9a"}})

    def unreachable(self, limits: LimitsConfig) -> Connector[Any]:
        return connector(f"http://127.0.0.1:{fault_server.closed_port()}/leads", limits=limits)

    def succeed(self) -> None:
        self.server.behaviour = answer(200, b'{"outcome":"success","id":"r-1"}')

    def reject(self) -> None:
        self.server.behaviour = answer(200, b'{"outcome":"failure","reason":"duplicate"}')

    def fail(self) -> None:
        self.server.behaviour = answer(503, b"<h1>down</h1>")

    def refuse_credentials(self) -> None:
        self.server.behaviour = answer(401, b'{"outcome":"success"}')


def connector(
    url: str | None, *, limits: LimitsConfig = LIMITS, response: ResponseConfig | None = RULES, **settings: Any
) -> HttpConnector:
    if url and url.startswith("http") and "check_url" not in settings:
        settings["check_url"] = url
    found = connectors.load("http")
    assert found is HttpConnector
    found_settings = HttpSettings.model_validate({"url": url, **settings})
    return HttpConnector("buyer", found_settings, limits=limits, response=response, network=LOCAL)


def deliver(sender: HttpConnector, payload: Mapping[str, Any]) -> Outcome:
    try:
        return sender.deliver(Item(payload=payload, key=KEY, attempt=1, deadline=monotonic() + 5))
    finally:
        sender.close()


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server.running(answer()) as running:
        yield running


class TestContract(ConnectorContract):
    @pytest.fixture
    def stage(self, server: FaultServer) -> Stage:
        return HttpStage(server)


class TestContractOfAllThatIsSpecial(ConnectorContract):
    """Multipart, compressed, with cookies and redirects: what the hot path has nothing of."""

    @pytest.fixture
    def stage(self, server: FaultServer) -> Stage:
        return SpecialStage(server)


class SpecialStage(HttpStage):
    def connector(self, limits: LimitsConfig) -> Connector[Any]:
        url = f"{self.server.url}/leads"
        special = {"body": "multipart", "compress": "gzip", "cookies": True, "redirects": 2, "query": {"v": "2"}}
        return connector(url, limits=limits, auth={"bearer": {"token": "tok-5f1c9a"}}, **special)

    def succeed(self) -> None:
        accepted = answer(200, b'{"outcome":"success"}', set_cookie="sid=tok-5f1c9a")
        moved = answer(307, location="/moved", set_cookie="sid=tok-5f1c9a")
        self.server.behaviour = lambda connection, request: (
            accepted if "/moved" in request.target or request.method == "GET" else moved
        )(connection, request)

    def keys(self) -> Sequence[str]:
        return [
            request.headers["idempotency-key"]
            for request in self.server.received
            if "/leads" in request.target and request.method == "POST"
        ]


def test_json_body_keeps_types_and_nesting(server: FaultServer) -> None:
    deliver(connector(server.url), {"a": {"b": [1, True, None]}, "price": Decimal("12.50"), "text": "é"})
    request = server.received[0]
    assert request.headers["content-type"] == "application/json"
    assert msgspec.json.decode(request.body) == {"a": {"b": [1, True, None]}, "price": 12.5, "text": "é"}


def test_form_body_has_dotted_names_and_repeats_lists(server: FaultServer) -> None:
    payload = {
        "name": "Ann Lee",
        "address": {"city": "A&B"},
        "tag": ["x", "y"],
        "phones": [{"number": "+1"}],
        "ok": True,
    }
    deliver(connector(server.url, body="form"), payload)
    assert server.received[0].headers["content-type"] == "application/x-www-form-urlencoded"
    assert server.received[0].body == b"name=Ann%20Lee&address.city=A%26B&tag=x&tag=y&phones.0.number=%2B1&ok=true"


def test_query_is_appended_to_the_address(server: FaultServer) -> None:
    deliver(connector(f"{server.url}/in?campaign=7", method="GET", body="query"), {"name": "Ann Lee"})
    request = server.received[0]
    assert (request.method, request.target, request.body) == ("GET", "/in?campaign=7&name=Ann%20Lee", b"")


def test_xml_body_has_the_root_it_is_told(server: FaultServer) -> None:
    deliver(connector(server.url, body="xml", xml_root="adf"), {"customer": {"name": "Ann & Co"}})
    assert server.received[0].headers["content-type"] == "application/xml; charset=utf-8"
    assert server.received[0].body.endswith(b"<adf><customer><name>Ann &amp; Co</name></customer></adf>")


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"basic": {"username": "ann", "password": "pä:ss"}}, "authorization", "Basic YW5uOnDDpDpzcw=="),
        ({"bearer": {"token": "tok-1"}}, "authorization", "Bearer tok-1"),
        ({"api_key": {"name": "X-Buyer", "value": "key-1"}}, "x-buyer", "key-1"),
    ],
)
def test_credentials_go_out_and_stay_out_of_the_transcript(
    server: FaultServer, auth: Mapping[str, Any], header: str, value: str
) -> None:
    outcome = deliver(connector(server.url, auth=auth), {"a": 1})
    assert server.received[0].headers[header] == value
    assert value not in str(outcome.transcript)


def test_api_key_in_the_query_is_masked_in_the_transcript(server: FaultServer) -> None:
    auth = {"api_key": {"name": "k", "value": "s3/cr", "in": "query"}}
    outcome = deliver(connector(f"{server.url}/x?a=1", auth=auth), {"a": 1})
    assert server.received[0].target == "/x?a=1&k=s3%2Fcr"
    assert outcome.transcript is not None
    assert outcome.transcript["request"]["url"] == f"{server.url}/x?a=1&k=***"
    assert "s3" not in str(outcome.transcript)


def test_secret_properties_of_the_body_are_masked_in_the_transcript(server: FaultServer) -> None:
    outcome = deliver(connector(server.url), {"api_key": "hush-1", "login": {"password": "hush-2"}, "email": "a@b.co"})
    assert b"hush-1" in server.received[0].body
    assert "hush" not in str(outcome.transcript)
    assert "a@b.co" in str(outcome.transcript)


def test_configured_headers_win_over_ours(server: FaultServer) -> None:
    sender = connector(server.url, headers={"content-type": "application/vnd.buyer+json", "X-Campaign": "7"})
    deliver(sender, {"a": 1})
    headers = server.received[0].headers
    assert (headers["content-type"], headers["x-campaign"]) == ("application/vnd.buyer+json", "7")


@pytest.mark.parametrize(("name", "sent"), [("X-Request-Id", True), (None, False)])
def test_idempotency_header_has_another_name_or_is_left_out(
    server: FaultServer,
    name: str | None,
    sent: bool,  # noqa: FBT001  # a test's parameter
) -> None:
    deliver(connector(server.url, idempotency_header=name), {"a": 1})
    assert (KEY in server.received[0].headers.values()) is sent


def test_transcript_is_cut_where_a_body_is_long(server: FaultServer) -> None:
    server.behaviour = answer(200, b'"' + b"y" * 10_000 + b'"')
    outcome = deliver(connector(server.url), {"a": "x" * 10_000})
    assert outcome.transcript is not None
    assert [len(outcome.transcript[part]["body"]) for part in ("request", "response")] == [4096, 4096]
    assert outcome.transcript["ms"] > 0


def test_too_long_answer_is_cut_and_marked(server: FaultServer) -> None:
    server.behaviour = answer(200, b"y" * 2_100_000, content_type="text/plain")
    outcome = deliver(connector(server.url, response=None), {"a": 1})
    assert outcome.transcript is not None
    assert outcome.transcript["response"]["truncated"] is True
    assert outcome.result is Result.SUCCESS


def test_answer_of_200_megabytes_is_not_read_to_its_end(server: FaultServer) -> None:
    sent = 0

    def behave(connection: socket.socket, _request: Received) -> bool:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 200000000\r\n\r\n")
        with suppress(OSError):
            while sent < 200_000_000:
                sent += connection.send(b"[" * 1_000_000)
        return False

    server.behaviour = behave
    outcome = deliver(connector(server.url), {"a": 1})
    assert (outcome.fault, outcome.ambiguous) == (Fault.TRANSIENT, True)
    assert server.until_open(lambda count: count == 0)
    assert sent < 50_000_000


def test_redirect_is_not_followed_and_its_host_is_named(server: FaultServer) -> None:
    server.behaviour = answer(307, location="https://other.example/leads?email=ann@example.com")
    outcome = deliver(connector(server.url), {"a": 1})
    assert outcome.fault is Fault.CONFIGURATION
    assert outcome.reason == "HTTP 307: redirected to other.example; correct the address"
    assert len(server.received) == 1


def test_retry_after_is_passed_on(server: FaultServer) -> None:
    server.behaviour = answer(429, retry_after="17")
    outcome = deliver(connector(server.url), {"a": 1})
    assert (outcome.fault, outcome.retry_after) == (Fault.TRANSIENT, 17.0)


def test_property_that_json_cannot_carry_is_named(server: FaultServer) -> None:
    with pytest.raises(DataFault, match=r"property a\.b\.1 cannot"):
        deliver(connector(server.url), {"a": {"b": [1, object()]}})


def test_check_connects_where_no_address_to_ask_is_configured(server: FaultServer) -> None:
    sender = connector(server.url, check_url=None)
    sender.check()
    assert server.until_open(lambda count: count == 1)
    sender.close()
    assert server.received == []


@pytest.mark.parametrize(("status", "fault"), [(503, TransientFault), (404, ConfigurationFault)])
def test_check_tells_what_the_address_answers(server: FaultServer, status: int, fault: type[Exception]) -> None:
    server.behaviour = answer(status)
    sender = connector(server.url, check_url=f"{server.url}/status", check_method="HEAD")
    with pytest.raises(fault, match=str(status)):
        sender.check()
    sender.close()
    assert (server.received[0].method, server.received[0].target) == ("HEAD", "/status")


def test_wrong_response_rules_are_refused_when_the_configuration_is_applied() -> None:
    with pytest.raises(InvalidTemplate, match=r"reason\.regex"):
        HttpConnector.check_response(ResponseConfig.model_validate({"reason": {"regex": "("}}))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"url": "ftp://x.example"}, "http"),
        ({"url": "buyer.example.com"}, "http"),
        ({"url": "https://u:p@x.example"}, "credentials"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "line break"),
        ({"headers": {"X A": "a"}}, "header name"),
        ({"headers": {"Host": "a"}}, "cannot be configured"),
        ({"headers": {"X-A": "a", "x-a": "b"}}, "twice"),
        ({"headers": {"X-A": "€"}}, "characters"),
        ({"auth": {}}, "exactly one"),
        ({"auth": {"bearer": {"token": "a"}, "basic": {"username": "a", "password": "b"}}}, "exactly one"),
        ({"auth": {"bearer": {"token": "tok\nen"}}}, "characters"),
        ({"auth": {"basic": {"username": "a:b", "password": "c"}}}, "colon"),
        ({"auth": {"bearer": {"token": "a"}}, "headers": {"Authorization": "b"}}, "auth sets this header, too"),
        ({"method": "GET"}, "no body"),
        ({"xml_root": "1x"}, "pattern"),
        ({"idempotency_header": "a b"}, "header name"),
        ({"unknown": 1}, "Extra"),
    ],
)
def test_wrong_settings_are_refused_without_repeating_values(settings: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint) as caught:
        HttpSettings.model_validate({"url": "https://x.example/leads", **settings})
    assert "input_value" not in str(caught.value)


@pytest.mark.parametrize("charset", ["windows-1252", "utf-16", "shift_jis"])
@pytest.mark.parametrize("body", [{"body": "xml"}, {"body": "text", "template": "x", "content_type": "text/csv"}])
def test_a_body_is_shown_as_its_charset_reads_it(server: FaultServer, charset: str, body: Mapping[str, Any]) -> None:
    name = "Zoë" if charset != "shift_jis" else "ソフト"
    sender = connector(server.url, charset=charset, **{**body, **({"template": name} if "template" in body else {})})
    one = Item(payload={"name": name}, key=KEY, attempt=1, deadline=monotonic() + 5)
    previews = [sender.request(one, reveal=reveal) for reveal in (True, False)]
    outcome = deliver(sender, {"name": name})
    assert server.received[0].body == previews[0]["body"].encode(charset)
    assert outcome.transcript is not None
    for shown in (outcome.transcript["request"], *previews):
        assert name in shown["body"]


def test_secret_references_stand_for_their_values_in_settings() -> None:
    settings = HttpSettings.model_validate(
        {"url": "${env:BUYER_URL}", "auth": {"bearer": {"token": "${file:/run/secrets/token}"}}}
    )
    assert "secrets" not in repr(settings)


def test_every_setting_has_a_description_and_an_example() -> None:
    definitions = HttpSettings.model_json_schema()["$defs"] | {"": HttpSettings.model_json_schema()}
    fields = {
        f"{model}.{name}": field
        for model, schema in definitions.items()
        for name, field in schema["properties"].items()
    }
    assert not [name for name, field in fields.items() if not field.get("description")]
    missing = [name for name, field in fields.items() if not field.get("examples")]
    assert not [name for name in missing if not name.startswith("Auth.")]


def test_end_of_the_interface_is_told_in_the_transcript_and_to_delivery(server: FaultServer) -> None:
    server.behaviour = answer(200, deprecation="@1769817600")
    sender = connector(server.url, response=None)
    outcome = deliver(sender, {"a": 1})
    assert outcome.transcript is not None
    assert outcome.transcript["notice"] == sender.notice == "deprecated since 2026-01-31"
