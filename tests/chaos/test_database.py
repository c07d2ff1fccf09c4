"""Ledgers that are out of reach, read-only, restarted or full."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

import psycopg
import pytest

from app.embedded.place import find_place
from app.embedded.postgres import Postgres
from app.errors import Unavailable
from app.ledger import migrate
from app.ledger.database import LedgerError
from tests.chaos.conftest import Build
from tests.chaos.proxy import proxied
from tests.chaos.stage import CONNECTIONS, HURRIED, Stage, destination
from tests.conftest import lacking, running
from tests.embedded.harness import remove_home

DISK = "320m"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    found = tmp_path / "database"
    found.mkdir()
    yield found
    remove_home(found)


@pytest.mark.scenario(seconds=20)
@pytest.mark.parametrize("way", ["cut", "silence"])
def test_workers_parted_from_the_ledger_go_on_when_it_is_back(
    database_url: str, broker_url: str, build: Build, way: str
) -> None:
    with proxied(database_url) as (proxy, through):
        stage = build(database_url=database_url, broker_url=broker_url, through={"LEADRELAY_DATABASE_URL": through})
        stage.broker.flushall()
        stage.configure(destination(stage.sandbox.url, limits=HURRIED))
        stage.behave()
        stage.start(2)
        with stage.feeding():
            stage.await_received()
            with stage.history.fault(f"ledger {way}", ambiguous=True, delays=True, stops=True):
                getattr(proxy, way)()
                stage.accept(5)
                sleep(stage.plan.fault_seconds)
                stage.snapshot()
                proxy.heal()
                _await_connections(stage)
        stage.settle()
        stage.stop()


@pytest.mark.scenario(seconds=15)
def test_a_ledger_that_only_reads_loses_nothing(stage: Stage) -> None:
    stage.configure(destination(stage.sandbox.url, limits=HURRIED))
    stage.behave()
    stage.start(2)
    with stage.feeding():
        stage.await_received()
        with stage.history.fault("read-only", ambiguous=True, delays=True, stops=True):
            _set_read_only(stage.direct_database_url, on=True)
            stage.snapshot()
            sleep(stage.plan.fault_seconds)
            _set_read_only(stage.direct_database_url, on=False)
            _await_connections(stage)
    stage.settle()


def _set_read_only(url: str, *, on: bool) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(b"set default_transaction_read_only = off")
        name = connection.info.dbname
        connection.execute(
            f"alter database {name} set default_transaction_read_only = {'on' if on else 'off'}".encode()
        )
        connection.execute(
            b"select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()",
            (name,),
        )


@pytest.mark.scenario(seconds=25)
def test_a_restarted_ledger_is_found_again(broker_url: str, home: Path, build: Build) -> None:
    server = running(Postgres(home))
    url = server.__enter__()
    migrate(url)
    stage = build(database_url=url, broker_url=broker_url)
    stage.broker.flushall()
    stage.configure(destination(stage.sandbox.url, limits=HURRIED))
    stage.behave()
    stage.start(2)
    with stage.feeding():
        stage.await_received()
        with stage.history.fault("restart", ambiguous=True, delays=True, stops=True):
            server.__exit__(None, None, None)
            sleep(stage.plan.fault_seconds)
            server = running(Postgres(home))
            server.__enter__()
            _await_connections(stage)
    stage.settle()
    stage.stop()
    stage.database.close()
    server.__exit__(None, None, None)


@contextmanager
def _small_disk(home: Path) -> Iterator[Path]:
    """A disk of its own for a database: a tmpfs of `DISK`."""
    base = find_place(home, root=os.geteuid() == 0).base
    folder = base / "data-disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0711", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        lacking("the right to mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.scenario(seconds=30, daily=False)
def test_a_full_disk_costs_nothing_that_was_acknowledged(broker_url: str, home: Path, build: Build) -> None:
    with _small_disk(home) as disk:
        place = find_place(home, root=os.geteuid() == 0)
        server = Postgres(home)
        server.prepare()
        moved = disk / "data"
        place.data.rename(place.base / "data-first")
        subprocess.run(["cp", "-a", str(place.base / "data-first"), str(moved)], check=True)
        place.data.symlink_to(moved)
        serving = running(server)
        url = serving.__enter__()
        migrate(url)
        stage = build(database_url=url, broker_url=broker_url)
        stage.broker.flushall()
        stage.configure(destination(stage.sandbox.url, limits=HURRIED))
        stage.behave()
        stage.start(2)
        with stage.feeding():
            stage.await_received()
            with stage.history.fault("disk full", ambiguous=True, delays=True, stops=True):
                _fill(disk / "filler")
                refused = _is_refused(stage)
                stage.snapshot()
                (disk / "filler").unlink()
                serving.__exit__(None, None, None)
                serving = running(Postgres(home))
                serving.__enter__()
                _await_connections(stage)
        assert refused
        stage.settle()
        stage.stop()
        stage.database.close()
        serving.__exit__(None, None, None)


def _fill(path: Path) -> None:
    with suppress(OSError), path.open("wb") as file:
        while True:
            file.write(b"\0" * (1 << 20))


def _is_refused(stage: Stage) -> bool:
    """Write to the ledger until it takes no more."""
    ends = monotonic() + 40
    while monotonic() < ends:
        try:
            with stage.database.transaction() as connection:
                connection.execute(b"create table if not exists chaos_ballast (data text)")
                connection.execute(
                    b"insert into chaos_ballast select string_agg(md5(random()::text), '') from generate_series(1, 200000)"
                )
        except (Unavailable, LedgerError):
            return True
    return False


def _await_connections(stage: Stage) -> None:
    """Until the ledger serves again by every connection of the stage's: what comes next is repaired in time."""
    ends, served = monotonic() + 30, 0
    while served < CONNECTIONS and monotonic() < ends:
        try:
            stage.database.fetch("select 1")
            served += 1
        except Unavailable:
            served = 0
            sleep(0.1)
