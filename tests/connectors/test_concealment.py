"""Values given by reference, and credentials made of them, stand nowhere in what is kept of an exchange."""

import socket
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from app.catalog import compile_document, create_connector
from app.config.schema import Document
from app.errors import TransientFault
from app.model import Item, Outcome
from app.trial import Try, prepare, send
from tests.connectors import fault_server
from tests.connectors.fault_server import LOCAL, FaultServer, Received, answer

KEY = 'k3y/"of <acme>'


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server.running(echo) as running:
        yield running


def echo(connection: socket.socket, request: Received) -> bool:
    """Tell all that came, as error pages do; a token where one is asked for."""
    if request.target == "/token":
        token = {"access_token": "at-77f0c2b1", "instance_url": f"http://{request.headers['host']}"}
        return answer(200, msgspec.json.encode(token), content_type="application/json")(connection, request)
    said = {"target": request.target, "headers": request.headers, "body": request.body.decode(), "id": "r-1"}
    status = int(request.headers.get("x-status", "200"))
    return answer(status, msgspec.json.encode(said), content_type="application/json")(connection, request)


def tried(settings: Mapping[str, Any], environ: Mapping[str, str], **config: Any) -> Try:
    """As `leadrelay test` does."""
    whole = {"name": "buyer", "type": "http", "settings": settings, "network": LOCAL.model_dump(), **config}
    step = compile_document(Document.model_validate({"destinations": [whole]}), 1).steps["buyer"]
    found = send(step, prepare(step, {"state": "TX", "email": "ann.lee@example.com"}, said={}), environ)
    assert found.transcript is not None, found.reason
    return found


def text(found: Try) -> str:
    return repr((found.reason, found.captured, found.transcript))


@pytest.mark.parametrize("status", ["200", "422", "503"])
def test_a_value_given_by_reference_is_masked_wherever_it_stands(server: FaultServer, status: str) -> None:
    settings = {
        "url": f"{server.url}/in?way=1",
        "query": {"sig": "${env:ACME}"},
        "headers": {"X-Acme": "${env:ACME}", "X-Two": "Key ${env:ACME} {{ lead.state }}", "X-Status": status},
    }
    found = tried(
        settings,
        {"ACME": KEY},
        mapping={"note": f"{{{{ lead.state }}}} {KEY}"},
        response={"reason": "body", "capture": {"seen": "headers.x-two"}},
    )
    assert server.received[0].headers["x-two"] == f"Key {KEY} TX"
    for form in (KEY, "k3y", "of <", "of%20"):
        assert form not in text(found)
    request, response = found.transcript["request"], found.transcript["response"]  # type: ignore[index]  # asserted above
    assert request["headers"]["X-Acme"] == "***"
    assert request["headers"]["X-Two"] == "Key *** TX"
    assert request["url"].endswith("/in?way=1&sig=***")
    assert request["body"] == '{"note":"TX ***"}'
    assert '"target":"/in?way=1&sig=***"' in response["body"]
    if status == "200":
        assert (found.captured or {})["seen"] == "Key *** TX"
        assert (found.captured or {})["document"]["headers"]["x-acme"] == "***"


@pytest.mark.parametrize(
    ("auth", "environ", "gone"),
    [
        ({"basic": {"username": "leads", "password": "${env:ONE}"}}, {"ONE": "pass-5f1c"}, "bGVhZHM6cGFzcy01ZjFj"),
        ({"bearer": {"token": "${env:ONE}"}}, {"ONE": "tok-5f1c9a"}, "tok-5f1c9a"),
        ({"api_key": {"in": "body", "name": "k", "value": "${env:ONE}"}}, {"ONE": "key 5f1c/9a"}, "5f1c"),
        (
            {"oauth2": {"token_url": "URL/token", "client_id": "x", "client_secret": "${env:ONE}"}},
            {"ONE": "sec-5f1c9a"},
            "at-77f0c2b1",
        ),
        (
            {"jwt": {"algorithm": "HS256", "secret": "${env:ONE}", "claims": {"sub": "{{ lead.state }}"}}},
            {"ONE": "a secret of thirty-two bytes or more"},
            "eyJ",
        ),
        ({"jwt": {"algorithm": "HS256", "secret": "${env:ONE}", "prefix": ""}}, {"ONE": "5" * 32}, "eyJ"),
    ],
)
@pytest.mark.parametrize("body", ["json", "form"])
def test_credentials_that_a_destination_repeats_are_masked(
    server: FaultServer, auth: Any, environ: Any, gone: str, body: str
) -> None:
    auth = msgspec.json.decode(msgspec.json.encode(auth).replace(b"URL", server.url.encode()))
    found = tried({"url": server.url, "auth": auth, "body": body}, environ, mapping={"a": "b"})
    assert gone in "".join(map(repr, server.received))
    assert gone not in text(found)
    assert environ["ONE"] not in text(found)
    assert "***" in found.transcript["response"]["body"]  # type: ignore[index]  # asserted above


