"""Faults on demand: what each stand-in has been asked to do wrong, and the dice that decide it.

Only says what is to go wrong; how it looks on the wire is each stand-in's business (its vendor's error bodies) and the
door's (`app.sandbox.door`: delays, hanging, dropped connections).
"""

from dataclasses import dataclass
from random import Random, SystemRandom
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.sandbox.receipts import TARGETS, Target

Rate = Annotated[float, Field(ge=0.0, le=1.0)]


_CONFIG = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class RateLimit(BaseModel):
    """Answer "too many requests"."""

    model_config = _CONFIG

    rate: Rate = 1.0
    """Share of the requests that get this answer."""
    status: int | None = Field(None, ge=400, le=599)
    """Answer with this status; the vendor's own (429, Salesforce 403, SMTP 450) if not set."""
    retry_after: int | None = Field(None, ge=0, le=86_400)
    """Seconds to ask for in Retry-After; no such header if not set."""


class Plan(BaseModel):
    """What one stand-in does wrong. Rates are shares of 1; each request draws for itself."""

    model_config = _CONFIG

    error_rate: Rate = 0.0
    """Share of requests answered with `status`; the lead is not taken."""
    status: int = Field(500, ge=400, le=599)
    """Status of those answers."""
    latency_seconds: float = Field(0.0, ge=0.0, le=300.0)
    """Wait this long before anything else."""
    hang_rate: Rate = 0.0
    """Share of requests that are never answered; the lead is not taken."""
    rate_limit: RateLimit | None = None
    """Answer "too many requests"; the lead is not taken."""
    reset_after_receive_rate: Rate = 0.0
    """Share of leads that are taken and counted, whereupon the connection is dropped without an answer."""
    unauthorized: bool = False
    """Refuse all credentials."""
    reject_rate: Rate = 0.0
    """Share of leads taken and turned down as the vendor does for business reasons."""
    reject_reason: str = Field("Rejected by the sandbox", min_length=1, max_length=200)
    """Reason given then."""
    seed: int | None = None
    """Draw the same sequence again after each PUT with this seed."""


class BuyerPlan(Plan):
    """Also what the lead buyer does not want."""

    reject_duplicates: bool = False
    """Reject a lead whose e-mail came before under another key, with the reason "duplicate"."""
    reject_states: list[str] = []
    """Reject leads of these states (case does not matter), with the reason "state not wanted"."""


class SalesforcePlan(Plan):
    """Also which of Salesforce's documented error codes `error_rate` answers with."""

    error_code: (
        Literal["REQUEST_LIMIT_EXCEEDED", "SERVER_UNAVAILABLE", "UNABLE_TO_LOCK_ROW", "UNKNOWN_EXCEPTION"] | None
    ) = None
    """Answer with this code and its own status instead of `status`."""
    duplicate_rule: bool = False
    """Refuse a new Lead whose Email another Lead has: DUPLICATES_DETECTED, unless the request allows saving."""


class SmtpPlan(Plan):
    """Also what a mail server refuses."""

    status: int = Field(451, ge=400, le=599)
    """SMTP reply code of those answers, given after the message was transmitted."""
    refuse_recipients: list[str] = []
    """Refuse these recipients with 550 (case does not matter) while others of the same message are accepted."""
    require_auth: bool = False
    """Refuse mail before a login (connections opened from now on)."""


PLANS: dict[Target, type[Plan]] = {
    "salesforce": SalesforcePlan,
    "hubspot": Plan,
    "buyer": BuyerPlan,
    "smtp": SmtpPlan,
    "subscriber": Plan,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A request that a stand-in turns away without taking the lead; it renders its vendor's own body for it."""

    kind: Literal["error", "rate_limit", "unauthorized"]
    status: int | None
    retry_after: int | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfortune:
    """What goes wrong with one request."""

    latency_seconds: float = 0.0
    hang: bool = False
    refusal: Refusal | None = None
    reset: bool = False


class Faults:
    """The plans in force and their dice."""

    def __init__(self) -> None:
        self._plans: dict[Target, Plan] = {target: PLANS[target]() for target in TARGETS}
        self._dice: dict[Target, Random] = dict.fromkeys(TARGETS, SystemRandom())
        # Leads draw from dice of their own: a repeat is not judged again, and must not shift what requests draw.
        self._lead_dice = dict(self._dice)
        self._active: set[Target] = set()

    def plan(self, target: Target) -> Plan:
        """The plan in force."""
        return self._plans[target]

    def set(self, target: Target, wanted: dict[str, Any]) -> Plan:
        """Put a plan in force; raises pydantic's `ValidationError` for nonsense."""
        plan = PLANS[target].model_validate(wanted)
        self._plans[target] = plan
        for dice in (self._dice, self._lead_dice):
            dice[target] = SystemRandom() if plan.seed is None else Random(plan.seed)  # noqa: S311  # repeatable dice
        self._active.add(target)
        return plan

    def clear(self, target: Target) -> None:
        """Let the stand-in behave again."""
        self._plans[target] = PLANS[target]()
        self._active.discard(target)

    def draw(self, target: Target) -> Misfortune | None:
        """What goes wrong with the request at hand; None if no plan is in force."""
        if target not in self._active:
            return None
        plan, dice = self._plans[target], self._dice[target]
        return Misfortune(
            latency_seconds=plan.latency_seconds,
            hang=_hits(dice, plan.hang_rate),
            refusal=_draw_refusal(dice, plan),
            reset=_hits(dice, plan.reset_after_receive_rate),
        )

    def rejection(self, target: Target) -> str | None:
        """The reason to turn this lead down for, or None."""
        plan = self._plans[target]
        return plan.reject_reason if _hits(self._lead_dice[target], plan.reject_rate) else None


def _draw_refusal(dice: Random, plan: Plan) -> Refusal | None:
    limit = plan.rate_limit
    if plan.unauthorized:
        return Refusal(kind="unauthorized", status=None)
    if limit is not None and _hits(dice, limit.rate):
        return Refusal(kind="rate_limit", status=limit.status, retry_after=limit.retry_after)
    if _hits(dice, plan.error_rate):
        code = plan.error_code if isinstance(plan, SalesforcePlan) else None
        return Refusal(kind="error", status=plan.status, code=code)
    return None


def _hits(dice: Random, rate: float) -> bool:
    # A rate of nought draws no number, so a seeded sequence depends on nothing but the rates that are set.
    return rate > 0.0 and dice.random() < rate
