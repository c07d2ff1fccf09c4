"""The Salesforce stand-in follows Salesforce's documents as far as delivering Leads needs it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import requests
from requests.auth import HTTPBasicAuth
from simple_salesforce.api import SFType
from simple_salesforce.exceptions import SalesforceExpiredSession, SalesforceMalformedRequest

from app.sandbox import Running
from app.sandbox.salesforce_login import CLIENT_ID, CLIENT_SECRET
from app.sandbox.salesforce_object import make_id

CREDENTIALS = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
LEAD = {"LastName": "Lee", "Company": "Acme", "Email": "ann@example.com"}
Call = Callable[..., requests.Response]


def log_in(sandbox: Running, **form: str) -> requests.Response:
    url = f"{sandbox.url}/salesforce/services/oauth2/token"
    return requests.post(url, data=CREDENTIALS | form, timeout=5)


@pytest.fixture
def call(sandbox: Running) -> Call:
    """Calls the REST API at the instance URL, logged in; paths start behind the version."""
    login = log_in(sandbox).json()

    def send(method: str, path: str, body: Any = None, version: str = "65.0", **headers: str) -> requests.Response:
        url = f"{login['instance_url']}/services/data/v{version}{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        authorization = {"Authorization": f"Bearer {login['access_token']}"}
        return requests.request(method, url, json=body, headers=authorization | named, timeout=5)

    return send


def upsert(call: Call, external_id: str, body: dict[str, Any], **options: str) -> requests.Response:
    return call("PATCH", f"/sobjects/Lead/External_Id__c/{external_id}", body, **options)


def code(response: requests.Response) -> tuple[int, str, list[str]]:
    (error,) = response.json()
    assert error["message"]
    return response.status_code, error["errorCode"], error.get("fields", [])


def test_token_is_given_for_client_credentials_in_the_form_or_in_basic_auth(sandbox: Running) -> None:
    token = log_in(sandbox).json()
    assert token["token_type"] == "Bearer"
    assert token["instance_url"] == sandbox.url
    basic = requests.post(
        f"{sandbox.url}/salesforce/services/oauth2/token",
        data={"grant_type": "client_credentials"},
        auth=HTTPBasicAuth(CLIENT_ID, CLIENT_SECRET),
        timeout=5,
    )
    assert basic.json()["access_token"] != token["access_token"]


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"client_id": "x"}, "invalid_client_id"),
        ({"client_secret": "x"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_wrong_credentials_get_the_documented_error(sandbox: Running, form: dict[str, str], error: str) -> None:
    answer = log_in(sandbox, **form)
    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert answer.json()["error_description"]


def test_upsert_creates_then_updates(call: Call, count: Callable[[str], dict[str, int]]) -> None:
    created = upsert(call, "a-1", LEAD)
    assert created.status_code == 201
    assert created.json() == {"id": created.json()["id"], "success": True, "errors": [], "created": True}
    assert re.fullmatch(r"00Q\w{15}", created.json()["id"])
    updated = upsert(call, "A-1", {"FirstName": "Ann"})
    assert updated.status_code == 200
    assert updated.json() == created.json() | {"created": False}
    stored = call("GET", "/sobjects/Lead/External_Id__c/a-1").json()
    assert stored["LastName"] == "Lee"
    assert stored["FirstName"] == "Ann"
    assert count("salesforce")["duplicates"] == 1


def test_simple_salesforce_understands_the_answers(sandbox: Running) -> None:
    token = log_in(sandbox).json()["access_token"]
    leads = SFType("Lead", token, sandbox.url.removeprefix("http://"), sf_version="65.0")
    leads.base_url = leads.base_url.replace("https://", "http://")  # it knows no other scheme
    assert leads.upsert("External_Id__c/a-0", LEAD) == 201
    assert leads.upsert("External_Id__c/a-0", LEAD) == 200
    with pytest.raises(SalesforceMalformedRequest) as refused:
        leads.upsert("External_Id__c/a-9", {"FirstName": "Ann"})
    assert "REQUIRED_FIELD_MISSING" in str(refused.value)
    requests.delete(f"{sandbox.url}/api/salesforce/tokens", timeout=5)
    with pytest.raises(SalesforceExpiredSession):
        leads.upsert("External_Id__c/a-0", LEAD)


def test_old_api_version_answers_an_update_with_204(call: Call) -> None:
    assert "created" not in upsert(call, "a-2", LEAD, version="45.0").json()
    assert upsert(call, "a-2", LEAD, version="45.0").status_code == 204


def test_external_id_matching_several_records_gets_300_and_their_addresses(call: Call) -> None:
    for _ in range(2):
        assert call("POST", "/sobjects/Lead", LEAD | {"Legacy__c": "7"}).status_code == 201
    answer = call("PATCH", "/sobjects/Lead/Legacy__c/7", LEAD)
    assert answer.status_code == 300
    assert [url.rsplit("/", 1)[0] for url in answer.json()] == ["/services/data/v65.0/sobjects/Lead"] * 2


def test_external_id_may_hold_a_slash(call: Call) -> None:
    assert upsert(call, "a%2Fb", LEAD).status_code == 201
    assert call("GET", "/sobjects/Lead/External_Id__c/a%2Fb").json()["External_Id__c"] == "a/b"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"FirstName": "Ann"}, (400, "REQUIRED_FIELD_MISSING", ["LastName", "Company"])),
        (LEAD | {"Nonsense": 1}, (400, "INVALID_FIELD", [])),
        (LEAD | {"Id": "00Q"}, (400, "INVALID_FIELD", [])),
        (LEAD | {"LastName": "x" * 81}, (400, "STRING_TOO_LONG", ["LastName"])),
        (LEAD | {"Email": "nobody"}, (400, "INVALID_EMAIL_ADDRESS", ["Email"])),
        (LEAD | {"DoNotCall": "yes"}, (400, "JSON_PARSER_ERROR", [])),
        (LEAD | {"NumberOfEmployees": "many"}, (400, "JSON_PARSER_ERROR", [])),
        (LEAD | {"LastName": None}, (400, "REQUIRED_FIELD_MISSING", ["LastName"])),
        ([LEAD], (400, "JSON_PARSER_ERROR", [])),
    ],
)
def test_unstorable_lead_gets_the_documented_error(call: Call, body: Any, expected: tuple[int, str, list[str]]) -> None:
    assert code(call("POST", "/sobjects/Lead", body)) == expected


def test_external_id_in_the_body_too_is_refused_and_counted_as_rejected(
    call: Call, count: Callable[[str], dict[str, int]]
) -> None:
    assert code(upsert(call, "a-3", LEAD | {"External_Id__c": "a-3"}))[:2] == (400, "INVALID_FIELD")
    assert count("salesforce")["rejected"] == 1


def test_update_that_would_empty_a_required_field_leaves_the_record_as_it_was(call: Call) -> None:
    upsert(call, "a-4", LEAD)
    assert code(upsert(call, "a-4", {"Company": ""}))[1] == "REQUIRED_FIELD_MISSING"
    assert call("GET", "/sobjects/Lead/External_Id__c/a-4").json()["Company"] == "Acme"


def test_unknown_things_are_not_found(call: Call) -> None:
    assert code(call("PATCH", "/sobjects/Lead/Nickname/1", LEAD))[:2] == (404, "NOT_FOUND")
    assert code(call("POST", "/sobjects/Spaceship", LEAD))[:2] == (404, "NOT_FOUND")
    assert code(call("GET", "/limits", version="99.0"))[:2] == (404, "NOT_FOUND")
    assert code(call("GET", "/sobjects/Lead/00Q000000000000AAA"))[:2] == (404, "NOT_FOUND")
    assert code(call("DELETE", "/sobjects/Lead"))[:2] == (405, "METHOD_NOT_ALLOWED")


def test_duplicate_rule_refuses_unless_the_request_allows_saving(call: Call, wreck: Callable[..., None]) -> None:
    upsert(call, "a-5", LEAD)
    wreck("salesforce", duplicate_rule=True)
    refused = upsert(call, "a-6", LEAD)
    assert code(refused)[:2] == (400, "DUPLICATES_DETECTED")
    assert refused.json()[0]["duplicateResult"]["matchResults"][0]["size"] == 1
    assert upsert(call, "a-5", LEAD).status_code == 200
    assert upsert(call, "a-6", LEAD, Sforce_Duplicate_Rule_Header="allowSave=true").status_code == 201


def test_revoked_token_is_an_invalid_session_until_the_next_login(sandbox: Running, call: Call) -> None:
    assert call("GET", "/limits").status_code == 200
    requests.delete(f"{sandbox.url}/api/salesforce/tokens", timeout=5).raise_for_status()
    assert code(call("GET", "/limits"))[:2] == (401, "INVALID_SESSION_ID")
    assert log_in(sandbox).status_code == 200


def test_each_answer_tells_the_api_usage(call: Call) -> None:
    first, second = call("GET", "/limits"), call("GET", "/sobjects/Lead/describe")
    used = [int(answer.headers["Sforce-Limit-Info"].split("=")[1].split("/")[0]) for answer in (first, second)]
    assert used[1] == used[0] + 1
    assert first.json()["DailyApiRequests"]["Max"] - first.json()["DailyApiRequests"]["Remaining"] == used[0]


def test_describe_lists_the_fields_with_their_lengths(sandbox: Running, call: Call) -> None:
    fields = {field["name"]: field for field in call("GET", "/sobjects/Lead/describe").json()["fields"]}
    assert fields["LastName"]["length"] == 80
    assert not fields["LastName"]["nillable"]
    assert fields["External_Id__c"]["externalId"]
    versions = requests.get(f"{sandbox.url}/salesforce/services/data", timeout=5).json()
    assert {"label", "url", "version"} == set(versions[0])


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ({"error_rate": 1}, (500, "UNKNOWN_EXCEPTION")),
        ({"error_rate": 1, "status": 503}, (503, "SERVER_UNAVAILABLE")),
        ({"error_rate": 1, "error_code": "UNABLE_TO_LOCK_ROW"}, (400, "UNABLE_TO_LOCK_ROW")),
        ({"rate_limit": {}}, (403, "REQUEST_LIMIT_EXCEEDED")),
        ({"unauthorized": True}, (401, "INVALID_SESSION_ID")),
        ({"reject_rate": 1}, (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION")),
    ],
)
def test_faults_have_salesforces_own_bodies(
    call: Call, wreck: Callable[..., None], plan: dict[str, Any], expected: tuple[int, str]
) -> None:
    wreck("salesforce", **plan)
    assert code(upsert(call, "a-7", LEAD))[:2] == expected


def test_login_fails_when_credentials_are_refused_but_knows_no_api_limit(
    sandbox: Running, wreck: Callable[..., None]
) -> None:
    wreck("salesforce", unauthorized=True)
    assert log_in(sandbox).json()["error"] == "invalid_client"
    wreck("salesforce", rate_limit={})
    assert log_in(sandbox).status_code == 200
    wreck("salesforce", error_rate=1)
    assert log_in(sandbox).status_code == 500


def test_external_id_is_the_idempotency_key_unless_a_header_names_one(
    call: Call, count: Callable[[str], dict[str, int]]
) -> None:
    upsert(call, "a-8", LEAD)
    upsert(call, "a-8", LEAD)
    assert count("salesforce")["repeats"] == 1
    upsert(call, "a-8", LEAD, Idempotency_Key="other")
    assert count("salesforce")["repeats"] == 1


def test_ids_check_the_case_of_their_letters() -> None:
    # Salesforce's algorithm: each of the last three letters codes which of five characters are capitals.
    assert make_id(1).startswith("00Q5e0000000001")
    assert make_id(1)[15:] == "EAA"
    assert make_id(10)[15:] == "EAQ"
    assert len({make_id(number) for number in range(1, 500)}) == 499
