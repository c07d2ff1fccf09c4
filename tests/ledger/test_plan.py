"""Hot statements find their rows by an index that suits them, whatever the statistics say of a moment ago."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from app.ledger import Database, acceptance, dispatch, work
from app.model import Claim, State
from tests.ledger.conftest import BROKEN, SUCCESS, attempt, new_lead

Claimed = Callable[..., list[Claim]]
IDLE = 2000
BUSY = 300


def _plan(database: Database, statement: bytes, parameters: Sequence[Any] = ()) -> str:
    with database.transaction() as connection:
        return "\n".join(row[0] for row in connection.execute(b"explain (costs off) " + statement, parameters))


@pytest.fixture
def busy(database: Database, claimed: Claimed) -> list[Claim]:
    """Much is under way, but the statistics are of a time when nothing was."""
    idle = claimed(IDLE)
    work.record(database, "a", [attempt(one, SUCCESS, State.DELIVERED) for one in idle], config_version=1)
    with database.transaction() as connection:
        connection.execute(b"analyze deliveries")
    return claimed(BUSY)


def test_recording_does_not_read_all_that_is_under_way(database: Database, busy: list[Claim]) -> None:
    columns = work._columns([attempt(claim, SUCCESS, State.DELIVERED) for claim in busy[:100]])
    plan = _plan(database, work._RECORD, (*columns, "w", 1, "a"))
    assert "deliveries_active" not in plan, plan


def test_releasing_does_not_read_all_that_is_under_way(database: Database, busy: list[Claim]) -> None:
    plan = _plan(database, work._RELEASE, ([claim.delivery_id for claim in busy], [claim.token for claim in busy]))
    assert "deliveries_active" not in plan, plan


def test_dead_letters_already_shown_are_not_looked_at(database: Database, claimed: Claimed) -> None:
    dead = claimed(IDLE)
    work.record(database, "a", [attempt(one, BROKEN, State.DEAD) for one in dead], config_version=1)
    dispatch.mirrored(database, [claim.delivery_id for claim in dead])
    acceptance.accept(database, [new_lead()])
    with database.transaction() as connection:
        connection.execute(b"analyze deliveries")
    assert "deliveries_unmirrored" in _plan(database, dispatch._UNMIRRORED)
