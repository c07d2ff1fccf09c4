"""What the API tells, and what operators do through it."""

from decimal import Decimal

import pytest

from app.api import wire
from app.ledger import acceptance, query
from app.model import Fault, Outcome, Result, State
from tests.api.harness import Api, finish

NOBODY = "01a2081d-b4e6-75b6-a9b7-8b23e7bc3076"

TRANSCRIPT = {"request": {"headers": {"Authorization": "***"}}, "response": {"status": 200}}
SUCCESS = Outcome(
    result=Result.SUCCESS, reference="r-1", price=Decimal("2.25"), captured={"score": 7}, transcript=TRANSCRIPT
)
DEAD = Outcome(result=Result.ERROR, fault=Fault.PERMANENT, reason="no such list")


def delivery_of(found: dict[str, list[dict[str, str]]]) -> str:
    return found["deliveries"][0]["id"]


def test_a_lead_tells_its_whole_story(api: Api) -> None:
    found = api.submit({"email": "ada@example.com", "phone_1": "x"})
    finish(api.database, [delivery_of(found)], SUCCESS, State.DELIVERED)
    lead = api.get(f"/v1/leads/{found['id']}").json()
    assert lead["fields"] == {"email": "ada@example.com", "phone_1": "x"}
    assert set(lead["invalid"]) == {"phone_1"}
    (delivery,) = lead["deliveries"]
    assert (delivery["state"], delivery["reference"], delivery["price"]) == ("delivered", "r-1", "2.25")
    (attempt,) = delivery["timeline"]
    assert (attempt["number"], attempt["result"], attempt["duration_ms"]) == (1, "success", 12.0)
    assert (attempt["captured"], attempt["transcript"]) == ({"score": 7}, TRANSCRIPT)
    assert api.get(f"/v1/deliveries/{delivery['id']}").json() == delivery


def test_deliveries_are_filtered_and_paged(api: Api) -> None:
    ids = [delivery_of(api.submit()) for _ in range(5)]
    finish(api.database, ids[:3], SUCCESS, State.DELIVERED)
    wanted = "state=delivered&state=rejected&destination=crm&limit=2"
    seen, path = [], f"/v1/deliveries?{wanted}"
    while path:
        page = api.get(path).json()
        seen += [one["id"] for one in page["deliveries"]]
        path = page["next"]
    assert seen[:3] == ids[2::-1]
    assert len(seen) == len(set(seen))
    assert api.get("/v1/deliveries?destination=other").json() == {"deliveries": [], "next": None}


def test_deliveries_of_one_lead(api: Api) -> None:
    found = api.submit()
    page = api.get(f"/v1/deliveries?lead={found['id']}").json()
    assert [one["id"] for one in page["deliveries"]] == [delivery_of(found)]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("state=lost", "state"),
        ("lead=7", "lead"),
        ("before=7", "before"),
        ("destinaton=crm", "destinaton"),
        ("destination=%00", "destination"),
        ("fingerprint=%00", "fingerprint"),
    ],
)
def test_a_wrong_filter_is_named(api: Api, query: str, field: str) -> None:
    answer = api.get(f"/v1/deliveries?{query}")
    assert (answer.status_code, answer.json()["type"]) == (422, "/docs#invalid-parameter")
    assert answer.json()["errors"][0]["field"].split(".")[0] == field


def test_dead_letters_are_grouped_replayed_and_discarded(api: Api) -> None:
    first, second = delivery_of(api.submit()), delivery_of(api.submit())
    finish(api.database, [first, second], DEAD, State.DEAD)
    page = api.get("/v1/dead-letters?destination=crm").json()
    (group,) = page["groups"]
    assert (group["count"], group["fault"], group["reason"]) == (2, "permanent", "no such list")
    assert [one["id"] for one in page["dead_letters"]] == [second, first]
    same = api.get(f"/v1/dead-letters?fingerprint={group['fingerprint']}").json()
    assert len(same["dead_letters"]) == 2

    replayed = api.post(f"/v1/deliveries/{first}/replays", json={"note": "list made"})
    assert (replayed.status_code, replayed.json()["state"]) == (202, "ready")
    assert replayed.headers["Location"] == f"/v1/deliveries/{first}"
    again = api.post(f"/v1/deliveries/{first}/replays")
    assert (again.status_code, again.json()["type"]) == (409, "/docs#conflict")
    discarded = api.post(f"/v1/deliveries/{second}/discards")
    assert (discarded.status_code, discarded.json()["state"]) == (200, "cancelled")
    assert api.post(f"/v1/deliveries/{second}/discards").status_code == 409
    assert api.get("/v1/dead-letters").json() == {"groups": [], "dead_letters": [], "next": None}
    audit = api.database.fetch("select actor, action, detail->>'note' from audit where subject = %s", (first,))
    assert audit == [("key:all", "delivery.replay", "list made")]


def test_a_note_that_is_none_is_refused(api: Api) -> None:
    path = f"/v1/deliveries/{delivery_of(api.submit())}/replays"
    assert api.post(path, json={"nota": "x"}).status_code == 422
    broken = api.post(path, data=b"{", headers={"Content-Type": "application/json"})
    assert (broken.status_code, broken.json()["type"]) == (400, "/docs#malformed-body")


def test_a_destination_is_paused_and_resumed(api: Api) -> None:
    api.submit()
    assert api.post("/v1/destinations/crm/pause").json()["paused"] is True
    (crm,) = api.get("/v1/destinations").json()
    assert (crm["name"], crm["type"], crm["enabled"], crm["paused"], crm["circuit"]) == (
        "crm",
        "http",
        True,
        True,
        "closed",
    )
    assert crm["counts"]["ready"] >= 1
    assert api.post("/v1/destinations/crm/resume").json()["paused"] is False
    assert api.post("/v1/destinations/cmr/pause").status_code == 404
    assert api.post("/v1/destinations/%00/pause").status_code == 404


def test_the_balance_holds(api: Api) -> None:
    api.submit()
    found = api.get("/v1/balance").json()
    assert found["holds"] is True
    sides = ("delivered", "rejected", "skipped", "waiting", "held", "dead", "cancelled")
    assert found["accepted"] == sum(found[side] for side in sides) > 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1/leads", 405),
        ("PUT", "/v1/leads/bulk", 405),
        ("DELETE", "/v1/destinations", 405),
        ("GET", f"/v1/leads/{NOBODY}", 404),
        ("GET", f"/v1/deliveries/{NOBODY}", 404),
        ("POST", f"/v1/deliveries/{NOBODY}/replays", 404),
        ("GET", "/v1/leads/seven", 422),
    ],
)
def test_every_error_is_a_problem(api: Api, method: str, path: str, status: int) -> None:
    answer = api.call(method, path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status
    assert ("Allow" in answer.headers) == (status == 405)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_defect_is_told_without_details_and_logged_by_its_route(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("ada@example.com")

    monkeypatch.setattr(query, "destinations", broken)
    monkeypatch.setattr(acceptance, "accept", broken)
    logged: list[tuple[str, str]] = []
    monkeypatch.setattr(wire, "report", lambda _event, error, route: logged.append((type(error).__name__, route)))
    for answer in (api.get("/v1/destinations"), api.post("/v1/leads?source=partner", json={"a": 1})):
        assert (answer.status_code, answer.headers["Content-Type"]) == (500, "application/problem+json")
        assert "ada" not in answer.text
        assert "ZeroDivision" not in answer.text
    assert logged == [("ZeroDivisionError", "GET /v1/destinations"), ("ZeroDivisionError", "POST /v1/leads")]
