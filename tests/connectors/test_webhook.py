"""The webhook connector against the contract, and its signatures as receivers verify them."""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from pydantic import ValidationError
from standardwebhooks import WebhookVerificationError

from app import connectors
from app.catalog import compile_document, create_connector
from app.config.schema import Document, LimitsConfig, ResponseConfig
from app.connectors.base import Connector
from app.connectors.webhook.connector import WebhookConnector
from app.connectors.webhook.settings import WebhookSettings
from app.errors import ConfigurationFault, InvalidConfig
from app.model import Fault, Item, Outcome, Result
from tests.connectors import fault_server
from tests.connectors.contract import LIMITS, ConnectorContract, Stage
from tests.connectors.fault_server import LOCAL, FaultServer, answer
from tests.connectors.fault_stage import FaultStage
from tests.connectors.webhook_receiver import NEXT_SECRET, PRIVATE_KEY, PUBLIC_KEY, SECRET, verified

KEY = "0199c8e2-0000-7000-8000-000000000001"
EVENT: Mapping[str, Any] = {"type": "delivery.dead", "lead_id": "0199c8e2-0000-7000-8000-00000000000a", "attempts": 3}
MOMENT = datetime(2026, 1, 31, 13, 0, tzinfo=timezone(timedelta(hours=1)))


def connector(
    url: str, *, limits: LimitsConfig = LIMITS, response: ResponseConfig | None = None, **settings: Any
) -> WebhookConnector:
    assert connectors.load("webhook") is WebhookConnector
    found = WebhookSettings.model_validate({"url": url, "secrets": [SECRET], **settings})
    return WebhookConnector("partner", found, limits=limits, response=response, network=LOCAL)


def deliver(sender: WebhookConnector, **about: Any) -> Outcome:
    given = {"payload": EVENT, "type": "delivery.dead", "occurred_at": MOMENT, **about}
    try:
        return sender.deliver(Item(key=KEY, attempt=1, deadline=monotonic() + 5, **given))
    finally:
        sender.close()


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server.running(answer(204, b"")) as running:
        yield running


class WebhookStage(FaultStage):
    payload: Mapping[str, Any] = {"email": "ann.lee@example.com", "address": {"city": "Springfield"}}
    poison: Mapping[str, Any] = {"email": "bo.day@example.com", "file": object()}
    secrets: Sequence[str] = (SECRET, SECRET.removeprefix("whsec_"), PRIVATE_KEY, PRIVATE_KEY.removeprefix("whsk_"))

    def connector(self, limits: LimitsConfig) -> Connector[Any]:
        return connector(self.server.url, limits=limits, secrets=[SECRET, PRIVATE_KEY])

    def unreachable(self, limits: LimitsConfig) -> Connector[Any]:
        return connector(f"http://127.0.0.1:{fault_server.closed_port()}/", limits=limits)

    def succeed(self) -> None:
        self.server.behaviour = answer(204, b"")

    def reject(self) -> None:
        self.server.behaviour = answer(422, b'{"message":"no such tenant"}')

    def fail(self) -> None:
        self.server.behaviour = answer(503, b"")

    def refuse_credentials(self) -> None:
        self.server.behaviour = answer(401, b"")

    def keys(self) -> Sequence[str]:
        for request in self.server.received:
            verified(request, SECRET)
            verified(request, PUBLIC_KEY)
        return [request.headers["webhook-id"] for request in self.server.received]


class TestContract(ConnectorContract):
    @pytest.fixture
    def stage(self, server: FaultServer) -> Stage:
        return WebhookStage(server)


def test_a_webhook_says_what_happened_when_and_to_what(server: FaultServer) -> None:
    assert deliver(connector(server.url)).result is Result.SUCCESS
    [request] = server.received
    assert (request.method, request.headers["content-type"]) == ("POST", "application/json")
    assert request.headers["webhook-id"] == KEY
    assert verified(request) == {"type": "delivery.dead", "timestamp": "2026-01-31T12:00:00+00:00", "data": EVENT}


