"""The values everything else speaks in.

A reader who knows these knows the product: a lead comes in, becomes one delivery per destination, each try of a
delivery is an attempt, what the destination said is an outcome. Frozen values only; nothing here does I/O or knows
where it is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID


class State(StrEnum):
    """Where a delivery stands. The allowed transitions are `TRANSITIONS`."""

    READY = "ready"
    QUEUED = "queued"
    DELIVERING = "delivering"
    HELD = "held"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    DEAD = "dead"


FINAL = frozenset({State.DELIVERED, State.REJECTED, State.SKIPPED, State.CANCELLED})
WAITING = frozenset({State.READY, State.QUEUED, State.DELIVERING})

TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.READY: frozenset({State.QUEUED, State.CANCELLED, State.HELD, State.DEAD, State.SKIPPED}),
    State.QUEUED: frozenset({State.DELIVERING, State.READY}),
    State.DELIVERING: frozenset({State.DELIVERED, State.REJECTED, State.SKIPPED, State.READY, State.HELD, State.DEAD}),
    State.HELD: frozenset({State.READY, State.DEAD, State.CANCELLED}),
    State.DEAD: frozenset({State.READY, State.CANCELLED}),
    # Final states move again only by an audited replay.
    State.DELIVERED: frozenset({State.READY}),
    State.REJECTED: frozenset({State.READY}),
    State.SKIPPED: frozenset({State.READY}),
    State.CANCELLED: frozenset({State.READY}),
}


class EventType(StrEnum):
    """What subscribers may be told of: `delivery.STATE` when a delivery comes to that state, the rest as it says."""

    LEAD_ACCEPTED = "lead.accepted"
    DELIVERED = "delivery.delivered"
    REJECTED = "delivery.rejected"
    SKIPPED = "delivery.skipped"
    HELD = "delivery.held"
    DEAD = "delivery.dead"
    CANCELLED = "delivery.cancelled"
    CIRCUIT_OPENED = "destination.circuit_opened"
    CIRCUIT_CLOSED = "destination.circuit_closed"
    REJECTIONS = "destination.rejections"
    DEPRECATED = "destination.deprecated"


EVENTS = "events"
"""The source that events are leads of; it is ours, and in no configuration."""
EVENT_FIELDS = (
    "id",
    "type",
    "occurred_at",
    "lead_id",
    "delivery_id",
    "destination",
    "source",
    "result",
    "fault",
    "reason",
    "reference",
    "price",
    "attempts",
    "in_a_row",
    "test",
)
"""Everything an event may tell; none of it is of the lead's own fields."""


class Priority(StrEnum):
    """Class of a lead: where both wait for a destination, the fresh are given most of it and the backfill the rest."""

    FRESH = "fresh"
    BACKFILL = "backfill"


class Lane(NamedTuple):
    """Deliveries of one class and source that wait for the same destination."""

    priority: Priority
    source: str


class Result(StrEnum):
    """What a destination said, in LeadConduit's words."""

    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    SKIPPED = "skipped"


class FeedbackType(StrEnum):
    """What became of a lead after its delivery, in LeadConduit's words."""

    CONVERSION = "conversion"
    RETURN = "return"


class Fault(StrEnum):
    """Why there was no usable answer. It decides what happens next (see `app.policy`)."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"
    DATA = "data"
    CONFIGURATION = "configuration"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a destination says is left of its rate limit: `remaining` requests for `reset_seconds` from `told_at` on.

    `limit`: how many there are in all, if it says so. `told_at` is a `time.monotonic()` instant of this process.
    """

    remaining: int
    reset_seconds: float
    limit: int | None
    told_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The answer of a destination to one attempt.

    `reason` is for people and groups (no personal data is added to it by us), `reference` the destination's own record
    id, `price` what it pays, `captured` whatever later steps may use. `retry_after` is seconds the destination asked for,
    `quota` what it says is left of its rate limit.
    `ambiguous`: the request left and the answer never came, so the destination may have the lead.
    `transcript` is request, response and timings with secrets already masked.
    """

    result: Result
    fault: Fault | None = None
    reason: str | None = None
    reference: str | None = None
    price: Decimal | None = None
    captured: Mapping[str, Any] | None = None
    retry_after: float | None = None
    quota: Quota | None = None
    ambiguous: bool = False
    transcript: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Hold the one rule of the type: an error has a fault, nothing else has."""
        if (self.result is Result.ERROR) != (self.fault is not None):
            raise ValueError("an Outcome has a fault exactly when its result is 'error'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """One enquiry as accepted.

    `fields` holds typed values (E.164 phones, lower-cased e-mail domains, ISO dates); a value that could not be read as
    its type keeps its raw text there and its complaint in `invalid`. `test` marks a lead sent to try things out.
    """

    id: UUID
    source: str
    received_at: datetime
    fields: Mapping[str, Any]
    invalid: Mapping[str, str] = field(default_factory=dict)
    test: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One delivery as a connector sees it.

    `key` is the idempotency key: the delivery's id, the same on every retry. `attempt` counts from 1. `deadline` is a
    `time.monotonic()` instant by which the send must have ended. `rendered` holds the texts of the templates in the
    settings by their source; None where there are none. `test` is that of its lead. `type` is the event's, or `lead`;
    `occurred_at` when that event was, or that lead came in.
    """

    payload: Mapping[str, Any]
    key: str
    attempt: int
    deadline: float
    rendered: Mapping[str, str] | None = None
    test: bool = False
    type: str = "lead"
    occurred_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A delivery taken by a worker under a lease.

    `token` fences off whoever held it before. `tries` counts attempts recorded since acceptance or the last replay,
    `age_seconds` runs from the same moment. `probe`: the destination's circuit is half-open, and this tries it. `lead` is None
    when what is stored of it cannot be read. `steps` holds what earlier steps said, by name.
    """

    delivery_id: UUID
    token: int
    tries: int
    age_seconds: float
    lead: Lead | None
    probe: bool = False
    steps: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What becomes of a delivery after an attempt: the state and, for `ready`, in how many seconds it is due.

    `fallback` names the destination that takes it over. `free`: the attempt does not count against `retry.attempts`.
    """

    state: State
    due_in_seconds: float = 0.0
    fingerprint: str | None = None
    fallback: str | None = None
    free: bool = False

    @property
    def ends(self) -> bool:
        """Whether steps that wait for this delivery need wait no longer."""
        return self.state in FINAL or self.state is State.DEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One finished try, ready to be recorded. `duration_ms` is the destination's part only."""

    delivery_id: UUID
    token: int
    outcome: Outcome
    started_at: datetime
    duration_ms: float
    next: Next


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What the broker's dead-letter queue tells of a dead delivery: nothing personal."""

    delivery_id: UUID
    destination: str
    fault: str | None
    fingerprint: str | None


class TokenSlot(NamedTuple):
    """Whose shared access token: a destination with certain credentials, `digest` telling these from others."""

    destination: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptToken:
    """A shared access token as it is kept, sealed; age and time left (negative once past) by the clock of whoever keeps it."""

    content: bytes
    version: int
    age_seconds: float
    left_seconds: float
