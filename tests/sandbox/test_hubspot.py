"""The HubSpot stand-in follows HubSpot's documents as far as delivering contacts needs it."""

from collections.abc import Callable
from typing import Any

import pytest
import requests
from hubspot.client import Client
from hubspot.crm.contacts import BatchInputSimplePublicObjectBatchInputUpsert, SimplePublicObjectBatchInputUpsert

from app.sandbox import Running
from app.sandbox.hubspot_answer import READ_ONLY_TOKEN, TOKEN

OBJECTS = "/crm/v3/objects/contacts"
DATED = "/crm/objects/2026-09/contacts"
Call = Callable[..., requests.Response]


@pytest.fixture
def call(sandbox: Running) -> Call:
    def send(method: str, path: str, body: Any = None, token: str | None = TOKEN, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
        return requests.request(
            method, f"{sandbox.url}/hubspot{path}", json=body, headers=authorization | named, timeout=5
        )

    return send


def entry(email: str, trace: str | None = None, **properties: Any) -> dict[str, Any]:
    traced = {} if trace is None else {"objectWriteTraceId": trace}
    return {"id": email, "idProperty": "email", "properties": properties} | traced


def problem(response: requests.Response) -> tuple[int, str]:
    body = response.json()
    assert body["status"] == "error"
    assert body["message"]
    assert body["correlationId"]
    return response.status_code, body["category"]


@pytest.mark.parametrize("objects", [OBJECTS, DATED])
def test_batch_upsert_creates_then_updates(call: Call, objects: str, count: Callable[[str], dict[str, int]]) -> None:
    created = call("POST", f"{objects}/batch/upsert", {"inputs": [entry("ann@example.com", firstname="Ann")]})
    assert created.status_code == 200
    assert created.json()["status"] == "COMPLETE"
    (contact,) = created.json()["results"]
    assert contact["new"] is True
    assert contact["properties"]["email"] == "ann@example.com"
    again = call("POST", f"{objects}/batch/upsert", {"inputs": [entry("ANN@example.com", lastname="Lee")]})
    (updated,) = again.json()["results"]
    assert (updated["id"], updated["new"]) == (contact["id"], False)
    assert updated["properties"]["firstname"] == "Ann"
    assert count("hubspot")["duplicates"] == 1


def test_vendors_own_client_understands_the_answer(sandbox: Running) -> None:
    client = Client.create(access_token=TOKEN)
    client.config["host"] = f"{sandbox.url}/hubspot"
    wanted = SimplePublicObjectBatchInputUpsert(id="ann@example.com", id_property="email", properties={"zip": "78701"})
    batch = BatchInputSimplePublicObjectBatchInputUpsert(inputs=[wanted])
    api = client.crm.contacts.batch_api
    api.api_client.configuration.host = f"{sandbox.url}/hubspot"
    answer = api.upsert(batch)
    assert answer.results[0].new
    assert answer.results[0].properties["zip"] == "78701"


def test_traced_batch_stores_the_good_ones_and_answers_207(call: Call, count: Callable[[str], dict[str, int]]) -> None:
    inputs = [entry("ann@example.com", "t-1", firstname="Ann"), entry("nobody", "t-2"), entry("bob@example.com", "t-3")]
    answer = call("POST", f"{OBJECTS}/batch/upsert", {"inputs": inputs})
    assert answer.status_code == 207
    body = answer.json()
    assert [result["objectWriteTraceId"] for result in body["results"]] == ["t-1", "t-3"]
    assert body["numErrors"] == 1
    assert body["errors"][0]["context"]["objectWriteTraceId"] == ["t-2"]
    assert "INVALID_EMAIL" in body["errors"][0]["message"]
    counts = count("hubspot")
    assert (counts["accepted"], counts["rejected"], counts["unique_keys"]) == (2, 1, 3)


def test_untraced_batch_fails_whole_for_one_bad_input(call: Call) -> None:
    inputs = [entry("ann@example.com"), entry("bob@example.com", nonsense="1")]
    answer = call("POST", f"{OBJECTS}/batch/upsert", {"inputs": inputs})
    assert problem(answer) == (400, "VALIDATION_ERROR")
    assert "PROPERTY_DOESNT_EXIST" in answer.json()["message"]
    assert call("GET", f"{OBJECTS}/ann@example.com?idProperty=email").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": []},
        {"inputs": [entry(f"p{number}@example.com") for number in range(101)]},
        {"inputs": [entry("ann@example.com"), entry("Ann@example.com")]},
        {"inputs": [{"id": "1", "properties": {}}]},
        {"inputs": [{"properties": {}}]},
        {},
        [],
    ],
)
def test_malformed_batch_is_refused_and_not_counted(
    call: Call, count: Callable[[str], dict[str, int]], body: Any
) -> None:
    assert problem(call("POST", f"{OBJECTS}/batch/upsert", body)) == (400, "VALIDATION_ERROR")
    assert count("hubspot")["received"] == 0


