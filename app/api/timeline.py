"""All that happened to a lead, as the API and the command line tell it: each delivery, its attempts, and feedback on it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from app.api.view import Delivery, Shape
from app.ledger.feedback import Views as FeedbackViews
from app.ledger.query import AttemptView, DeliveryView
from app.model import FeedbackType, Lead


class Attempt(Shape):
    """One try of a delivery."""

    number: int
    """From 1."""
    destination: str
    """Where it was sent."""
    started_at: datetime
    """When it began."""
    duration_ms: float
    """The destination's part of it."""
    result: str
    """What the destination said."""
    fault: str | None
    """Why it was an error."""
    reason: str | None
    """For people."""
    ambiguous: bool
    """The answer was lost."""
    worker: str
    """host:pid of the worker."""
    config_version: int
    """The configuration it was made under."""
    captured: dict[str, Any] | None
    """Values taken out of the answer."""
    transcript: dict[str, Any] | None
    """Request, response and timings, with secrets masked."""


class Feedback(Shape):
    """What became of a lead after its delivery."""

    id: UUID
    """Ours."""
    type: FeedbackType
    """Conversion or return."""
    reason: str | None
    """Why, in the words of whoever reported it."""
    value: Decimal | None
    """What it is worth."""
    currency: str | None
    """Of the value (ISO 4217)."""
    occurred_at: datetime | None
    """When it happened, if that was told."""
    received_at: datetime
    """When it was reported."""
    actor: str
    """Who reported it: `key:NAME`, `hook:SOURCE`, `cli:USER`."""


class DeliveryTimeline(Delivery):
    """A delivery with every try, and what was heard of it afterwards."""

    timeline: list[Attempt]
    """Oldest first."""
    feedback: list[Feedback]
    """Conversions and returns, as they came."""


class LeadTimeline(Shape):
    """A lead and all that happened to it."""

    id: UUID
    """The lead."""
    source: str
    """Who submitted it."""
    received_at: datetime
    """When it came in."""
    test: bool
    """It was sent to try things out."""
    fields: dict[str, Any]
    """Typed values."""
    invalid: dict[str, str]
    """Fields that kept their raw text, and why."""
    deliveries: list[DeliveryTimeline]
    """One for each destination."""


def delivery_timeline(view: DeliveryView, attempts: Sequence[AttemptView], feedback: FeedbackViews) -> DeliveryTimeline:
    """A delivery with its attempts and feedback."""
    base = Delivery.model_validate(view).model_dump()
    heard = [Feedback.model_validate(one) for one in feedback.get(view.id, ())]
    return DeliveryTimeline(**base, timeline=[_attempt(attempt) for attempt in attempts], feedback=heard)


def lead_timeline(
    lead: Lead,
    deliveries: Sequence[DeliveryView],
    attempts: Mapping[UUID, Sequence[AttemptView]],
    feedback: FeedbackViews,
) -> LeadTimeline:
    """A lead with its deliveries, their attempts and feedback."""
    return LeadTimeline(
        id=lead.id,
        source=lead.source,
        received_at=lead.received_at,
        test=lead.test,
        fields=dict(lead.fields),
        invalid=dict(lead.invalid),
        deliveries=[delivery_timeline(view, attempts.get(view.id, ()), feedback) for view in deliveries],
    )


def _attempt(attempt: AttemptView) -> Attempt:
    return Attempt(
        **{name: getattr(attempt, name) for name in Attempt.model_fields if name not in {"captured", "transcript"}},
        captured=attempt.detail.get("captured"),
        transcript=attempt.detail.get("transcript"),
    )
