"""The broker: the Celery app, the queues of destinations, and publishing to them.

Messages carry a destination's name and delivery ids, nothing else. Any of them may be lost, doubled or late: the ledger is
the truth. Redis, Valkey and RabbitMQ serve alike; over TLS the broker's certificate is always checked.
"""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from celery import Celery
from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.exceptions import KombuError, OperationalError
from kombu.messaging import Producer

from app.errors import BrokerUnavailable
from app.model import DeadLetter
from app.settings import Settings

DELIVER_TASK = "leadrelay.deliver"
HOUSEKEEPING_QUEUE = "housekeeping"
ANSWER_SECONDS = 15.0
"""How long RabbitMQ may take to answer a publisher: without a limit one that stands still would hold the leader for ever."""
_DEFAULT_EXCHANGE = Exchange("")


def delivery_queue(destination: str) -> str:
    """Name of the queue that wakes workers for a destination."""
    return f"deliver.{destination}"


def dead_queue(destination: str) -> str:
    """Name of the queue that shows a destination's dead letters."""
    return f"dead.{destination}"


def declare(name: str, broker_url: str) -> Queue:
    """A queue as this product declares it: durable, and a quorum queue on RabbitMQ.

    RabbitMQ's own dead-letter exchange takes messages that no worker could finish (delivery limit).
    """
    if not _is_rabbitmq(broker_url):
        return Queue(name, _DEFAULT_EXCHANGE, routing_key=name)
    arguments: dict[str, Any] = {"x-queue-type": "quorum"}
    if name.startswith("deliver."):
        arguments |= {
            "x-delivery-limit": 20,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "dead." + name.removeprefix("deliver."),
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
    return Queue(name, _DEFAULT_EXCHANGE, routing_key=name, queue_arguments=arguments)


def create(settings: Settings) -> Celery:
    """The Celery app of producers and workers alike."""
    broker_url = settings.required_broker_url
    celery = Celery("leadrelay", broker=broker_url, set_as_current=True)
    redis = not _is_rabbitmq(broker_url)
    celery.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=True,
        task_acks_on_failure_or_timeout=True,  # the ledger sends again what needs it
        task_default_queue=HOUSEKEEPING_QUEUE,
        task_default_queue_type="classic" if redis else "quorum",
        task_default_exchange="",
        task_default_routing_key=HOUSEKEEPING_QUEUE,
        task_create_missing_queues=False,
        worker_prefetch_multiplier=1,
        worker_detect_quorum_queues=not redis,
        worker_send_task_events=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=0.0,
        broker_heartbeat=20,  # of AMQP: a host that is gone is noticed within 40 s
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_redis_options(settings) if redis else {"confirm_publish": True},
        broker_use_ssl=_tls(settings),
        enable_utc=True,
        timezone="UTC",
    )
    celery.conf.task_queues = [declare(HOUSEKEEPING_QUEUE, broker_url)]
    celery.conf.task_routes = (_route(broker_url),)
    return celery


def _route(broker_url: str) -> Callable[..., dict[str, Queue] | None]:
    """Deliveries go to their destination's queue, also when the task retries itself."""

    def route(name: str, args: Sequence[Any], *_: Any, **__: Any) -> dict[str, Queue] | None:
        return {"queue": declare(delivery_queue(args[0]), broker_url)} if name == DELIVER_TASK else None

    return route


def _is_rabbitmq(broker_url: str) -> bool:
    return broker_url.startswith(("amqp", "pyamqp"))


