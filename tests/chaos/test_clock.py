"""Workers whose clocks are wrong by two hours: every time that counts is the database's."""

from pathlib import Path

import pytest

from app.model import State
from tests.chaos.stage import HURRIED, Stage, destination
from tests.conftest import lacking
from tests.tasks.conftest import await_that

LIBRARY = "faketime/libfaketime.so.1"


@pytest.mark.scenario(seconds=15, daily=False)
@pytest.mark.parametrize("offset", ["+2h", "-2h"])
def test_a_worker_whose_clock_is_wrong_delivers_once(stage: Stage, offset: str) -> None:
    library = next(Path("/usr/lib").glob(f"**/{LIBRARY}"), None)
    if library is None:
        lacking("libfaketime (Debian: apt-get install libfaketime)")
    stage.configure(destination(stage.sandbox.url, limits=HURRIED))
    stage.behave()
    stage.start(1, LD_PRELOAD=str(library), FAKETIME=offset, FAKETIME_DONT_FAKE_MONOTONIC="1", DONT_FAKE_MONOTONIC="1")
    with stage.feeding():
        stage.await_received()
        stage.start(1)
        stage.history.struck("kill", ambiguous=True)
        stage.kill(0)
    stage.settle()
    started = "select avg(extract(epoch from started_at - now())) from attempts"
    assert abs(stage.database.fetch(started)[0][0]) > 60, "its clock was right"
    await_that(lambda: State.READY not in stage.states(), "nothing waits")
