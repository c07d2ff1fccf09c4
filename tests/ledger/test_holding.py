"""Why nothing goes, in words: what an operator reads first."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from app.config.flow import RejectionsConfig
from app.config.schema import DestinationConfig
from app.holding import holding_back
from app.ledger import Database, operation, query
from app.ledger.circuit import GateRules
from app.model import Claim
from tests.ledger.conftest import BROKEN, FAILURE, REFUSED
from tests.ledger.test_circuit import record

Claimed = Callable[..., list[Claim]]
NOON = datetime(2026, 3, 20, 12, 0, tzinfo=UTC)


def said(database: Database, *, now: datetime | None = None, **config: Any) -> list[str]:
    configs = [DestinationConfig(name="a", type="http", **config)]
    holds = holding_back(database, configs, query.destinations(database), now=now or datetime.now(UTC))
    return [f"{hold.by}: {hold.detail}" for hold in holds.get("a", [])]


def succeeded_at(database: Database, moment: datetime, count: int) -> None:
    database.fetch(
        "insert into rollups (minute, destination, result, fault, bucket, shard, attempts, total_ms) "
        "values (%s, 'a', 'success', '', 0, 0, %s, 1) returning 1",
        (moment, count),
    )


def test_nothing_is_said_of_a_destination_that_may_be_sent_to(database: Database, claimed: Claimed) -> None:
    assert said(database) == []
    claimed(1)
    assert said(database, limits={"volume": {"daily": 1}}, schedule={"open": [{}]}) == []


def test_a_pause_is_told_and_who_made_it_when_rejections_did(database: Database) -> None:
    operation.pause(database, "a", paused=True, actor="ann")
    assert said(database) == ["pause: paused"]
    database.fetch("update destination_status set pause_reason = '3 rejections in a row' returning 1")
    assert said(database) == ["pause: paused: 3 rejections in a row"]


def test_an_open_circuit_is_told_with_its_reason(database: Database, claimed: Claimed) -> None:
    record(database, claimed(1), [REFUSED], GateRules())
    assert said(database) == ["circuit: circuit open: 401 from the destination"]
    view = query.destinations(database)["a"]
    assert (view.openings, view.rejections_in_row) == (1, 0)


def test_a_run_of_rejections_is_seen_while_it_grows(database: Database, claimed: Claimed) -> None:
    rules = GateRules(rejections=RejectionsConfig(in_a_row=5))
    record(database, claimed(3), [FAILURE, BROKEN, FAILURE], rules)
    assert query.destinations(database)["a"].rejections_in_row == 2


def test_retry_after_is_told_until_it_has_passed(database: Database) -> None:
    database.fetch("insert into destination_status (destination, not_before) values ('a', %s) returning 1", (NOON,))
    told = "retry-after: asked to be left alone until 2026-03-20 12:00:00 UTC (Retry-After)"
    assert said(database, now=NOON - timedelta(seconds=1)) == [told]
    assert said(database, now=NOON) == []


def test_closed_hours_are_told_with_the_opening_on_the_destinations_clock(database: Database) -> None:
    hours = {"open": [{"days": ["mon-fri"], "opens": "9:00", "closes": "17:30"}]}
    york = {"schedule": hours, "time_zone": "America/New_York"}
    assert said(database, now=NOON, **york) == ["schedule: closed until Fri 2026-03-20 09:00 (America/New_York)"]
    assert said(database, now=NOON + timedelta(hours=2), **york) == []


def test_a_reached_cap_is_told_as_so_many_of_so_many(database: Database) -> None:
    succeeded_at(database, NOON - timedelta(hours=1), 3)
    succeeded_at(database, NOON - timedelta(days=2), 997)
    caps = {"limits": {"volume": {"daily": 3, "monthly": 1000}}}
    assert said(database, now=NOON, **caps) == [
        "volume: 3 of 3 leads delivered today",
        "volume: 1,000 of 1,000 leads delivered this month",
    ]
    assert said(database, now=NOON, limits={"volume": {"daily": 4, "monthly": 1001}}) == []
    assert said(database, now=NOON + timedelta(days=1), limits={"volume": {"daily": 3}}) == []


def test_all_that_holds_back_is_told(database: Database) -> None:
    operation.pause(database, "a", paused=True, actor="ann")
    succeeded_at(database, NOON, 1)
    found = said(database, now=NOON, limits={"volume": {"daily": 1}}, schedule={"open": [{"opens": "13:00"}]})
    assert [one.partition(":")[0] for one in found] == ["pause", "schedule", "volume"]
