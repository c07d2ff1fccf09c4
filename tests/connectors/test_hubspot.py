"""The hubspot connector against the sandbox's account, and against answers it does not give."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from time import monotonic
from typing import Any

import pytest
import requests
from pydantic import ValidationError

from app.config.schema import LimitsConfig
from app.connectors.hubspot import HubSpotConnector, HubSpotSettings
from app.errors import ConfigurationFault, DataFault, DeliveryFault, TransientFault
from app.model import Item, Outcome, Result
from app.sandbox import Running, running
from app.sandbox.hubspot_answer import READ_ONLY_TOKEN, TOKEN
from tests.connectors.contract import ConnectorContract, Stage
from tests.connectors.fault_server import LOCAL, closed_port
from tests.connectors.scripted import Scripted, connections_to, reply, scripted

LEAD = {"email": "ann@example.com", "firstname": "Ann", "lastname": "Doe"}
DONE = {"status": "COMPLETE", "results": [{"id": "512", "new": True, "properties": {}}]}

Connect = Callable[..., HubSpotConnector]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    with running() as place:
        yield place


@pytest.fixture
def account(sandbox: Running) -> Running:
    """The sandbox without faults and records."""
    requests.delete(f"{sandbox.url}/api/faults/hubspot", timeout=5)
    requests.delete(f"{sandbox.url}/api/receipts", timeout=5)
    return sandbox


@pytest.fixture
def vendor() -> Iterator[Scripted]:
    with scripted() as server:
        yield server


def build(url: str, limits: LimitsConfig, **settings: Any) -> HubSpotConnector:
    given = {"base_url": url, "access_token": TOKEN, **settings}
    return HubSpotConnector("crm", HubSpotSettings.model_validate(given), limits=limits, network=LOCAL)


@pytest.fixture
def connect() -> Iterator[Connect]:
    made: list[HubSpotConnector] = []

    def begin(url: str, *, timeout_seconds: float = 5.0, **settings: Any) -> HubSpotConnector:
        made.append(build(url, LimitsConfig(concurrency=4, timeout_seconds=timeout_seconds), **settings))
        return made[-1]

    yield begin
    for connector in made:
        connector.close()


@pytest.fixture
def crm(account: Running, connect: Connect) -> HubSpotConnector:
    return connect(f"{account.url}/hubspot")


def item(payload: dict[str, Any] | None = None, *, key: str = "delivery-1", seconds: float = 10.0) -> Item:
    return Item(payload=LEAD if payload is None else payload, key=key, attempt=1, deadline=monotonic() + seconds)


def ask_for(account: Running, **plan: Any) -> None:
    requests.put(f"{account.url}/api/faults/hubspot", json=plan, timeout=5).raise_for_status()


def receipts(account: Running) -> list[dict[str, Any]]:
    found = requests.get(f"{account.url}/api/receipts?target=hubspot", timeout=5).json()["receipts"]
    assert isinstance(found, list)
    return found


# --- against the sandbox ------------------------------------------------------------------------------------------


def test_contact_is_created_and_its_id_is_the_reference(crm: HubSpotConnector, account: Running) -> None:
    outcome = crm.deliver(item())
    assert outcome.result is Result.SUCCESS
    assert outcome.reference is not None
    assert outcome.reference.isdecimal()
    assert outcome.captured == {"created": True}
    assert [receipt["key"] for receipt in receipts(account)] == ["delivery-1"]


def test_same_email_updates_the_same_contact(crm: HubSpotConnector) -> None:
    first, again = crm.deliver(item()), crm.deliver(item({**LEAD, "firstname": "Anna"}, key="delivery-2"))
    assert again.reference == first.reference
    assert again.captured == {"created": False}


def test_answer_lost_after_receipt_is_ambiguous_and_the_repeat_makes_no_second_contact(
    crm: HubSpotConnector, account: Running
) -> None:
    ask_for(account, reset_after_receive_rate=1.0)
    with pytest.raises(TransientFault) as fault:
        crm.deliver(item())
    assert fault.value.ambiguous
    assert fault.value.transcript is not None
    assert "Doe" in fault.value.transcript["request"]["body"]
    requests.delete(f"{account.url}/api/faults/hubspot", timeout=5)
    assert crm.deliver(item()).captured == {"created": False}


@pytest.mark.parametrize(("token", "words"), [("wrong", "INVALID_AUTHENTICATION"), (READ_ONLY_TOKEN, "MISSING_SCOPES")])
def test_refused_token_is_a_configuration_fault(account: Running, connect: Connect, token: str, words: str) -> None:
    with pytest.raises(ConfigurationFault, match=words):
        connect(f"{account.url}/hubspot", access_token=token).deliver(item())


@pytest.mark.parametrize(
    ("payload", "kind", "words"),
    [
        ({**LEAD, "email": "nobody"}, DataFault, "VALIDATION_ERROR: INVALID_EMAIL (email)"),
        ({**LEAD, "lifecyclestage": "odd"}, DataFault, "VALIDATION_ERROR: INVALID_OPTION (lifecyclestage)"),
        ({**LEAD, "nonsense": "x"}, ConfigurationFault, "VALIDATION_ERROR: PROPERTY_DOESNT_EXIST (nonsense)"),
    ],
)
def test_what_the_account_cannot_store_is_told_without_the_value(
    crm: HubSpotConnector, payload: dict[str, Any], kind: type[DeliveryFault], words: str
) -> None:
    with pytest.raises(kind) as fault:
        crm.deliver(item(payload))
    assert fault.value.reason == words
    assert fault.value.transcript is not None


@pytest.mark.parametrize("status", [500, 502, 503, 504, 423, 477, 409])
def test_statuses_that_pass_are_transient(crm: HubSpotConnector, account: Running, status: int) -> None:
    ask_for(account, error_rate=1.0, status=status)
    with pytest.raises(TransientFault) as fault:
        crm.deliver(item())
    assert not fault.value.ambiguous
    assert fault.value.retry_after == (2.0 if status == 423 else None)


def test_rate_limit_waits_as_the_policy_says(crm: HubSpotConnector, account: Running) -> None:
    ask_for(account, rate_limit={})
    with pytest.raises(TransientFault, match="RATE_LIMIT") as fault:
        crm.deliver(item())
    assert fault.value.retry_after == 10.0


def test_retry_after_goes_before_the_policy(crm: HubSpotConnector, account: Running) -> None:
    ask_for(account, rate_limit={"retry_after": 7})
    with pytest.raises(TransientFault) as fault:
        crm.deliver(item())
    assert fault.value.retry_after == 7.0


def test_check_passes_and_describe_lists_properties(crm: HubSpotConnector) -> None:
    crm.check()
    found = {described.name: described for described in crm.describe()}
    assert found["email"].required
    assert found["lifecyclestage"].type == "enumeration"


def test_check_finds_a_wrong_token_and_a_missing_property(account: Running, connect: Connect) -> None:
    with pytest.raises(ConfigurationFault, match="INVALID_AUTHENTICATION"):
        connect(f"{account.url}/hubspot", access_token="wrong").check()
    with pytest.raises(ConfigurationFault, match="no property ext_id"):
        connect(f"{account.url}/hubspot", id_property="ext_id").check()


def test_hanging_account_is_left_at_the_deadline(crm: HubSpotConnector, account: Running) -> None:
    ask_for(account, hang_rate=1.0)
    begun = monotonic()
    with pytest.raises(TransientFault) as fault:
        crm.deliver(item(seconds=0.3))
    assert monotonic() - begun < 1.5
    assert fault.value.ambiguous


def test_threads_deliver_each_lead_once(crm: HubSpotConnector, account: Running) -> None:
    items = [item({**LEAD, "email": f"n{number}@example.com"}, key=f"delivery-{number}") for number in range(40)]
    sent = crm.deliver_many(items, until=monotonic() + 10)
    assert all(isinstance(one.answer, Outcome) for one in sent)
    assert sorted(receipt["key"] for receipt in receipts(account)) == sorted(each.key for each in items)


class SandboxAccount(Stage):
    """The sandbox's account as the contract wants it."""

    payload = LEAD
    poison = {**LEAD, "lifecyclestage": "undecided"}  # noqa: RUF012  # as declared
    secrets = (TOKEN,)

    def __init__(self, account: Running) -> None:
        self._account = account

    def connector(self, limits: LimitsConfig) -> HubSpotConnector:
        return build(f"{self._account.url}/hubspot", limits)

    def unreachable(self, limits: LimitsConfig) -> HubSpotConnector:
        return build(f"http://127.0.0.1:{closed_port()}", limits)

    def succeed(self) -> None:
        ask_for(self._account)

    def reject(self) -> None:
        pytest.skip("the sandbox has no unique property; test_value_another_record_has_is_a_rejection covers it")

    def fail(self) -> None:
        ask_for(self._account, error_rate=1.0)

    def refuse_credentials(self) -> None:
        ask_for(self._account, unauthorized=True)

    def hang(self) -> None:
        ask_for(self._account, hang_rate=1.0)

    def vanish(self) -> None:
        ask_for(self._account, reset_after_receive_rate=1.0)

    def keys(self) -> Sequence[str]:
        return [receipt["key"] for receipt in reversed(receipts(self._account))]

    def connections(self) -> int:
        return connections_to(self._account.port)


