"""The way in: an API that dies between commit and answer, or is parted from its ledger, while producers keep trying."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from time import monotonic, sleep
from uuid import UUID

import pytest
import requests

from app.intake import Receipt
from app.ledger import key
from tests.chaos.conftest import Build
from tests.chaos.proxy import proxied
from tests.chaos.stage import PROGRAM, Stage, destination
from tests.embedded.harness import free_ports
from tests.tasks.conftest import TREE, await_that

CALL_SECONDS = 3.0
GIVE_UP_SECONDS = 90.0


@contextmanager
def _api(stage: Stage, port: int, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        [*PROGRAM, "api", "api"],
        cwd=TREE,
        env={**stage.environment, "LEADRELAY_API_PORT": str(port), **environment},
        stdout=subprocess.DEVNULL,
        stderr=stage.log.open("ab"),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Producer(Thread):
    """Submits leads one after the other, each under its key until it is acknowledged."""

    def __init__(self, stage: Stage, port: int, secret: str, number: int) -> None:
        super().__init__(name="producer")
        self._stage, self._number = stage, number
        self._url = f"http://127.0.0.1:{port}/v1/leads?source=web"
        self._headers = {"Authorization": f"Bearer {secret}"}
        self.gave_up = Event()

    def run(self) -> None:
        for number in range(self._number):
            self._submit(number)

    def _submit(self, number: int) -> None:
        name, ends = f"posted-{number}", monotonic() + GIVE_UP_SECONDS
        headers = self._headers | {"Idempotency-Key": name}
        body = {"email": f"lead{number}@example.com", "first_name": "Wilhelmina", "state": "CA", "age": "30"}
        while monotonic() < ends:
            with suppress(requests.RequestException):
                answer = requests.post(self._url, json=body, headers=headers, timeout=CALL_SECONDS)
                if answer.ok:
                    said = answer.json()
                    deliveries = {UUID(one["id"]): one["destination"] for one in said["deliveries"]}
                    self._stage.acknowledge(name, Receipt(lead_id=UUID(said["id"]), deliveries=deliveries, invalid={}))
                    return
            sleep(0.1)
        self.gave_up.set()


def _produce(stage: Stage, port: int) -> Producer:
    secret = key.create(stage.database, name="chaos", scopes=frozenset({"submit"}), source=None, actor="test")
    producer = Producer(stage, port, secret, stage.plan.leads)
    producer.start()
    return producer


@pytest.mark.scenario(seconds=15)
def test_an_api_killed_between_commit_and_answer_takes_each_lead_once(stage: Stage) -> None:
    stage.configure(destination(stage.sandbox.url))
    stage.behave()
    stage.start(1)
    [port] = free_ports(1)
    with _api(stage, port, CHAOS_CRASH=f"after-accept:{stage.plan.random().randint(2, 10)}") as first:
        producer = _produce(stage, port)
        with stage.history.fault("the API killed", delays=True):
            await_that(lambda: first.poll() is not None, "it was killed")
            stage.snapshot()
    with _api(stage, port):
        producer.join()
        assert not producer.gave_up.is_set()
        stage.settle()
    assert len(stage.accepted) == stage.plan.leads


@pytest.mark.scenario(seconds=20)
@pytest.mark.parametrize("way", ["cut", "silence"])
def test_an_api_parted_from_the_ledger_refuses_and_forgets_nothing(
    database_url: str, broker_url: str, build: Build, way: str
) -> None:
    stage = build(database_url=database_url, broker_url=broker_url)
    stage.broker.flushall()
    stage.configure(destination(stage.sandbox.url))
    stage.behave()
    stage.start(1)
    [port] = free_ports(1)
    with proxied(database_url) as (proxy, through), _api(stage, port, LEADRELAY_DATABASE_URL=through):
        producer = _produce(stage, port)
        await_that(lambda: len(stage.accepted) >= stage.plan.strike_after, "leads come in")
        with stage.history.fault(f"API {way}"):
            getattr(proxy, way)()
            sleep(stage.plan.fault_seconds)
            stage.snapshot()
            proxy.heal()
        producer.join()
        assert not producer.gave_up.is_set()
        stage.settle()
    assert len(stage.accepted) == stage.plan.leads


@pytest.mark.scenario(seconds=8)
def test_an_api_that_acknowledges_what_it_never_wrote_is_caught(stage: Stage) -> None:
    stage.configure(destination(stage.sandbox.url))
    [port] = free_ports(1)
    with _api(stage, port, CHAOS_MUTANT="acknowledge-before-commit"):
        producer = _produce(stage, port)
        producer.join()
    assert "accepted_is_accounted_for" in {found.rule for found in stage.judge()}