def test_a_cloud_event_is_signed_alike(server: FaultServer) -> None:
    deliver(connector(server.url, format="cloudevents", source="https://leads.example.com"))
    [request] = server.received
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert verified(request) == {
        "specversion": "1.0",
        "id": KEY,
        "source": "https://leads.example.com",
        "type": "delivery.dead",
        "time": "2026-01-31T12:00:00+00:00",
        "datacontenttype": "application/json",
        "data": EVENT,
    }


def test_a_lead_travels_as_one_of_type_lead(server: FaultServer) -> None:
    lead = {"email": "ann@example.com"}
    deliver(connector(server.url), payload=lead, type="lead")
    assert verified(server.received[0]) == {"type": "lead", "timestamp": "2026-01-31T12:00:00+00:00", "data": lead}


@pytest.mark.parametrize(
    ("secrets", "known", "unknown"),
    [
        ([SECRET], [SECRET], [NEXT_SECRET]),
        ([SECRET, NEXT_SECRET], [SECRET, NEXT_SECRET], []),
        ([PRIVATE_KEY], [PUBLIC_KEY], []),
        ([SECRET, PRIVATE_KEY], [SECRET, PUBLIC_KEY], [NEXT_SECRET]),
    ],
)
def test_each_secret_signs_while_the_receiver_goes_from_one_to_the_other(
    server: FaultServer, secrets: list[str], known: list[str], unknown: list[str]
) -> None:
    deliver(connector(server.url, secrets=secrets))
    [request] = server.received
    for one in known:
        verified(request, one)
    for one in unknown:
        with pytest.raises(WebhookVerificationError):
            verified(request, one)
    assert len(request.headers["webhook-signature"].split(" ")) == len(secrets)


def test_a_key_with_its_public_half_behind_it_signs_as_without(server: FaultServer) -> None:
    both = base64.b64decode(PRIVATE_KEY[5:]) + base64.b64decode(PUBLIC_KEY[5:])
    deliver(connector(server.url, secrets=["whsk_" + base64.b64encode(both).decode()]))
    verified(server.received[0], PUBLIC_KEY)


def test_a_receiver_would_notice_another_body(server: FaultServer) -> None:
    deliver(connector(server.url, secrets=[SECRET, PRIVATE_KEY]))
    [request] = server.received
    forged = fault_server.Received(
        method="POST", target="/", headers=request.headers, body=request.body.replace(b"dead", b"done")
    )
    with pytest.raises(WebhookVerificationError):
        verified(forged)
    with pytest.raises(InvalidSignature):
        verified(forged, PUBLIC_KEY)


@pytest.mark.parametrize(
    ("status", "result", "fault"),
    [
        (200, Result.SUCCESS, None),
        (202, Result.SUCCESS, None),
        (301, Result.ERROR, Fault.CONFIGURATION),
        (400, Result.FAILURE, None),
        (401, Result.ERROR, Fault.CONFIGURATION),
        (404, Result.ERROR, Fault.CONFIGURATION),
        (405, Result.ERROR, Fault.CONFIGURATION),
        (410, Result.ERROR, Fault.CONFIGURATION),
        (429, Result.ERROR, Fault.TRANSIENT),
        (502, Result.ERROR, Fault.TRANSIENT),
    ],
)
def test_what_an_answer_means(server: FaultServer, status: int, result: Result, fault: Fault | None) -> None:
    server.behaviour = answer(status, b"", retry_after="7")
    outcome = deliver(connector(server.url))
    assert (outcome.result, outcome.fault) == (result, fault)
    assert outcome.retry_after == (7 if fault is Fault.TRANSIENT else None)


def _snippets() -> list[str]:
    page = Path(__file__).parents[2] / "docs/webhooks.md"
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_what_the_docs_verify_with_takes_ours_and_no_other(server: FaultServer) -> None:
    names: dict[str, Any] = {}
    exec(_snippets()[0], names)
    deliver(connector(server.url, secrets=[NEXT_SECRET, SECRET]))
    [request] = server.received
    assert names["verified"](SECRET, request.headers, request.body)
    assert names["verified"](NEXT_SECRET, request.headers, request.body)
    assert not names["verified"](SECRET, request.headers, request.body + b" ")
    late = {**request.headers, "webhook-timestamp": "1763928000"}
    assert not names["verified"](SECRET, late, request.body)


