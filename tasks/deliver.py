"""The task that delivers a group. Everything it does is in `app.delivery`.

Autoretry serves our own faults only: the ledger out of reach before anything was claimed. A destination's faults are rows
with a due time, never Celery retries.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from celery import shared_task

from app.broker import DELIVER_TASK
from app.errors import Unavailable


@shared_task(
    name=DELIVER_TASK,
    bind=True,
    autoretry_for=(Unavailable,),
    retry_backoff=1,
    retry_backoff_max=30,
    retry_jitter=True,
    max_retries=None,
)
def deliver(self: Any, destination: str, ids: Sequence[str]) -> None:
    """Deliver what is still queued of `ids` to `destination`."""
    self.app.deliverer.deliver(destination, [UUID(delivery) for delivery in ids])
