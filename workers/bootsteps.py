"""What leadrelay adds to a Celery worker: its use cases, its queues kept in step with the configuration, and the leader."""

import gc
import sys
import threading
from time import sleep
from typing import Any

from celery import bootsteps
from celery.worker import state

from app.broker import declare, delivery_queue
from app.ledger import revision
from app.settings import settings
from app.telemetry import Event, emit
from workers.lifecycle import Holding, Leader


class Relay(bootsteps.StartStopStep):  # type: ignore[misc]  # celery is untyped
    """Gives the process what its tasks use, before it consumes anything, and takes it away at the end."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._leader: Leader | None = None

    def start(self, worker: Any) -> None:
        """Wait for the ledger's tables, take up the configuration, start to lead or wait to."""
        found = settings()
        for _ in revision.pending(found.required_database_url, application_name="leadrelay-worker"):
            sleep(revision.PAUSE_SECONDS)
            state.maybe_shutdown()
        holding = Holding.create(worker.app, found)
        holding.refresh()
        worker.app.holding = holding
        worker.app.deliverer, worker.app.steward = holding.deliverer, holding.steward
        self._leader = Leader(worker.app, holding, found)
        self._leader.start()
        gc.freeze()  # what is there now stays: looking through it for garbage costs a tenth of the worker's time
        emit(Event.PROCESS_STARTED)

    def stop(self, worker: Any) -> None:
        """Begin nothing more, and let another lead; Celery then waits for what is being sent."""
        worker.app.deliverer.stop()
        if self._leader is not None:
            self._leader.stop()


class Events(bootsteps.StartStopStep):  # type: ignore[misc]  # celery is untyped
    """Publishes the worker's events for Flower a few times a second instead of after every single one.

    Celery's own way cost an eighth of a worker's processor time under load. Only the consumer's loop publishes: on RabbitMQ it
    also reads the events' connection, and a pool thread that waited there for a confirm would wait for what the loop has read.
    """

    requires = ("celery.worker.consumer.events:Events",)
    SECONDS = 0.3

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Flush by the clock alone."""
        consumer.event_dispatcher.on_send_buffered = None
        consumer.event_dispatcher.buffer_limit = sys.maxsize
        self._timer = consumer.timer.call_repeatedly(self.SECONDS, consumer.event_dispatcher.flush)

    def stop(self, consumer: Any) -> None:
        """Let the last events go."""
        if self._timer is not None:
            self._timer.cancel()
            consumer.event_dispatcher.flush()


class Queues(bootsteps.StartStopStep):  # type: ignore[misc]  # celery is untyped
    """Consumes from the queues of the destinations that the running configuration has, and follows its changes."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._stopping = threading.Event()
        self._followed = 0

    def start(self, consumer: Any) -> None:
        """Add what the configuration says now, then watch it.

        The event loop begins to consume, once it has said where messages go: RabbitMQ delivers what waits at once, and a
        message that nobody takes would end the worker.
        """
        self._stopping = threading.Event()
        self._follow(consumer)
        threading.Thread(target=self._watch, args=(consumer, self._stopping), name="config", daemon=True).start()

    def stop(self, consumer: Any) -> None:  # noqa: ARG002  # celery's signature
        """Stop watching; Celery stops consuming."""
        self._stopping.set()

    def _watch(self, consumer: Any, stopping: threading.Event) -> None:
        holding = consumer.app.holding
        while not stopping.wait(settings().config_poll_seconds):
            holding.refresh()
            if (
                holding.catalog.current.version != self._followed
            ):  # not `refresh`'s answer: the dispatcher refreshes too
                consumer.call_soon(self._catch_up, consumer)

    def _catch_up(self, consumer: Any) -> None:
        self._follow(consumer)
        consumer.task_consumer.consume()

    def _follow(self, consumer: Any) -> None:
        only = settings().worker_destinations
        chosen = {name.strip() for name in only.split(",")} if only else None
        current = consumer.app.holding.catalog.current
        self._followed = current.version
        wanted = {delivery_queue(name) for name in current.steps if chosen is None or name in chosen}
        queues = consumer.app.amqp.queues
        for name in wanted - queues.consume_from.keys():
            queues.select_add(declare(name, consumer.app.conf.broker_url))
            consumer.task_consumer.add_queue(queues[name])
        for name in [one for one in queues.consume_from if one.startswith("deliver.") and one not in wanted]:
            consumer.cancel_task_queue(name)