class TestContract(ConnectorContract):
    @pytest.fixture
    def stage(self, account: Running) -> SandboxAccount:
        return SandboxAccount(account)


# --- against answers the sandbox does not give --------------------------------------------------------------------


def test_request_is_as_documented(vendor: Scripted, connect: Connect) -> None:
    vendor.otherwise = reply(body=DONE)
    values = {
        "score": Decimal("1.50"),
        "optin": True,
        "when": date(2026, 3, 1),
        "at": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "interests": ["a", 2],
        "gone": None,
    }
    connect(vendor.url).deliver(item({**LEAD, **values}))
    (sent,) = vendor.seen
    assert (sent.method, sent.target) == ("POST", "/crm/objects/2026-09/contacts/batch/upsert")
    assert sent.headers["authorization"] == f"Bearer {TOKEN}"
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["user-agent"] == "leadrelay"
    (one,) = json.loads(sent.body)["inputs"]
    assert one == {
        "id": "ann@example.com",
        "idProperty": "email",
        "objectWriteTraceId": "delivery-1",
        "properties": {
            "firstname": "Ann",
            "lastname": "Doe",
            "score": "1.50",
            "optin": "true",
            "when": "2026-03-01",
            "at": "2026-03-01T12:00:00+00:00",
            "interests": "a;2",
            "gone": "",
        },
    }


