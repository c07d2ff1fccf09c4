"""Destinations tried over HTTP: what they would be sent, what an answer would mean, a real test, a check, their fields.

Secrets are those of this process's environment, as for a worker; no route shows one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from app import dry_run, trial
from app.answer import outcome_of
from app.api.access import refuse_bound, require_scope
from app.api.permission import Operator, Reader
from app.api.service import Held, Service
from app.api.view import Shape
from app.catalog import Step
from app.config.base import Name
from app.errors import DeliveryFault, NotFound
from app.ledger.key import Key
from app.ledger.token import Tokens
from app.reply import Answer
from app.settings import secret_environment
from app.trial import Trial

R = TypeVar("R")
router = APIRouter(prefix="/v1/destinations/{name}", tags=["destinations"])
_FETCHED: Final = (
    "the WSDL of this destination is at an address and has to be fetched; "
    "use a key that has it, or name the WSDL as a file"
)


class TrialLead(BaseModel):
    """A lead to try a destination with."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    lead: dict[str, Any]
    """Its fields."""
    source: Name | None = None
    """The source whose types of fields it is read by; well-known names have theirs without one."""
    steps: dict[str, Any] = {}
    """What earlier steps captured, by their names."""

    @model_validator(mode="before")
    @classmethod
    def _not_the_fields_themselves(cls, given: Any) -> Any:
        if isinstance(given, dict) and "lead" not in given:
            raise PydanticCustomError("lead", 'put the fields of the lead under "lead": {"lead": {…}}')
        return given


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
async def preview(name: str, given: TrialLead, service: Held, key: Reader) -> Preview:
    """Sends nothing and needs no secret. A WSDL at an address is fetched for it, without credentials, for keys with `operate`."""
    step = _step(service, name, key)

    def show() -> Preview:
        made = _prepared(service, step, given)
        request = dry_run.preview(step, made, environ=secret_environment())
        return Preview(request=request, skipped=made.skipped, notes=list(made.notes))

    return await _told(service, step, key, show)


@router.post("/interpret", summary="What an answer of it would mean")
async def interpret(name: str, answer: Answer, service: Held, key: Reader) -> Verdict:
    """Applies the destination's response rules; 409 for a type that does not speak HTTP. Fetches as `preview` does."""
    step = _step(service, name, key)
    tell = partial(dry_run.interpret, step, answer, environ=secret_environment())
    return Verdict.model_validate(await _told(service, step, key, tell))


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


async def _told(service: Service, step: Step, key: Key, tell: Callable[[], R]) -> R:
    """What can be told of a destination; reading it is enough for that unless somebody has to be reached first."""
    if not await run_in_threadpool(dry_run.fetches, step):
        return await run_in_threadpool(tell)
    require_scope(key, "operate", _FETCHED)
    return await service.reach.run(tell, seconds=step.config.limits.timeout_seconds)


def _prepared(service: Service, step: Step, given: TrialLead, *, as_test: bool = False) -> Trial:
    source = trial.source_of_name(service.catalog.current.document, given.source)
    return trial.prepare(step, given.lead, source=source, said=given.steps, test=as_test)
