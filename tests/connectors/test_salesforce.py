"""The salesforce connector against the sandbox's org, and against answers it does not give."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from socket import socket
from time import monotonic
from typing import Any

import pytest
import requests
from pydantic import ValidationError

from app.config.schema import LimitsConfig
from app.connectors._token import FRESH_SECONDS
from app.connectors._token_store import ProcessTokens
from app.connectors.salesforce import SalesforceConnector, SalesforceSettings
from app.errors import ConfigurationFault, DataFault, DeliveryFault, PermanentFault, TransientFault
from app.model import Item, Outcome, Result
from app.sandbox import Running, running
from app.sandbox.salesforce_login import CLIENT_ID, CLIENT_SECRET
from tests.connectors.contract import ConnectorContract, Stage
from tests.connectors.fault_server import LOCAL, Behaviour, Received, closed_port, reset
from tests.connectors.scripted import Scripted, connections_to, reply, scripted

LEAD = {"LastName": "Doe", "Company": "Doe & Sons", "Email": "ann@example.com"}
TOKEN = {"access_token": "00D!token", "token_type": "Bearer"}
DONE = {"id": "00Q5e0000000001EAA", "success": True, "errors": [], "created": True}

Connect = Callable[..., SalesforceConnector]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    with running() as place:
        yield place


@pytest.fixture
def org(sandbox: Running) -> Running:
    """The sandbox without faults and records."""
    requests.delete(f"{sandbox.url}/api/faults/salesforce", timeout=5)
    requests.delete(f"{sandbox.url}/api/receipts", timeout=5)
    return sandbox


@pytest.fixture
def vendor() -> Iterator[Scripted]:
    """A server that signs on and then answers as told."""
    with scripted() as server:
        server.answers.append(reply(body={**TOKEN, "instance_url": server.url}))
        yield server


def build(url: str, limits: LimitsConfig, **settings: Any) -> SalesforceConnector:
    given = {
        "instance_url": url,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "external_id_field": "External_Id__c",
        **settings,
    }
    return SalesforceConnector("crm", SalesforceSettings.model_validate(given), limits=limits, network=LOCAL)


@pytest.fixture
def connect() -> Iterator[Connect]:
    made: list[SalesforceConnector] = []

    def begin(url: str, *, timeout_seconds: float = 5.0, **settings: Any) -> SalesforceConnector:
        made.append(build(url, LimitsConfig(concurrency=4, timeout_seconds=timeout_seconds), **settings))
        return made[-1]

    yield begin
    for connector in made:
        connector.close()


@pytest.fixture
def crm(org: Running, connect: Connect) -> SalesforceConnector:
    return connect(f"{org.url}/salesforce")


def item(payload: dict[str, Any] | None = None, *, key: str = "delivery-1", seconds: float = 10.0) -> Item:
    return Item(payload=LEAD if payload is None else payload, key=key, attempt=1, deadline=monotonic() + seconds)


def age(crm: SalesforceConnector) -> None:
    """Make its token as old as one that is renewed when the org refuses it."""
    shared = crm._token
    assert shared._held is not None
    shared._held = replace(shared._held, obtained_at=shared._held.obtained_at - FRESH_SECONDS)


def ask_for(org: Running, **plan: Any) -> None:
    requests.put(f"{org.url}/api/faults/salesforce", json=plan, timeout=5).raise_for_status()


def receipts(org: Running) -> list[dict[str, Any]]:
    found = requests.get(f"{org.url}/api/receipts?target=salesforce", timeout=5).json()["receipts"]
    assert isinstance(found, list)
    return found


# --- against the sandbox ------------------------------------------------------------------------------------------


def test_lead_is_created_and_its_id_is_the_reference(crm: SalesforceConnector, org: Running) -> None:
    outcome = crm.deliver(item())
    assert outcome.result is Result.SUCCESS
    assert outcome.reference is not None
    assert outcome.reference.startswith("00Q")
    assert outcome.captured == {"created": True}
    assert [receipt["key"] for receipt in receipts(org)] == ["delivery-1"]


def test_repeat_updates_the_same_record(crm: SalesforceConnector) -> None:
    first, again = crm.deliver(item()), crm.deliver(item())
    assert again.reference == first.reference
    assert again.captured == {"created": False}


def test_mapped_external_id_is_used_instead_of_the_delivery_id(crm: SalesforceConnector, org: Running) -> None:
    crm.deliver(item({**LEAD, "External_Id__c": "a b/ü?#%"}))
    assert [receipt["key"] for receipt in receipts(org)] == ["a b/ü?#%"]


def test_answer_lost_after_receipt_is_ambiguous_and_the_repeat_makes_no_second_record(
    crm: SalesforceConnector, org: Running
) -> None:
    ask_for(org, reset_after_receive_rate=1.0)
    with pytest.raises(TransientFault) as fault:
        crm.deliver(item())
    assert fault.value.ambiguous
    assert fault.value.transcript is not None
    assert "Doe" in fault.value.transcript["request"]["body"]
    requests.delete(f"{org.url}/api/faults/salesforce", timeout=5)
    assert crm.deliver(item()).captured == {"created": False}


def test_revoked_token_is_renewed_unnoticed(crm: SalesforceConnector, org: Running) -> None:
    crm.deliver(item())
    requests.delete(f"{org.url}/api/salesforce/tokens", timeout=5).raise_for_status()
    age(crm)
    assert crm.deliver(item(key="delivery-2")).result is Result.SUCCESS


def test_lasting_401_is_a_configuration_fault(crm: SalesforceConnector, org: Running) -> None:
    crm.deliver(item())
    ask_for(org, unauthorized=True)
    with pytest.raises(ConfigurationFault):
        crm.deliver(item(key="delivery-2"))


def test_wrong_secret_is_a_configuration_fault_that_does_not_tell_it(org: Running, connect: Connect) -> None:
    with pytest.raises(ConfigurationFault, match="sign-on refused: HTTP 400 invalid_client") as fault:
        connect(f"{org.url}/salesforce", client_secret="hush").deliver(item())
    assert "hush" not in repr(fault.value.__dict__)


@pytest.mark.parametrize("code", ["REQUEST_LIMIT_EXCEEDED", "SERVER_UNAVAILABLE", "UNABLE_TO_LOCK_ROW"])
def test_codes_that_pass_are_transient(crm: SalesforceConnector, org: Running, code: str) -> None:
    crm.check()
    ask_for(org, error_rate=1.0, error_code=code)
    with pytest.raises(TransientFault, match=code) as fault:
        crm.deliver(item())
    assert not fault.value.ambiguous
    assert fault.value.retry_after == (900.0 if code == "REQUEST_LIMIT_EXCEEDED" else None)


def test_retry_after_is_kept(crm: SalesforceConnector, org: Running) -> None:
    crm.check()
    ask_for(org, rate_limit={"retry_after": 7})
    with pytest.raises(TransientFault) as fault:
        crm.deliver(item())
    assert fault.value.retry_after == 7.0


@pytest.mark.parametrize(
    ("payload", "kind", "words"),
    [
        ({"LastName": "Doe"}, DataFault, "REQUIRED_FIELD_MISSING: Company"),
        ({**LEAD, "Email": "nobody"}, DataFault, "INVALID_EMAIL_ADDRESS: Email"),
        ({**LEAD, "City": "x" * 41}, DataFault, "STRING_TOO_LONG: City"),
        ({**LEAD, "Nonsense": "x"}, ConfigurationFault, "INVALID_FIELD: No such column 'Nonsense'"),
    ],
)
def test_what_the_org_cannot_store_is_told_without_the_value(
    crm: SalesforceConnector, payload: dict[str, Any], kind: type[DeliveryFault], words: str
) -> None:
    with pytest.raises(kind) as fault:
        crm.deliver(item(payload))
    assert fault.value.reason.startswith(words)
    assert "nobody" not in fault.value.reason
    assert fault.value.transcript is not None
    assert fault.value.transcript["response"]["status"] == 400


def test_validation_rule_of_the_org_is_a_rejection(crm: SalesforceConnector, org: Running) -> None:
    ask_for(org, reject_rate=1.0, reject_reason="Out of area")
    outcome = crm.deliver(item())
    assert outcome.result is Result.FAILURE
    assert outcome.reason == "FIELD_CUSTOM_VALIDATION_EXCEPTION: Out of area"


def test_found_duplicate_is_a_rejection_that_names_the_record(crm: SalesforceConnector, org: Running) -> None:
    ask_for(org, duplicate_rule=True)
    first = crm.deliver(item())
    outcome = crm.deliver(item(key="delivery-2"))
    assert outcome.result is Result.FAILURE
    assert outcome.captured == {"duplicates": [first.reference]}


def test_duplicates_are_saved_when_allowed(org: Running, connect: Connect) -> None:
    ask_for(org, duplicate_rule=True)
    crm = connect(f"{org.url}/salesforce", allow_duplicates=True)
    crm.deliver(item())
    assert crm.deliver(item(key="delivery-2")).captured == {"created": True}


def test_unknown_external_id_field_is_a_configuration_fault(org: Running, connect: Connect) -> None:
    crm = connect(f"{org.url}/salesforce", external_id_field="Phone")
    with pytest.raises(ConfigurationFault, match="no external id field Phone"):
        crm.check()
    with pytest.raises(ConfigurationFault, match="NOT_FOUND"):
        crm.deliver(item())


def test_check_passes_and_describe_lists_what_can_be_written(crm: SalesforceConnector) -> None:
    crm.check()
    found = {described.name: described for described in crm.describe()}
    assert found["LastName"].required
    assert not found["Email"].required
    assert found["Email"].type == "email"
    assert "Id" not in found


def test_hanging_org_is_left_at_the_deadline(crm: SalesforceConnector, org: Running) -> None:
    crm.check()
    ask_for(org, hang_rate=1.0)
    begun = monotonic()
    with pytest.raises(TransientFault) as fault:
        crm.deliver(item(seconds=0.3))
    assert monotonic() - begun < 1.5
    assert fault.value.ambiguous


def test_hanging_sign_on_is_not_ambiguous_and_ends_within_one_timeout(org: Running, connect: Connect) -> None:
    ask_for(org, hang_rate=1.0)
    crm = connect(f"{org.url}/salesforce", timeout_seconds=0.4)
    begun = monotonic()
    sent = crm.deliver_many([item(key=f"delivery-{number}") for number in range(4)], until=monotonic() + 0.2)
    assert monotonic() - begun < 2.5
    faults = [one.answer for one in sent if isinstance(one.answer, Exception)]
    assert faults
    assert all(isinstance(fault, TransientFault) and not fault.ambiguous for fault in faults)


def test_threads_share_one_token_and_each_lead_arrives_once(crm: SalesforceConnector, org: Running) -> None:
    keys = [f"delivery-{number}" for number in range(40)]
    sent = crm.deliver_many([item(key=key) for key in keys], until=monotonic() + 10)
    assert all(isinstance(one.answer, Outcome) for one in sent)
    assert sorted(receipt["key"] for receipt in receipts(org)) == sorted(keys)


class SandboxOrg(Stage):
    """The sandbox's org as the contract wants it."""

    payload = LEAD
    poison = {**LEAD, "City": "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch"}  # noqa: RUF012  # as declared
    secrets = (CLIENT_SECRET, "00D5e000000SBOX!")

    def __init__(self, org: Running) -> None:
        self._org = org
        self._made: list[SalesforceConnector] = []

    def connector(self, limits: LimitsConfig) -> SalesforceConnector:
        return self._connector(f"{self._org.url}/salesforce", limits)

    def unreachable(self, limits: LimitsConfig) -> SalesforceConnector:
        return self._connector(f"http://127.0.0.1:{closed_port()}", limits)

    def succeed(self) -> None:
        ask_for(self._org)

    def reject(self) -> None:
        ask_for(self._org, reject_rate=1.0)

    def fail(self) -> None:
        ask_for(self._org, error_rate=1.0)

    def refuse_credentials(self) -> None:
        ask_for(self._org, unauthorized=True)

    def hang(self) -> None:
        for connector in self._made:
            connector.check()  # signs on, so that it is the lead whose answer does not come
        ask_for(self._org, hang_rate=1.0)

    def vanish(self) -> None:
        ask_for(self._org, reset_after_receive_rate=1.0)

    def keys(self) -> Sequence[str]:
        return [receipt["key"] for receipt in reversed(receipts(self._org))]

    def connections(self) -> int:
        return connections_to(self._org.port)

    def _connector(self, url: str, limits: LimitsConfig) -> SalesforceConnector:
        self._made.append(build(url, limits))
        return self._made[-1]


