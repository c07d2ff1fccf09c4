"""The Celery app of worker processes: `celery -A workers.main worker -P threads`, which `leadrelay worker` runs for you."""

import warnings
from platform import node
from typing import Any

from celery.exceptions import CPendingDeprecationWarning
from celery.platforms import SecurityWarning
from celery.signals import setup_logging

from app import telemetry
from app.broker import create
from app.settings import settings
from tasks import deliver, housekeeping
from workers.bootsteps import Events, Queues, Relay
from workers.watchdog import Watchdog

warnings.simplefilter("ignore", SecurityWarning)  # warns root of pickle, which is never accepted here
warnings.simplefilter("ignore", CPendingDeprecationWarning)  # tells of defaults; ours are set in `app.broker`

app = create(settings())
app.conf.beat_schedule = housekeeping.SCHEDULE
app.steps["worker"].add(Relay)
app.steps["consumer"].update({Events, Queues, Watchdog})

TASKS = (deliver.deliver, housekeeping.retain, housekeeping.mirror)


@setup_logging.connect
def _log(**_: Any) -> None:
    """Celery's own logs leave in the product's form."""
    telemetry.configure(settings(), part="worker")


def run(*, name: str = "worker") -> int:
    """Run one worker process until it is told to stop (SIGTERM: finish what is being sent); its exit code.

    Started as an object, not by Celery's command line, which would import the commands of every installed plugin.
    """
    worker = app.Worker(
        hostname=f"{name}@{node()}",
        pool_cls="threads",
        consumer_cls="workers.consumer:Consumer",
        concurrency=settings().worker_threads,
        loglevel=settings().log_level.upper(),
        without_gossip=True,
        without_mingle=True,
        task_events=True,
        quiet=True,
    )
    worker.start()
    if holding := getattr(app, "holding", None):  # none, if it was told to stop before it had its ledger
        holding.close()
    telemetry.emit(telemetry.Event.PROCESS_STOPPED)
    return int(worker.exitcode or 0)
