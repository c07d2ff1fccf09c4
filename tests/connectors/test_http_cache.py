"""Look-ups whose answers are kept: for how long, for whom, and how equal ones at the same time ask once."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import Any

import pytest
from pydantic import ValidationError

from app.config.schema import LimitsConfig, ResponseConfig
from app.connectors._http import cache
from app.connectors._http.connector import HttpConnector
from app.connectors._http.settings import HttpSettings
from app.errors import DeliveryFault, TransientFault
from app.model import Fault, Item, Outcome, Result
from app.templates import slots
from tests.connectors import fault_server
from tests.connectors.fault_server import LOCAL, FaultServer, Received, answer

LIMITS = LimitsConfig(concurrency=8, timeout_seconds=2.0)
RULES = ResponseConfig.model_validate({"search": {"path": "found", "term": "yes"}, "capture": {"score": "score"}})
FOUND = b'{"found":"yes","score":7}'
TEMPLATE = "{{ lead.state }}"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server.running(answer(200, FOUND)) as running:
        yield running


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    clock = Clock()
    monkeypatch.setattr(cache, "monotonic", lambda: monotonic() + clock.ahead)
    return clock


class Clock:
    """How far the cache's clock is ahead."""

    ahead = 0.0


def connector(url: str, kept: Mapping[str, Any] | None = None, **settings: Any) -> HttpConnector:
    given = {"url": url, "method": "GET", "body": "query", "cache": {"ttl_seconds": 300, **(kept or {})}, **settings}
    return HttpConnector("score", HttpSettings.model_validate(given), limits=LIMITS, response=RULES, network=LOCAL)


def ask(
    sender: HttpConnector, email: str = "ann@example.com", state: str = "TX", *, key: str = "k-1", test: bool = False
) -> Outcome:
    rendered = {slot: state for slot in slots(TEMPLATE) if slot}
    item = Item(
        payload={"email": email}, key=key, attempt=1, deadline=monotonic() + 2, rendered=rendered, test=test
    )  # fmt: skip
    return sender.deliver(item)


def test_an_equal_look_up_is_answered_without_asking_and_says_so(server: FaultServer, clock: Clock) -> None:
    sender = connector(server.url)
    first = ask(sender, key="k-1")
    clock.ahead = 12.0
    second = ask(sender, key="k-2")
    sender.close()
    assert len(server.received) == 1
    assert (
        (second.result, second.captured)
        == (first.result, first.captured)
        == (
            Result.SUCCESS,
            {"score": 7, "document": {"found": "yes", "score": 7}},
        )
    )
    assert first.transcript is not None
    assert second.transcript is not None
    assert "cached" not in first.transcript
    assert second.transcript["cached"]["age_seconds"] == pytest.approx(12, abs=1)
    assert second.transcript["request"]["headers"]["Idempotency-Key"] == "k-2"
    assert second.transcript["response"]["status"] == 200


def test_it_is_asked_again_when_its_time_is_over(server: FaultServer, clock: Clock) -> None:
    sender = connector(server.url)
    ask(sender)
    clock.ahead = 301.0
    ask(sender)
    sender.close()
    assert len(server.received) == 2


def test_whatever_of_the_lead_is_in_the_request_tells_look_ups_apart(server: FaultServer) -> None:
    sender = connector(f"{server.url}/{TEMPLATE}", headers={"X-State": TEMPLATE})
    for email, state, test in (
        ("a@b.co", "TX", False),
        ("b@b.co", "TX", False),
        ("a@b.co", "OK", False),
        ("a@b.co", "TX", True),
    ):
        ask(sender, email, state, test=test)
        ask(sender, email, state, test=test)
    sender.close()
    assert len(server.received) == 4


