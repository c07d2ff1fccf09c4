"""What one would write instead: a Celery task, or a dramatiq actor, that posts with requests and keeps no record.

Celery: `celery -A tests.benchmarks.plain worker`; the API: `uvicorn tests.benchmarks.plain:api`. Addresses come from
BENCH_BROKER_URL and BENCH_SINK_URL.
"""

import os
from typing import Any

import requests
from celery import Celery
from fastapi import FastAPI
from pydantic import BaseModel

BROKER_URL = os.environ["BENCH_BROKER_URL"]
SINK_URL = os.environ["BENCH_SINK_URL"]

celery = Celery("plain", broker=BROKER_URL)
api = FastAPI()
bare = FastAPI()


@celery.task(ignore_result=True)  # type: ignore[untyped-decorator]  # celery is untyped
def deliver(lead: dict[str, Any]) -> None:
    """Post a lead."""
    requests.post(SINK_URL, json=lead, timeout=15).raise_for_status()


class Lead(BaseModel):
    """The fields the API takes."""

    first_name: str
    last_name: str
    email: str
    phone_1: str
    state: str
    postal_code: str
    age: str
    comments: str


@api.post("/leads", status_code=202)
def submit(lead: Lead) -> dict[str, str]:
    """Publish a lead and answer."""
    return {"id": str(deliver.delay(lead.model_dump()).id)}


@bare.post("/leads", status_code=202)
async def take(lead: Lead) -> dict[str, str]:
    """Read a lead, answer, and forget it: the least a route can do."""
    return {"id": lead.email}