def _tls(settings: Settings) -> dict[str, Any] | None:
    """How to check the broker's certificate; None for a connection without TLS.

    The words differ by transport, and what is not said is not checked: kombu's defaults take any certificate.
    """
    ca_file = str(settings.broker_ca_file) if settings.broker_ca_file else None
    match settings.required_broker_url.partition("://")[0]:
        case "amqps":
            return {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": ca_file, "server_hostname": None}  # None: the address's
        case "rediss":
            return {"ssl_cert_reqs": "required", "ssl_ca_certs": ca_file, "ssl_check_hostname": True}
        case "sentinel" if ca_file:  # its addresses have no form that asks for TLS
            return {"ssl_cert_reqs": "required", "ssl_ca_certs": ca_file, "ssl_check_hostname": True}
    return None


def _redis_options(settings: Settings) -> dict[str, Any]:
    timeouts = {"socket_timeout": 15, "socket_connect_timeout": 5, "socket_keepalive": True}
    options = {
        **timeouts,
        "priority_steps": [0],  # one list per queue: BRPOP carries queues x steps keys
        "visibility_timeout": 3600,
        "health_check_interval": 10,
    }
    if settings.required_broker_url.startswith("sentinel://"):
        tls = _tls(settings)
        options["master_name"] = settings.broker_sentinel_master
        options["sentinel_kwargs"] = {
            **timeouts,
            "password": settings.broker_sentinel_password,
            **({"ssl": True, **tls} if tls else {}),
        }
    return options


class Publisher:
    """Publishes wake-up calls and dead letters; threads that share it take turns."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._url: str = celery.conf.broker_url
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        self._declared: set[str] = set()
        self._turn = threading.Lock()

    def deliver(self, groups: Sequence[tuple[str, Sequence[UUID]]]) -> None:
        """Wake workers for each (destination, delivery ids); raises `BrokerUnavailable`, then nothing is certain."""
        with self._reaching() as producer:
            for destination, _ in groups:
                self._declare(delivery_queue(destination))
                self._declare(dead_queue(destination))
            with producer.batch():
                for destination, ids in groups:
                    self._celery.send_task(
                        DELIVER_TASK,
                        args=(destination, [str(delivery) for delivery in ids]),
                        argsrepr=f"('{destination}', <{len(ids)} deliveries>)",
                        shadow=delivery_queue(destination),  # what Flower shows, so that it tells destinations apart
                        producer=producer,
                        retry=False,
                        ignore_result=True,
                    )

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Show dead deliveries in the dead-letter queues; raises `BrokerUnavailable`."""
        with self._reaching() as producer:
            for name in {dead_queue(letter.destination) for letter in letters}:
                self._declare(name)
            with producer.batch():
                for letter in letters:
                    producer.publish(
                        {
                            "delivery": str(letter.delivery_id),
                            "destination": letter.destination,
                            "fault": letter.fault,
                            "fingerprint": letter.fingerprint,
                        },
                        serializer="json",
                        exchange="",
                        routing_key=dead_queue(letter.destination),
                        delivery_mode=2,
                    )

    def lengths(self, names: Sequence[str]) -> Mapping[str, int]:
        """Messages in each queue; raises `BrokerUnavailable`."""
        with self._reaching() as producer:
            # Declaring again changes nothing and tells the length; Redis knows no empty queue to ask about passively.
            return {
                name: int(declare(name, self._url)(producer.channel).queue_declare().message_count) for name in names
            }

    def purge(self, name: str) -> None:
        """Empty a queue; raises `BrokerUnavailable`."""
        with self._reaching() as producer:
            self._declare(name)
            declare(name, self._url)(producer.channel).purge()

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        connection, self._connection, self._producer = self._connection, None, None
        self._declared.clear()
        if connection is not None:
            connection.release()

    @contextmanager
    def _reaching(self) -> Iterator[Producer]:
        with self._turn:
            try:
                if self._producer is None:
                    self._connection = self._celery.connection_for_write(connect_timeout=5.0)
                    self._connection.ensure_connection(max_retries=1, timeout=5.0)
                    self._answer_within(ANSWER_SECONDS)
                    self._producer = Producer(self._connection.channel(), auto_declare=False)
                yield self._producer
            except self._errors() as error:
                self._answer_within(1.0)  # it would be asked to agree to the end
                self.close()
                raise BrokerUnavailable(f"the broker is out of reach ({type(error).__name__})") from None

    def _answer_within(self, seconds: float) -> None:
        """Limit each wait for RabbitMQ; for Redis the transport's options do."""
        if _is_rabbitmq(self._url) and self._connection is not None and self._connection.connected:
            self._connection.connection.transport.sock.settimeout(seconds)

    def _errors(self) -> tuple[type[Exception], ...]:
        transport = self._celery.connection_for_write().transport
        return (OperationalError, KombuError, OSError, *transport.connection_errors, *transport.channel_errors)

    def _declare(self, name: str) -> None:
        if name not in self._declared:
            assert self._producer is not None
            declare(name, self._url)(self._producer.channel).queue_declare()
            self._declared.add(name)
