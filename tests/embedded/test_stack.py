import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from app.embedded.journal import Journal
from app.embedded.postgres import Postgres
from app.settings import Settings
from tests.embedded.harness import TREE, Stacks, descendants, remove_home, serving

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc to see what is left running")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One home for all: every test but the first finds the data of the last."""
    path = tmp_path_factory.mktemp("home")
    yield path
    remove_home(path)


def test_ready_stack_says_where_everything_is_and_stops_without_leaving_a_process(stacks: Stacks) -> None:
    run = stacks.start()
    run.await_ready()
    file = stacks.home / "stack.json"
    said = json.loads(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600
    assert said["api_url"] == f"http://127.0.0.1:{stacks.environment['LEADRELAY_API_PORT']}"
    assert said["api_key"] == "lr_test"
    beside = Settings(home=stacks.home)
    assert (beside.database_url, beside.broker_url) == (said["database_url"], said["broker_url"])
    with psycopg.connect(said["database_url"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")

    begun = time.monotonic()
    run.process.send_signal(signal.SIGTERM)
    assert run.await_end() == 0
    assert time.monotonic() - begun < 10
    assert len(run.seen) >= 6
    assert run.left_behind() == set()
    assert not file.exists()

    again = stacks.start()
    again.await_ready()
    with psycopg.connect(json.loads(file.read_text())["database_url"]) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
    again.process.send_signal(signal.SIGINT)
    assert again.await_end() == 0
    assert again.left_behind() == set()
    log = again.log.read_text()
    assert said["flower_password"] not in log
    print("; ".join(line.strip() for line in log.splitlines() if " ready " in line))  # noqa: T201  # a measurement


def test_killed_stack_leaves_nothing_and_the_next_start_is_as_any_other(stacks: Stacks) -> None:
    run = stacks.start()
    run.await_ready()
    run.process.kill()
    run.await_end()
    assert (stacks.home / "stack.json").exists()

    again = stacks.start()
    again.await_ready()
    assert run.left_behind() == set()
    again.process.send_signal(signal.SIGTERM)
    assert again.await_end() == 0
    assert again.left_behind() == set()


def test_second_stack_on_the_same_home_is_told_of_the_first(stacks: Stacks) -> None:
    run = stacks.start()
    run.await_ready()
    second = stacks.start()
    assert second.await_end() == 1
    assert f"leadrelay already runs in {stacks.home} (pid {run.process.pid})" in second.log.read_text()
    assert run.process.poll() is None
    assert (stacks.home / "stack.json").exists()


def test_taken_port_is_said_before_anything_starts(stacks: Stacks) -> None:
    port = int(stacks.environment["LEADRELAY_SANDBOX_PORT"])
    with socket.create_server(("127.0.0.1", port)):
        run = stacks.start()
        assert run.await_end() == 1
    assert f"port {port} (LEADRELAY_SANDBOX_PORT) is taken" in run.log.read_text()
    assert "servers ready" not in run.log.read_text()


def test_answer_of_ready_is_the_exit_code_and_the_stack_is_stopped(stacks: Stacks) -> None:
    run = stacks.start("ready", "7")
    assert run.await_end() == 7, run.log.read_text()
    assert run.log.read_text().rstrip().endswith("stopped")
    assert not (stacks.home / "stack.json").exists()


def test_part_that_cannot_start_ends_the_stack_and_says_which(stacks: Stacks) -> None:
    run = stacks.start("broken")
    assert run.await_end() == 1
    log = run.log.read_text()
    assert "broken ended with exit code 3" in log
    assert "error: broken ended while the stack was starting" in log


def test_interrupted_start_leaves_nothing(stacks: Stacks) -> None:
    run = stacks.start()
    while "servers ready" not in run.log.read_text():
        run.seen |= descendants(run.process.pid)
        time.sleep(0.01)
    run.seen |= descendants(run.process.pid)
    run.process.send_signal(signal.SIGINT)
    assert run.await_end() == 128 + signal.SIGINT
    assert run.left_behind() == set()


def test_named_servers_are_used_instead_of_embedded_ones(stacks: Stacks, tmp_path: Path, journal: Journal) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    server = Postgres(elsewhere)
    with serving(server, journal):
        home = tmp_path / "home"
        run = stacks.start(LEADRELAY_DATABASE_URL=server.url, LEADRELAY_HOME=str(home))
        run.await_ready()
        assert json.loads((home / "stack.json").read_text())["database_url"] == server.url
        run.process.send_signal(signal.SIGTERM)
        assert run.await_end() == 0
    remove_home(elsewhere)
    assert not (home / "postgres").exists()


@pytest.fixture(scope="module")
def everybodys_python() -> Iterator[Path]:
    """A copy of this interpreter that an account without rights can run: the original may lie in root's home."""
    base = Path(tempfile.mkdtemp(prefix="leadrelay-python-"))
    base.chmod(0o755)
    (base / "bin").mkdir()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy(Path(sys.executable).resolve(), base / "bin" / version)
    needless = shutil.ignore_patterns("site-packages", "dist-packages", "test", "config-*", "idlelib")
    shutil.copytree(Path(os.__file__).parent, base / "lib" / version, ignore=needless)
    for library in (Path(sys.base_prefix) / "lib").glob("libpython*.so*"):
        shutil.copy(library, base / "lib")
    yield base / "bin" / version
    shutil.rmtree(base)


@pytest.mark.skipif(os.geteuid() != 0, reason="is what the other tests show when they are not run by root")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv to become another account")
@pytest.mark.parametrize("name", ["home", "a-home-with-a-name-far-too-long-for-the-path-of-a-unix-socket" * 2])
def test_ordinary_user_runs_the_stack(stacks: Stacks, everybodys_python: Path, name: str) -> None:
    become = ("setpriv", "--reuid=nobody", "--regid=12345", "--clear-groups")
    settings = {
        "PYTHONPATH": f"{TREE}:{Path(psycopg.__file__).parents[1]}",
        "LD_LIBRARY_PATH": str(everybodys_python.parents[1] / "lib"),
    }
    probe = [*become, str(everybodys_python), "-c", "import app.embedded.stack"]
    if subprocess.run(probe, env={**os.environ, **settings}, check=False).returncode != 0:
        pytest.skip("needs this tree and its packages to be readable by everybody")
    folder = Path(tempfile.mkdtemp(prefix="leadrelay-test-"))
    try:
        os.chown(folder, pwd.getpwnam("nobody").pw_uid, 12345)
        home = folder / name
        for _ in range(2):
            run = stacks.start(command=(*become, str(everybodys_python)), LEADRELAY_HOME=str(home), **settings)
            run.await_ready()
            run.process.send_signal(signal.SIGTERM)
            assert run.await_end() == 0
            assert run.left_behind() == set()
        assert (home / "postgres" / "data").owner() == "nobody"
        assert not (home / "postgres").is_symlink()
    finally:
        shutil.rmtree(folder)