class TestContract(ConnectorContract):
    @pytest.fixture
    def stage(self, org: Running) -> SandboxOrg:
        return SandboxOrg(org)


# --- against answers the sandbox does not give --------------------------------------------------------------------


def test_request_carries_headers_and_body_as_documented(vendor: Scripted, connect: Connect) -> None:
    vendor.otherwise = reply(201, body=DONE)
    crm = connect(vendor.url, auto_assign="01Qxx0000000001AAA", allow_duplicates=True)
    crm.deliver(item({**LEAD, "Interests__c": ["a", "b"], "Owner": {"Ext__c": "7"}}))
    sign_on, sent = vendor.seen
    assert (sign_on.method, sign_on.target) == ("POST", "/services/oauth2/token")
    assert b"grant_type=client_credentials" in sign_on.body
    assert (sent.method, sent.target) == ("PATCH", "/services/data/v65.0/sobjects/Lead/External_Id__c/delivery-1")
    assert json.loads(sent.body) == {**LEAD, "Interests__c": "a;b", "Owner": {"Ext__c": "7"}}
    assert sent.headers["authorization"] == "Bearer 00D!token"
    assert sent.headers["sforce-auto-assign"] == "01Qxx0000000001AAA"
    assert sent.headers["sforce-duplicate-rule-header"] == "allowSave=true"


