"""Migrations while others work: who writes is never held up for long, and what could not run is tried again."""

import shutil
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from time import monotonic, sleep

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.errors import Unavailable
from app.ledger import Database, acceptance, feedback, key, migrate, migration
from app.ledger.feedback import NewFeedback
from app.model import FeedbackType
from tests.ledger.conftest import new_lead

MIGRATION = """
from alembic import op
revision = "test"
down_revision = {head!r}
def upgrade():
    op.execute("alter table deliveries add column tried integer")
"""
WRITE = b"update deliveries set due_at = now() where id = '00000000-0000-0000-0000-000000000000'"


@pytest.fixture
def pending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that changes the busiest table, still to be run."""
    folder = tmp_path / "migrations"
    shutil.copytree(migration.FOLDER, folder)
    config = Config()
    config.set_main_option("script_location", str(folder))
    head = ScriptDirectory.from_config(config).get_current_head()
    (folder / "versions" / "9999_test.py").write_text(MIGRATION.format(head=head))
    monkeypatch.setattr(migration, "FOLDER", str(folder))
    monkeypatch.setattr(migration, "LOCK_SECONDS", 0.5)
    monkeypatch.setattr(migration, "PAUSE_SECONDS", 0.5)


@pytest.fixture
def long_transaction(database: Database) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """Somebody's report over the deliveries that does not come to an end."""
    with psycopg.connect(database.url) as connection:
        connection.execute("select count(*) from deliveries")
        yield connection


def is_migrated(database: Database) -> bool:
    return bool(database.fetch("select from information_schema.columns where column_name = 'tried'"))


@pytest.mark.usefixtures("pending")
def test_a_migration_behind_a_long_transaction_gives_way_to_who_writes_and_tries_again(
    database: Database, long_transaction: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    migrating = threading.Thread(target=migrate, args=(database.url,))
    migrating.start()
    waits = []
    ends = monotonic() + 4
    while monotonic() < ends:
        begun = monotonic()
        with database.transaction() as connection:
            connection.execute(WRITE)
        waits.append(monotonic() - begun)
        sleep(0.02)
    assert migrating.is_alive()
    held_up = [wait for wait in waits if wait > 0.1]
    assert len(held_up) >= 2, "it tried more than once"
    assert max(waits) < 1.5, "who writes waits no longer than the migration does"
    long_transaction.rollback()
    migrating.join(timeout=20)
    assert is_migrated(database)


@pytest.mark.usefixtures("pending", "long_transaction")
def test_a_migration_that_never_gets_its_lock_says_why_and_changes_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "TRIES", 2)
    with pytest.raises(Unavailable, match="pg_stat_activity"):
        migrate(database.url)
    assert not is_migrated(database)


@pytest.mark.usefixtures("pending")
def test_of_two_that_migrate_at_once_one_waits_and_finds_it_done(database: Database) -> None:
    both = [threading.Thread(target=migrate, args=(database.url,)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(timeout=20)
    assert is_migrated(database)


def test_ids_of_feedback_given_before_are_still_known_by_their_givers(database: Database) -> None:
    [bound, free] = leads = [new_lead() for _ in range(2)]
    acceptance.accept(database, leads)
    key.create(database, name="crm", scopes=frozenset({"feedback"}), source="web", actor="test")
    given = {
        ("key:crm", "web"): NewFeedback(type=FeedbackType.RETURN, delivery_id=bound.deliveries[0].id, key="1"),
        ("hook:calls", None): NewFeedback(type=FeedbackType.RETURN, delivery_id=free.deliveries[0].id, key="2"),
        ("cli:ann", None): NewFeedback(type=FeedbackType.RETURN, delivery_id=free.deliveries[0].id),
    }
    for (actor, source), one in given.items():
        feedback.record(database, [one], actor=actor, source=source)
    # As the release before wrote it: the bare id.
    database.fetch("update feedback set key = split_part(key, chr(31), 3) where key not like ' %' returning 1")
    with database.transaction() as connection:
        connection.execute(import_module("app.ledger.migrations.versions.0007_feedback_givers").GIVERS)
    for (actor, source), one in given.items():
        [answer] = feedback.record(database, [one], actor=actor, source=source)
        assert isinstance(answer, feedback.Recorded)
        assert answer.repeated
