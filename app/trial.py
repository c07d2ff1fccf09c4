"""Trying a destination before it goes live: a lead made ready for it, a real try, a check, its fields.

Shared by CLI and API. Nothing here touches the ledger but for the access tokens that workers share, where `tokens` is given: a
try is no delivery, and neither pause, circuit nor limits of the destination are asked. What can be told without them is in
`app.dry_run`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from uuid_utils.compat import uuid7

from app import connectors
from app.answer import judged, outcome_of
from app.catalog import Step, compile_document, create_connector
from app.config.loading import load_destination
from app.config.schema import Document, SourceConfig
from app.config.suggestion import suggest
from app.connectors.base import Capability, Connector, Property, Sent, TokenStore
from app.context import context
from app.delivery import item_for
from app.errors import Complaint, ConfigurationFault, Conflict, DataFault, DeliveryFault, InvalidConfig, NotFound
from app.fields import FieldSpecs
from app.model import Item, Outcome, Result
from app.routing import Route, route
from app.subscription import OUR_EVENTS, untold

NO_SOURCE = SourceConfig(name="preview")
"""Reads a lead that no source is named for."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A lead made ready for one destination: what is sent, why it would be skipped (or None), and what to know about it."""

    item: Item
    skipped: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an answer means, in the words of an outcome."""

    outcome: str
    reason: str | None
    price: str | None
    reference: str | None
    captured: Mapping[str, Any] | None
    fault: str | None

    @classmethod
    def of(cls, outcome: Outcome) -> "Verdict":
        """An outcome in plain values; the price is a decimal number as text."""
        return cls(
            outcome=outcome.result.value,
            reason=outcome.reason,
            price=None if outcome.price is None else f"{outcome.price:f}",
            reference=outcome.reference,
            captured=outcome.captured,
            fault=outcome.fault.value if outcome.fault else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Try(Verdict):
    """What came of sending: also whether an answer was lost, the transcript, and the destination's milliseconds."""

    ambiguous: bool
    ms: float | None
    transcript: Mapping[str, Any] | None

    @classmethod
    def of(cls, outcome: Outcome, ms: float | None = None) -> "Try":
        """An outcome in plain values; `ms` is None where nothing was sent."""
        verdict = asdict(Verdict.of(outcome))
        return cls(**verdict, ambiguous=outcome.ambiguous, ms=ms, transcript=outcome.transcript)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Whether a destination was reached and let us in; if not, why."""

    ok: bool
    fault: str | None
    reason: str | None
    ms: float

    @classmethod
    def of(cls, fault: DeliveryFault | None, ms: float) -> "Check":
        """What a check ended in; None is well."""
        return cls(
            ok=fault is None,
            fault=None if fault is None else fault.fault.value,
            reason=None if fault is None else fault.reason,
            ms=round(ms, 2),
        )


def step_of_file(path: Path) -> Step:
    """A destination from its file alone; raises `InvalidConfig`."""
    loaded = load_destination(path)
    [step] = compile_document(loaded.document, 0, place=loaded.complaint).steps.values()
    return step


def step_of_name(document: Document, name: str) -> Step:
    """A running destination; raises `NotFound` that suggests what may be meant."""
    if document.destination(name) is None:
        known = {one.name for one in document.destinations}
        raise NotFound(f"there is no running destination '{name}': {suggest(name, known)}")
    return compile_document(document, 0).steps[name]


def source_of_name(document: Document, name: str | None) -> SourceConfig:
    """A running source, or one that knows nothing for None; raises `NotFound`."""
    if name is None:
        return NO_SOURCE
    found = document.source(name)
    if found is None:
        raise NotFound(f"there is no source '{name}': {suggest(name, {one.name for one in document.sources})}")
    return found


def prepare(
    step: Step,
    fields: Mapping[str, Any],
    *,
    source: SourceConfig = NO_SOURCE,
    said: Mapping[str, Any],
    test: bool = False,
) -> Trial:
    """Read a lead as its source does and render it; `said` is what earlier steps captured, by name.

    A destination that is told of events takes an event's fields in place of a lead's. Raises `InvalidLead`, and
    `InvalidConfig` for a mapping that this lead cannot be rendered by.
    """
    not_told = None
    if step.config.events is not None:
        source, not_told = OUR_EVENTS, untold(step.config, fields)
    read = FieldSpecs(source).read(fields)
    notes = [f"{name} {complaint}; it is taken as text" for name, complaint in read.invalid.items()]
    if unsaid := sorted(step.before - said.keys()):
        notes.append(f"what {', '.join(unsaid)} will say is taken as nothing")
    key, lead_id, now = str(uuid7()), uuid7(), datetime.now(UTC)
    seen = partial(
        context,
        read.fields,
        lead_id=lead_id,
        received_at=now,
        source=source.name,
        description=source.description,
        steps=said,
    )
    condition = step.condition.matches if step.condition else None
    [decision] = route([Route(destination=step.config.name, condition=condition)], seen())
    delivery = {"id": key, "lead_id": str(lead_id), "destination": step.config.name, "attempt": 1, "test": test}
    deadline = monotonic() + step.config.limits.timeout_seconds
    try:
        item = item_for(
            step, seen(delivery=delivery), key=key, attempt=1, deadline=deadline, test=test, occurred_at=now
        )
    except DataFault as fault:
        raise InvalidConfig([Complaint(field="mapping", detail=fault.reason)]) from None
    return Trial(item=item, skipped=not_told or decision.skipped, notes=tuple(notes))


def send(step: Step, trial: Trial, environ: Mapping[str, str], tokens: TokenStore | None = None) -> Try:
    """Send for real, once, within the destination's time limit; a lead that would be skipped is not sent."""
    if trial.skipped is not None:
        return Try.of(Outcome(result=Result.SKIPPED, reason=trial.skipped))
    try:
        with opened(create_connector(step, environ, tokens)) as connector:
            # From now: what it took to load a vendor's client is not the destination's.
            item = replace(trial.item, deadline=monotonic() + step.config.limits.timeout_seconds)
            [sent] = connector.deliver_many([item], until=item.deadline)
            return Try.of(outcome_of(judged(step, connector, sent).answer), round(sent.duration_ms, 2))
    except ConfigurationFault as fault:  # it cannot be made
        return Try.of(outcome_of(fault))