def test_a_token_of_salesforce_and_the_password_of_graphql_are_masked(server: FaultServer) -> None:
    def sign_on(connection: socket.socket, request: Received) -> bool:
        target = "/token" if request.target.endswith("/oauth2/token") else request.target
        return echo(connection, Received(method="", target=target, headers=request.headers, body=request.body))

    server.behaviour = sign_on
    settings = {"instance_url": server.url, "client_id": "${env:ID}", "client_secret": "${env:ONE}"}
    found = tried(
        {**settings, "external_id_field": "Id__c"},
        {"ID": "id-5f1c9a", "ONE": "sec-5f1c9a"},
        type="salesforce",
        mapping={"LastName": "b"},
    )
    assert "at-77f0c2b1" in repr(server.received)
    assert "at-77f0c2b1" not in text(found)
    document = "mutation Add($a: String) { add(a: $a) { id } }"
    basic = {"basic": {"username": "leads", "password": "${env:ONE}"}}
    found = tried(
        {"url": server.url, "document": document, "auth": basic},
        {"ONE": "pass-5f1c"},
        type="graphql",
        mapping={"a": "b"},
    )
    assert "bGVhZHM6cGFzcy01ZjFj" in repr(server.received)
    assert "bGVhZHM6cGFzcy01ZjFj" not in text(found)


def test_short_values_and_words_do_not_shred_a_transcript(server: FaultServer) -> None:
    settings = {
        "url": f"{server.url}/spring/summer",
        "query": {"pin": "${env:PIN}", "campaign": "${env:CAMPAIGN}"},
        "headers": {"X-Season": "${env:SEASON}"},
    }
    environ = {"PIN": "20", "CAMPAIGN": "20260115", "SEASON": "spring"}
    mapping = {"at": "2026-01-20", "season": "spring", "seasonal": "springtime", "number": "920260115"}
    found = tried(settings, environ, mapping=mapping)
    request = found.transcript["request"]  # type: ignore[index]  # asserted above
    assert request["url"] == f"{server.url}/***/summer?pin=***&campaign=***"
    assert request["headers"]["X-Season"] == "***"
    assert request["body"] == '{"at":"2026-01-20","season":"***","seasonal":"springtime","number":"920260115"}'
    assert (found.captured or {})["document"]["headers"]["x-season"] == "spring"


def test_a_value_that_a_cut_breaks_off_is_masked(server: FaultServer) -> None:
    for length in range(4096 - 40, 4096):
        found = tried(
            {"url": server.url, "auth": {"bearer": {"token": "${env:ONE}"}}},
            {"ONE": "tok-5f1c9a-77f0"},
            mapping={"a": "." * length + " tok-5f1c9a-77f0"},
        )
        assert "tok-5f" not in text(found)


def test_what_comes_of_sending_without_secrets_is_the_very_same(server: FaultServer) -> None:
    config = {
        "name": "buyer",
        "type": "http",
        "settings": {"url": server.url, "auth": {"bearer": {"token": "${env:ONE}"}}},
    }
    config["network"] = LOCAL.model_dump()
    step = compile_document(Document.model_validate({"destinations": [config]}), 1).steps["buyer"]
    connector = create_connector(step, {"ONE": "tok-5f1c9a"})
    try:
        outcome = connector.deliver(Item(payload={}, key=str(uuid4()), attempt=1, deadline=monotonic() + 5))
        server.behaviour = answer()
        plain = connector.deliver(Item(payload={}, key=str(uuid4()), attempt=1, deadline=monotonic() + 5))
    finally:
        connector.close()
    assert connector.concealed(plain) is plain
    told = connector.concealed(outcome)
    assert isinstance(told, Outcome)
    assert told.reference == outcome.reference
    fault = connector.concealed(TransientFault("no tok-5f1c9a", transcript={"request": {"url": "tok-5f1c9a"}}))
    assert (str(fault), fault.transcript) == ("no ***", {"request": {"url": "***"}})
