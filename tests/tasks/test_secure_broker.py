"""Brokers behind TLS and behind sentinels: the certificate is always checked, and a failover costs nothing.

And one that stands still: whoever publishes finds out.
"""

import socket
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from app import broker
from app.broker import Publisher, create, dead_queue, delivery_queue
from app.errors import BrokerUnavailable, InvalidConfig
from app.model import DeadLetter, State
from app.settings import Settings, settings
from tests.embedded.harness import free_ports
from tests.tasks.conftest import Fleet, await_that, buyer
from tests.tasks.servers import (
    MASTER,
    REDIS_PASSWORD,
    SENTINEL_PASSWORD,
    Certificate,
    RabbitNode,
    certificate,
    guarded_redis,
    redis_behind_tls,
)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure_redis(tmp_path_factory: pytest.TempPathFactory, tls: Certificate) -> Iterator[str]:
    with redis_behind_tls(tmp_path_factory.mktemp("redis"), tls) as port:
        yield f"rediss://127.0.0.1:{port}/0"


@pytest.fixture(scope="module")
def rabbit_node(tmp_path_factory: pytest.TempPathFactory, tls: Certificate) -> Iterator[RabbitNode]:
    port, tls_port, dist_port = free_ports(3)
    node = RabbitNode(
        folder=tmp_path_factory.mktemp("rabbitmq"), tls=tls, port=port, tls_port=tls_port, dist_port=dist_port
    )
    with node.running():
        yield node


@pytest.fixture(params=["redis", "rabbitmq"])
def secure_url(request: pytest.FixtureRequest) -> str:
    if request.param == "redis":
        return str(request.getfixturevalue("secure_redis"))
    node: RabbitNode = request.getfixturevalue("rabbit_node")
    return f"amqps://guest:guest@127.0.0.1:{node.tls_port}//"


def use(found: Settings) -> None:
    """Everything the dispatcher and the housekeeping ask of a broker."""
    publisher = Publisher(create(found))
    name = f"buyer-{uuid4().hex[:8]}"
    letter = DeadLetter(delivery_id=uuid4(), destination=name, fault="data", fingerprint="f")
    publisher.bury([letter, letter])
    publisher.deliver([(name, [uuid4()])])
    queues = [dead_queue(name), delivery_queue(name)]
    await_that(lambda: publisher.lengths(queues) == {queues[0]: 2, queues[1]: 1}, "all is there", within=5)
    publisher.purge(dead_queue(name))
    assert publisher.lengths(queues) == {queues[0]: 0, queues[1]: 1}
    publisher.close()


def test_workers_deliver_over_tls(fleet: Fleet, secure_url: str, tls: Certificate) -> None:
    use(Settings(broker_url=secure_url, broker_ca_file=tls.file))
    fleet.configure(buyer(fleet.sandbox.url))
    fleet.start(1, LEADRELAY_BROKER_URL=secure_url, LEADRELAY_BROKER_CA_FILE=str(tls.file))
    fleet.accept(50)
    assert fleet.await_final() == {State.DELIVERED: 50}


def test_a_certificate_that_the_system_does_not_know_is_refused(secure_url: str) -> None:
    with pytest.raises(BrokerUnavailable):
        use(Settings(broker_url=secure_url))


def test_a_certificate_for_another_host_is_refused(secure_url: str, tls: Certificate) -> None:
    elsewhere = secure_url.replace("127.0.0.1", "127.0.0.2")
    socket.create_connection(("127.0.0.2", urlsplit(elsewhere).port or 0), timeout=5).close()  # it answers there too
    with pytest.raises(BrokerUnavailable):
        use(Settings(broker_url=elsewhere, broker_ca_file=tls.file))


@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
def test_a_rabbitmq_that_stands_still_is_out_of_reach_and_back_when_it_goes_on(
    rabbit_node: RabbitNode, tls: Certificate, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setattr(broker, "ANSWER_SECONDS", 1.0)
    port = rabbit_node.tls_port if scheme == "amqps" else rabbit_node.port
    publisher = Publisher(
        create(Settings(broker_url=f"{scheme}://guest:guest@127.0.0.1:{port}//", broker_ca_file=tls.file))
    )
    publisher.deliver([("buyer", [uuid4()])])
    with rabbit_node.suspended():
        begun = monotonic()
        with pytest.raises(BrokerUnavailable):
            publisher.deliver([("buyer", [uuid4()])])
        assert monotonic() - begun < 10
    assert publisher.lengths([delivery_queue("buyer")])[delivery_queue("buyer")] in {1, 2}
    publisher.purge(delivery_queue("buyer"))
    publisher.close()


def test_an_address_cannot_switch_the_check_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADRELAY_BROKER_URL", "rediss://127.0.0.1/0?ssl_cert_reqs=none")
    settings.cache_clear()
    with pytest.raises(InvalidConfig, match=r"LEADRELAY_BROKER_URL: .*LEADRELAY_BROKER_CA_FILE"):
        settings()


def test_sentinels_behind_tls_and_a_password_lead_to_the_master(tls: Certificate, tmp_path: Path) -> None:
    with guarded_redis(tmp_path, tls) as guarded:
        use(
            Settings(
                broker_url=guarded.url,
                broker_ca_file=tls.file,
                broker_sentinel_master=MASTER,
                broker_sentinel_password=SENTINEL_PASSWORD,
            )
        )


def test_a_master_that_is_killed_costs_nothing(fleet: Fleet, tmp_path: Path) -> None:
    with guarded_redis(tmp_path) as guarded:
        use(Settings(broker_url=guarded.url, broker_sentinel_master=MASTER))
        fleet.configure(buyer(fleet.sandbox.url, limits={"timeout_seconds": 1, "window": 20, "concurrency": 1}))
        fleet.faults(latency_seconds=0.02)
        fleet.start(2, LEADRELAY_BROKER_URL=guarded.url, LEADRELAY_BROKER_SENTINEL_MASTER=MASTER)
        fleet.accept(100)
        await_that(lambda: len(fleet.receipts()) > 20, "deliveries are under way")
        before = guarded.master()
        guarded.processes[before].kill()
        await_that(lambda: guarded.master() != before, "the replica is master", within=20)
        fleet.accept(50)
        assert fleet.await_final(within=30) == {State.DELIVERED: 150}
        fleet.prove()
        assert REDIS_PASSWORD not in fleet.log.read_text()
