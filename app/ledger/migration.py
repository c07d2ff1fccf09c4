"""Brings the ledger's tables to the version this code expects, whoever starts first, while others work on them.

Migrations are Alembic's, written in SQL in `migrations/versions`, each in a transaction of its own. One process migrates
while others wait. A migration that waits for a table's lock makes everybody wait who comes after it: so it waits for a
moment only, gives way, and tries again.
"""

import logging
from importlib import resources
from time import sleep

import psycopg

from app.errors import Unavailable
from app.ledger import revision
from app.ledger.database import Connection, connect, translated
from app.telemetry import Event, emit

FOLDER = str(resources.files("app.ledger") / "migrations")
LOCK_SECONDS = 2.0
"""What writers may have to wait, at worst."""
PAUSE_SECONDS = 3.0
TRIES = 120
"""Ten minutes."""
_LOCK = 7_165_311  # any number, the same in every process that migrates


def migrate(database_url: str) -> None:
    """Run every migration that has not run yet; those of a newer release have run them all.

    Raises `Unavailable` when PostgreSQL is out of reach, or when others keep a table locked for ten minutes.
    """
    with connect(database_url, application_name="leadrelay-migrate") as lock, translated():
        _take_turn(lock)
        if revision.is_newer(revision.found(lock)):
            return
        for _ in range(TRIES):
            try:
                _upgrade(database_url)
            except psycopg.errors.LockNotAvailable:
                emit(Event.MIGRATION_WAITS, level=logging.WARNING)
                sleep(PAUSE_SECONDS)
            else:
                return
    raise Unavailable(
        "the ledger's tables could not be changed: a transaction keeps them locked; end it (pg_stat_activity) and try again"
    )


def _take_turn(lock: Connection) -> None:
    """Wait until no other process migrates; by asking again, because a statement that waits holds up `concurrently`."""
    while not lock.execute("select pg_try_advisory_lock(%s)", (_LOCK,)).fetchall()[0][0]:
        sleep(0.2)


def _upgrade(database_url: str) -> None:
    """Run what is left to run; raises psycopg's errors, `LockNotAvailable` among them."""
    import sqlalchemy  # noqa: PLC0415  # a second of imports that only this needs
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    def open_connection() -> psycopg.Connection:
        connection = psycopg.connect(database_url, autocommit=True)
        connection.execute("select set_config('lock_timeout', %s, false)", (f"{LOCK_SECONDS * 1000:.0f}",))
        connection.autocommit = False
        return connection

    config = Config()
    config.set_main_option("script_location", FOLDER)
    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=open_connection, poolclass=sqlalchemy.NullPool)
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except sqlalchemy.exc.DBAPIError as error:
        raise error.orig or error from None