def test_assignment_rules_can_be_switched_off(vendor: Scripted, connect: Connect) -> None:
    vendor.otherwise = reply(201, body=DONE)
    connect(vendor.url, auto_assign=False).deliver(item())
    assert vendor.seen[1].headers["sforce-auto-assign"] == "FALSE"


def test_assignment_rules_are_the_orgs_own_unless_told(vendor: Scripted, connect: Connect) -> None:
    vendor.otherwise = reply(201, body=DONE)
    connect(vendor.url).deliver(item())
    assert not {"sforce-auto-assign", "sforce-duplicate-rule-header"} & set(vendor.seen[1].headers)


def refused(code: str, message: str = "m", **more: Any) -> list[dict[str, Any]]:
    return [{"errorCode": code, "message": message, **more}]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, refused("DUPLICATE_VALUE", "duplicate value found: External_Id__c duplicates value"), TransientFault),
        (300, ["/services/data/v65.0/sobjects/Lead/a", "/services/data/v65.0/sobjects/Lead/b"], DataFault),
        (400, refused("SOMETHING_NEW"), PermanentFault),
        (403, refused("SOMETHING_NEW"), ConfigurationFault),
        (500, b"<html>maintenance</html>", TransientFault),
        (302, b"", ConfigurationFault),
        (200, b"<html>maintenance</html>", TransientFault),
        (200, [], TransientFault),
    ],
)
def test_other_answers_are_classed(
    vendor: Scripted, connect: Connect, status: int, body: Any, kind: type[DeliveryFault]
) -> None:
    vendor.otherwise = reply(status, body=body)
    with pytest.raises(kind) as fault:
        connect(vendor.url).deliver(item())
    assert fault.value.ambiguous == (status == 200)


