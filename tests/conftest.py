"""Servers that tests share: a real PostgreSQL and a real Valkey, each test module with a ledger of its own.

`LEADRELAY_TEST_DATABASE_URL` names a PostgreSQL whose user may create databases; without it the embedded one is started.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from time import monotonic, sleep
from typing import NoReturn
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config

from app.embedded.journal import Journal
from app.embedded.postgres import Postgres
from app.embedded.supervisor import Supervisor
from app.embedded.valkey import Valkey
from app.ledger import Database, migrate, migration

TEMPLATE = "leadrelay_template"
OUTDATED = "0004"
"""The revision of a ledger that a release before left."""


def lacking(capability: str) -> NoReturn:
    """Skip a test whose capability this machine lacks; where CI promises it, that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"CI promises {capability}")
    pytest.skip(capability)


@contextmanager
def running(server: Postgres | Valkey) -> Iterator[str]:
    """An embedded server for as long as the block lasts; its address."""
    supervisor = Supervisor(Journal(StringIO()))
    server.prepare()
    supervisor.start(server.child())
    ends = monotonic() + 30
    while not server.is_ready():
        assert monotonic() < ends, "the server did not start within 30 s"
        sleep(0.02)
    try:
        yield server.url
    finally:
        supervisor.stop(within_seconds=10)
        if isinstance(server, Postgres):
            server.release()


@pytest.fixture(scope="session")
def database_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a database on a server where databases may be created."""
    given = os.environ.get("LEADRELAY_TEST_DATABASE_URL")
    if given:
        yield given
        return
    home = tmp_path_factory.mktemp("postgres")
    with running(Postgres(home)) as url:
        yield url
    shutil.rmtree((home / "postgres").resolve())  # for root it lies outside the home


def _named(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def template_database(database_server: str) -> Iterator[str]:
    """Name of a migrated database that others are copied from."""
    name = f"{TEMPLATE}_{uuid4().hex[:8]}"
    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
        migrate(_named(database_server, name))
        yield name
        connection.execute(f"drop database {name} with (force)".encode())


@contextmanager
def _copied(server: str, template: str) -> Iterator[str]:
    name = f"leadrelay_test_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name} template {template}".encode())
    yield _named(server, name)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
def database_url(database_server: str, template_database: str) -> Iterator[str]:
    """An empty, migrated ledger of the test's own."""
    with _copied(database_server, template_database) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(database_server: str, template_database: str) -> Iterator[str]:
    """An empty, migrated ledger shared by a module's tests."""
    with _copied(database_server, template_database) as url:
        yield url


@pytest.fixture
def outdated_database_url(database_server: str) -> Iterator[str]:
    """An empty ledger whose last migrations have not run."""
    with _copied(database_server, "template1") as url:
        config = Config()
        config.set_main_option("script_location", migration.FOLDER)
        engine = sqlalchemy.create_engine(
            "postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=sqlalchemy.NullPool
        )
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, OUTDATED)
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A pool on the test's own ledger."""
    found = Database(database_url, size=4)
    yield found
    found.close()


@pytest.fixture(scope="module")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey of the module's own."""
    home: Path = tmp_path_factory.mktemp("valkey")
    with running(Valkey(home)) as url:
        yield url
