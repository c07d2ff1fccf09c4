"""The witness: what it counts, what it shows, what it forgets, and that it stays within its bounds."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from app.sandbox import Running, receipts
from app.sandbox.buyer import API_KEY
from app.sandbox.memory import Recent
from app.sandbox.receipts import Receipts

Send = Callable[..., None]


@pytest.fixture
def send(sandbox: Running) -> Send:
    def post(key: str | None, **lead: Any) -> None:
        headers = {"X-API-Key": API_KEY} | ({} if key is None else {"Idempotency-Key": key})
        requests.post(f"{sandbox.url}/buyer/leads", json=lead, headers=headers, timeout=5).raise_for_status()

    return post


def read(sandbox: Running, **parameters: Any) -> dict[str, Any]:
    answer = requests.get(f"{sandbox.url}/api/receipts", params=parameters, timeout=5)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def test_newest_receipts_come_first_and_pages_follow(sandbox: Running, send: Send) -> None:
    for number in range(5):
        send(f"k{number}", n=number)
    first = read(sandbox, limit=2)
    assert [receipt["key"] for receipt in first["receipts"]] == ["k4", "k3"]
    second = read(sandbox, limit=2, cursor=first["cursor"])
    assert [receipt["key"] for receipt in second["receipts"]] == ["k2", "k1"]
    last = read(sandbox, limit=2, cursor=second["cursor"])
    assert [receipt["key"] for receipt in last["receipts"]] == ["k0"]
    assert last["cursor"] is None


def test_filters_narrow_the_receipts(sandbox: Running, send: Send) -> None:
    send("k1", n=1)
    send("k2", n=2)
    assert [receipt["body"] for receipt in read(sandbox, key="k1")["receipts"]] == ['{"n": 1}']
    assert read(sandbox, target="smtp")["receipts"] == []
    assert len(read(sandbox, target="buyer")["receipts"]) == 2
    now = datetime.now(UTC)
    assert read(sandbox, since=(now + timedelta(minutes=1)).isoformat())["receipts"] == []
    assert len(read(sandbox, since=(now - timedelta(minutes=1)).isoformat())["receipts"]) == 2


@pytest.mark.parametrize("parameters", [{"target": "fax"}, {"limit": 0}, {"since": "yesterday"}, {"cursor": "x"}])
def test_nonsense_filter_is_a_422(sandbox: Running, parameters: dict[str, str]) -> None:
    assert requests.get(f"{sandbox.url}/api/receipts", params=parameters, timeout=5).status_code == 422


def test_stream_lists_every_receipt_oldest_first(sandbox: Running, send: Send) -> None:
    send("k1", n=1)
    send(None, n=2)
    send("k1", n=1)
    answer = requests.get(f"{sandbox.url}/api/receipts.ndjson", timeout=5)
    assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [(line["key"], line["repeat"]) for line in lines] == [("k1", False), (None, False), ("k1", True)]
    assert lines[0]["digest"] == lines[2]["digest"] != lines[1]["digest"]
    assert set(lines[0]) == {"target", "key", "digest", "at", "repeat"}
    assert requests.get(f"{sandbox.url}/api/receipts.ndjson?target=smtp", timeout=5).text == ""


def test_forgetting_starts_all_stand_ins_anew(
    sandbox: Running, send: Send, count: Callable[[str], dict[str, int]]
) -> None:
    send("k1", email="ann@example.com")
    assert requests.delete(f"{sandbox.url}/api/receipts", timeout=5).status_code == 204
    assert read(sandbox)["receipts"] == []
    send("k1", email="ann@example.com")
    counts = count("buyer")
    assert (counts["received"], counts["repeats"], counts["duplicates"]) == (1, 0, 0)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.booleans(), st.booleans()), max_size=40))
def test_counts_always_add_up(taken: list[tuple[str | None, bool, bool]]) -> None:
    witness = Receipts()
    for key, rejected, duplicate in taken:
        witness.take("buyer", key=key, body=b"{}", rejected="no" if rejected else None, duplicate=duplicate)
    counts = witness.summary()["buyer"]
    assert counts["received"] == len(taken)
    assert counts["received"] == counts["accepted"] + counts["rejected"] + counts["repeats"]
    assert counts["received"] == counts["unique_keys"] + counts["repeats"] + counts["without_key"]
    lines = b"".join(witness.chunks(None, 7)).splitlines()
    assert [json.loads(line)["key"] for line in lines] == [key for key, _, _ in taken]


@given(st.text())
def test_any_key_comes_back_from_the_stream_as_it_was(key: str) -> None:
    witness = Receipts()
    try:
        key.encode()
    except UnicodeEncodeError:
        return  # no header or JSON text can carry a lone surrogate
    witness.take("smtp", key=key, body=b"")
    assert json.loads(b"".join(witness.chunks("smtp", 10)))["key"] == key


def test_bodies_and_entries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "BODIES", 3)
    monkeypatch.setattr(receipts, "ENTRIES", 5)
    witness = Receipts()
    for number in range(20):
        witness.take("buyer", key=str(number), body=b"x" * 100_000)
    newest = witness.newest(target=None, key=None, since=None, before=None, limit=100)
    assert [receipt.key for receipt in newest] == ["19", "18", "17"]
    assert len(newest[0].body) == receipts.BODY_BYTES
    assert len(b"".join(witness.chunks(None, 100)).splitlines()) == 5
    assert witness.summary()["buyer"]["received"] == 20


@given(st.lists(st.integers(min_value=0, max_value=30), max_size=200), st.integers(min_value=1, max_value=10))
def test_memory_keeps_at_least_its_newest_and_at_most_twice_as_many(written: list[int], keep: int) -> None:
    memory: Recent[int, str] = Recent(keep)
    for number in written:
        memory[number] = str(number)
    newest = list(dict.fromkeys(reversed(written)))[:keep]
    # A key written again counts anew, so the newest `keep` writes decide.
    assert all(memory.get(number) == str(number) for number in newest if number in written[-keep:])
    assert len(list(memory)) <= 2 * keep
