"""The faults that must cost nothing, each with real worker processes: ledger, receipts and equation agree afterwards."""

import os
import signal
from pathlib import Path

import pytest

from app import operations
from app.broker import dead_queue, delivery_queue
from app.embedded.valkey import Valkey
from app.errors import InvalidConfig
from app.ledger import query, version
from app.model import State
from tests.conftest import running as running_server
from tests.tasks.conftest import BOTH, Fleet, await_that, buyer


@BOTH
def test_leads_are_delivered_once(fleet: Fleet) -> None:
    fleet.configure(buyer(fleet.sandbox.url))
    fleet.accept(250)
    fleet.start(2)
    fleet.accept(250)
    assert fleet.await_final() == {State.DELIVERED: 500}
    assert len(fleet.receipts()) == 500
    fleet.prove()


@BOTH
def test_a_killed_worker_loses_nothing_and_its_deliveries_are_told_as_ambiguous(fleet: Fleet) -> None:
    fleet.configure(buyer(fleet.sandbox.url))
    fleet.faults(latency_seconds=0.3)
    fleet.start(2)
    fleet.accept(60)
    await_that(lambda: State.DELIVERING in fleet.states() and len(fleet.receipts()) > 5, "deliveries are under way")
    fleet.kill(0)
    fleet.faults()
    assert fleet.await_final() == {State.DELIVERED: 60}
    fleet.prove()


@BOTH
def test_a_worker_asked_to_stop_hands_back_what_it_did_not_begin(fleet: Fleet) -> None:
    fleet.configure(buyer(fleet.sandbox.url, limits={"concurrency": 1, "timeout_seconds": 1}))
    fleet.faults(latency_seconds=0.3)
    fleet.start(1)
    fleet.accept(40)
    await_that(lambda: len(fleet.receipts()) > 2, "deliveries are under way")
    fleet.workers[0].terminate()
    assert fleet.workers[0].wait(timeout=8) == 0
    assert set(fleet.states()) <= {State.DELIVERED, State.READY, State.QUEUED}
    fleet.faults()
    fleet.start(1)
    assert fleet.await_final() == {State.DELIVERED: 40}
    assert len(fleet.receipts()) == 40, "nothing was sent twice"


@BOTH
def test_the_leader_killed_another_leads(fleet: Fleet) -> None:
    fleet.configure(buyer(fleet.sandbox.url))
    fleet.start(1)
    await_that(lambda: "leader.gained" in fleet.log.read_text(), "the first worker leads")
    fleet.start(1)
    fleet.kill(0)
    fleet.accept(10)
    assert fleet.await_final(within=20) == {State.DELIVERED: 10}


def test_a_stopped_worker_that_wakes_after_its_lease_writes_nothing(fleet: Fleet) -> None:
    fleet.configure(buyer(fleet.sandbox.url))
    fleet.start(1)
    fleet.faults(latency_seconds=0.8)
    fleet.accept(4)
    await_that(lambda: fleet.states().get(State.DELIVERING, 0) == 4, "claimed")
    # As if its leases had run out while it stood still and others had claimed: the token moved on.
    os.kill(fleet.workers[0].pid, signal.SIGSTOP)
    fleet.database.fetch("update deliveries set lease_until = now(), token = token + 1 returning 1")
    os.kill(fleet.workers[0].pid, signal.SIGCONT)
    fleet.faults()
    assert fleet.await_final() == {State.DELIVERED: 4}
    await_that(lambda: "deliveries.stale" in fleet.log.read_text(), "the late worker noticed")


@BOTH
def test_a_wiped_broker_loses_nothing(fleet: Fleet) -> None:
    fleet.configure(buyer(fleet.sandbox.url, limits={"timeout_seconds": 1, "window": 50, "concurrency": 1}))
    fleet.faults(latency_seconds=0.02)
    fleet.start(2)
    fleet.accept(200)
    await_that(lambda: len(fleet.receipts()) > 20, "deliveries are under way")
    fleet.wipe()
    fleet.accept(20)
    assert fleet.await_final() == {State.DELIVERED: 220}
    fleet.prove()


