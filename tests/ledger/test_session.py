"""A process that stands still or is gone with its host keeps no locks of the ledger for long."""

import threading

import pytest

from app.errors import Unavailable
from app.ledger import Database, acceptance
from app.ledger import database as module
from app.ledger.database import connect
from tests.ledger.conftest import new_lead


def test_a_process_that_stands_still_in_a_transaction_blocks_nobody_for_long(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 1)
    stalled = Database(database.url, size=1)
    acceptance.accept(database, [new_lead()])
    moved = threading.Event()

    def move() -> None:
        database.fetch("update deliveries set due_at = now() returning 1")
        moved.set()

    def stall() -> bool:
        with stalled.transaction() as connection:
            connection.execute(b"update deliveries set due_at = now()")
            other = threading.Thread(target=move)
            other.start()
            other.join(timeout=10)
            return moved.is_set()

    with pytest.raises(Unavailable):
        assert stall()
    assert moved.is_set()
    stalled.close()


def test_the_server_looks_whether_its_clients_are_alive(database: Database) -> None:
    changed = b"select name from pg_settings where name like 'tcp_%' and source = 'session'"
    with connect(database.url, application_name="test") as own, database.transaction() as pooled:
        for connection in (own, pooled):
            assert len(connection.execute(changed).fetchall()) == 4
