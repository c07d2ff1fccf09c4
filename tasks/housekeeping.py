"""What the leader's embedded beat asks for now and then. Everything here may run twice, late or not at all for a while."""

from datetime import UTC, datetime
from typing import Any

from celery import shared_task

from app.broker import HOUSEKEEPING_QUEUE
from app.errors import Unavailable


@shared_task(name="leadrelay.retain", bind=True, autoretry_for=(Unavailable,), retry_backoff=5, max_retries=3)
def retain(self: Any) -> None:
    """Delete leads past their retention and fold old figures."""
    self.app.steward.retain()


@shared_task(name="leadrelay.mirror", bind=True, autoretry_for=(Unavailable,), retry_backoff=5, max_retries=3)
def mirror(self: Any) -> None:
    """Make the dead-letter queues show what the ledger says is dead."""
    self.app.steward.mirror()


_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""Beat counts anew with each leader: what is due when it begins runs however often the lead changes."""

SCHEDULE: dict[str, dict[str, Any]] = {
    "retain": {
        "task": retain.name,
        "schedule": 3600.0,
        "last_run_at": _LONG_AGO,
        "options": {"queue": HOUSEKEEPING_QUEUE, "expires": 3000},
    },
    "mirror": {
        "task": mirror.name,
        "schedule": 30.0,
        "last_run_at": _LONG_AGO,
        "options": {"queue": HOUSEKEEPING_QUEUE, "expires": 25},
    },
}