@pytest.mark.parametrize(
    ("properties", "error"),
    [
        ({"email": "nobody"}, "INVALID_EMAIL"),
        ({"nonsense": "1"}, "PROPERTY_DOESNT_EXIST"),
        ({"lifecyclestage": "asleep"}, "INVALID_OPTION"),
        ({"lead_score": "high"}, "INVALID_LONG"),
    ],
)
def test_bad_value_gets_a_complaint_in_hubspots_form(call: Call, properties: dict[str, str], error: str) -> None:
    answer = call("POST", OBJECTS, {"properties": {"email": "ann@example.com"} | properties})
    assert problem(answer) == (400, "VALIDATION_ERROR")
    assert answer.json()["message"].startswith('Property values were not valid: [{"isValid":false')
    assert f'"error":"{error}"' in answer.json()["message"]


def test_contact_is_created_once_updated_shown_and_found(call: Call) -> None:
    created = call("POST", OBJECTS, {"properties": {"email": "ann@example.com"}})
    assert created.status_code == 201
    contact_id = created.json()["id"]
    conflict = call("POST", OBJECTS, {"properties": {"email": "ann@example.com"}})
    assert problem(conflict) == (409, "CONFLICT")
    assert conflict.json()["message"] == f"Contact already exists. Existing ID: {contact_id}"
    assert call("PATCH", f"{OBJECTS}/{contact_id}", {"properties": {"email": "ann@example.org"}}).status_code == 200
    assert call("GET", f"{OBJECTS}/{contact_id}").json()["properties"]["email"] == "ann@example.org"
    assert call("POST", f"{OBJECTS}/search", search("ann@example.org")).json()["total"] == 1
    assert call("POST", f"{OBJECTS}/search", search("ann@example.com")).json()["total"] == 0
    assert problem(call("PATCH", f"{OBJECTS}/1", {"properties": {"zip": "1"}})) == (404, "OBJECT_NOT_FOUND")


def search(email: str) -> dict[str, Any]:
    return {"filterGroups": [{"filters": [{"propertyName": "email", "operator": "EQ", "value": email}]}]}


def test_search_other_than_by_email_is_refused_openly(call: Call) -> None:
    other = {"filterGroups": [{"filters": [{"propertyName": "zip", "operator": "EQ", "value": "1"}]}]}
    assert problem(call("POST", f"{OBJECTS}/search", other)) == (400, "VALIDATION_ERROR")
    assert problem(call("POST", f"{OBJECTS}/search", {})) == (400, "VALIDATION_ERROR")


def test_credentials_are_checked(call: Call) -> None:
    contact = {"properties": {"email": "ann@example.com"}}
    assert problem(call("POST", OBJECTS, contact, token=None)) == (401, "INVALID_AUTHENTICATION")
    assert problem(call("POST", OBJECTS, contact, token="wrong")) == (401, "INVALID_AUTHENTICATION")
    forbidden = call("POST", OBJECTS, contact, token=READ_ONLY_TOKEN)
    assert problem(forbidden) == (403, "MISSING_SCOPES")
    assert forbidden.json()["errors"][0]["context"]["requiredGranularScopes"] == ["crm.objects.contacts.write"]
    assert call("GET", "/crm/v3/properties/contacts", token=READ_ONLY_TOKEN).status_code == 200


def test_properties_are_listed_and_answers_carry_the_limits(call: Call) -> None:
    answer = call("GET", "/crm/properties/2026-09/contacts")
    names = {found["name"]: found for found in answer.json()["results"]}
    assert names["email"]["hasUniqueValue"]
    assert names["lifecyclestage"]["options"]
    assert answer.headers["X-HubSpot-RateLimit-Max"] == "190"
    assert problem(call("GET", "/crm/v3/objects/deals")) == (404, "OBJECT_NOT_FOUND")


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ({"error_rate": 1}, (500, "INTERNAL_ERROR")),
        ({"error_rate": 1, "status": 403}, (403, "MISSING_SCOPES")),
        ({"unauthorized": True}, (401, "INVALID_AUTHENTICATION")),
        ({"reject_rate": 1, "reject_reason": "no"}, (400, "VALIDATION_ERROR")),
    ],
)
def test_faults_have_hubspots_own_bodies(
    call: Call, wreck: Callable[..., None], plan: dict[str, Any], expected: tuple[int, str]
) -> None:
    wreck("hubspot", **plan)
    assert problem(call("POST", f"{OBJECTS}/batch/upsert", {"inputs": [entry("ann@example.com")]})) == expected


def test_rate_limit_names_the_policy_and_the_wait(call: Call, wreck: Callable[..., None]) -> None:
    wreck("hubspot", rate_limit={"retry_after": 7})
    answer = call("POST", f"{OBJECTS}/batch/upsert", {"inputs": [entry("ann@example.com")]})
    assert answer.status_code == 429
    assert answer.json()["policyName"] == "TEN_SECONDLY_ROLLING"
    assert answer.json()["errorType"] == "RATE_LIMIT"
    assert answer.headers["Retry-After"] == "7"
    assert answer.headers["X-HubSpot-RateLimit-Remaining"] == "0"


def test_trace_id_or_header_is_the_idempotency_key(call: Call, count: Callable[[str], dict[str, int]]) -> None:
    traced = {"inputs": [entry("ann@example.com", "t-1")]}
    call("POST", f"{OBJECTS}/batch/upsert", traced)
    call("POST", f"{OBJECTS}/batch/upsert", traced)
    assert count("hubspot")["repeats"] == 1
    call("POST", f"{OBJECTS}/batch/upsert", {"inputs": [entry("ann@example.com")]}, Idempotency_Key="t-1")
    assert count("hubspot")["repeats"] == 2
