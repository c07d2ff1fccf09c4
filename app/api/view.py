"""The shapes of the API's answers, in the words of docs/architecture; the OpenAPI document is made from them."""

from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from app.model import Priority, State


class Shape(BaseModel):
    """Base of every answer."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)


class Routed(Shape):
    """A delivery of an accepted lead."""

    id: UUID
    """The delivery; also the idempotency key its destination sees."""
    destination: str
    """Where it goes."""


class Outcome(Routed):
    """What became of a delivery."""

    state: State
    """Where it stands."""
    attempts: int
    """How often it was tried."""
    result: str | None
    """What the destination said last: success, failure, error or skipped."""
    fault: str | None
    """Why it was an error: transient, permanent, data, configuration or system."""
    reason: str | None
    """For people."""
    reference: str | None
    """The destination's own record id."""
    price: Decimal | None
    """What the destination pays."""
    ambiguous: bool
    """An answer was lost, so the destination may have the lead without having said so."""


class Submitted(Shape):
    """An accepted lead."""

    id: UUID
    """The lead."""
    source: str
    """Who submitted it."""
    deliveries: list[Outcome] | list[Routed]
    """One for each destination; with outcomes when all came within `wait`."""
    invalid: dict[str, str]
    """Fields that could not be read as their type, and why; they keep their raw text."""
    repeated: bool
    """The idempotency key was used before with this body; this is the lead of then."""


class Delivery(Outcome):
    """One lead for one destination."""

    lead_id: UUID
    """The lead."""
    accepted_at: datetime
    """When the lead came in."""
    due_at: datetime | None
    """When it may go next, while it is waiting; null while it waits for steps."""
    waits_for: list[str]
    """Steps that must have ended first and have not."""
    origin: str | None
    """The destination it was routed to, when another has taken it over."""
    priority: Priority
    """Its class: where both wait, most of a destination goes to the fresh."""
    ended_at: datetime | None
    """When it ended."""
    fingerprint: str | None
    """Groups troubles of one kind."""
    config_version: int
    """The configuration it was accepted under."""


class DeliveryPage(Shape):
    """Deliveries, newest first."""

    deliveries: list[Delivery]
    """This page."""
    next: str | None
    """Address of the next page, if there is one."""


class DeadGroup(Shape):
    """Dead letters of one kind."""

    fingerprint: str | None
    """What they have in common."""
    destination: str
    """Where they did not arrive."""
    fault: str | None
    """Of the newest."""
    reason: str | None
    """Of the newest."""
    count: int
    """How many."""
    oldest_at: datetime
    """When the first died."""
    newest_at: datetime
    """When the last died."""


class DeadLetterPage(Shape):
    """Dead letters: every group, and a page of deliveries."""

    groups: list[DeadGroup]
    """The largest first, at most 100; none for a key bound to a source."""
    dead_letters: list[Delivery]
    """Newest first."""
    next: str | None
    """Address of the next page, if there is one."""


class Hold(Shape):
    """One thing that keeps a destination from being sent anything."""

    by: Literal["pause", "circuit", "retry-after", "quota", "schedule", "volume"]
    """What kind of thing."""
    detail: str
    """For people."""


class Destination(Shape):
    """How a destination stands."""

    name: str
    """Its name."""
    type: str | None
    """Its connector type; none when it is no longer configured."""
    enabled: bool
    """New leads are routed to it."""
    paused: bool
    """An operator stopped dispatching to it."""
    circuit: Literal["closed", "open", "half-open"]
    """Open: it fails or refuses, and nothing but single probes is sent."""
    reason: str | None
    """Why the circuit is open."""
    holding_back: list[Hold]
    """Why nothing goes to it; empty when nothing keeps it back."""
    notice: str | None
    """What it says of its interface's end (Deprecation, Sunset)."""
    counts: dict[str, int]
    """Deliveries that are waiting, held or dead, by state."""
    oldest_seconds: float
    """How long the oldest one has been due."""


class Note(BaseModel):
    """Why an operator does something; kept in the audit trail for whoever asks later."""

    model_config = ConfigDict(extra="forbid")

    note: str = ""


class Error(Shape):
    """One thing wrong with a request."""

    field: str
    """Where."""
    detail: str
    """What."""
    remedy: str | None = None
    """What to do."""


class ProblemDocument(Shape):
    """An error (RFC 9457)."""

    type: str
    """Address of its explanation."""
    title: str
    """Its kind."""
    status: int
    """The HTTP status."""
    detail: str
    """What exactly."""
    errors: list[Error] = []
    """One for each field that is wrong."""
