"""Faults come when asked for, leave when cleared, and nonsense is refused."""

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from app.sandbox import Running
from app.sandbox.buyer import API_KEY

Send = Callable[..., requests.Response]


@pytest.fixture
def send(sandbox: Running) -> Send:
    def post(key: str = "k1", *, timeout: float = 5) -> requests.Response:
        headers = {"X-API-Key": API_KEY, "Idempotency-Key": key}
        return requests.post(f"{sandbox.url}/buyer/leads", json={"zip": "1"}, headers=headers, timeout=timeout)

    return post


def test_error_is_answered_without_taking_the_lead(
    sandbox: Running, send: Send, wreck: Callable[..., None], count: Callable[[str], dict[str, int]]
) -> None:
    wreck("buyer", error_rate=1, status=503)
    assert send().status_code == 503
    assert (count("buyer")["received"], count("buyer")["faults"]) == (0, 1)
    requests.delete(f"{sandbox.url}/api/faults/buyer", timeout=5)
    assert send().status_code == 200
    assert count("buyer")["unique_keys"] == 1


def test_faults_of_one_stand_in_leave_the_others_alone(
    sandbox: Running, wreck: Callable[..., None], send: Send
) -> None:
    wreck("hubspot", error_rate=1)
    assert send().status_code == 200
    assert requests.get(f"{sandbox.url}/hubspot/crm/v3/properties/contacts", timeout=5).status_code == 500


def test_rate_limit_asks_for_a_wait(send: Send, wreck: Callable[..., None]) -> None:
    wreck("buyer", rate_limit={"retry_after": 3})
    answer = send()
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")
    wreck("buyer", rate_limit={"status": 503})
    answer = send()
    assert answer.status_code == 503
    assert "Retry-After" not in answer.headers


def test_refused_credentials_are_401(send: Send, wreck: Callable[..., None]) -> None:
    wreck("buyer", unauthorized=True)
    assert send().status_code == 401


def test_reset_after_receipt_takes_the_lead_and_the_retry_is_a_repeat(
    sandbox: Running, send: Send, wreck: Callable[..., None], count: Callable[[str], dict[str, int]]
) -> None:
    wreck("buyer", reset_after_receive_rate=1)
    with pytest.raises(requests.ConnectionError):
        send()
    counts = count("buyer")
    assert (counts["received"], counts["accepted"], counts["faults"]) == (1, 1, 1)
    requests.delete(f"{sandbox.url}/api/faults/buyer", timeout=5)
    assert send().headers["Idempotent-Replayed"] == "true"
    assert count("buyer")["repeats"] == 1


def test_reset_sends_not_one_byte(sandbox: Running, wreck: Callable[..., None]) -> None:
    wreck("buyer", reset_after_receive_rate=1)
    request = f"POST /buyer/leads HTTP/1.1\r\nHost: x\r\nX-API-Key: {API_KEY}\r\nContent-Length: 2\r\n\r\n{{}}"
    with socket.create_connection((sandbox.host, sandbox.port), timeout=5) as connection:
        connection.sendall(request.encode())
        assert connection.recv(1) == b""


def test_reset_leaves_requests_alone_that_bring_no_lead(sandbox: Running, wreck: Callable[..., None]) -> None:
    wreck("buyer", reset_after_receive_rate=1)
    headers = {"X-API-Key": API_KEY}
    assert requests.get(f"{sandbox.url}/buyer/leads", headers=headers, timeout=5).status_code == 200


def test_hanging_request_is_never_answered_nor_taken(
    send: Send, wreck: Callable[..., None], count: Callable[[str], dict[str, int]]
) -> None:
    wreck("buyer", hang_rate=1)
    with pytest.raises(requests.ReadTimeout):
        send(timeout=0.3)
    assert (count("buyer")["received"], count("buyer")["faults"]) == (0, 1)


def test_latency_delays_the_answer(send: Send, wreck: Callable[..., None]) -> None:
    wreck("buyer", latency_seconds=0.2)
    begun = time.monotonic()
    assert send().status_code == 200
    assert time.monotonic() - begun >= 0.2


def test_seed_repeats_the_sequence(send: Send, wreck: Callable[..., None]) -> None:
    runs = []
    for _ in range(2):
        wreck("buyer", error_rate=0.5, reject_rate=0.3, seed=7)
        runs.append([send(f"k{number}").status_code for number in range(30)])
    assert runs[0] == runs[1]
    assert {200, 500} == set(runs[0])


def test_plan_in_force_is_shown_and_a_put_replaces_it_whole(sandbox: Running, wreck: Callable[..., None]) -> None:
    wreck("buyer", error_rate=0.5, reject_states=["TX"])
    wreck("buyer", latency_seconds=0.1)
    plan = requests.get(f"{sandbox.url}/api/faults", timeout=5).json()["buyer"]
    assert (plan["error_rate"], plan["reject_states"], plan["latency_seconds"]) == (0, [], 0.1)


@pytest.mark.parametrize(
    ("plan", "field"),
    [
        ({"error_rate": 1.5}, "error_rate"),
        ({"error_rate": "often"}, "error_rate"),
        ({"error_rate": True}, "error_rate"),
        ({"status": 200}, "status"),
        ({"latency_seconds": -1}, "latency_seconds"),
        ({"unauthorized": "yes"}, "unauthorized"),
        ({"rate_limit": {"retry_after": -1}}, "retry_after"),
        ({"refuse_recipients": ["a@b.co"]}, "refuse_recipients"),
        ({"eror_rate": 1}, "eror_rate"),
    ],
)
def test_nonsense_is_a_422_that_names_the_field(sandbox: Running, plan: dict[str, Any], field: str) -> None:
    answer = requests.put(f"{sandbox.url}/api/faults/buyer", json=plan, timeout=5)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][-1] == field
    assert requests.get(f"{sandbox.url}/api/faults", timeout=5).json()["buyer"]["error_rate"] == 0


def test_not_a_number_is_refused(sandbox: Running) -> None:
    url = f"{sandbox.url}/api/faults/buyer"
    headers = {"Content-Type": "application/json"}
    assert requests.put(url, data='{"latency_seconds": NaN}', headers=headers, timeout=5).status_code == 422
    assert requests.put(url, data="[]", headers=headers, timeout=5).status_code == 422
    assert requests.put(url, data="{", headers=headers, timeout=5).status_code == 422


def test_unknown_stand_in_is_refused_with_the_known_ones(sandbox: Running) -> None:
    answer = requests.put(f"{sandbox.url}/api/faults/fax", json={}, timeout=5)
    assert answer.status_code == 422
    assert "buyer" in answer.text
