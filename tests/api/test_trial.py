"""Destinations tried through the API: what is shown, what is sent, who may, and that a slow one holds nobody."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import pytest
import requests

from app.api.reach import GRACE_SECONDS, MOST
from app.ledger import query, version
from app.sandbox.process import Running, running
from tests.api.harness import DOCUMENT, Api, wait_until
from tests.connectors import soap_wsdl
from tests.connectors.fault_server import FaultServer, answer, closed_port, hang
from tests.connectors.fault_server import running as server_running
from tests.connectors.token_endpoint import SECRET, Buyer, buying

LEAD = {"email": "ada@example.com", "first_name": "Ada", "phone_1": "x"}
TIMEOUT = 1.5


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def silent() -> Iterator[FaultServer]:
    with server_running(hang) as server:
        yield server


@pytest.fixture(scope="module")
def rotating() -> Iterator[Buyer]:
    """A destination whose token endpoint takes each refresh token once."""
    with buying() as found:
        yield found


@pytest.fixture(scope="module")
def library() -> Iterator[FaultServer]:
    """Has a WSDL, under whatever address."""
    with server_running(hang) as server:
        document = soap_wsdl.wsdl(f"{server.url}/leads").encode()
        server.behaviour = answer(200, document, content_type="text/xml")
        yield server


@pytest.fixture(scope="module", autouse=True)
def configured(api: Api, sandbox: Running, silent: FaultServer, rotating: Buyer, library: FaultServer) -> None:
    """The API's configuration with destinations to try."""
    monkey = pytest.MonkeyPatch()
    monkey.setenv("TRIAL_KEY", "sandbox-buyer-key")
    monkey.setenv("TRIAL_TOKEN", "pat-na1-sandbox")
    monkey.setenv("TRIAL_SECRET", SECRET)
    monkey.setenv("TRIAL_REFRESH", rotating.refresh_token)

    def http(url: str, **more: Any) -> dict[str, Any]:
        return {"type": "http", "settings": {"url": url, **more}, "mapping": {"email": "{{ lead.email }}"}}

    key = {"api_key": {"name": "X-API-Key", "value": "${env:TRIAL_KEY}"}}
    grant = {"grant": "refresh_token", "refresh_token": "${env:TRIAL_REFRESH}", "client_secret": "${env:TRIAL_SECRET}"}
    oauth2 = rotating.auth(**grant)

    def soap(wsdl: str) -> dict[str, Any]:
        settings = {"wsdl": wsdl, "operation": "SubmitLead", "auth": key, "url": f"{library.url}/leads"}
        return {"type": "soap", "settings": settings, "mapping": {"lead.email": "{{ lead.email }}", "lead.seen": None}}

    added: Mapping[str, Mapping[str, Any]] = {
        "rotating": http(f"{rotating.server.url}/leads", auth=oauth2, check_url=f"{rotating.server.url}/leads"),
        "buyer": {
            **http(f"{sandbox.url}/buyer/leads", auth=key),
            "when": "lead.first_name == 'Ada'",
            "response": {"search": {"path": "outcome", "term": "accepted"}, "price": "price", "reference": "lead_id"},
        },
        "stranger": http(f"{sandbox.url}/buyer/leads"),
        "keyless": http(f"{sandbox.url}/buyer/leads", auth={"bearer": {"token": "${env:NOT_HERE}"}}),
        "soap": soap(f"{library.url}/leads?wsdl"),
        "soap-here": soap(soap_wsdl.wsdl()),
        "away": http(f"http://127.0.0.1:{closed_port()}/"),
        "slow": {**http(silent.url, check_url=silent.url), "limits": {"timeout_seconds": TIMEOUT}},
        "contacts": {
            "type": "hubspot",
            "settings": {"base_url": f"{sandbox.url}/hubspot", "access_token": "${env:TRIAL_TOKEN}"},
            "mapping": {"email": "{{ lead.email }}"},
        },
        "refused": {
            "type": "hubspot",
            "settings": {"base_url": f"{sandbox.url}/hubspot", "access_token": "${env:TRIAL_KEY}"},
        },
        "mail": {
            "type": "email",
            "settings": {"host": "127.0.0.1", "from": "a@example.com"},
            "mapping": {"to": "{{ lead.email }}", "text": "hello"},
        },
    }
    document = DOCUMENT.model_dump(mode="json")
    for name, one in added.items():
        network = {} if one["type"] == "email" else {"network": {"allow": ["127.0.0.1"]}}
        document["destinations"].append({"name": name, **network, **one})
    version.write(api.database, document, changed=[], actor="test")
    wait_until(lambda: post(api, "mail", "preview", {"lead": LEAD}).ok, "the new configuration")
    yield
    monkey.undo()


