"""The broker's dead-letter queues show what the ledger says, and are not rebuilt while they are being filled."""

from collections.abc import Callable

import pytest

from app.broker import Publisher, create, dead_queue
from app.ledger import Database, dispatch, work
from app.model import Claim, State
from app.operations import Steward
from app.settings import Settings
from tests.ledger.conftest import BROKEN, attempt

QUEUE = dead_queue("a")


@pytest.fixture
def publisher() -> Publisher:
    found = Publisher(create(Settings(broker_url="memory://")))
    found.purge(QUEUE)
    return found


@pytest.fixture
def half_shown(database: Database, claimed: Callable[..., list[Claim]], publisher: Publisher) -> Steward:
    """Four dead letters, of which the broker shows two so far."""
    work.record(database, "a", [attempt(one, BROKEN, State.DEAD) for one in claimed(4)], config_version=1)
    letters = dispatch.unmirrored(database)[:2]
    publisher.bury(letters)
    dispatch.mirrored(database, [letter.delivery_id for letter in letters])
    return Steward(database, publisher, Settings())


def test_a_queue_that_is_being_filled_is_left_alone(
    database: Database, half_shown: Steward, publisher: Publisher
) -> None:
    half_shown.mirror()
    assert publisher.lengths([QUEUE]) == {QUEUE: 2}
    assert len(dispatch.unmirrored(database)) == 2


def test_a_queue_that_was_emptied_is_filled_again(
    database: Database, half_shown: Steward, publisher: Publisher
) -> None:
    publisher.purge(QUEUE)
    half_shown.mirror()
    assert len(dispatch.unmirrored(database)) == 4
