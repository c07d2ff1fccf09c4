"""The subscriber of webhooks believes what others' code has signed, and nothing else."""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from standardwebhooks import Webhook

from app.sandbox import Running
from app.sandbox.subscriber import SECRET, TOLERANCE_SECONDS

EVENT = {"type": "delivery.dead", "timestamp": "2026-01-31T12:00:00+00:00", "data": {"destination": "crm"}}
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()
Count = Callable[[str], dict[str, int]]


def signed(
    body: bytes, *, key: str = "msg_1", secret: str = SECRET, ahead: float = 0, **changes: str | None
) -> dict[str, str]:
    at = datetime.now(UTC) + timedelta(seconds=ahead)
    headers: dict[str, str | None] = {
        "webhook-id": key,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(key, at, body.decode("latin-1")),
        "Content-Type": "application/json",
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in headers.items() if value is not None}


def post(sandbox: Running, event: Any = EVENT, *, sent: bytes | None = None, **how: Any) -> requests.Response:
    body = json.dumps(event).encode()
    url = f"{sandbox.url}/subscriber/webhooks"
    return requests.post(url, data=body if sent is None else sent, headers=signed(body, **how), timeout=5)


def receipts(sandbox: Running) -> list[dict[str, Any]]:
    found = requests.get(f"{sandbox.url}/api/receipts?target=subscriber", timeout=5).json()["receipts"]
    return [{name: one[name] for name in ("key", "outcome", "repeat", "body")} for one in found]


def test_what_is_rightly_signed_is_taken_and_shown(sandbox: Running, count: Count) -> None:
    answer = post(sandbox)
    assert (answer.status_code, answer.content) == (204, b"")
    assert receipts(sandbox) == [{"key": "msg_1", "outcome": "accepted", "repeat": False, "body": json.dumps(EVENT)}]
    assert count("subscriber")["accepted"] == 1


def test_of_several_signatures_one_that_is_right_is_enough(sandbox: Running) -> None:
    body = json.dumps(EVENT).encode()
    at = datetime.now(UTC)
    ours = Webhook(SECRET).sign("msg_1", at, body.decode())
    other = Webhook(OTHER).sign("msg_1", at, body.decode())
    when = {"webhook_timestamp": str(int(at.timestamp()))}
    assert post(sandbox, webhook_signature=f"v1a,AAAA {other} {ours}", **when).status_code == 204
    assert post(sandbox, webhook_signature=f"v1a,AAAA {other}", **when).status_code == 401


@pytest.mark.parametrize(
    "how",
    [
        {"secret": OTHER},
        {"sent": b'{"type": "delivery.delivered"}'},
        {"webhook_id": "msg_2"},
        {"ahead": -TOLERANCE_SECONDS - 5},
        {"ahead": TOLERANCE_SECONDS + 60},
        {"webhook_timestamp": "1700000000"},
        {"webhook_timestamp": "now"},
        {"webhook_timestamp": "9" * 40},
        {"webhook_signature": ""},
        {"webhook_signature": "v1,"},
        {"webhook_signature": "v1,\xe9"},
        {"webhook_signature": None},
        {"webhook_id": None},
        {"webhook_timestamp": None},
    ],
)
def test_what_is_not_rightly_signed_is_refused_and_not_kept(
    sandbox: Running, count: Count, how: Mapping[str, Any]
) -> None:
    answer = post(sandbox, **how)
    assert (answer.status_code, list(answer.json())) == (401, ["error"])
    assert receipts(sandbox) == []
    assert count("subscriber")["received"] == 0


@pytest.mark.parametrize("event", [[], "text", {"data": 1}, {"type": 1}])
def test_what_is_no_event_is_refused(sandbox: Running, event: Any) -> None:
    assert post(sandbox, event).status_code == 400
    assert receipts(sandbox) == []


def test_a_repeat_is_told_from_another_and_answered_alike(
    sandbox: Running, count: Count, wreck: Callable[..., None]
) -> None:
    wreck("subscriber", reject_rate=1, reject_reason="no such tenant")
    assert (post(sandbox).status_code, post(sandbox).json()) == (422, {"error": "no such tenant"})
    requests.delete(f"{sandbox.url}/api/faults/subscriber", timeout=5)
    assert post(sandbox).status_code == 422
    assert post(sandbox, key="msg_2").status_code == 204
    counts = count("subscriber")
    assert (counts["received"], counts["rejected"], counts["repeats"], counts["accepted"]) == (4, 1, 2, 1)


@pytest.mark.parametrize(
    ("plan", "status"),
    [
        ({"unauthorized": True}, 401),
        ({"error_rate": 1}, 500),
        ({"error_rate": 1, "status": 410}, 410),
        ({"rate_limit": {"retry_after": 7}}, 429),
    ],
)
def test_faults_come_on_request(
    sandbox: Running, count: Count, wreck: Callable[..., None], plan: dict[str, Any], status: int
) -> None:
    wreck("subscriber", **plan)
    answer = post(sandbox)
    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, "7" if status == 429 else None)
    counts = count("subscriber")
    assert (counts["received"], counts["faults"]) == (0, 1)


def test_an_answer_may_be_lost_after_the_webhook_was_taken(
    sandbox: Running, count: Count, wreck: Callable[..., None]
) -> None:
    wreck("subscriber", reset_after_receive_rate=1)
    with pytest.raises(requests.ConnectionError):
        post(sandbox)
    assert count("subscriber")["accepted"] == 1


def test_only_a_post_to_its_address_is_taken(sandbox: Running) -> None:
    assert requests.get(f"{sandbox.url}/subscriber/webhooks", timeout=5).headers["Allow"] == "POST"
    assert requests.post(f"{sandbox.url}/subscriber/other", timeout=5).status_code == 404
    body = b'"' + b"x" * 1_100_000 + b'"'
    headers = signed(body)
    assert requests.post(f"{sandbox.url}/subscriber/webhooks", data=body, headers=headers, timeout=5).status_code == 413
