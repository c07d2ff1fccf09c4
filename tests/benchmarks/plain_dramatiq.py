"""The same task on dramatiq: `dramatiq tests.benchmarks.plain_dramatiq -p 2 -t 8`."""

import os
from typing import Any

import dramatiq
import requests
from dramatiq.brokers.redis import RedisBroker

SINK_URL = os.environ["BENCH_SINK_URL"]

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_BROKER_URL"]))  # type: ignore[no-untyped-call]  # dramatiq is half typed


@dramatiq.actor
def deliver(lead: dict[str, Any]) -> None:
    """Post a lead."""
    requests.post(SINK_URL, json=lead, timeout=15).raise_for_status()