def complaint(code: str) -> dict[str, Any]:
    detail = {"message": "x", "code": code, "context": {"propertyName": ["phone"]}}
    return {"status": "error", "category": "VALIDATION_ERROR", "message": "x", "errors": [detail]}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, complaint("INVALID_LONG"), DataFault),
        (400, complaint("SOMETHING_NEW"), DataFault),
        (400, complaint("READ_ONLY_VALUE"), ConfigurationFault),
        (
            400,
            {"category": "VALIDATION_ERROR", "message": "Unable to perform update/upsert by non-unique 0-1 property"},
            ConfigurationFault,
        ),
        (207, {"results": [], "numErrors": 1, "errors": [complaint("INVALID_LONG")]}, DataFault),
        (207, {"results": [], "errors": [{"category": "CONFLICT", "message": "exists"}]}, TransientFault),
        (404, b"<html>nothing here</html>", ConfigurationFault),
        (302, b"", ConfigurationFault),
        (524, b"", TransientFault),
    ],
)
def test_other_answers_are_classed(
    vendor: Scripted, connect: Connect, status: int, body: Any, kind: type[DeliveryFault]
) -> None:
    vendor.otherwise = reply(status, body=body)
    with pytest.raises(kind) as fault:
        connect(vendor.url).deliver(item())
    assert not fault.value.ambiguous


