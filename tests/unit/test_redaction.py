"""Nothing secret or personal gets through."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.redaction import MASK, mask_secrets, mask_url, redact_event, redact_sentry, scrub


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail ann.o'lee+x@mail.example.co.uk now", "mail [email] now"),
        ("call +1 (512) 555-0100 or 512-555-0100", "call [phone] or [phone]"),
        ("call (512) 555-0100, 5125550100, +442071838750.", "call [phone], [phone], [phone]."),
        ("GET https://ann:pw@x.example/a?email=ann%40x.co&b=1 failed", f"GET https://{MASK}@x.example/a?{MASK} failed"),
        ("postgresql://app:pw@db:5432/leads", f"postgresql://{MASK}@db:5432/leads"),
        ("Authorization: Bearer abc.def-ghi", f"Authorization: Bearer {MASK}"),
        ('{"access_token": "abc def", "a": 1}', f'{{"access_token": {MASK}, "a": 1}}'),
        ("password=hunter2&x=1", f"password={MASK}&x=1"),
    ],
)
def test_secrets_and_personal_data_in_texts_are_masked(text: str, expected: str) -> None:
    assert scrub(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T10:00:00.123456Z",
        "0199c8e2-1234-7123-8123-512555010012",
        "10.0.0.12:5432",
        "took 12345 ms, 1763891234.512 s",
        "delivery.ended destination=buyer count=100",
        "HTTP 503",
    ],
)
def test_ids_times_and_counts_stay_readable(text: str) -> None:
    assert scrub(text) == text


def test_nested_values_are_scrubbed_by_name_and_by_looks() -> None:
    event = {
        "event": "x",
        "headers": {"Authorization": "abc", "X-Api-Key": "k", "Accept": "*/*"},
        "items": [{"to": ("ann@x.co", 5)}, b"raw"],
        "error": ValueError("no ann@x.co"),
        "id": UUID(int=1),
        "count": 5125550100,
    }
    assert scrub(event) == {
        "event": "x",
        "headers": {"Authorization": MASK, "X-Api-Key": MASK, "Accept": "*/*"},
        "items": [{"to": ["[email]", 5]}, MASK],
        "error": "no [email]",
        "id": UUID(int=1),
        "count": 5125550100,
    }


def test_depth_has_an_end() -> None:
    loop: dict[str, Any] = {}
    loop["inner"] = loop
    assert MASK in str(scrub(loop))


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_scrubbing_twice_changes_nothing_more(value: Any) -> None:
    assert scrub(scrub(value)) == scrub(value)


def test_log_events_are_scrubbed_whole() -> None:
    assert redact_event(None, "info", {"event": "sent to ann@x.co", "token": 5}) == {
        "event": "sent to [email]",
        "token": MASK,
    }


def test_error_reports_lose_bodies_users_and_variables() -> None:
    report = {
        "event_id": "f" * 32,
        "user": {"ip_address": "10.0.0.1"},
        "request": {"url": "https://x.example/v1?email=a", "method": "POST", "data": "lead", "cookies": "c"},
        "exception": {"values": [{"value": "ann@x.co", "stacktrace": {"frames": [{"vars": {"a": 1}, "lineno": 3}]}}]},
    }
    assert redact_sentry(report, {}) == {
        "event_id": "f" * 32,
        "request": {"url": f"https://x.example/v1?{MASK}", "method": "POST"},
        "exception": {"values": [{"value": "[email]", "stacktrace": {"frames": [{"lineno": 3}]}}]},
    }


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://x.example/a?b=1", "https://x.example/a?b=1"),
        ("https://x.example/a@b", "https://x.example/a@b"),
        ("https://ann:pw@x.example/a", f"https://{MASK}@x.example/a"),
        ("https://x.example/a?api%5Fkey=1&email=a&flag", f"https://x.example/a?api%5Fkey={MASK}&email=a&flag"),
    ],
)
def test_addresses_keep_all_but_secrets(url: str, shown: str) -> None:
    assert mask_url(url) == shown


def test_payload_without_secrets_is_the_very_same() -> None:
    payload = {"email": "ann@x.co", "list": [{"a": 1}]}
    assert mask_secrets(payload) is payload


def test_payload_with_secrets_is_masked_and_left_alone() -> None:
    payload = {"login": {"password": "p"}, "list": [{"api_key": "k", "a": 1}]}
    assert mask_secrets(payload) == {"login": {"password": MASK}, "list": [{"api_key": MASK, "a": 1}]}
    assert payload["login"] == {"password": "p"}