def test_a_key_pair_made_as_the_docs_say_is_taken(server: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    exec(_snippets()[1], {})
    private, public = capsys.readouterr().out.split()
    deliver(connector(server.url, secrets=[private]))
    verified(server.received[0], public)


def test_response_rules_read_what_a_partner_says_of_a_lead(server: FaultServer) -> None:
    server.behaviour = answer(200, b'{"status":"bought","price":"12.50"}')
    rules = ResponseConfig.model_validate({"search": {"path": "status", "term": "bought"}, "price": "price"})
    outcome = deliver(connector(server.url, response=rules), type="lead")
    assert (outcome.result, str(outcome.price)) == (Result.SUCCESS, "12.50")


def test_a_test_is_marked_and_the_transcript_has_no_signature(server: FaultServer) -> None:
    outcome = deliver(connector(server.url, headers={"X-Tenant": "acme"}), test=True)
    [request] = server.received
    assert (request.headers["x-leadrelay-test"], request.headers["x-tenant"]) == ("true", "acme")
    told = (outcome.transcript or {})["request"]
    assert told["headers"]["webhook-id"] == KEY
    assert told["headers"]["webhook-signature"] == "***"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"secrets": []}, "at least 1"),
        ({"secrets": [SECRET, NEXT_SECRET, PRIVATE_KEY]}, "at most 2"),
        ({"secrets": [SECRET, SECRET]}, "stands there twice"),
        ({"secrets": ["s3cr3t"]}, "begins with neither whsec_"),
        ({"secrets": [PUBLIC_KEY]}, "begins with neither whsec_"),
        ({"secrets": ["whsec_!!!"]}, "not written in base64"),
        ({"secrets": ["whsec_c2hvcnQ="]}, "24 bytes at least"),
        ({"secrets": ["whsk_c2hvcnQ="]}, "a key of 32 bytes"),
        ({"secrets": ["whsk_!!!"]}, "not written in base64"),
        ({"secrets": ["whsec_" + base64.b64encode(bytes(65)).decode()]}, "64 bytes at most"),
        ({"secrets": ["whsk_" + base64.b64encode(bytes(64)).decode()]}, "do not belong together"),
        ({"headers": {"Webhook-ID": "mine"}}, "webhook-id is set for each webhook"),
        ({"headers": {"Content-Type": "text/plain"}}, "content-type is set"),
        ({"source": "https://leads.example.com"}, "source is for format: cloudevents"),
        ({"url": "ftp://partner.example.com/"}, "not an absolute http or https address"),
    ],
)
def test_settings_that_cannot_work_are_refused_without_being_repeated(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint) as caught:
        WebhookSettings.model_validate({"url": "https://partner.example.com/", "secrets": [SECRET], **changes})
    assert "s3cr3t" not in str(caught.value)
    assert SECRET not in str(caught.value)


def _document(secret: str) -> Document:
    settings = {"url": "https://partner.example.com/", "secrets": [secret]}
    return Document.model_validate({"destinations": [{"name": "partner", "type": "webhook", "settings": settings}]})


def test_a_secret_in_clear_is_refused_and_one_that_is_none_is_named_when_it_is_resolved() -> None:
    with pytest.raises(InvalidConfig, match=r"settings.secrets.0: a secret stands here in clear"):
        compile_document(_document(SECRET), 1)
    step = compile_document(_document("${env:HOOK}"), 1).steps["partner"]
    with pytest.raises(ConfigurationFault, match=r"settings of destination partner are invalid: secrets.0"):
        create_connector(step, {"HOOK": "not a secret of theirs"})
    create_connector(step, {"HOOK": SECRET}).close()


def test_the_time_of_an_attempt_is_its_own_and_all_else_stays_as_it_was(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = int(datetime.now(UTC).timestamp())
    for later in (0, 60):
        monkeypatch.setattr("app.connectors.webhook.signature.time", lambda later=later: first + later)
        deliver(connector(server.url))
    one, other = server.received
    assert (one.body, one.headers["webhook-id"]) == (other.body, other.headers["webhook-id"])
    assert int(other.headers["webhook-timestamp"]) - int(one.headers["webhook-timestamp"]) == 60
    assert verified(one) == verified(other)