def test_another_connector_shares_nothing(server: FaultServer) -> None:
    for token in ("one", "two"):
        sender = connector(server.url, auth={"bearer": {"token": token}})
        ask(sender)
        sender.close()
    assert [request.headers["authorization"] for request in server.received] == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (503, FOUND, {}),
        (404, FOUND, {}),
        (302, b"", {"location": "/x"}),
        (200, FOUND, {"cache_control": "no-store"}),
        (200, FOUND, {"cache_control": "private, No-Store, max-age=60"}),
        (200, FOUND, {"cache_control": "no-cache"}),
        (200, FOUND, {"cache_control": "max-age=0"}),
        (200, FOUND, {"cache_control": "max-age=60", "age": "60"}),
        (200, FOUND, {"expires": "0"}),
        (200, FOUND, {"expires": "Mon, 23 Nov 2026 12:00:00 GMT", "date": "Mon, 23 Nov 2026 12:00:00 GMT"}),
        (200, FOUND, {"vary": "*"}),
        (200, b'{"found":"yes","more":"' + b"x" * cache.MOST_BYTES + b'"}', {}),
    ],
)
def test_what_may_not_be_kept_is_not(server: FaultServer, status: int, body: bytes, headers: dict[str, str]) -> None:
    server.behaviour = answer(status, body, **headers)
    sender = connector(server.url)
    ask(sender)
    server.behaviour = answer(200, FOUND)
    assert ask(sender).result is Result.SUCCESS
    sender.close()
    assert len(server.received) == 2


@pytest.mark.parametrize(
    ("headers", "fresh"),
    [
        ({"cache_control": "max-age=60"}, 60),
        ({"cache_control": 'private, max-age="60"', "age": "20"}, 40),
        ({"cache_control": "max-age=100000"}, 300),
        ({"expires": "Mon, 23 Nov 2026 12:01:00 GMT", "date": "Mon, 23 Nov 2026 12:00:00 GMT"}, 60),
        ({"cache_control": "max-age=90", "expires": "0"}, 90),
        ({"vary": "accept"}, 300),
    ],
)
def test_the_destinations_word_counts_where_it_is_shorter(
    server: FaultServer, clock: Clock, headers: dict[str, str], fresh: int
) -> None:
    server.behaviour = answer(200, FOUND, **headers)
    sender = connector(server.url)
    ask(sender)
    clock.ahead = fresh - 2
    ask(sender)
    assert len(server.received) == 1
    clock.ahead = fresh + 2
    ask(sender)
    sender.close()
    assert len(server.received) == 2


@pytest.mark.parametrize(
    ("header", "value", "condition"),
    [
        ("etag", '"v1"', "if-none-match"),
        ("last_modified", "Mon, 23 Nov 2026 12:00:00 GMT", "if-modified-since"),
    ],
)
def test_an_answer_that_has_not_changed_is_used_again(
    server: FaultServer, clock: Clock, header: str, value: str, condition: str
) -> None:
    changed = answer(200, b'{"found":"yes","score":9}', **{header: value + "2"})

    def behave(connection: Any, request: Received) -> bool:
        if request.headers.get(condition) == value:
            return answer(304, b"", cache_control="max-age=50")(connection, request)
        return answer(200, FOUND, **{header: value})(connection, request)

    server.behaviour = behave
    sender = connector(server.url, {"ttl_seconds": 100})
    ask(sender)
    clock.ahead = 101.0
    again = ask(sender)
    assert (again.result, (again.captured or {})["score"]) == (Result.SUCCESS, 7)
    assert again.transcript is not None
    assert again.transcript["cached"]["age_seconds"] < 2
    clock.ahead = 149.0
    ask(sender)
    assert [request.headers.get(condition) for request in server.received] == [None, value]
    clock.ahead = 152.0
    server.behaviour = changed
    assert (ask(sender).captured or {})["score"] == 9
    sender.close()
    assert len(server.received) == 3


def revalidating(first: Mapping[str, str], then: Mapping[str, str]) -> fault_server.Behaviour:
    """Answers with a validator, and says with other headers that nothing has changed."""

    def behave(connection: Any, request: Received) -> bool:
        asked = {"if-none-match", "if-modified-since"} & request.headers.keys()
        return (answer(304, b"", **then) if asked else answer(200, FOUND, **first))(connection, request)

    return behave


NOON = "Mon, 23 Nov 2026 12:00:00 GMT"
A_MINUTE = {"expires": "Mon, 23 Nov 2026 12:01:00 GMT", "date": NOON}


