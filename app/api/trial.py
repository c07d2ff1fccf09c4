"""Destinations tried over HTTP: what they would be sent, what an answer would mean, a real test, a check, their fields.

Secrets are those of this process's environment, as for a worker; no route shows one.
"""

from functools import partial
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from app import trial
from app.answer import outcome_of
from app.api.access import refuse_bound
from app.api.permission import Operator, Reader
from app.api.service import Held, Service
from app.api.view import Shape
from app.catalog import Step
from app.config.base import Name
from app.errors import DeliveryFault, NotFound
from app.ledger.key import Key
from app.ledger.token import Tokens
from app.settings import secret_environment
from app.trial import Answer, Trial

router = APIRouter(prefix="/v1/destinations/{name}", tags=["destinations"])


class TrialLead(BaseModel):
    """A lead to try a destination with."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    lead: dict[str, Any]
    """Its fields."""
    source: Name | None = None
    """The source whose types of fields it is read by; well-known names have theirs without one."""
    steps: dict[str, Any] = {}
    """What earlier steps captured, by their names."""


class Preview(Shape):
    """What a destination would be sent."""

    request: dict[str, Any]
    """Method, url, headers and body; the message for a destination of type email. Secrets are masked or references."""
    skipped: str | None
    """Why the lead would be skipped; null if it would be sent."""
    notes: list[str]
    """What is odd about the lead."""


class Verdict(Shape):
    """What an answer means."""

    outcome: str
    """Success, failure, error or skipped."""
    reason: str | None
    """For people."""
    price: str | None
    """What the destination pays, a decimal number."""
    reference: str | None
    """The destination's own record id."""
    captured: dict[str, Any] | None
    """Values taken out of the answer."""
    fault: str | None
    """Why it is an error: transient, permanent, data, configuration or system."""


class Try(Verdict):
    """What came of a test."""

    ambiguous: bool
    """The answer was lost: the destination may have the lead."""
    ms: float | None
    """The destination's part of the time; null if nothing was sent."""
    transcript: dict[str, Any] | None
    """Request and response, with secrets masked."""


class Check(Shape):
    """Whether a destination was reached and let us in."""

    ok: bool
    """It did."""
    fault: str | None
    """Why not: transient or configuration."""
    reason: str | None
    """Why not, for people."""
    ms: float
    """How long it took."""


class Property(Shape):
    """A field of the other side."""

    name: str
    """Its name."""
    type: str
    """Its type, in the other side's words."""
    required: bool
    """A record without it is refused."""
    label: str
    """What people see."""


@router.post("/preview", summary="What it would be sent for a lead")
def preview(name: str, given: TrialLead, service: Held, key: Reader) -> Preview:
    """Sends nothing and needs no secret."""
    step = _step(service, name, key)
    made = _prepared(service, step, given)
    return Preview(request=trial.preview(step, made), skipped=made.skipped, notes=list(made.notes))


@router.post("/interpret", summary="What an answer of it would mean")
def interpret(name: str, answer: Answer, service: Held, key: Reader) -> Verdict:
    """Applies the destination's response rules; 409 for a type that does not speak HTTP."""
    return Verdict.model_validate(trial.interpret(_step(service, name, key), answer))


@router.post("/test", summary="Send it a lead for real, marked as a test")
async def test(name: str, given: TrialLead, service: Held, key: Operator) -> Try:
    """Once, without retries; nothing enters the ledger, and pause, limits and circuit are not asked."""
    step = _step(service, name, key)

    def send() -> trial.Try:
        return trial.send(
            step, _prepared(service, step, given, as_test=True), secret_environment(), Tokens(service.database)
        )

    try:
        found = await service.reach.run(send, seconds=step.config.limits.timeout_seconds)
    except DeliveryFault as fault:
        found = trial.Try.of(outcome_of(fault))
    return Try.model_validate(found)


@router.post("/check", summary="Reach it and log in, changing nothing")
async def check(name: str, service: Held, key: Operator) -> Check:
    """Says `ok: false` with the reason when it cannot; 409 for a type that cannot be checked."""
    step = _step(service, name, key)
    seconds = step.config.limits.timeout_seconds
    try:
        ask = partial(trial.check, step, secret_environment(), Tokens(service.database))
        found = await service.reach.run(ask, seconds=seconds)
    except DeliveryFault as fault:
        found = trial.Check.of(fault, seconds * 1000)
    return Check.model_validate(found)


@router.get("/describe", summary="What fields the other side has")
async def describe(name: str, service: Held, key: Operator) -> list[Property]:
    """Asks the destination; 409 for a type that cannot tell, 502 when it gives no usable answer."""
    step = _step(service, name, key)
    ask = partial(trial.describe, step, secret_environment(), Tokens(service.database))
    found = await service.reach.run(ask, seconds=step.config.limits.timeout_seconds)
    return [Property.model_validate(one) for one in found]


def _step(service: Service, name: str, key: Key) -> Step:
    refuse_bound(key)
    step = service.catalog.current.steps.get(name)
    if step is None:
        raise NotFound(f"there is no destination {name!a}")
    return step


def _prepared(service: Service, step: Step, given: TrialLead, *, as_test: bool = False) -> Trial:
    source = trial.source_of_name(service.catalog.current.document, given.source)
    return trial.prepare(step, given.lead, source=source, said=given.steps, test=as_test)
