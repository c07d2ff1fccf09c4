"""Which events a destination is told of, as integrators write them: by name, or a whole kind of them as `delivery.*`."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import AfterValidator

from app.model import EventType

EventPattern = Literal[
    "*",
    "lead.*",
    "lead.accepted",
    "delivery.*",
    "delivery.delivered",
    "delivery.rejected",
    "delivery.skipped",
    "delivery.held",
    "delivery.dead",
    "delivery.cancelled",
    "destination.*",
    "destination.circuit_opened",
    "destination.circuit_closed",
    "destination.rejections",
    "destination.deprecated",
]


def _some(patterns: list[EventPattern]) -> list[EventPattern]:
    if not patterns:
        raise ValueError("the list is empty: name one event at least, or leave `events` out for a destination of leads")
    return patterns


Events = Annotated[list[EventPattern], AfterValidator(_some)]


def matched(patterns: Iterable[str]) -> frozenset[EventType]:
    """The types of event that any of the patterns names."""
    return frozenset(one for one in EventType if any(fnmatchcase(one, pattern) for pattern in patterns))
