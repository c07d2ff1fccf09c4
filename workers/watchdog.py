"""Ends a worker process that stopped consuming, for its supervisor to start it again.

Two signs, each for `LEADRELAY_WORKER_STUCK_SECONDS`: the consumer's event loop does not turn, or messages wait in this
worker's queues while it has nothing to do and takes none. Neither counts while the broker is out of reach: that is not the
worker's fault, and a new process would reach no more. Time is counted in looks, not by a clock: a process that was
suspended has not been stuck.
"""

import logging
import os
import threading
from time import monotonic, sleep
from typing import Any

from celery import bootsteps
from celery.worker import state

from app.broker import Publisher
from app.errors import BrokerUnavailable
from app.settings import settings
from app.telemetry import Event, emit

EXIT_CODE = os.EX_TEMPFAIL
LOOKS = 8
"""Looks within the time after which a worker counts as stuck."""
_POLL_SECONDS = 0.1


class Watchdog(bootsteps.StartStopStep):  # type: ignore[misc]  # celery is untyped
    """Watches the consumer from a thread of its own, which outlives connections."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._app = consumer.app
        self._every_seconds = settings().worker_stuck_seconds / LOOKS
        self._turned = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, consumer: Any) -> None:
        """Have the event loop of this connection tell that it turns; begin to watch with the first."""
        consumer.timer.call_repeatedly(self._every_seconds / 2, self._turned.set)
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()

    def _watch(self) -> None:
        publisher = Publisher(self._app)
        still, waited, taken = 0, 0, 0
        while state.should_stop is None and state.should_terminate is None:
            sleep(self._every_seconds)
            turned, before, taken = self._turned.is_set(), taken, state.all_total_count[0]
            self._turned.clear()
            is_idle = taken == before and not state.reserved_requests
            if turned and not is_idle:
                still, waited = 0, 0
                continue
            try:
                lengths = publisher.lengths(list(self._app.amqp.queues.consume_from))
            except BrokerUnavailable:
                still, waited = 0, 0
                continue
            still = 0 if turned else still + 1
            waited = waited + 1 if is_idle and any(lengths.values()) else 0
            if still >= LOOKS:
                self._end("the event loop does not turn")
            if waited >= LOOKS:
                self._end("messages wait and none is taken")

    def _end(self, detail: str) -> None:
        """Begin nothing more, let what is being sent be recorded while its lease lasts, and go without further ado."""
        emit(Event.WORKER_STUCK, level=logging.ERROR, detail=detail)
        self._app.deliverer.stop()
        ends = monotonic() + settings().lease_seconds
        while state.active_requests and monotonic() < ends:
            sleep(_POLL_SECONDS)
        os._exit(EXIT_CODE)  # a loop that does not turn cannot be asked to end