def post(api: Api, name: str, what: str, body: Any = None, **more: Any) -> requests.Response:
    return api.post(f"/v1/destinations/{name}/{what}", json=body, **more)


def test_a_preview_shows_the_request_and_no_secret(api: Api) -> None:
    found = post(api, "buyer", "preview", {"lead": LEAD}, who="read").json()
    assert list(found["request"]) == ["method", "url", "headers", "body"]
    assert found["request"]["headers"]["X-API-Key"] == "***"
    assert found["request"]["body"] == '{"email":"ada@example.com"}'
    assert found["skipped"] is None
    assert found["notes"] == ["phone_1 is not a phone number; it is taken as text"]
    skipped = post(api, "buyer", "preview", {"lead": {"email": "b@example.com"}}).json()
    assert skipped["skipped"] == "the destination's condition was not met"
    assert post(api, "keyless", "preview", {"lead": LEAD}).ok
    assert post(api, "mail", "preview", {"lead": LEAD}).json()["request"]["recipients"] == ["ada@example.com"]


@pytest.mark.parametrize("what", ["preview", "test"])
def test_a_lead_that_does_not_stand_under_its_name_is_told_where_it_goes(api: Api, what: str) -> None:
    refused = post(api, "buyer", what, LEAD)
    assert refused.status_code == 422
    remedy = 'put the fields of the lead under "lead": {"lead": {…}}'
    assert [(one["field"], one["detail"]) for one in refused.json()["errors"]] == [("body", remedy)]


