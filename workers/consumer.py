"""Celery's consumer, able to outlive a broker that goes away while work is under way, and soon back when it is.

kombu waits up to 30 s between two tries to connect. Its Redis transport gives unacknowledged messages back as it closes a
connection, and acknowledges later what was received over it: once it is lost neither can work, and in kombu 5.7 both end
the worker with an AttributeError. The ledger sends again what needs it.
"""

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer

RETRY_SECONDS = 3.0
"""Longest wait between two tries to connect."""


class Consumer(CeleryConsumer):  # type: ignore[misc]  # celery is untyped
    """Gives nothing back over a connection that is lost, and tries again every few seconds."""

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long it takes."""
        conn.ensure_connection = partial(conn.ensure_connection, interval_max=RETRY_SECONDS)
        return super().ensure_connected(conn)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Let go of the connection; Celery then makes another."""
        for channel in getattr(self.connection.transport, "channels", None) or ():
            channel.do_restore = False
            channel.basic_ack = channel.basic_reject = _forget
        super().on_connection_error_after_connected(exc)


def _forget(*_args: Any, **_options: Any) -> None:
    """What was received over a lost connection can be answered no more."""
