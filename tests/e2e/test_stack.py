"""What the README promises a new user, as that user does it."""

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import redis
import requests

from tests.e2e.conftest import Installation
from tests.embedded.harness import descendants, wait_until

LEAD = {
    "source": "web",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "email": "ada@example.com",
    "phone_1": "+1 415 555 0132",
}


def worker_pids(installation: Installation) -> list[int]:
    assert installation.process is not None
    found = []
    for pid in descendants(installation.process.pid):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"app.cli.main" in words and b"worker" in words:
            found.append(pid)
    return found


def shown(installation: Installation, lead: str) -> dict[str, Any]:
    answer = installation.run("show", lead, "--json")
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def told_when_the_buyer_refuses(installation: Installation) -> None:
    """As docs/webhooks.md has it."""
    control = f"{installation.stack['sandbox_url']}/api"
    counts = requests.get(f"{control}/summary", timeout=10).json()["subscriber"]
    assert counts["received"] == 0, "nothing has gone wrong yet"
    plan = {"reject_rate": 1, "reject_reason": "outside of our area"}
    requests.put(f"{control}/faults/buyer", json=plan, timeout=10).raise_for_status()
    lead = json.loads(
        installation.run(
            "send", "-", "--source", "web", "--json", stdin=json.dumps({**LEAD, "email": "g@example.com"})
        ).stdout
    )["id"]

    def told() -> list[dict[str, Any]]:
        found = requests.get(f"{control}/receipts?target=subscriber", timeout=10).json()["receipts"]
        return [json.loads(one["body"]) for one in found]

    wait_until(lambda: len(told()) == 1, "the subscriber is told")
    [event] = told()
    assert event["type"] == "delivery.rejected"
    data = event["data"]
    assert (data["lead_id"], data["destination"], data["reason"]) == (lead, "buyer", "outside of our area")


def test_a_posted_lead_is_delivered_seen_everywhere_and_the_stack_leaves_nothing_behind(
    installation: Installation,
) -> None:
    installation.start("up")
    installation.await_log("is ready")
    stack = installation.stack
    posted = requests.post(
        f"{stack['api_url']}/v1/leads?source=web",
        json=LEAD,
        headers={"Authorization": f"Bearer {stack['api_key']}"},
        timeout=10,
    )
    assert posted.status_code == 202, posted.text
    lead = posted.json()["id"]
    wait_until(
        lambda: {one["state"] for one in shown(installation, lead)["deliveries"]} == {"delivered"},
        "delivered everywhere",
    )
    summary = requests.get(f"{stack['sandbox_url']}/api/summary", timeout=10).json()
    assert "ada@example.com" in requests.get(f"{stack['sandbox_url']}/api/receipts", timeout=10).text, summary
    assert requests.get(stack["flower_url"], timeout=10).status_code == 401, "Flower asks for its password"
    login = (stack["flower_user"], stack["flower_password"])
    tasks = requests.get(f"{stack['flower_url']}/api/tasks", auth=login, timeout=10).json()
    names = {task["name"] for task in tasks.values()}
    assert names >= {"deliver.buyer", "deliver.hubspot", "deliver.salesforce", "deliver.welcome"}
    assert "ada" not in json.dumps(tasks).lower(), "no personal data in Flower"
    refused = requests.post(f"{stack['flower_url']}/api/task/send-task/x", auth=login, json={}, timeout=10)
    assert refused.status_code in {403, 404, 405}, "Flower is read-only"
    told_when_the_buyer_refuses(installation)
    begun = time.monotonic()
    assert installation.stop(signal.SIGINT) == 0
    assert time.monotonic() - begun < 10
    assert not installation.left_behind()


def test_a_second_start_finds_the_data_after_a_kill_of_the_supervisor(installation: Installation) -> None:
    installation.start("up")
    installation.await_log("is ready")
    sent = installation.run("send", "-", "--source", "web", "--json", stdin=json.dumps(LEAD))
    assert sent.returncode == 0, sent.stderr
    lead = json.loads(sent.stdout)["id"]
    assert installation.process is not None
    os.kill(installation.process.pid, signal.SIGKILL)
    installation.process.wait()
    installation.start("up")
    installation.await_log("is ready")
    wait_until(
        lambda: {one["state"] for one in shown(installation, lead)["deliveries"]} == {"delivered"},
        "delivered everywhere",
    )
    assert installation.stop(signal.SIGTERM) == 0
    assert not installation.left_behind()


def test_the_demo_survives_a_killed_worker_and_a_wiped_broker(installation: Installation) -> None:
    installation.start("demo", "--leads", "1500")
    installation.await_log("deliveries to make")
    os.kill(worker_pids(installation)[0], signal.SIGKILL)
    redis.Redis.from_url(installation.stack["broker_url"]).flushall()
    assert installation.process is not None
    assert installation.process.wait(120) == 0, installation.log.read_text()[-3000:]
    text = installation.log.read_text()
    assert re.search(r"accepted 6,000 = .* waiting 0 \+ held 0 \+ dead 0", text), text[-3000:]
    assert not installation.left_behind()


def test_with_faults_retries_and_dead_letters_appear_and_a_replay_clears_them(installation: Installation) -> None:
    for path in (installation.home.parent / "config" / "destinations").iterdir():
        path.write_text(
            path.read_text().replace("attempts: 8", "attempts: 2").replace("base_seconds: 2", "base_seconds: 0.2")
        )
    installation.start("demo", "--leads", "200", "--faults")
    assert installation.process is not None
    assert installation.process.wait(120) == 0, installation.log.read_text()[-3000:]
    text = installation.log.read_text()
    rows = [
        line.split() for line in text.splitlines() if re.match("(buyer|hubspot|partner|salesforce|welcome) .* ms", line)
    ]
    delivered = {row[0]: int(row[1]) for row in rows}
    ended = sum(int(number) for row in rows for number in (*row[1:4], row[5]))
    assert delivered["partner"] > 0, "it is told what goes wrong"
    assert re.search(rf"accepted {ended:,} = .* waiting 0 \+ held 0", text), text[-3000:]
    installation.start("up")
    installation.await_log("is ready")
    listed = json.loads(installation.run("dlq", "list", "--json").stdout)
    assert listed, "faults make dead letters"
    replayed = installation.run("dlq", "replay", "--all", "--yes")
    assert replayed.returncode == 0, replayed.stderr
    wait_until(lambda: json.loads(installation.run("dlq", "list", "--json").stdout) == [], "no dead letter is left")
    wait_until(lambda: "waiting 0" in installation.run("reconcile").stdout, "all replays ended")
    reconciled = installation.run("reconcile")
    assert reconciled.returncode == 0, reconciled.stdout
    assert "dead 0" in reconciled.stdout
    assert installation.stop() == 0
    assert not installation.left_behind()
