"""POST /v1/leads against a real ledger."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ledger import query
from app.model import Outcome, Result, State
from tests.api.harness import LEAD, Api, finish, wait_until


def errors(answer: requests.Response) -> list[tuple[str, str]]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert set(problem) >= {"type", "title", "detail"}
    return [(error["field"], error["detail"]) for error in problem.get("errors", [])]


def test_a_lead_is_in_the_ledger_when_it_is_acknowledged(api: Api) -> None:
    answer = api.post("/v1/leads?source=web", json={**LEAD, "phone_1": "nonsense"})
    assert answer.status_code == 202
    found = answer.json()
    assert answer.headers["Location"] == f"/v1/leads/{found['id']}"
    assert found["source"] == "web"
    assert set(found["invalid"]) == {"phone_1"}
    assert found["repeated"] is False
    ((lead, deliveries),) = query.leads(api.database, [UUID(found["id"])])
    assert lead.fields == {**LEAD, "phone_1": "nonsense"}
    assert not lead.test
    assert {str(one): name for one, name in deliveries.items()} == {
        one["id"]: one["destination"] for one in found["deliveries"]
    }


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"email=ada%40example.com&first_name=Ada", "application/x-www-form-urlencoded"),
        (b"<lead><email>ada@example.com</email><first_name>Ada</first_name></lead>", "application/xml"),
        (
            (
                b'--B\r\nContent-Disposition: form-data; name="email"\r\n\r\nada@example.com\r\n'
                b'--B\r\nContent-Disposition: form-data; name="first_name"\r\n\r\nAda\r\n--B--\r\n'
            ),
            "multipart/form-data; boundary=B",
        ),
    ],
)
def test_forms_and_xml_are_leads_too(api: Api, body: bytes, content_type: str) -> None:
    answer = api.send_raw(body, content_type)
    assert answer.status_code == 202
    ((lead, _),) = query.leads(api.database, [UUID(answer.json()["id"])])
    assert lead.fields == LEAD


def test_the_source_may_come_from_parameter_header_or_key(api: Api) -> None:
    by_header = api.post("/v1/leads", json=LEAD, headers={"X-Leadrelay-Source": "partner"})
    assert by_header.json()["source"] == "partner"
    assert api.post("/v1/leads", json=LEAD, who="partner").json()["source"] == "partner"
    two = api.post("/v1/leads?source=web", json=LEAD, headers={"X-Leadrelay-Source": "partner"})
    assert (two.status_code, errors(two)[0][0]) == (422, "source")
    assert errors(api.post("/v1/leads", json=LEAD)) == [("source", "is missing")]
    assert errors(api.post("/v1/leads?source=wbe", json=LEAD)) == [("source", "there is no such source")]
    assert api.post("/v1/leads?source=web", json=LEAD, who="partner").status_code == 403


def test_a_test_lead_is_marked(api: Api) -> None:
    found = api.submit(query="source=web&test=true")
    assert api.get(f"/v1/leads/{found['id']}").json()["test"] is True


def test_the_same_key_and_body_give_the_same_lead(api: Api) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    first = api.post("/v1/leads?source=web", json=LEAD, headers=key)
    again = api.post("/v1/leads?source=web", json=LEAD, headers=key)
    assert again.status_code == 202
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert again.json() == {**first.json(), "repeated": True}


def test_the_same_key_with_another_body_is_refused(api: Api) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    api.post("/v1/leads?source=web", json=LEAD, headers=key)
    other = api.post("/v1/leads?source=web", json={**LEAD, "first_name": "Grace"}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "/docs#key-reused")


def test_many_at_once_with_one_key_are_one_lead(api: Api) -> None:
    key = str(uuid4())
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda _: api.submit(headers={"Idempotency-Key": key})["id"], range(16)))
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    ("query_string", "field"),
    [
        ("tset=true", "tset"),
        ("test=maybe", "test"),
        ("wait=0", "wait"),
        ("wait=31", "wait"),
        ("wait=nan", "wait"),
        ("wait=soon", "wait"),
        ("source=partner&source=web", "source"),
        ("x%ff=1", "query"),
    ],
)
def test_a_wrong_parameter_is_named(api: Api, query_string: str, field: str) -> None:
    answer = api.post(f"/v1/leads?{query_string}", json=LEAD)
    assert answer.status_code == 422
    assert errors(answer)[0][0] == field


def test_a_missing_required_field_is_named(api: Api) -> None:
    answer = api.post("/v1/leads?source=web", json={"first_name": "Ada"})
    assert (answer.status_code, errors(answer)) == (422, [("email", "is required")])


def test_a_key_that_cannot_be_one_is_named(api: Api) -> None:
    answer = api.post("/v1/leads?source=web", json=LEAD, headers={"Idempotency-Key": "x" * 256})
    assert (answer.status_code, errors(answer)[0][0]) == (422, "Idempotency-Key")


def test_a_huge_number_under_a_key_is_taken_as_text(api: Api) -> None:
    found = api.submit({"email": "a@b.co", "big": 2**70}, headers={"Idempotency-Key": str(uuid4())})
    assert api.get(f"/v1/leads/{found['id']}").json()["fields"]["big"] == str(2**70)


def test_a_body_beyond_the_limit_is_refused_with_or_without_its_length(api: Api) -> None:
    told = api.send_raw(b'{"a": "' + b"x" * 5000 + b'"}', "application/json")
    untold = api.post(
        "/v1/leads?source=partner",
        data=iter([b'{"a": "', b"x" * 5000, b'"}']),
        headers={"Content-Type": "application/json"},
    )
    for answer in (told, untold):
        assert (answer.status_code, answer.json()["type"]) == (413, "/docs#too-large")


def test_a_compressed_body_is_refused(api: Api) -> None:
    answer = api.post(
        "/v1/leads?source=web", data=b"...", headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}
    )
    assert answer.status_code == 415


def test_a_client_that_leaves_in_mid_body_submits_nothing(api: Api) -> None:
    before = accepted(api)
    place = urlsplit(api.url)
    with socket.create_connection((place.hostname, place.port or 80)) as wire:
        head = f"POST /v1/leads?source=partner HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.keys['all']}\r\n"
        wire.sendall(head.encode() + b'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"a": 1}')
    api.submit()
    assert accepted(api) == before + 1


def accepted(api: Api) -> int:
    return int(api.database.fetch("select count(*) from leads")[0][0])


def test_waiting_answers_with_outcomes_as_soon_as_they_are_there(api: Api) -> None:
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(api.post, "/v1/leads?source=web&wait=20", json={**LEAD, "first_name": "Waiting"})
        wait_until(lambda: ready(api), "the lead is in the ledger")
        (delivery,) = ready(api)
        done = Outcome(result=Result.SUCCESS, reference="r-7", price=Decimal("1.50"))
        finish(api.database, [delivery], done, State.DELIVERED)
        answer = waiting.result(5)
    assert answer.status_code == 200
    (outcome,) = answer.json()["deliveries"]
    assert outcome["state"] == "delivered"
    assert (outcome["reference"], outcome["price"], outcome["attempts"]) == ("r-7", "1.50", 1)


def ready(api: Api) -> list[str]:
    rows = api.database.fetch(
        "select d.id from deliveries d order by d.id desc limit 1",
    )
    newest = [str(row[0]) for row in rows]
    found = api.get(f"/v1/deliveries/{newest[0]}").json() if newest else {}
    lead = api.get(f"/v1/leads/{found['lead_id']}").json() if newest else {}
    return newest if lead.get("fields", {}).get("first_name") == "Waiting" else []


def test_waiting_in_vain_answers_202(api: Api) -> None:
    answer = api.post("/v1/leads?source=web&wait=0.2", json=LEAD)
    assert answer.status_code == 202
    assert set(answer.json()["deliveries"][0]) == {"id", "destination"}


def test_a_lead_without_destinations_has_nothing_to_wait_for(api: Api) -> None:
    answer = api.post("/v1/leads?source=nowhere&wait=20", json=LEAD)
    assert (answer.status_code, answer.json()["deliveries"]) == (200, [])
    assert answer.elapsed.total_seconds() < 5


@settings(max_examples=60, deadline=None)
@given(
    body=st.binary(max_size=60)
    | st.sampled_from([b'{"a": "\\ud800"}', b'{"\\u0000": "\\u0000"}', b'{"": 1}', b'{"a": 1e999}']),
    content_type=st.sampled_from(
        ["application/json", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=B"]
    ),
    key=st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=9),
)
def test_no_body_makes_the_api_fail(api: Api, body: bytes, content_type: str, key: str | None) -> None:
    headers: dict[str, Any] = {"Content-Type": content_type, "Idempotency-Key": key}
    answer = api.post("/v1/leads?source=partner", data=body, headers=headers)
    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize("path", ["/v1/leads", "/v1/leads/bulk"])
def test_a_submission_may_name_its_priority(api: Api, path: str) -> None:
    body, kind = json.dumps(LEAD).encode(), "application/x-ndjson" if path.endswith("bulk") else "application/json"
    for asked, got in [("", "fresh"), ("&priority=fresh", "fresh"), ("&priority=backfill", "backfill")]:
        lead = api.send_raw(body, kind, f"{path}?source=web{asked}").json()["id"]
        [delivery] = api.get(f"/v1/deliveries?lead={lead}").json()["deliveries"]
        assert delivery["priority"] == got
    refused = api.send_raw(body, kind, f"{path}?source=web&priority=urgent")
    assert refused.status_code == 422
    assert errors(refused) == [("priority", "must be fresh or backfill")]
