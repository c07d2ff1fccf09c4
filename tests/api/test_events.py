"""Events of what is done over HTTP, and a subscription tried over HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.ledger import query, version
from app.model import Fault, Outcome, Result, State
from tests.api.harness import DOCUMENT, LEAD, Api, finish, running, wait_until

HOOK: dict[str, Any] = {
    "name": "hook",
    "type": "webhook",
    "events": ["*"],
    "settings": {"url": "https://partner.example.com/", "secrets": ["${env:HOOK}"]},
}


@pytest.fixture(scope="module")
def api(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(module_database_url, tmp_path_factory.mktemp("home")) as found:
        document = DOCUMENT.model_dump(mode="json")
        document["destinations"].append(HOOK)
        version.write(found.database, document, changed=[], actor="test")
        wait_until(lambda: len(found.get("/v1/destinations").json()) == 2, "the API took the version up")
        yield found


def types(api: Api, lead_id: str) -> list[str]:
    """Of events of one lead, and of destinations, in order."""
    found = query.leads(api.database, [one.lead_id for one in query.deliveries(api.database, source="events")])
    events = [lead.fields for lead, _ in sorted(found, key=lambda pair: pair[0].id)]
    return [event["type"] for event in events if event.get("lead_id", lead_id) == lead_id]


def test_what_is_done_over_http_is_told(api: Api) -> None:
    lead = api.submit(LEAD)
    [delivery] = [one["id"] for one in lead["deliveries"]]
    finish(api.database, [delivery], Outcome(result=Result.ERROR, fault=Fault.CONFIGURATION, reason="401"), State.HELD)
    api.post(f"/v1/deliveries/{delivery}/discards").raise_for_status()
    api.post("/v1/destinations/crm/resume").raise_for_status()
    assert types(api, lead["id"]) == ["lead.accepted", "delivery.cancelled", "destination.circuit_closed"]
    assert api.get("/v1/balance").json()["holds"] is True


def test_an_event_is_read_as_a_lead_of_its_source_and_nobody_submits_one(api: Api) -> None:
    lead = api.submit(LEAD)["id"]
    delivery = api.get("/v1/deliveries?destination=hook").json()["deliveries"][0]
    found = api.get(f"/v1/leads/{delivery['lead_id']}").json()
    assert (found["source"], found["fields"]["lead_id"]) == ("events", lead)
    refused = api.post("/v1/leads?source=events", json={"type": "delivery.dead"})
    assert (refused.status_code, "there is no such source" in refused.text) == (422, True)
    assert 'leadrelay_leads_accepted_total{source="events"}' in api.get("/metrics").text


def test_a_subscription_is_tried_with_an_event(api: Api) -> None:
    event = {"type": "delivery.dead", "destination": "crm"}
    shown = api.post("/v1/destinations/hook/preview", json={"lead": event}).json()
    assert shown["skipped"] is None
    assert '"type":"delivery.dead"' in shown["request"]["body"]
    refused = api.post("/v1/destinations/hook/preview", json={"lead": LEAD})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "type")
