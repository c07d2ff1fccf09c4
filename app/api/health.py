"""Is the process alive, can it take leads, and its installation's figures. Open to everybody, and nothing personal in it.

Intake needs the ledger and a configuration. The broker is told about and fails nothing: leads wait in the ledger for it.
"""

import asyncio
from contextlib import suppress
from typing import Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from app.api.service import Held
from app.errors import Unavailable
from app.ledger import version

LEDGER_SECONDS = 3.0
BROKER_SECONDS = 1.0
_PORTS = {"redis": 6379, "rediss": 6379, "sentinel": 26379, "amqp": 5672, "amqps": 5671}

router = APIRouter(tags=["installation"])


class Ready(BaseModel):
    """Leads can be taken."""

    status: Literal["ready"] = "ready"
    config_version: int
    broker: Literal["reachable", "unreachable", "none"]


@router.get("/livez", summary="Is the process alive?")
async def livez() -> dict[str, str]:
    """Answers as long as the event loop turns."""
    return {"status": "alive"}


@router.get("/readyz", summary="Can leads be taken?")
async def readyz(service: Held) -> Ready:
    """503 while the ledger is out of reach or no configuration is in use; the broker is only told about."""
    try:
        async with asyncio.timeout(LEDGER_SECONDS):
            await service.errands.run(version.newest, service.database)
    except TimeoutError:
        raise Unavailable("the ledger (PostgreSQL) does not answer") from None
    running = service.catalog.current.version
    if running == 0:
        raise Unavailable("no configuration is in use: apply one with `leadrelay config apply`")
    return Ready(config_version=running, broker=await _broker(service.settings.broker_url))


@router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
def read_metrics(service: Held) -> Response:
    """Prometheus text format. It is open: let it be reached from inside only."""
    return Response(service.metrics.page(), media_type=CONTENT_TYPE_LATEST)


async def _broker(url: str | None) -> Literal["reachable", "unreachable", "none"]:
    """Whether the broker takes connections; no more, so that a probe costs neither a thread nor a log-in."""
    if url is None:
        return "none"
    for address in url.split(";"):  # sentinels, or members of a cluster: one that answers is enough
        place = urlsplit(address)
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(BROKER_SECONDS):
                _, writer = await asyncio.open_connection(place.hostname, place.port or _PORTS.get(place.scheme))
            writer.close()
            return "reachable"
    return "unreachable"