def test_with_the_broker_down_leads_are_accepted_and_delivered_when_it_is_back(fleet: Fleet, tmp_path: Path) -> None:
    home = tmp_path / "broker"
    home.mkdir()
    fleet.configure(buyer(fleet.sandbox.url))
    with running_server(Valkey(home)) as url:
        fleet.start(2, LEADRELAY_BROKER_URL=url)
        fleet.accept(20)
        fleet.await_final()
    fleet.accept(30)
    await_that(lambda: "broker.unavailable" in fleet.log.read_text(), "the dispatcher noticed")
    assert fleet.states() == {State.DELIVERED: 20, State.READY: 30}
    with running_server(Valkey(home)):
        assert fleet.await_final() == {State.DELIVERED: 50}
        fleet.prove()


def test_workers_outlive_a_broker_that_goes_away_while_they_are_busy(fleet: Fleet, tmp_path: Path) -> None:
    home = tmp_path / "broker"
    home.mkdir()
    fleet.configure(buyer(fleet.sandbox.url))
    with running_server(Valkey(home)) as url:
        fleet.start(2, LEADRELAY_BROKER_URL=url)
        fleet.faults(latency_seconds=0.8)
        for _ in range(10):
            fleet.accept(1)
        await_that(lambda: State.DELIVERING in fleet.states(), "work is under way")
    await_that(lambda: fleet.log.read_text().count("Cannot connect to") >= 2, "both workers noticed")
    fleet.faults()
    with running_server(Valkey(home)):
        assert fleet.await_final() == {State.DELIVERED: 10}
    assert [worker.poll() for worker in fleet.workers] == [None, None]


def test_leads_accepted_while_nobody_works_are_delivered_later(fleet: Fleet) -> None:
    fleet.configure(buyer(fleet.sandbox.url))
    fleet.accept(30)
    fleet.start(1)
    assert fleet.await_final() == {State.DELIVERED: 30}


@BOTH
def test_a_doubled_message_delivers_nothing_twice(fleet: Fleet) -> None:
    fleet.configure(buyer(fleet.sandbox.url))
    fleet.start(1, LEADRELAY_WORKER_DESTINATIONS="none")  # leads and publishes, consumes nothing
    fleet.accept(30)
    queue = delivery_queue("buyer")
    await_that(lambda: fleet.broker.length(queue) > 0, "the message is in the broker")
    fleet.broker.double(queue)
    fleet.start(2)
    assert fleet.await_final() == {State.DELIVERED: 30}
    assert len(fleet.receipts()) == 30


@pytest.mark.parametrize(
    "plan",
    [
        {"error_rate": 1.0, "status": 500},
        {"rate_limit": {"retry_after": 1}},
        {"hang_rate": 1.0},
        {"reset_after_receive_rate": 1.0},
    ],
    ids=["500", "429", "hang", "reset after receive"],
)
def test_a_destination_that_fails_for_a_while_gets_every_lead(fleet: Fleet, plan: dict[str, object]) -> None:
    fleet.configure(buyer(fleet.sandbox.url))
    fleet.faults(**plan)
    fleet.start(1)
    fleet.accept(10)
    await_that(
        lambda: fleet.database.fetch("select count(*) from attempts where result = 'error'")[0][0] >= 10,
        "every lead was tried in vain",
    )
    fleet.faults()
    assert fleet.await_final() == {State.DELIVERED: 10}
    fleet.prove()
    ambiguous = fleet.database.fetch(
        "select bool_or(ambiguous), bool_and(fault = 'transient' or fault is null) from attempts"
    )
    assert ambiguous == [("reset_after_receive_rate" in plan or "hang_rate" in plan, True)]


@BOTH
def test_attempts_that_run_out_end_in_the_dead_letter_queue_and_a_replay_delivers(fleet: Fleet) -> None:
    fleet.configure(buyer(fleet.sandbox.url, retry={"attempts": 2, "base_seconds": 0.1, "max_seconds": 1}))
    fleet.faults(error_rate=1.0, status=503)
    fleet.start(1)
    [lead] = fleet.accept(1)
    assert fleet.await_final(also=[State.DEAD]) == {State.DEAD: 1}
    await_that(lambda: fleet.broker.length(dead_queue("buyer")) == 1, "the dead letter is shown in the broker")
    [message] = fleet.broker.messages(dead_queue("buyer"))
    assert b"example.com" not in message
    fleet.faults()
    [delivery] = lead.deliveries
    operations.replay(fleet.database, delivery, actor="test")
    assert fleet.await_final() == {State.DELIVERED: 1}
    numbers = [attempt.number for attempt in query.attempts(fleet.database, [delivery])[delivery]]
    assert numbers == [1, 2, 3]