def test_other_unique_field_already_taken_is_a_rejection(vendor: Scripted, connect: Connect) -> None:
    message = "duplicate value found: Email_Key__c duplicates value on record with id: 00Q"
    vendor.otherwise = reply(400, body=refused("DUPLICATE_VALUE", message))
    assert connect(vendor.url).deliver(item()).result is Result.FAILURE


def test_personal_data_in_the_vendors_words_stays_out_of_the_reason(vendor: Scripted, connect: Connect) -> None:
    vendor.otherwise = reply(
        400, body=refused("FIELD_CUSTOM_VALIDATION_EXCEPTION", "ann@example.com: no, call +1 202 555 0143")
    )
    outcome = connect(vendor.url).deliver(item())
    assert outcome.reason is not None
    assert "example.com" not in outcome.reason
    assert "0143" not in outcome.reason


def test_expired_token_is_renewed_once_and_no_more(vendor: Scripted, connect: Connect) -> None:
    expired = reply(401, body=refused("INVALID_SESSION_ID", "Session expired or invalid"))
    renewed = reply(body={**TOKEN, "access_token": "new", "instance_url": vendor.url})
    vendor.answers.extend([reply(201, DONE), expired, renewed, expired])
    crm = connect(vendor.url)
    crm.deliver(item())
    age(crm)
    with pytest.raises(ConfigurationFault, match="INVALID_SESSION_ID"):
        crm.deliver(item())
    assert len(vendor.seen) == 5


def test_a_token_got_just_now_that_is_refused_is_not_asked_for_again(vendor: Scripted, connect: Connect) -> None:
    vendor.answers.append(reply(401, body=refused("INVALID_SESSION_ID")))
    with pytest.raises(ConfigurationFault, match="INVALID_SESSION_ID"):
        connect(vendor.url).deliver(item())
    assert len(vendor.seen) == 2


