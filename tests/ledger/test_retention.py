"""Leads past their retention are forgotten whole, whoever adds something to them or wants them at that moment."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random
from time import monotonic, sleep
from typing import Any
from uuid import UUID

import psycopg
import pytest

from app.errors import NotFound
from app.ledger import Database, acceptance, feedback, operation
from app.ledger.feedback import Answer, NewFeedback, Recorded
from app.model import FeedbackType, State
from tests.ledger.conftest import new_lead, state_of

Connection = psycopg.Connection[tuple[Any, ...]]
_EXPIRE = "update leads set received_at = now() - interval '91 days' returning 1"
_WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


@pytest.fixture
def other(database: Database) -> Iterator[Connection]:
    """A transaction of somebody else's, whose end the test decides."""
    with psycopg.connect(database.url) as connection:
        yield connection


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as found:
        yield found


def ended(database: Database, count: int = 1) -> list[UUID]:
    """Deliveries that ended, of leads past their retention."""
    leads = [new_lead() for _ in range(count)]
    acceptance.accept(database, leads)
    database.fetch("update deliveries set state = 'delivered', reference = 'r-' || id, ended_at = now() returning 1")
    database.fetch(_EXPIRE)
    return [lead.deliveries[0].id for lead in leads]


def give(database: Database, delivery: UUID, key: str = "1", *, by_reference: bool = False) -> Answer:
    named = (
        NewFeedback(
            type=FeedbackType.RETURN, destination="a", reference=f"r-{delivery}", key=key, reason="Ada's mother"
        )
        if by_reference
        else NewFeedback(type=FeedbackType.RETURN, delivery_id=delivery, key=key, reason="Ada's mother")
    )
    [answer] = feedback.record(database, [named], actor="test")
    return answer


def forget(database: Database) -> int:
    return operation.forget(database, older_than_days=90, limit=1000)


def until_done_or_waiting(database: Database, task: "Future[Any]", *, waiting: int) -> None:
    """Until the task is done, or so many wait for a lock."""
    ends = monotonic() + 10
    while not task.done() and database.fetch(_WAITING)[0][0] < waiting:
        assert monotonic() < ends, "neither is done nor waits"
        sleep(0.01)


def orphans(database: Database) -> int:
    rows = database.fetch(
        "select from feedback f where not exists (select from deliveries d where d.id = f.delivery_id)"
    )
    return len(rows)


def test_feedback_that_is_being_written_is_forgotten_with_its_lead(
    database: Database, other: Connection, threads: ThreadPoolExecutor
) -> None:
    [delivery] = ended(database)
    # Its key is about to be taken by another: so it has found its delivery, and has not written yet.
    other.execute(
        "insert into feedback (id, delivery_id, destination, key, digest, type, actor, data) "
        "values (gen_random_uuid(), gen_random_uuid(), 'a', %s, '', 'return', 'test', '')",
        ("test\x1f\x1f1",),
    )
    giving = threads.submit(give, database, delivery)
    until_done_or_waiting(database, giving, waiting=1)
    assert not giving.done()
    forgetting = threads.submit(forget, database)
    until_done_or_waiting(database, forgetting, waiting=2)
    other.rollback()
    assert isinstance(giving.result(10), Recorded), "it came before"
    assert forgetting.result(10) == 1
    assert database.fetch("select count(*)::int from feedback") == [(0,)]


@pytest.mark.parametrize("by_reference", [False, True])
def test_feedback_on_a_lead_that_is_being_forgotten_finds_none(
    database: Database, other: Connection, threads: ThreadPoolExecutor, *, by_reference: bool
) -> None:
    [delivery] = ended(database)
    other.execute("select from leads for share")  # it cannot be deleted yet, but all that belongs to it
    forgetting = threads.submit(forget, database)
    until_done_or_waiting(database, forgetting, waiting=1)
    giving = threads.submit(give, database, delivery, by_reference=by_reference)
    until_done_or_waiting(database, giving, waiting=2)
    other.rollback()
    assert forgetting.result(10) == 1
    assert isinstance(giving.result(10), NotFound)
    assert isinstance(give(database, delivery, by_reference=by_reference), NotFound)
    assert database.fetch("select count(*)::int from feedback") == [(0,)]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_at_the_same_time_nothing_of_a_forgotten_lead_remains(
    database: Database, threads: ThreadPoolExecutor, seed: int
) -> None:
    deliveries, random = ended(database, 60), Random(seed)
    order = random.choices(deliveries, k=400)
    giving = [threads.submit(give, database, one, str(place)) for place, one in enumerate(order)]
    while not all(one.done() for one in giving):
        operation.forget(database, older_than_days=90, limit=random.randint(1, 10))
    answers = [one.result() for one in giving]
    assert sum(isinstance(answer, Recorded | NotFound) for answer in answers) == len(order)
    while forget(database):
        pass
    assert orphans(database) == 0
    assert database.fetch("select count(*)::int from feedback") == [(0,)]


def test_a_delivery_that_is_being_replayed_is_not_forgotten(
    database: Database, other: Connection, threads: ThreadPoolExecutor
) -> None:
    [delivery] = ended(database)
    other.execute("update deliveries set state = 'ready'")
    forgetting = threads.submit(forget, database)
    until_done_or_waiting(database, forgetting, waiting=1)
    other.commit()
    assert forgetting.result(10) == 0
    assert state_of(database, delivery) is State.READY
    assert database.fetch("select count(*)::int from leads") == [(1,)]


def test_of_two_that_forget_at_once_each_lead_is_counted_once(database: Database, threads: ThreadPoolExecutor) -> None:
    ended(database, 50)
    counts = [threads.submit(forget, database) for _ in range(4)]
    assert sum(one.result(20) for one in counts) == 50