@pytest.mark.parametrize(
    ("first", "then", "fresh"),
    [
        ({"cache_control": "max-age=60"}, {}, 60),
        ({"cache_control": "max-age=60"}, {"cache_control": "max-age=20"}, 20),
        ({"cache_control": "max-age=60"}, {"age": "50"}, 10),
        ({"cache_control": "max-age=60", "age": "50"}, {}, 60),
        ({"cache_control": "max-age=60"}, {"cache_control": "private"}, 100),
        (A_MINUTE, {"date": "Mon, 23 Nov 2026 12:00:40 GMT"}, 20),
        (A_MINUTE, {"date": "Mon, 23 Nov 2026 12:00:40 GMT", "cache_control": "max-age=30"}, 30),
        ({"cache_control": "no-cache"}, {}, 0),
        ({"cache_control": "no-cache"}, {"cache_control": "max-age=60"}, 60),
        ({"cache_control": "max-age=60"}, {"cache_control": "no-cache"}, 0),
    ],
)
def test_a_304_is_laid_over_what_the_first_answer_said(
    server: FaultServer, clock: Clock, first: dict[str, str], then: dict[str, str], fresh: int
) -> None:
    server.behaviour = revalidating({"etag": '"v1"', **first}, then)
    sender = connector(server.url, {"ttl_seconds": 100})
    ask(sender)
    begun = clock.ahead = 101.0
    ask(sender)
    assert len(server.received) == 2
    if fresh:
        clock.ahead = begun + fresh - 2
        ask(sender)
        assert len(server.received) == 2
    clock.ahead = begun + fresh + 2
    ask(sender)
    sender.close()
    assert [request.headers.get("if-none-match") for request in server.received] == [None, '"v1"', '"v1"']


@pytest.mark.parametrize(
    "then", [{"cache_control": "no-store"}, {"vary": "*"}, {"etag": '"v2"'}, {"cache_control": "max-age=60, no-store"}]
)
def test_a_304_may_end_what_is_kept(server: FaultServer, clock: Clock, then: dict[str, str]) -> None:
    server.behaviour = revalidating({"etag": '"v1"'}, then)
    sender = connector(server.url)
    ask(sender)
    clock.ahead = 301.0
    again = ask(sender)
    assert (again.result, "cached" in (again.transcript or {})) == (Result.SUCCESS, True)
    last = ask(sender)
    sender.close()
    assert "cached" not in (last.transcript or {})
    assert [request.headers.get("if-none-match") for request in server.received] == [None, '"v1"', None]


def test_a_validator_that_a_304_brings_is_the_next_to_be_asked_with(server: FaultServer, clock: Clock) -> None:
    server.behaviour = revalidating({"etag": '"v1"'}, {"etag": 'W/"v1"'})
    sender = connector(server.url)
    for clock.ahead in (0.0, 301.0, 602.0):
        ask(sender)
    sender.close()
    assert [request.headers.get("if-none-match") for request in server.received] == [None, '"v1"', 'W/"v1"']


def test_what_is_left_of_the_rate_limit_is_told_by_each_answer_that_came(server: FaultServer, clock: Clock) -> None:
    first = {"etag": '"v1"', "x_ratelimit_remaining": "9", "x_ratelimit_reset": "60"}
    server.behaviour = revalidating(first, {"x_ratelimit_remaining": "4", "x_ratelimit_reset": "30"})
    sender = connector(server.url)
    left = []
    for clock.ahead in (0.0, 1.0, 301.0, 302.0):
        quota = ask(sender).quota
        left.append(quota and (quota.remaining, quota.reset_seconds))
    sender.close()
    assert left == [(9, 60.0), None, (4, 30.0), None]


def test_no_cache_asks_each_time_whether_it_has_changed(server: FaultServer) -> None:
    server.behaviour = answer(200, FOUND, etag='W/"1"', cache_control="no-cache")
    sender = connector(server.url)
    ask(sender)
    ask(sender)
    sender.close()
    assert server.received[1].headers["if-none-match"] == 'W/"1"'