def test_connectors_with_one_store_share_a_token_and_the_address_of_the_instance(vendor: Scripted) -> None:
    given = {"instance_url": vendor.url, "client_id": "id", "client_secret": "hush-1", "external_id_field": "Id__c"}
    store, settings = ProcessTokens(), SalesforceSettings.model_validate(given)
    vendor.answers.extend([reply(201, DONE)] * 2)
    for _ in range(2):
        crm = SalesforceConnector("crm", settings, limits=LimitsConfig(), network=LOCAL, tokens=store)
        crm.deliver(item())
        crm.close()
    assert [request.method for request in vendor.seen] == ["POST", "PATCH", "PATCH"]
    assert {request.headers["authorization"] for request in vendor.seen[1:]} == {"Bearer 00D!token"}
    assert "00D!token" not in str(store._kept)


def test_threads_renew_an_expired_token_once_between_them(vendor: Scripted, connect: Connect) -> None:
    gate = threading.Barrier(3)
    tokens = 0

    def behave(connection: socket, request: Received) -> bool:
        nonlocal tokens
        if request.target.endswith("/token"):
            tokens += 1
            given = {"access_token": f"token-{tokens}", "instance_url": vendor.url}
            return reply(body=given)(connection, request)
        if request.headers["authorization"] == "Bearer token-1":
            gate.wait(5)
            return reply(401, refused("INVALID_SESSION_ID"))(connection, request)
        return reply(201, DONE)(connection, request)

    vendor.answers.clear()
    vendor.otherwise = behave
    crm = connect(vendor.url)
    crm._token.get(monotonic() + 5)
    age(crm)
    threads = [threading.Thread(target=crm.deliver, args=(item(key=str(number)),)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tokens == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(503), TransientFault),
        (reply(400, body={"error": "unknown_error"}), TransientFault),
        (reply(400, body={"error": "invalid_grant"}), ConfigurationFault),
        (reply(body={"nothing": "here"}), TransientFault),
        (reset, TransientFault),
    ],
)
def test_refused_sign_on_is_classed_and_never_ambiguous(
    vendor: Scripted, connect: Connect, answer: Behaviour, kind: type[DeliveryFault]
) -> None:
    vendor.answers.clear()
    vendor.otherwise = answer
    with pytest.raises(kind) as fault:
        connect(vendor.url).deliver(item())
    assert not fault.value.ambiguous
    assert len(vendor.seen) == 1


@pytest.mark.parametrize("value", ["..", ".", {"a": 1}, "\ud800"])
def test_external_id_that_cannot_stand_in_a_path_is_a_data_fault(crm: SalesforceConnector, value: Any) -> None:
    with pytest.raises(DataFault):
        crm.deliver(item({**LEAD, "External_Id__c": value}))


def test_transcript_shows_no_secret_and_is_capped(vendor: Scripted, connect: Connect) -> None:
    vendor.otherwise = reply(201, body={**DONE, "padding": "x" * 20_000}, Set_Cookie="sid=hush")
    outcome = connect(vendor.url).deliver(item({**LEAD, "Description": "y" * 20_000}))
    shown = json.dumps(outcome.transcript)
    assert "00D!token" not in shown
    assert CLIENT_SECRET not in shown
    assert "hush" not in shown
    assert len(shown) < 10_000


def test_close_returns_the_sockets(vendor: Scripted, connect: Connect) -> None:
    vendor.otherwise = reply(201, body=DONE)
    crm = connect(vendor.url)
    crm.deliver(item())
    assert vendor.server.connected == 1
    assert vendor.server.until_open(lambda count: count == 1)
    crm.close()
    assert vendor.server.until_open(lambda count: count == 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"instance_url": "example.my.salesforce.com"},
        {"instance_url": "https://user:secret@example.my.salesforce.com"},
        {"object": "Lead/../Account"},
        {"external_id_field": "a/b"},
        {"api_version": "45.0"},
        {"auto_assign": "yes"},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    good = {
        "instance_url": "https://example.my.salesforce.com",
        "client_id": "${env:ID}",
        "client_secret": "${env:SECRET}",
        "external_id_field": "Leadrelay_Id__c",
    }
    SalesforceSettings.model_validate(good)
    with pytest.raises(ValidationError):
        SalesforceSettings.model_validate({**good, **wrong})