def check(step: Step, environ: Mapping[str, str], tokens: TokenStore | None = None) -> Check:
    """Reach the destination and log in, changing nothing. Raises `Conflict` for a type that cannot be checked."""
    require(step, Capability.CHECK, "cannot be checked without sending; a test sends a lead")
    begun, fault = monotonic(), None
    try:
        _asked(step, environ, tokens, lambda connector: _check(connector, step.config.mapping))
    except DeliveryFault as found:
        fault = found
    return Check.of(fault, (monotonic() - begun) * 1000)


def describe(step: Step, environ: Mapping[str, str], tokens: TokenStore | None = None) -> list[Property]:
    """The other side's own fields. Raises `DeliveryFault`, and `Conflict` for a type that cannot tell them."""
    require(step, Capability.DESCRIBE, "do not tell what fields they have")
    return _asked(step, environ, tokens, lambda connector: connector.describe())


def _asked(step: Step, environ: Mapping[str, str], tokens: TokenStore | None, ask: Callable[[Connector[Any]], T]) -> T:
    """What a connector answers; whatever it raises is a `DeliveryFault`."""
    with opened(create_connector(step, environ, tokens)) as connector:
        try:
            return ask(connector)
        except DeliveryFault as fault:
            raise connector.concealed(fault) from None
        except Exception as error:  # noqa: BLE001  # translated where deliveries' are
            outcome = outcome_of(judged(step, connector, Sent(answer=error)).answer)
            raise ConfigurationFault(outcome.reason or type(error).__name__) from None


def _check(connector: Connector[Any], mapping: Mapping[str, Any]) -> None:
    connector.check()
    for place, detail in connector.complaints(mapping):
        raise ConfigurationFault(f"{place}: {detail}")


def require(step: Step, capability: Capability, otherwise: str) -> None:
    """Raise `Conflict` for a destination of a type that has not this capability."""
    if capability not in connectors.load(step.config.type).capabilities:
        raise Conflict(f"destinations of type {step.config.type} {otherwise}")


@contextmanager
def opened(connector: Connector[Any]) -> Iterator[Connector[Any]]:
    """The connector for as long as the block lasts."""
    try:
        yield connector
    finally:
        connector.close()
