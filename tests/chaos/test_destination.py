"""Destinations that answer badly, late, without end or not at all, and one that hangs among many."""

import gzip
import os
import socket
from time import sleep
from typing import Any

import pytest

from app.model import State
from app.sandbox.certificate import make_tls
from tests.chaos.stage import HURRIED, Stage, destination
from tests.connectors import fault_server
from tests.connectors.fault_server import Behaviour, FaultServer, Received
from tests.tasks.conftest import await_that

SOUND = fault_server.answer(body=b'{"outcome": "accepted"}')
HTTP_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def endless(connection: socket.socket, _request: Received) -> bool:
    """A body without end, as fast as it is taken."""
    connection.sendall(HTTP_OK + b"transfer-encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


def bomb() -> Behaviour:
    """A small body that unpacks to 200 MB."""
    body = gzip.compress(bytes(200 << 20), 1)
    head = HTTP_OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body)
    return fault_server.raw(head + body)


def redirect(_connection: socket.socket, _request: Received) -> bool:
    """To itself."""
    _connection.sendall(b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n")
    return True


ANSWERS: dict[str, Behaviour] = {
    "slow-loris": fault_server.trickle_headers,
    "trickle": fault_server.trickle,
    "endless": endless,
    "gzip bomb": bomb(),
    "redirect loop": redirect,
    "lost": fault_server.reset,
    "hang": fault_server.hang,
}
BACKLOG = 50_000 if os.environ.get("CHAOS_SEED") else 1_000
REFUSALS = {"redirect loop": State.DEAD}
"""Answers, if bad ones: what they end in. The circuit opens at once, so that one lead alone shows it."""


def _write_receipts(stage: Stage, server: FaultServer) -> None:
    stage.reception = [{"key": one.headers["idempotency-key"], "digest": one.body.hex()} for one in server.received]


@pytest.mark.scenario(seconds=12)
@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_that_is_none_is_tried_again_or_shown(stage: Stage, kind: str) -> None:
    with fault_server.running(ANSWERS[kind]) as server:
        stage.configure(destination(server.url, settings={"url": server.url}, limits=HURRIED))
        stage.start(1)
        with stage.history.fault(kind, ambiguous=True, delays=True):
            stage.accept(6)
            tried = 1 if kind in REFUSALS else 3
            await_that(
                lambda: len({one.headers["idempotency-key"] for one in server.received}) >= tried, "it was tried"
            )
            sleep(min(stage.plan.fault_seconds, 2.0))
            server.behaviour = SOUND
            if kind in REFUSALS:  # who redirects has taken nothing
                server.received.clear()
            ends = {State.DELIVERED, REFUSALS.get(kind, State.DELIVERED)}
            await_that(lambda: set(stage.states()) <= ends, f"every delivery ended ({stage.states()})")
        _write_receipts(stage, server)
        stage.settle(also=(State.DEAD,))


@pytest.mark.scenario(seconds=12)
def test_a_certificate_that_is_none_holds_the_lead(stage: Stage) -> None:
    context, _ = make_tls()  # by an authority that nobody trusts
    with fault_server.running(SOUND, context=context) as server:
        stage.configure(destination(server.url, settings={"url": server.url}))
        stage.start(1)
        with stage.history.fault("TLS", delays=True):
            stage.accept(5)
            await_that(lambda: State.HELD in stage.states(), "held")
    with fault_server.running(SOUND) as mended:
        stage.configure(destination(mended.url, settings={"url": mended.url}))
        await_that(lambda: set(stage.states()) == {State.DELIVERED}, "delivered")
        _write_receipts(stage, mended)
        stage.settle()
        assert server.received == []


@pytest.mark.scenario(seconds=12)
@pytest.mark.parametrize("kind", ["failure", "hang"])
def test_a_name_that_cannot_be_resolved_costs_waiting_only(stage: Stage, kind: str) -> None:
    sound = destination(stage.sandbox.url)
    lost = sound.settings | {"url": "http://destination.invalid/"}
    stage.configure(destination(stage.sandbox.url, settings=lost))
    stage.start(1, CHAOS_RESOLVER="7" if kind == "hang" else "")
    with stage.history.fault(f"DNS {kind}", delays=True):
        stage.accept(5)
        tried = "select count(*) from attempts where result = 'error'"
        await_that(lambda: stage.database.fetch(tried)[0][0] > 0, "it was tried")
        stage.configure(sound)
        await_that(lambda: set(stage.states()) == {State.DELIVERED}, "delivered")
    assert stage.settle() == {State.DELIVERED: 5}


@pytest.mark.scenario(seconds=12)
@pytest.mark.parametrize(
    "plan",
    [
        {"rate_limit": {"retry_after": 86_400}},
        {"error_rate": 1.0, "status": 503},
        {"reset_after_receive_rate": 0.5},
        {"hang_rate": 0.3},
    ],
    ids=["429 with an absurd Retry-After", "503", "answers lost", "some hang"],
)
def test_a_destination_in_trouble_gets_every_lead_when_it_is_well(stage: Stage, plan: dict[str, Any]) -> None:
    stage.configure(destination(stage.sandbox.url, limits=HURRIED))
    stage.start(2)
    with stage.history.fault(str(plan), ambiguous=True, delays=True):
        stage.faults(**plan, seed=stage.plan.dice)
        with stage.feeding():
            sleep(stage.plan.fault_seconds)
            stage.snapshot()
        stage.faults()
        await_that(lambda: set(stage.states()) == {State.DELIVERED}, "delivered")
    stage.settle()


@pytest.mark.scenario(seconds=20)
@pytest.mark.timeout(400)
def test_a_backlog_of_an_outage_is_delivered_when_it_ends(stage: Stage) -> None:
    waiting = BACKLOG
    stage.configure(destination(stage.sandbox.url))
    stage.faults(error_rate=1.0, status=503)
    stage.start(2)
    with stage.history.fault("outage", delays=True):
        for start in range(0, waiting, 500):
            stage.accept(min(500, waiting - start))
        stage.snapshot()
        stage.faults()
        await_that(lambda: set(stage.states()) == {State.DELIVERED}, "delivered", within=300)
    assert stage.settle() == {State.DELIVERED: waiting}


@pytest.mark.scenario(seconds=30)
def test_nineteen_destinations_do_not_feel_a_twentieth_that_hangs(stage: Stage) -> None:
    with fault_server.running(fault_server.hang) as server:
        others = [destination(stage.sandbox.url, name=f"healthy{number}") for number in range(19)]
        last = destination(stage.sandbox.url, name="hanging")
        stage.configure(*others, last)
        stage.start(2)
        for name, number in (("warm", 3), ("baseline", 20)):
            with stage.history.measured(name, "healthy7"):
                _trickle(stage, number)
        stage.configure(*others, last.model_copy(update={"settings": {"url": server.url}}))
        await_that(lambda: stage.log.read_text().count("config.applied") >= 4, "the workers know")
        with stage.history.fault("hanging", ambiguous=True, delays=True), stage.history.measured("faulted", "healthy7"):
            _trickle(stage, 20)
        stage.configure(*others, last)
        stage.settle()


def _trickle(stage: Stage, number: int) -> None:
    for _ in range(number):
        stage.accept(2)
        sleep(0.15)