def test_a_preview_reads_the_lead_as_a_source_does(api: Api) -> None:
    refused = post(api, "buyer", "preview", {"lead": {}, "source": "web"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "email")
    assert post(api, "buyer", "preview", {"lead": LEAD, "source": "nobody"}).status_code == 404
    assert post(api, "mail", "preview", {"lead": {}}).json()["errors"][0]["field"] == "mapping"


@pytest.mark.parametrize("what", ["preview", "test"])
def test_a_body_that_is_too_large_is_refused_while_it_comes_in(api: Api, what: str) -> None:
    chunks = (b'{"lead": {"a": "', *(b"a" * 1000 for _ in range(10)), b'"}}')
    headers = {"Content-Type": "application/json"}
    refused = api.post(f"/v1/destinations/buyer/{what}", data=iter(chunks), headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (413, "/docs#too-large")


def test_an_answer_is_interpreted(api: Api) -> None:
    answer = {"status": 200, "body": {"outcome": "accepted", "price": 2.5, "lead_id": "b-1"}}
    found = post(api, "buyer", "interpret", answer, who="read").json()
    assert (found["outcome"], found["price"], found["reference"], found["fault"]) == ("success", "2.5", "b-1", None)
    assert post(api, "buyer", "interpret", {"status": 7}).status_code == 422
    assert post(api, "mail", "interpret", answer).status_code == 409


@pytest.mark.parametrize(
    ("what", "body"),
    [("preview", {"lead": LEAD}), ("interpret", {"status": 200, "body": soap_wsdl.ACCEPTED.decode()})],
)
def test_a_wsdl_at_an_address_is_fetched_for_operators_only_and_without_credentials(
    api: Api, library: FaultServer, what: str, body: Any
) -> None:
    library.received.clear()
    refused = post(api, "soap", what, body, who="read")
    assert (refused.status_code, refused.json()["type"]) == (403, "/docs#forbidden")
    assert "lacks the scope 'operate': the WSDL of this destination" in refused.json()["detail"]
    assert 'scope="operate"' in refused.headers["www-authenticate"]
    assert library.received == []
    assert post(api, "soap-here", what, body, who="read").ok, "its WSDL is known"
    assert library.received == []
    assert post(api, "soap", what, body).ok
    [request] = library.received
    assert (request.method, request.target) == ("GET", "/leads?wsdl")
    assert "x-api-key" not in request.headers


def test_a_wsdl_that_cannot_be_fetched_is_a_destination_fault(api: Api, library: FaultServer) -> None:
    before, library.behaviour = library.behaviour, answer(503)
    found = post(api, "soap", "preview", {"lead": LEAD})
    library.behaviour = before
    assert (found.status_code, found.json()["type"]) == (502, "/docs#destination-fault")
    assert "the WSDL cannot be fetched" in found.json()["detail"]


def test_a_test_is_sent_and_leaves_nothing_in_the_ledger(api: Api) -> None:
    before = query.deliveries(api.database, limit=200)
    found = post(api, "buyer", "test", {"lead": LEAD}, who="operate").json()
    assert (found["outcome"], found["price"]) == ("success", "12.5")
    assert found["transcript"]["request"]["headers"]["X-Leadrelay-Test"] == "true"
    assert "sandbox-buyer-key" not in str(found)
    assert post(api, "buyer", "test", {"lead": {}}).json()["outcome"] == "skipped"
    assert post(api, "stranger", "test", {"lead": LEAD}).json()["fault"] == "configuration"
    missing = post(api, "keyless", "test", {"lead": LEAD}).json()
    assert "${env:NOT_HERE}: there is no such environment variable" in missing["reason"]
    assert post(api, "away", "test", {"lead": LEAD}).json()["fault"] == "transient"
    assert query.deliveries(api.database, limit=200) == before


def test_a_check_says_whether_we_are_let_in(api: Api) -> None:
    assert post(api, "contacts", "check", who="operate").json()["ok"] is True
    refused = post(api, "refused", "check").json()
    assert (refused["ok"], refused["fault"]) == (False, "configuration")
    assert post(api, "away", "check").json()["fault"] == "transient"


def test_a_try_uses_the_token_that_workers_share(api: Api, rotating: Buyer) -> None:
    assert post(api, "rotating", "test", {"lead": LEAD}).json()["outcome"] == "success"
    assert post(api, "rotating", "check").json()["ok"] is True
    assert post(api, "rotating", "test", {"lead": LEAD}).json()["outcome"] == "success"
    assert len(rotating.forms) == 1, "the refresh token in the settings is no longer good for another"


def test_fields_of_the_other_side_are_described(api: Api) -> None:
    found = api.get("/v1/destinations/contacts/describe", who="operate").json()
    assert {"name": "email", "required": True}.items() <= next(one for one in found if one["name"] == "email").items()
    assert api.get("/v1/destinations/buyer/describe").status_code == 409
    refused = api.get("/v1/destinations/refused/describe")
    assert (refused.status_code, refused.json()["type"]) == (502, "/docs#destination-fault")


@pytest.mark.parametrize(
    ("what", "body", "scope"),
    [
        ("preview", {"lead": LEAD}, "read"),
        ("interpret", {"status": 200}, "read"),
        ("test", {"lead": LEAD}, "operate"),
        ("check", None, "operate"),
    ],
)
def test_scopes_and_bounds_of_keys_hold(api: Api, what: str, body: Any, scope: str) -> None:
    for who in {"submit", "read", "operate"} - {scope}:
        assert post(api, "buyer", what, body, who=who).status_code == 403
    assert post(api, "buyer", what, body, who="partner").status_code == 403
    missing = post(api, "nowhere", what, body)
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")


def test_a_slow_destination_holds_nobody_longer_than_its_time(api: Api, silent: FaultServer) -> None:
    begun = monotonic()
    found = post(api, "slow", "test", {"lead": LEAD}).json()
    assert (found["fault"], found["ambiguous"]) == ("transient", True)
    assert post(api, "slow", "check").json()["ok"] is False
    assert monotonic() - begun < 2 * (TIMEOUT + GRACE_SECONDS)


def test_more_tries_than_may_be_are_put_off_and_others_are_served_meanwhile(api: Api, silent: FaultServer) -> None:
    answers: list[int] = []
    begin = threading.Barrier(MOST + 2)

    def one() -> None:
        begin.wait()
        answer = requests.post(
            f"{api.url}/v1/destinations/slow/check", headers={"X-API-Key": api.keys["operate"]}, timeout=30
        )
        answers.append(answer.status_code)

    before = len(silent.received)
    with ThreadPoolExecutor(MOST + 1) as threads:
        for _ in range(MOST + 1):
            threads.submit(one)
        begin.wait()
        wait_until(lambda: len(silent.received) >= before + MOST, "all of them wait")
        begun = monotonic()
        assert api.submit()["deliveries"]
        assert monotonic() - begun < TIMEOUT, "a submission waited for a try"
    assert sorted(answers) == [200] * MOST + [503]
    assert post(api, "contacts", "check").json()["ok"] is True
