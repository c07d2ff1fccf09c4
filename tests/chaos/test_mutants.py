"""The checker, tested: a product that breaks a promise on purpose is caught, and by the rule that names it.

Each mutant plays a short scenario in which its defect shows; the same scenario without the mutation is judged clean.
"""

import os
import signal
from collections.abc import Callable, Mapping

import pytest

from app.broker import delivery_queue
from app.model import State
from tests.chaos.stage import HURRIED, Stage, destination
from tests.tasks.conftest import await_that

Environment = Mapping[str, str]


def paused_beyond_the_lease(stage: Stage, mutant: Environment) -> None:
    """One worker stands still with a delivery until another holds it, and then records."""
    stage.configure(destination(stage.sandbox.url, limits={"timeout_seconds": 2}))
    stage.faults(latency_seconds=1.0)
    stage.start(1, LEADRELAY_WORKER_DESTINATIONS="none")  # leads
    stage.start(1, **mutant)
    with stage.history.fault("SIGSTOP", ambiguous=True, delays=True):
        stage.accept(1)
        await_that(lambda: State.DELIVERING in stage.states(), "it is held")
        os.kill(stage.workers[1].pid, signal.SIGSTOP)
        stage.start(1)
        stage.faults(latency_seconds=1.8)
        await_that(lambda: "leases.expired" in stage.log.read_text(), "its lease ran out", within=20)
        await_that(lambda: State.DELIVERING in stage.states(), "another holds it")
        os.kill(stage.workers[1].pid, signal.SIGCONT)
        await_that(lambda: len(stage.receipts()) == 2 and stage.states() == {State.DELIVERED: 1}, "both sent it")


def calm(stage: Stage, mutant: Environment) -> None:
    """Nothing is injected."""
    stage.configure(destination(stage.sandbox.url))
    stage.start(1, **mutant)
    for _ in range(5):
        stage.accept(3)
        await_that(
            lambda: set(stage.states()) == {State.DELIVERED} or "deliveries.requeued" in stage.log.read_text(),
            "delivered, or called again",
        )


def answers_lost(stage: Stage, mutant: Environment) -> None:
    """The destination takes leads and its answers are lost."""
    stage.configure(destination(stage.sandbox.url))
    with stage.history.fault("answers lost", ambiguous=True, delays=True):
        stage.faults(reset_after_receive_rate=0.5, seed=stage.plan.dice)
        stage.start(1, **mutant)
        stage.accept(20)
        await_that(lambda: set(stage.states()) == {State.DELIVERED}, "delivered")


def killed(stage: Stage, mutant: Environment) -> None:
    """A worker dies with what it holds."""
    stage.configure(destination(stage.sandbox.url, limits=HURRIED))
    stage.start(1, CHAOS_CRASH="before-send", **mutant)
    with stage.history.fault("kill", ambiguous=True, delays=True):
        stage.accept(5)
        await_that(lambda: stage.workers[0].poll() is not None, "it was killed")
        stage.start(1, **mutant)
        held = "select coalesce(max(extract(epoch from clock_timestamp() - lease_until)), 0) from deliveries"
        await_that(
            lambda: set(stage.states()) == {State.DELIVERED} or stage.database.fetch(held)[0][0] > 6,
            "swept, or too late",
        )


def doubled(stage: Stage, mutant: Environment) -> None:
    """Every message comes three times."""
    stage.configure(destination(stage.sandbox.url))
    stage.faults(latency_seconds=0.1)
    stage.start(1, LEADRELAY_WORKER_DESTINATIONS="none")
    with stage.history.fault("doubled", delays=True):
        stage.accept(20)
        queue = delivery_queue("buyer")
        await_that(lambda: stage.broker.llen(queue) > 0, "the message is in the broker")
        for message in stage.broker.lrange(queue, 0, -1):
            stage.broker.lpush(queue, message, message)
        stage.start(2, **mutant)
        await_that(lambda: set(stage.states()) == {State.DELIVERED} and not stage.broker.llen(queue), "delivered")


CASES: dict[str, tuple[Callable[[Stage, Environment], None], str]] = {
    "no-fencing": (paused_beyond_the_lease, "stale_tokens_write_nothing"),
    "publish-before-commit": (calm, "wakeups_are_not_lost"),
    "new-key-per-attempt": (answers_lost, "repeats_are_explained"),
    "sweep-off": (killed, "recovery_begins_in_time"),
    "claim-without-compare": (doubled, "transitions_are_declared"),
}


@pytest.mark.scenario(seconds=10, daily=True)
@pytest.mark.parametrize("name", CASES)
def test_a_mutant_is_caught(stage: Stage, name: str) -> None:
    play, rule = CASES[name]
    play(stage, {"CHAOS_MUTANT": name})
    assert rule in {found.rule for found in stage.judge()}


@pytest.mark.scenario(seconds=10)
@pytest.mark.parametrize("name", CASES)
def test_the_same_scenario_without_the_mutation_is_clean(stage: Stage, name: str) -> None:
    play, _ = CASES[name]
    play(stage, {})
    stage.settle()
