"""The same task on taskiq with aiohttp: `taskiq worker tests.benchmarks.plain_taskiq:broker`.

As its guide has it for Redis when nothing need be acknowledged: lists, no result backend; one aiohttp session a process,
made when the worker starts.
"""

import os
from typing import Any

import aiohttp
from taskiq import TaskiqEvents, TaskiqState
from taskiq_redis import ListQueueBroker

SINK_URL = os.environ["BENCH_SINK_URL"]

broker = ListQueueBroker(url=os.environ["BENCH_BROKER_URL"])


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def begin(state: TaskiqState) -> None:
    """Open the session that keeps its connections."""
    state.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15))


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def end(state: TaskiqState) -> None:
    """Close it."""
    await state.session.close()


@broker.task
async def deliver(lead: dict[str, Any]) -> None:
    """Post a lead."""
    async with broker.state.session.post(SINK_URL, json=lead) as answer:
        answer.raise_for_status()
        await answer.read()


async def publish(leads: list[dict[str, Any]]) -> None:
    """Publish these leads, from a process that is no worker."""
    await broker.startup()
    for lead in leads:
        await deliver.kiq(lead)
    await broker.shutdown()
