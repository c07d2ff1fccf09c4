"""Rate limits that a destination tells of: kept by the ledger, obeyed by the dispatcher, shown to operators.

The destination is a real server that counts and answers 429 to what is beyond.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from math import ceil
from socket import socket
from time import monotonic, sleep
from typing import Any
from uuid import UUID

import pytest

from app import operations
from app.broker import Publisher, create
from app.catalog import Catalog
from app.config.schema import DestinationConfig, Document, SourceConfig
from app.delivery import Deliverer
from app.dispatch import Dispatcher
from app.holding import holding_back
from app.ledger import Database, acceptance, dispatch, operation, query, work
from app.ledger.circuit import GateRules
from app.ledger.gate import Gate
from app.model import Claim, Outcome, Quota, State
from app.settings import Settings
from tests.connectors import fault_server
from tests.connectors.fault_server import LOCAL, Received, answer
from tests.ledger.conftest import SUCCESS, attempt, new_lead, queued

Claimed = Callable[..., list[Claim]]


def quota(remaining: int, reset_seconds: float, *, limit: int | None = None, ago: float = 0.0) -> Outcome:
    told = Quota(remaining=remaining, reset_seconds=reset_seconds, limit=limit, told_at=monotonic() - ago)
    return replace(SUCCESS, quota=told)


def record(database: Database, claims: Sequence[Claim], *outcomes: Outcome, longest: float = 600.0) -> None:
    ended = [attempt(claim, one, State.DELIVERED) for claim, one in zip(claims, outcomes, strict=True)]
    rules = GateRules(longest_wait_seconds=longest)
    work.record(database, "a", ended, config_version=1, gate=rules)


def gate(database: Database) -> Gate:
    return dispatch.survey(database).gates["a"]


def kept(database: Database) -> tuple[int | None, int | None, float]:
    found = gate(database)
    return found.quota_left, found.quota_limit, found.reset_seconds


def test_of_one_group_the_least_is_kept(database: Database, claimed: Claimed) -> None:
    record(database, claimed(3), quota(7, 30, limit=10), quota(5, 30, limit=10), quota(6, 30, limit=10))
    assert kept(database) == (5, 10, pytest.approx(30, abs=2))


def test_of_groups_that_end_in_any_order_the_least_is_kept_while_its_span_lasts(
    database: Database, claimed: Claimed
) -> None:
    record(database, claimed(1), quota(5, 30, limit=10))
    record(database, claimed(1), quota(7, 30.9, limit=10))
    assert kept(database) == (5, 10, pytest.approx(30, abs=2))
    record(database, claimed(1), quota(2, 3, limit=4))
    assert kept(database) == (2, 4, pytest.approx(3, abs=2)), "another limit, nearer to its end"
    record(database, claimed(1), quota(9, 30, limit=10))
    assert kept(database) == (9, 10, pytest.approx(30, abs=2)), "a later span"


def test_once_its_span_is_over_what_is_said_next_counts(database: Database, claimed: Claimed) -> None:
    record(database, claimed(1), quota(0, 30, limit=10))
    database.fetch("update destination_status set quota_until = now() - interval '1 second' returning 1")
    record(database, claimed(1), quota(9, 20, limit=10))
    assert kept(database) == (9, 10, pytest.approx(20, abs=2))


def test_what_was_said_of_a_span_that_is_over_says_nothing(database: Database, claimed: Claimed) -> None:
    record(database, claimed(2), quota(0, 5, limit=10, ago=6), quota(8, 5, limit=10, ago=1))
    assert kept(database) == (8, 10, pytest.approx(4, abs=2))


def test_without_a_limit_there_are_as_many_as_were_ever_left(database: Database, claimed: Claimed) -> None:
    for remaining in (9, 4, 0):
        record(database, claimed(1), quota(remaining, 30))
    assert kept(database) == (0, 9, pytest.approx(30, abs=2))


def test_an_absurd_reset_is_obeyed_for_no_longer_than_the_longest_wait(database: Database, claimed: Claimed) -> None:
    record(database, claimed(1), quota(0, 1e9, limit=10), longest=120)
    assert kept(database) == (0, 1, pytest.approx(120, abs=2)), "who comes before the limit begins anew comes alone"
    assert gate(database).is_shut
    record(database, claimed(1), quota(9, 30, limit=10), longest=120)
    assert kept(database)[1] == 10


def test_where_nothing_is_left_what_is_queued_is_called_back(database: Database, claimed: Claimed) -> None:
    [claim] = claimed(1)
    acceptance.accept(database, [new_lead() for _ in range(3)])
    lanes = dispatch.survey(database).due["a"]
    ids = [one.id for one in dispatch.queue(database, {"a": {lanes[0]: 3}})["a"][lanes[0]]]
    record(database, [claim], quota(1, 30, limit=10))
    assert dispatch.survey(database).active["a"].active == 3
    record(database, claimed(1), quota(0, 30, limit=10))
    assert "a" not in dispatch.survey(database).active
    assert work.claim(database, "a", ids, lease_seconds=30) == []
    assert database.fetch("select sum(attempts)::int from deliveries where state = 'ready'") == [(0,)]


def test_a_spent_limit_is_told_until_it_begins_anew_and_forgotten_on_resume(
    database: Database, claimed: Claimed
) -> None:
    def said() -> list[str]:
        configs = [DestinationConfig(name="a", type="http")]
        holds = holding_back(database, configs, query.destinations(database), now=datetime.now(UTC))
        return [f"{hold.by}: {hold.detail}" for hold in holds.get("a", [])]

    record(database, claimed(1), quota(1, 30, limit=10))
    assert said() == []
    record(database, claimed(1), quota(0, 30, limit=10))
    until = database.fetch("select quota_until from destination_status")[0][0].astimezone(UTC)
    assert said() == [f"quota: its rate limit leaves nothing until {until:%Y-%m-%d %H:%M:%S} UTC (RateLimit)"]
    operation.pause(database, "a", paused=False, actor="ann")
    assert (said(), kept(database)) == ([], (None, None, 0.0))


def test_no_probe_goes_while_nothing_is_left(database: Database, claimed: Claimed) -> None:
    record(database, claimed(1), quota(0, 30, limit=10))
    database.fetch("update destination_status set circuit = 'open', probe_at = now() - interval '1 second' returning 1")
    assert dispatch.due_probes(database) == []
    database.fetch("update destination_status set quota_until = now() returning 1")
    assert dispatch.due_probes(database) == ["a"]


class Buyer:
    """Takes `limit` requests in each `seconds`, and says so in headers if it is asked to."""

    def __init__(self, limit: int, seconds: float, form: str) -> None:
        self.limit, self.seconds, self.form = limit, seconds, form
        self.taken = self.refused = self.spans = 0
        self.refused_later = 0
        """After the first span, in which nobody could know of the limit yet."""
        self.ends = self.used = 0.0
        self.lock = threading.Lock()

    def behave(self, connection: socket, request: Received) -> bool:
        with self.lock:
            now = monotonic()
            if now >= self.ends:
                self.ends, self.used, self.spans = now + self.seconds, 0, self.spans + 1
            self.used += 1
            beyond = self.used > self.limit
            self.refused += beyond
            self.refused_later += beyond and self.spans > 1
            self.taken += not beyond
            headers = self.told(max(0, self.limit - int(self.used)), ceil(self.ends - now))
        sleep(0.002)
        return answer(429 if beyond else 200, b"{}", **headers)(connection, request)

    def told(self, left: int, seconds: int) -> dict[str, str]:
        match self.form:
            case "draft":
                policy = f'"all";q={self.limit};w={ceil(self.seconds)}'
                return {"ratelimit": f'"all";r={left};t={seconds}', "ratelimit_policy": policy}
            case "older":
                reset = str(int(datetime.now(UTC).timestamp()) + seconds)
                return {"x_ratelimit_remaining": str(left), "x_ratelimit_reset": reset}
            case _:
                return {}


class Handing(Publisher):
    """Hands messages to threads of this process, as workers would take them."""

    def __init__(self, deliverer: Deliverer, threads: ThreadPoolExecutor) -> None:
        super().__init__(create(Settings(broker_url="memory://")))
        self.deliverer, self.threads = deliverer, threads

    def deliver(self, groups: Sequence[tuple[str, Sequence[UUID]]]) -> None:
        for name, ids in groups:
            self.threads.submit(self.deliverer.deliver, name, ids)


@contextmanager
def installation(database: Database, url: str, **limits: Any) -> Iterator[tuple[Dispatcher, Deliverer]]:
    config = DestinationConfig.model_validate(
        {
            "name": "a",
            "type": "http",
            "settings": {"url": url},
            "network": LOCAL.model_dump(),
            "limits": {"concurrency": 4, **limits},
            "retry": {"base_seconds": 0.2, "attempts": 50},
            "circuit": {"consecutive": None, "error_ratio": None},
        }
    )
    operations.apply(database, Document(sources=[SourceConfig(name="web")], destinations=[config]), actor="test")
    catalog = Catalog(database)
    catalog.refresh()
    deliverer = Deliverer(database, catalog, lease_seconds=60, environ={})
    with ThreadPoolExecutor(4) as threads:
        yield Dispatcher(database, catalog, Handing(deliverer, threads), Settings()), deliverer
    deliverer.close()


def attempts_until_all_are_delivered(database: Database, url: str, count: int, **limits: Any) -> int:
    acceptance.accept(database, [new_lead() for _ in range(count)])
    with installation(database, url, **limits) as (dispatcher, _):
        ends = monotonic() + 15
        while database.fetch("select 1 from deliveries where state <> 'delivered' limit 1") and monotonic() < ends:
            sleep(min(dispatcher.turn(), 0.05))
    assert database.fetch("select state::text, count(*)::int from deliveries group by 1") == [("delivered", count)]
    return int(database.fetch("select count(*) from attempts")[0][0])


@pytest.mark.parametrize("form", ["draft", "older"])
def test_a_limit_that_is_told_is_kept_and_one_that_is_not_is_run_into(database: Database, form: str) -> None:
    buyers: dict[str, Buyer] = {}
    for told in (form, "none"):
        with database.transaction() as connection:
            connection.execute(b"truncate leads, deliveries, attempts, destination_status")
        buyer = buyers[told] = Buyer(40, 1.0, told)
        with fault_server.running(buyer.behave) as server:
            attempts = attempts_until_all_are_delivered(database, server.url, 120)
        assert (buyer.taken, attempts) == (120, 120 + buyer.refused)
    assert buyers["none"].refused > 40
    # Those under way when the first answer came that left nothing, and the first of each group that was out.
    assert buyers[form].refused <= 4 + 4
    assert buyers[form].refused_later == 0


def test_a_destination_that_says_nothing_is_kept_no_note_of(database: Database, claimed: Claimed) -> None:
    record(database, claimed(1), SUCCESS)
    assert database.fetch("select count(*)::int from destination_status where quota_left is not null") == [(0,)]


def test_the_rest_of_a_group_goes_back_unattempted_once_nothing_is_left(database: Database) -> None:
    buyer = Buyer(3, 30.0, "draft")
    with fault_server.running(buyer.behave) as server, installation(database, server.url) as (_, deliverer):
        acceptance.accept(database, [new_lead() for _ in range(30)])
        lanes = dispatch.survey(database).due["a"]
        ids = [one.id for one in dispatch.queue(database, {"a": {lanes[0]: 30}})["a"][lanes[0]]]
        counts: Any = deliverer.deliver("a", ids)
    assert counts["delivered"] == 3
    assert buyer.refused <= 3, "no more than the other three threads had begun"
    assert database.fetch("select count(*)::int from deliveries where attempts > 0") == [(3 + buyer.refused,)]


def nothing_left(connection: socket, request: Received) -> bool:
    """A server that always says so, and takes whatever comes."""
    return answer(200, b"{}", ratelimit_remaining="0", x_ratelimit_remaining="0", x_ratelimit_reset="60")(
        connection, request
    )


def test_headers_that_are_wrong_are_not_obeyed_where_the_destination_says_so(database: Database) -> None:
    with fault_server.running(nothing_left) as server:
        assert attempts_until_all_are_delivered(database, server.url, 40, obey_rate_headers=False) == 40
    assert database.fetch("select count(*)::int from destination_status where quota_left is not null") == [(0,)]


def test_a_retry_after_counts_though_rate_headers_are_not_obeyed(database: Database) -> None:
    busy = answer(429, b"{}", x_ratelimit_remaining="0", x_ratelimit_reset="60", retry_after="30")
    with (
        fault_server.running(busy) as server,
        installation(database, server.url, obey_rate_headers=False) as (_, deliverer),
    ):
        acceptance.accept(database, [new_lead()])
        assert deliverer.deliver("a", queued(database)) == {"ready": 1}
    assert gate(database).is_shut
    assert (gate(database).wait_seconds, gate(database).quota_left) == (pytest.approx(30, abs=2), None)


def test_what_was_noted_before_is_forgotten_once_rate_headers_are_not_obeyed(
    database: Database, claimed: Claimed
) -> None:
    record(database, claimed(1), quota(0, 30, limit=10))
    with installation(database, "http://127.0.0.1:9", obey_rate_headers=False) as (dispatcher, _):
        assert gate(database).is_shut
        dispatcher.sweep()
    assert not gate(database).is_shut
    assert kept(database) == (None, None, 0.0)
