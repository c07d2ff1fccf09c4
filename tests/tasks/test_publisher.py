"""Publishing, from several threads and to a broker that does not answer."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from app.broker import Publisher, create, dead_queue
from app.model import DeadLetter
from app.settings import Settings
from tests.tasks.broker import Broker
from tests.tasks.conftest import BOTH

THREADS = 8
TURNS = 25


@BOTH
def test_threads_may_share_a_publisher(broker: Broker) -> None:
    publisher = Publisher(create(Settings(broker_url=broker.url)))
    names = [f"buyer-{number}" for number in range(THREADS)]

    def work(name: str) -> None:
        for _ in range(TURNS):
            publisher.bury([DeadLetter(delivery_id=uuid4(), destination=name, fault="data", fingerprint="f")])
            publisher.lengths([dead_queue(name)])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, names))
    queues = [dead_queue(name) for name in names]
    assert publisher.lengths(queues) == dict.fromkeys(queues, TURNS)
    publisher.close()
    broker.wipe(queues)
