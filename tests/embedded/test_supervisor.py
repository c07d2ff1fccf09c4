import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest

from app.embedded.journal import Journal
from app.embedded.supervisor import Child, Supervisor
from app.errors import Unavailable
from tests.embedded.harness import descendants, is_alive, wait_until

SAY_AND_WAIT = "import signal, sys; print(*sys.argv[1:]); signal.pause()"
IGNORE_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf')\nwhile True: signal.pause()"
WITH_GRANDCHILD = """
import signal, subprocess, sys
print("grandchild", subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]).pid)
signal.pause()
"""
SLOW_GOODBYE = """
import signal, sys, time
def end(*_):
    time.sleep(0.2)
    print("goodbye")
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("here")
while True: signal.pause()
"""


def python(name: str, code: str, *words: str, stage: int = 0) -> Child:
    return Child(name=name, argv=[sys.executable, "-c", code, *words], stage=stage)


@pytest.fixture
def said() -> StringIO:
    return StringIO()


@pytest.fixture(autouse=True)
def children() -> Iterator[Callable[[], set[int]]]:
    """What the test has started and still runs; also a test that fails takes it along. Servers of other tests are left alone."""
    before = descendants(os.getpid())

    def started() -> set[int]:
        others = before.union(*(descendants(pid) for pid in before))
        return descendants(os.getpid()) - others

    yield started
    kill(started())


def kill(pids: set[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_each_line_carries_the_name_of_its_process(said: StringIO) -> None:
    supervisor = Supervisor(Journal(said))
    supervisor.start(python("one", SAY_AND_WAIT, "hello"))
    supervisor.start(python("two", SAY_AND_WAIT, "world"))
    wait_until(lambda: said.getvalue().count("\n") == 2, "both have spoken")
    supervisor.stop(within_seconds=5)
    assert {"one       │ hello", "two       │ world"} <= set(said.getvalue().splitlines())


def test_names_are_coloured_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, file = StringIO(), StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    for stream in (terminal, file):
        Journal(stream).write("api", "line")
    assert "\x1b[" in terminal.getvalue()
    assert "\x1b[" not in file.getvalue()


def test_child_that_dies_is_started_again_and_that_is_said(said: StringIO, children: Callable[[], set[int]]) -> None:
    supervisor = Supervisor(Journal(said))
    supervisor.start(python("mortal", SAY_AND_WAIT, "alive"))
    wait_until(lambda: "alive" in said.getvalue(), "it runs")
    (pid,) = children()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: said.getvalue().count("alive") == 2, "it runs again", within_seconds=5)
    supervisor.stop(within_seconds=5)
    assert "mortal was killed by SIGKILL; starting it again in 0.5 s" in said.getvalue()


def test_children_end_stage_by_stage(said: StringIO) -> None:
    supervisor = Supervisor(Journal(said))
    for name, stage in (("last", 2), ("first", 0), ("middle", 1)):
        supervisor.start(python(name, SLOW_GOODBYE, stage=stage))
    wait_until(lambda: said.getvalue().count("here") == 3, "all run")
    supervisor.stop(within_seconds=8)
    goodbyes = [line.split()[0] for line in said.getvalue().splitlines() if line.endswith("goodbye")]
    assert goodbyes == ["first", "middle", "last"]


def test_child_that_does_not_listen_is_killed_in_time_and_later_stages_keep_theirs(
    said: StringIO, children: Callable[[], set[int]]
) -> None:
    supervisor = Supervisor(Journal(said))
    supervisor.start(python("deaf", IGNORE_TERM))
    supervisor.start(python("polite", SLOW_GOODBYE, stage=1))
    wait_until(lambda: "deaf" in said.getvalue() and "here" in said.getvalue(), "both run")
    begun = time.monotonic()
    supervisor.stop(within_seconds=1.5)
    assert time.monotonic() - begun < 2
    assert children() == set()
    assert "deaf did not end in time and is killed" in said.getvalue()
    assert "goodbye" in said.getvalue()


def test_what_a_child_has_started_ends_with_it(said: StringIO) -> None:
    supervisor = Supervisor(Journal(said))
    supervisor.start(python("parent", WITH_GRANDCHILD))
    wait_until(lambda: "grandchild" in said.getvalue(), "it has a child")
    grandchild = int(said.getvalue().split()[-1])
    supervisor.stop(within_seconds=5)
    try:
        wait_until(lambda: not is_alive(grandchild), "the grandchild is gone", within_seconds=2)
    finally:
        kill({grandchild})


def test_waiting_ends_when_a_child_ends_instead_of_getting_ready(said: StringIO) -> None:
    supervisor = Supervisor(Journal(said))
    supervisor.start(python("broken", "raise SystemExit(3)"))
    with pytest.raises(Unavailable, match="broken ended while the stack was starting"):
        supervisor.await_ready("broken", lambda: False, within_seconds=20)
    supervisor.stop(within_seconds=5)
    assert "broken ended with exit code 3" in said.getvalue()


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl(PR_SET_PDEATHSIG)")
def test_no_child_outlives_a_killed_supervisor() -> None:
    program = f"""
import signal, sys
from app.embedded.journal import Journal
from app.embedded.supervisor import Child, Supervisor
supervisor = Supervisor(Journal())
for name in ("one", "two"):
    supervisor.start(Child(name=name, argv=[sys.executable, "-c", {IGNORE_TERM!r}]))
signal.pause()
"""
    tree = Path(__file__).parents[2]
    supervisor = subprocess.Popen([sys.executable, "-c", program], cwd=tree, stderr=subprocess.PIPE)
    assert supervisor.stderr is not None
    assert [supervisor.stderr.readline().endswith(b"deaf\n") for _ in range(2)] == [True, True]
    children = descendants(supervisor.pid)
    assert len(children) == 2
    supervisor.kill()
    supervisor.communicate()
    try:
        wait_until(lambda: not any(map(is_alive, children)), "the children are gone", within_seconds=2)
    finally:
        kill(children)