def test_a_304_that_nobody_asked_for_is_no_answer(server: FaultServer) -> None:
    server.behaviour = answer(304, b"")
    sender = connector(server.url)
    assert ask(sender).fault is Fault.CONFIGURATION
    sender.close()


def test_an_error_leaves_nothing_of_what_was_kept(server: FaultServer, clock: Clock) -> None:
    sender = connector(server.url)
    ask(sender)
    clock.ahead = 301.0
    server.behaviour = answer(500)
    assert ask(sender).fault is Fault.TRANSIENT
    server.behaviour = answer(200, FOUND)
    assert "cached" not in (ask(sender).transcript or {})
    sender.close()


def test_the_one_used_longest_ago_goes_first(server: FaultServer) -> None:
    sender = connector(server.url, {"entries": 2})
    for email in ("a@b.co", "b@b.co", "a@b.co", "c@b.co", "a@b.co"):
        ask(sender, email)
    assert len(server.received) == 3
    ask(sender, "b@b.co")
    sender.close()
    assert len(server.received) == 4


def test_equal_look_ups_at_the_same_time_ask_once(server: FaultServer) -> None:
    go = threading.Event()

    def behave(connection: Any, request: Received) -> bool:
        go.wait(2)
        return answer(200, FOUND)(connection, request)

    server.behaviour = behave
    sender = connector(server.url)
    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(ask, sender, key=f"k-{number}") for number in range(8)]
        while len(server.received) < 1:
            sleep(0.005)
        go.set()
        found = [one.result() for one in waiting]
    sender.close()
    assert len(server.received) == 1
    assert {one.result for one in found} == {Result.SUCCESS}
    assert sum("cached" in (one.transcript or {}) for one in found) == 7


def test_those_that_waited_for_an_error_ask_for_themselves(server: FaultServer) -> None:
    go = threading.Event()

    def behave(connection: Any, request: Received) -> bool:
        first = len(server.received) == 1
        go.wait(2)
        return answer(500 if first else 200, FOUND)(connection, request)

    server.behaviour = behave
    sender = connector(server.url)
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(ask, sender) for _ in range(3)]
        while len(server.received) < 1:
            sleep(0.005)
        go.set()
        found = [one.result().result for one in waiting]
    sender.close()
    assert sorted(found) == [Result.ERROR, Result.SUCCESS, Result.SUCCESS]


def test_nobody_waits_for_another_beyond_its_own_deadline(server: FaultServer) -> None:
    server.behaviour = fault_server.hang
    sender = connector(server.url)
    item = Item(payload={}, key="k", attempt=1, deadline=monotonic() + 0.2)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(sender.deliver, Item(payload={}, key="k", attempt=1, deadline=monotonic() + 1))
        while len(server.received) < 1:
            sleep(0.005)
        begun = monotonic()
        with pytest.raises(TransientFault, match="equal look-up") as caught:
            sender.deliver(item)
        assert monotonic() - begun < 0.6
        assert caught.value.unsent
        with pytest.raises(DeliveryFault):
            first.result()
    sender.close()


def test_pages_are_kept_as_one_answer(server: FaultServer) -> None:
    server.behaviour = lambda connection, request: answer(
        200, b'["yes"]' if "page" not in request.target else b"[]", etag='"1"'
    )(connection, request)
    sender = connector(server.url, pages={"kind": "page"})
    for _ in range(2):
        assert (ask(sender).captured or {})["document"] == ["yes"]
    sender.close()
    assert len(server.received) == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "POST", "body": "json"}, "only a GET is a look-up"),
        ({"cookies": True}, "set cookies to false"),
    ],
)
def test_what_does_not_go_with_a_cache_is_refused_by_name(settings: dict[str, Any], said: str) -> None:
    whole = {"url": "https://x.example", "method": "GET", "body": "none", "cache": {"ttl_seconds": 60}, **settings}
    with pytest.raises(ValidationError) as caught:
        HttpSettings.model_validate(whole)
    [error] = caught.value.errors()
    assert (error["loc"], said in error["msg"]) == (("cache",), True), error
