"""The lead buyer takes leads the way buyers do, and counts what it took."""

from collections.abc import Callable

import pytest
import requests

from app.sandbox import Running
from app.sandbox.buyer import API_KEY

KEY = {"X-API-Key": API_KEY}


@pytest.fixture
def post(sandbox: Running) -> Callable[..., requests.Response]:
    def send(lead: dict[str, object], key: str | None = None) -> requests.Response:
        headers = KEY | ({} if key is None else {"Idempotency-Key": key})
        return requests.post(f"{sandbox.url}/buyer/leads", json=lead, headers=headers, timeout=5)

    return send


def test_lead_is_accepted_with_an_id_and_a_price(post: Callable[..., requests.Response]) -> None:
    answer = post({"email": "ann@example.com"}, "k1")
    assert answer.status_code == 200
    body = answer.json()
    assert body["outcome"] == "accepted"
    assert body["reason"] is None
    assert body["lead_id"].startswith("buyer-")
    assert body["price"] == 12.5


def test_repeated_key_gets_the_same_answer_and_counts_as_a_repeat(
    post: Callable[..., requests.Response], count: Callable[[str], dict[str, int]]
) -> None:
    first, second = post({"email": "ann@example.com"}, "k1"), post({"email": "ann@example.com"}, "k1")
    assert second.text == first.text
    assert second.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    counts = count("buyer")
    assert (counts["received"], counts["unique_keys"], counts["repeats"], counts["accepted"]) == (2, 1, 1, 1)


def test_repeat_of_a_rejected_lead_stays_rejected_when_the_fault_is_gone(
    sandbox: Running, post: Callable[..., requests.Response], wreck: Callable[..., None]
) -> None:
    wreck("buyer", reject_rate=1, reject_reason="credit limit")
    assert post({"email": "ann@example.com"}, "k1").json()["reason"] == "credit limit"
    requests.delete(f"{sandbox.url}/api/faults/buyer", timeout=5)
    assert post({"email": "ann@example.com"}, "k1").json()["outcome"] == "rejected"


def test_leads_without_a_key_are_never_repeats(
    post: Callable[..., requests.Response], count: Callable[[str], dict[str, int]]
) -> None:
    assert post({"zip": "1"}).json()["lead_id"] != post({"zip": "1"}).json()["lead_id"]
    assert count("buyer")["without_key"] == 2


def test_duplicates_are_found_always_and_rejected_when_asked(
    post: Callable[..., requests.Response], count: Callable[[str], dict[str, int]], wreck: Callable[..., None]
) -> None:
    post({"email": "ann@example.com"}, "k1")
    assert post({"EMAIL": "Ann@Example.com"}, "k2").json()["outcome"] == "accepted"
    wreck("buyer", reject_duplicates=True)
    answer = post({"email": "ann@example.com"}, "k3").json()
    assert (answer["outcome"], answer["reason"], answer["price"]) == ("rejected", "duplicate", 0)
    assert count("buyer")["duplicates"] == 2


def test_unwanted_states_are_rejected(post: Callable[..., requests.Response], wreck: Callable[..., None]) -> None:
    wreck("buyer", reject_states=["tx"])
    assert post({"state": "TX"}, "k1").json()["reason"] == "state not wanted"
    assert post({"state": "CA"}, "k2").json()["outcome"] == "accepted"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", "email=ann%40example.com&state=TX"),
        (
            "application/xml; charset=utf-8",
            "<lead><contact><email>ann@example.com</email></contact><state>TX</state></lead>",
        ),
        ("application/vnd.lead+json", '{"email":"ann@example.com","state":"TX"}'),
    ],
)
def test_form_xml_and_json_types_are_read(
    sandbox: Running, wreck: Callable[..., None], content_type: str, body: str
) -> None:
    wreck("buyer", reject_states=["TX"])
    headers = KEY | {"Content-Type": content_type}
    answer = requests.post(f"{sandbox.url}/buyer/leads", data=body, headers=headers, timeout=5)
    assert answer.json()["reason"] == "state not wanted"


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", "{", 400),
        ("application/json", "[1]", 400),
        ("application/xml", "<lead>", 400),
        ("application/xml", '<!DOCTYPE l [<!ENTITY e "x">]><l>&e;</l>', 400),
        ("application/x-www-form-urlencoded", "\x00\xff", 400),
        ("image/png", "x", 415),
        ("application/json", '"' + "x" * 1_100_000 + '"', 413),
    ],
)
def test_unreadable_body_is_refused_and_not_counted(
    sandbox: Running, count: Callable[[str], dict[str, int]], content_type: str, body: str, status: int
) -> None:
    headers = KEY | {"Content-Type": content_type}
    answer = requests.post(f"{sandbox.url}/buyer/leads", data=body.encode("latin-1"), headers=headers, timeout=5)
    assert answer.status_code == status
    assert answer.json()["outcome"] == "error"
    assert count("buyer")["received"] == 0


def test_ping_tells_whether_the_key_is_good(sandbox: Running) -> None:
    url = f"{sandbox.url}/buyer/leads"
    assert requests.get(url, headers=KEY, timeout=5).json() == {"status": "ready"}
    assert requests.get(url, headers={"X-API-Key": "wrong"}, timeout=5).status_code == 401
    assert requests.put(url, headers=KEY, timeout=5).status_code == 405
    assert requests.get(f"{url}/1", headers=KEY, timeout=5).status_code == 404
