"""The equation and its gaps as JSON, for the API and the command line. Knows nothing of where they come from."""

from uuid import UUID

from app.api.view import Shape
from app.ledger.balance import Balance as Equation
from app.ledger.gap import Kind


class Gap(Shape):
    """Something that should not be, and of which delivery."""

    kind: Kind
    """What is wrong; docs/operations.md, Reconcile, says what each kind means and what to do."""
    subject: UUID
    """The delivery."""
    lead_id: UUID | None
    """The lead it belongs to, as far as that is known."""
    detail: str
    """What exactly."""


class Balance(Shape):
    """accepted = delivered + rejected + skipped + waiting + held + dead + cancelled."""

    accepted: int
    """Deliveries promised when leads were accepted."""
    delivered: int
    """The destination took it."""
    rejected: int
    """The destination refused it."""
    skipped: int
    """The destination's condition was not met."""
    waiting: int
    """Ready, queued or being delivered."""
    held: int
    """Waits for a person."""
    dead: int
    """Given up; may be replayed."""
    cancelled: int
    """Discarded by a person."""
    holds: bool
    """Both sides are equal and there is no gap."""
    counts: dict[Kind, int]
    """How many gaps of each kind there are."""
    gaps: list[Gap]
    """At most 1,000 of each kind."""


def balance_view(equation: Equation) -> Balance:
    """Both sides of the equation."""
    return Balance(
        accepted=equation.accepted,
        **equation.sides,
        holds=equation.holds,
        counts=dict(equation.counts),
        gaps=[Gap.model_validate(gap) for gap in equation.gaps],
    )