def test_daily_limit_waits_long(vendor: Scripted, connect: Connect) -> None:
    body = {"status": "error", "errorType": "RATE_LIMIT", "policyName": "DAILY", "message": "daily limit"}
    vendor.otherwise = reply(429, body=body)
    with pytest.raises(TransientFault) as fault:
        connect(vendor.url).deliver(item())
    assert fault.value.retry_after == 3600.0


def test_value_another_record_has_is_a_rejection(vendor: Scripted, connect: Connect) -> None:
    vendor.otherwise = reply(400, body=complaint("CONFLICTING_UNIQUE_VALUE"))
    outcome = connect(vendor.url).deliver(item())
    assert outcome.result is Result.FAILURE
    assert outcome.reason == "VALIDATION_ERROR: CONFLICTING_UNIQUE_VALUE (phone)"


@pytest.mark.parametrize("body", [b"<html>welcome</html>", {"results": []}, []])
def test_success_without_a_record_is_ambiguous(vendor: Scripted, connect: Connect, body: Any) -> None:
    vendor.otherwise = reply(body=body)
    with pytest.raises(TransientFault) as fault:
        connect(vendor.url).deliver(item())
    assert fault.value.ambiguous


@pytest.mark.parametrize("payload", [{"firstname": "Ann"}, {**LEAD, "email": ""}, {**LEAD, "x": {"a": 1}}])
def test_lead_that_cannot_be_sent_is_a_data_fault_and_nothing_leaves(
    vendor: Scripted, connect: Connect, payload: dict[str, Any]
) -> None:
    with pytest.raises(DataFault):
        connect(vendor.url).deliver(item(payload))
    assert vendor.seen == []


def test_transcript_shows_no_secret_and_is_capped(vendor: Scripted, connect: Connect) -> None:
    vendor.otherwise = reply(body={**DONE, "padding": "x" * 20_000}, Set_Cookie="sid=hush")
    outcome = connect(vendor.url).deliver(item({**LEAD, "message": "y" * 20_000}))
    shown = json.dumps(outcome.transcript)
    assert TOKEN not in shown
    assert "hush" not in shown
    assert len(shown) < 10_000


def test_close_returns_the_sockets(vendor: Scripted, connect: Connect) -> None:
    vendor.otherwise = reply(body=DONE)
    crm = connect(vendor.url)
    crm.deliver(item())
    crm.deliver(item())
    assert vendor.server.connected == 1
    assert vendor.server.until_open(lambda count: count == 1)
    crm.close()
    assert vendor.server.until_open(lambda count: count == 0)


def test_nothing_is_printed_when_the_account_is_out_of_reach(
    connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TransientFault, match="cannot connect") as fault:
        connect("http://127.0.0.1:1").deliver(item())
    assert not fault.value.ambiguous
    assert capsys.readouterr().out == ""


def test_only_a_small_part_of_the_vendors_client_is_imported() -> None:
    code = "import sys, app.connectors.hubspot; print(sum(name.startswith('hubspot') for name in sys.modules))"
    counted = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(counted.stdout) < 15


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "ftp://x"},
        {"object": "a/b"},
        {"id_property": "E Mail"},
        {"api_version": "v3"},
        {"access_token": "t\n"},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    HubSpotSettings.model_validate({"access_token": "${env:HUBSPOT_TOKEN}"})
    with pytest.raises(ValidationError):
        HubSpotSettings.model_validate({"access_token": "t", **wrong})
