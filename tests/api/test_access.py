"""Keys and scopes."""

import pytest
import requests

from app.api import access
from app.ledger import key
from app.model import Fault, Outcome, Result, State
from tests.api.harness import LEAD, Api, finish, wait_until

CALLS = [
    ("POST", "/v1/leads?source=web", "submit"),
    ("POST", "/v1/leads/bulk?source=web", "submit"),
    ("GET", "/v1/leads/01990000-0000-7000-8000-000000000000", "read"),
    ("GET", "/v1/deliveries", "read"),
    ("GET", "/v1/deliveries/01990000-0000-7000-8000-000000000000", "read"),
    ("GET", "/v1/dead-letters", "read"),
    ("GET", "/v1/destinations", "read"),
    ("GET", "/v1/balance", "read"),
    ("POST", "/v1/deliveries/01990000-0000-7000-8000-000000000000/replays", "operate"),
    ("POST", "/v1/deliveries/01990000-0000-7000-8000-000000000000/discards", "operate"),
    ("POST", "/v1/destinations/crm/pause", "operate"),
    ("POST", "/v1/destinations/crm/resume", "operate"),
    ("POST", "/v1/destinations/crm/preview", "read"),
    ("POST", "/v1/destinations/crm/interpret", "read"),
    ("POST", "/v1/destinations/crm/test", "operate"),
    ("POST", "/v1/destinations/crm/check", "operate"),
    ("GET", "/v1/destinations/crm/describe", "operate"),
    ("POST", "/v1/feedback", "feedback"),
]


@pytest.mark.parametrize(("method", "path", "scope"), CALLS)
def test_every_route_wants_its_scope(api: Api, method: str, path: str, scope: str) -> None:
    bare = requests.request(method, api.url + path, timeout=10)
    assert (bare.status_code, bare.headers["WWW-Authenticate"]) == (401, 'Bearer realm="leadrelay"')
    other = next(name for name in key.SCOPES if name != scope)
    refused = api.call(method, path, who=other)
    assert (refused.status_code, refused.json()["type"]) == (403, "/docs#forbidden")
    assert f'scope="{scope}"' in refused.headers["WWW-Authenticate"]
    assert api.call(method, path, who=scope).status_code not in {401, 403}


def test_every_route_of_the_document_is_tried_above_or_open(api: Api) -> None:
    document = api.get("/openapi.json").json()
    shown = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if any(scopes for way in operation.get("security", []) for scopes in way.values())
    }
    assert len(shown) == len(CALLS)
    assert {path for path in document["paths"] if not path.startswith("/v1/")} == {"/livez", "/readyz", "/metrics"}


def test_the_key_may_come_in_a_header_of_its_own(api: Api) -> None:
    answer = requests.get(f"{api.url}/v1/deliveries", headers={"X-API-Key": api.keys["read"]}, timeout=10)
    assert answer.status_code == 200


@pytest.mark.parametrize("secret", ["lr_unknown", "unknown", "", "lr_" + "x" * 5000, "lr_\xe9"])
def test_an_unknown_key_is_refused(api: Api, secret: str) -> None:
    headers = {"Authorization": f"Bearer {secret}".encode("latin-1")}
    answer = requests.post(f"{api.url}/v1/leads?source=web", json=LEAD, headers=headers, timeout=10)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_another_scheme_is_refused(api: Api) -> None:
    assert requests.get(f"{api.url}/v1/deliveries", auth=("lr_x", "y"), timeout=10).status_code == 401


def test_a_revoked_key_ends_when_it_is_forgotten(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "REMEMBERED_SECONDS", 0.3)
    api.keys = {
        **api.keys,
        "leaver": key.create(api.database, name="leaver", scopes=frozenset({"read"}), source=None, actor="test"),
    }
    assert api.get("/v1/deliveries", who="leaver").status_code == 200
    key.revoke(api.database, "leaver", actor="test")
    wait_until(lambda: api.get("/v1/deliveries", who="leaver").status_code == 401, "the key is refused")


def test_a_key_bound_to_a_source_sees_nothing_else(api: Api) -> None:
    foreign, own = api.submit(), api.submit(query="source=partner")
    dead = Outcome(result=Result.ERROR, fault=Fault.PERMANENT, reason="gone")
    finish(api.database, [foreign["deliveries"][0]["id"], own["deliveries"][0]["id"]], dead, State.DEAD)
    assert api.get(f"/v1/leads/{own['id']}", who="partner").status_code == 200
    assert api.get(f"/v1/leads/{foreign['id']}", who="partner").status_code == 404
    theirs = foreign["deliveries"][0]["id"]
    assert api.get(f"/v1/deliveries/{theirs}", who="partner").status_code == 404
    assert api.post(f"/v1/deliveries/{theirs}/replays", who="partner").status_code == 404
    assert api.post(f"/v1/deliveries/{theirs}/discards", who="partner").status_code == 404
    seen = api.get("/v1/deliveries", who="partner").json()["deliveries"]
    assert {one["lead_id"] for one in seen} == {own["id"]}
    letters = api.get("/v1/dead-letters", who="partner").json()
    assert ([one["lead_id"] for one in letters["dead_letters"]], letters["groups"]) == ([own["id"]], [])
    for path in ("/v1/destinations", "/v1/balance"):
        assert api.get(path, who="partner").status_code == 403
    assert api.post("/v1/destinations/crm/pause", who="partner").status_code == 403
