"""Which tables this code can work on: its own and newer ones, and a process waits for those."""

from itertools import islice
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.errors import Outdated
from app.ledger import Database, migrate, migration, revision
from app.ledger.database import connect
from app.telemetry import Event
from tests.conftest import OUTDATED

NOWHERE = "postgresql://someone:hidden@127.0.0.1:1/nowhere"


def check(url: str) -> None:
    with connect(url, application_name="test") as connection:
        revision.check(connection)


def renumber(database: Database, number: str) -> None:
    database.fetch("update schema_version set version_num = %s returning 1", (number,))


def test_the_names_of_the_files_are_alembics_revisions_in_their_order() -> None:
    config = Config()
    config.set_main_option("script_location", migration.FOLDER)
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())
    assert [script.revision for script in reversed(scripts)] == revision.known()
    assert all(Path(script.path).name.startswith(f"{script.revision}_") for script in scripts)


def test_tables_that_are_up_to_date_will_do(database_url: str) -> None:
    check(database_url)
    assert list(revision.pending(database_url, application_name="test")) == []


def test_tables_of_a_newer_release_will_do_and_are_left_alone(database: Database) -> None:
    renumber(database, "9999")
    check(database.url)
    migrate(database.url)
    assert database.fetch("select version_num from schema_version") == [("9999",)]


def test_older_tables_are_refused_with_both_revisions_and_the_remedy(outdated_database_url: str) -> None:
    with pytest.raises(Outdated) as refused:
        check(outdated_database_url)
    assert str(refused.value) == (
        f"the ledger's tables are at {OUTDATED} and this release needs {revision.known()[-1]}: run `leadrelay migrate`"
    )
    migrate(outdated_database_url)
    check(outdated_database_url)


def test_a_ledger_without_tables_is_refused(database: Database) -> None:
    database.fetch("delete from schema_version returning 1")
    with pytest.raises(Outdated, match="has no tables yet: run `leadrelay migrate`"):
        check(database.url)
    with database.transaction() as connection:
        connection.execute(b"drop table schema_version")
    with pytest.raises(Outdated, match="has no tables yet: run `leadrelay migrate`"):
        check(database.url)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Event, object]]:
    events: list[tuple[Event, object]] = []
    monkeypatch.setattr(revision, "emit", lambda event, **fields: events.append((event, fields["detail"])))
    return events


def test_who_waits_says_why_once_and_goes_on_after_the_migration(
    outdated_database_url: str, logged: list[tuple[Event, object]]
) -> None:
    looks = revision.pending(outdated_database_url, application_name="test")
    told = list(islice(looks, 3))
    assert "run `leadrelay migrate`" in told[0]
    assert told == told[:1] * 3
    assert logged == [(Event.LEDGER_OUTDATED, told[0])]
    migrate(outdated_database_url)
    assert list(looks) == []


def test_who_waits_for_a_ledger_that_is_out_of_reach_says_so_once(logged: list[tuple[Event, object]]) -> None:
    told = list(islice(revision.pending(NOWHERE, application_name="test"), 2))
    assert "out of reach" in told[0]
    assert logged == [(Event.LEDGER_UNAVAILABLE, told[0])]
    assert "hidden" not in told[0]