def test_refused_credentials_hold_the_lead_burn_no_further_attempts_and_a_mended_configuration_delivers(
    fleet: Fleet,
) -> None:
    fleet.configure(buyer(fleet.sandbox.url))
    fleet.faults(unauthorized=True)
    fleet.start(1)
    fleet.accept(1)
    await_that(lambda: fleet.states() == {State.HELD: 1}, "held")
    fleet.accept(20)
    await_that(lambda: query.destinations(fleet.database)["buyer"].circuit == "open", "the circuit opened")
    assert fleet.states() == {State.HELD: 1, State.READY: 20}
    assert fleet.database.fetch("select count(*) from attempts") == [(1,)]
    fleet.faults()
    fleet.configure(buyer(fleet.sandbox.url, description="credentials mended"))
    assert fleet.await_final() == {State.DELIVERED: 21}


def test_a_lead_whose_mapping_fails_is_dead_and_the_others_go_on(fleet: Fleet) -> None:
    fleet.configure(buyer(fleet.sandbox.url))
    fleet.start(1)
    fleet.accept(5)
    fleet.accept(1, age="not a number")
    fleet.accept(5)
    assert fleet.await_final(also=[State.DEAD]) == {State.DELIVERED: 10, State.DEAD: 1}
    [dead] = query.deliveries(fleet.database, states=[State.DEAD])
    assert dead.fault == "data"
    assert "age" in (dead.reason or "")
    assert "not a number" not in (dead.reason or "")


def test_a_removed_destination_holds_its_work_until_it_is_back(fleet: Fleet) -> None:
    destination = buyer(fleet.sandbox.url)
    fleet.configure(destination)
    fleet.accept(10)
    fleet.configure(buyer(fleet.sandbox.url, name="other"))
    fleet.start(1)
    await_that(lambda: fleet.states() == {State.HELD: 10}, "held")
    fleet.configure(destination)
    assert fleet.await_final() == {State.DELIVERED: 10}


@BOTH
def test_running_workers_take_up_a_new_configuration_within_five_seconds(fleet: Fleet) -> None:
    fleet.configure(buyer(fleet.sandbox.url))
    fleet.start(1)
    fleet.configure(buyer(fleet.sandbox.url), buyer(fleet.sandbox.url, name="second"))
    fleet.accept(1)
    assert fleet.await_final(within=5) == {State.DELIVERED: 2}


def test_a_refused_configuration_leaves_the_running_one(fleet: Fleet, tmp_path: Path) -> None:
    fleet.configure(buyer(fleet.sandbox.url))
    folder = tmp_path / "config"
    (folder / "destinations").mkdir(parents=True)
    (folder / "destinations" / "buyer.yaml").write_text(
        "type: http\nsettings:\n  url: http://x/\nmapping:\n  a: '{{ lead.'\n"
    )
    with pytest.raises(InvalidConfig, match=r"buyer\.yaml:\d+"):
        operations.validate(folder)
    assert version.newest(fleet.database) == 1


@BOTH
def test_no_personal_data_in_broker_or_logs(fleet: Fleet) -> None:
    fleet.configure(buyer(fleet.sandbox.url, limits={"concurrency": 1, "timeout_seconds": 1}))
    fleet.start(1, LEADRELAY_WORKER_DESTINATIONS="none", LEADRELAY_LOG_LEVEL="debug")
    fleet.accept(5, first_name="Wilhelmina", phone="+1 415 555 2671")
    await_that(lambda: fleet.broker.length(delivery_queue("buyer")) > 0, "the message is in the broker")
    seen = b"".join(fleet.broker.messages(delivery_queue("buyer"))) + fleet.log.read_bytes()
    for secret in (b"Wilhelmina", b"example.com", b"5552671"):
        assert secret not in seen
