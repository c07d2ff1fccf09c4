"""The one way in for feedback: what a destination tells of a lead after it took it, a conversion or a return.

The words are LeadConduit's (support.activeprospect.com, Lead Feedback). HTTP, webhooks, Python and command line end here.
Feedback changes no state of a delivery: it is told beside its attempts.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from app.config.base import Name
from app.config.complaints import complaints_of
from app.errors import Complaint, Conflict, InvalidInput, NotFound
from app.ledger import Database, feedback
from app.ledger.feedback import NewFeedback, Recorded
from app.model import FeedbackType

LONGEST_REASON = 2000
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), timedelta(days=1)
"""So far ahead of ours a giver's clock may be."""

Answer = Recorded | InvalidInput | NotFound | Conflict


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable characters")
    return text


def _readable(text: str) -> str:
    """Without control characters other than tabs and line breaks, as texts of leads are kept."""
    return "".join(one for one in text if one in "\t\n" or one.isprintable())


def _past(moment: datetime) -> datetime:
    if moment < EARLIEST:
        raise ValueError(f"lies before {EARLIEST.year}")
    if moment > datetime.now(UTC) + LATEST:
        raise ValueError("lies in the future")
    return moment


Printable = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), AfterValidator(_printable)
]


class FeedbackEntry(BaseModel):
    """One conversion or return."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)

    delivery_id: UUID | None = None
    """The delivery it is about: the idempotency key that its destination was sent."""
    destination: Name | None = None
    """Instead: the destination that reports it, with `reference`."""
    reference: Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_printable)] | None = (
        None
    )
    """The destination's own record id, as it answered it."""
    type: FeedbackType
    """conversion: the lead became a customer; return: it is given back."""
    reason: Annotated[str, StringConstraints(max_length=LONGEST_REASON), AfterValidator(_readable)] | None = None
    """Why, for people."""
    value: Decimal | None = Field(None, ge=0, max_digits=18, decimal_places=6)
    """What it is worth, a decimal number; text keeps every digit."""
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None
    """Of `value` (ISO 4217)."""
    occurred_at: Annotated[AwareDatetime, AfterValidator(_past)] | None = None
    """When it happened, with its zone; at most a day ahead."""
    id: Printable | None = None
    """Your own id of it: sent again, it is taken once. Without one, the same words on the same delivery are."""

    @model_validator(mode="after")
    def _fits_together(self) -> "FeedbackEntry":
        given = [name for name in ("destination", "reference") if getattr(self, name) is not None]
        if given and self.delivery_id is not None:
            raise ValueError(f"delivery_id says which delivery it is: leave {' and '.join(given)} out")
        if self.delivery_id is None and given != ["destination", "reference"]:
            raise ValueError("name the delivery: give delivery_id, or destination and reference")
        if (self.value is None) != (self.currency is None):
            raise ValueError("value and currency belong together")
        return self


def take(
    database: Database,
    entries: Sequence[Any],
    *,
    actor: str,
    source: str | None = None,
    destination: str | None = None,
) -> list[Answer]:
    """Record feedback, each entry a mapping as `FeedbackEntry` has it; for each, in order, what is on record or why it is not.

    `source` and `destination` bound whose deliveries it may be about; with the latter, entries need not name it. Raises
    `Unavailable`: then none was recorded.
    """
    read = [_read(one, destination) for one in entries]
    taken = iter(
        feedback.record(
            database,
            [one for one in read if isinstance(one, NewFeedback)],
            actor=actor,
            source=source,
            destination=destination,
        )
    )
    return [next(taken) if isinstance(one, NewFeedback) else one for one in read]


def _read(given: Any, destination: str | None) -> NewFeedback | InvalidInput:
    if not isinstance(given, dict):
        return InvalidInput([Complaint(field="feedback", detail="must be an object")])
    if destination is not None and "reference" in given and given.get("delivery_id") is None:
        given = {"destination": destination, **given}
    try:
        entry = FeedbackEntry.model_validate(given)
    except ValidationError as error:
        return InvalidInput(complaints_of(error, FeedbackEntry, given, whole="feedback"))
    said = {name: value for name, value in entry if name != "id"}
    return NewFeedback(key=entry.id, **said)
