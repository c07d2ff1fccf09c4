"""What people and programs read: leads, deliveries, dead letters, destinations, the balance.

A key bound to a source sees its own leads and deliveries and nothing else: what is not its own does not exist for it.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.api.access import refuse_bound
from app.api.equation import Balance, balance_view
from app.api.permission import Reader
from app.api.service import Held, Service
from app.api.timeline import DeliveryTimeline, LeadTimeline, delivery_timeline, lead_timeline
from app.api.view import DeadGroup, DeadLetterPage, Delivery, DeliveryPage, Destination
from app.catalog import Step
from app.config.base import Name
from app.errors import NotFound
from app.holding import Hold, holding_back
from app.ledger import balance, feedback, query
from app.ledger.key import Key
from app.ledger.query import DeliveryView, DestinationView
from app.model import Lead, State

Fingerprint = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")]

router = APIRouter(prefix="/v1")


class DeadLetterFilter(BaseModel):
    """Which dead letters."""

    model_config = ConfigDict(extra="forbid")

    destination: Name | None = Field(None, description="Only of this destination.")
    fingerprint: Fingerprint | None = Field(None, description="Only of this kind of trouble.")
    before: UUID | None = Field(None, description="Continue below this delivery.")
    limit: int = Field(50, ge=1, le=200, description="Most on a page.")


class DeliveryFilter(DeadLetterFilter):
    """Which deliveries."""

    state: list[State] = Field([], description="Only in these states; may be repeated.")
    lead: UUID | None = Field(None, description="Only of this lead.")


@router.get("/leads/{lead_id}", tags=["leads"], summary="A lead and all that happened to it")
def read_lead(lead_id: UUID, service: Held, key: Reader) -> LeadTimeline:
    """Fields, and for each destination the delivery with every attempt and its transcript."""
    lead = own_lead(service, lead_id, key, f"there is no lead {lead_id}")
    deliveries = query.lead_deliveries(service.database, [lead_id])
    ids = [view.id for view in deliveries]
    return lead_timeline(lead, deliveries, query.attempts(service.database, ids), feedback.of(service.database, ids))


@router.get("/deliveries", tags=["deliveries"], summary="Deliveries, newest first")
def list_deliveries(wanted: Annotated[DeliveryFilter, Query()], service: Held, key: Reader) -> DeliveryPage:
    """A page of deliveries that meet every filter given; `next` leads on."""
    page, following = _page(service, wanted, key, wanted.state, "/v1/deliveries")
    return DeliveryPage(deliveries=page, next=following)


@router.get("/deliveries/{delivery_id}", tags=["deliveries"], summary="One delivery with its attempts")
def read_delivery(delivery_id: UUID, service: Held, key: Reader) -> DeliveryTimeline:
    """The delivery, each attempt with its transcript, and feedback."""
    view = own_delivery(service, delivery_id, key)
    attempts = query.attempts(service.database, [delivery_id])
    return delivery_timeline(view, attempts.get(delivery_id, []), feedback.of(service.database, [delivery_id]))


@router.get("/dead-letters", tags=["deliveries"], summary="Deliveries that were given up, grouped")
def list_dead_letters(wanted: Annotated[DeadLetterFilter, Query()], service: Held, key: Reader) -> DeadLetterPage:
    """Counts by fingerprint, and a page of the deliveries; replay or discard them one by one."""
    page, following = _page(service, wanted, key, [State.DEAD], "/v1/dead-letters")
    groups = (
        query.dead_groups(service.database, destination=wanted.destination, fingerprint=wanted.fingerprint)
        if key.source is None
        else []
    )
    return DeadLetterPage(
        groups=[DeadGroup.model_validate(group) for group in groups], dead_letters=page, next=following
    )


@router.get("/destinations", tags=["destinations"], summary="How every destination stands")
def list_destinations(service: Held, key: Reader) -> list[Destination]:
    """Live deliveries by state, the oldest one's age, gate and circuit, and why nothing goes."""
    refuse_bound(key)
    return destination_views(service)


@router.get("/balance", tags=["installation"], summary="Whether every accepted delivery is accounted for")
def read_balance(service: Held, key: Reader) -> Balance:
    """Count both sides: accepted = delivered + rejected + skipped + waiting + held + dead + cancelled."""
    refuse_bound(key)
    return balance_view(balance.balance(service.database))


def own_delivery(service: Service, delivery_id: UUID, key: Key) -> DeliveryView:
    """A delivery the key may see; raises `NotFound`."""
    missing = f"there is no delivery {delivery_id}"
    view = query.delivery(service.database, delivery_id)
    if view is None:
        raise NotFound(missing)
    if key.source is not None:
        own_lead(service, view.lead_id, key, missing)
    return view


def own_lead(service: Service, lead_id: UUID, key: Key, missing: str) -> Lead:
    """A lead the key may see; raises `NotFound` with the text given."""
    found = query.leads(service.database, [lead_id])
    if not found or key.source not in {None, found[0][0].source}:
        raise NotFound(missing)
    return found[0][0]


def destination_views(service: Service) -> list[Destination]:
    """Every destination from its configuration and its work; either may be missing."""
    steps = service.catalog.current.steps
    views = query.destinations(service.database)
    configs = [step.config for step in steps.values()]
    holds = holding_back(service.database, configs, views, now=datetime.now(UTC))
    return [
        _destination(name, steps.get(name), views.get(name), holds.get(name, ())) for name in sorted({*steps, *views})
    ]


def _destination(name: str, step: Step | None, view: DestinationView | None, holds: Sequence[Hold]) -> Destination:
    view = view or DestinationView(name=name, counts={})
    return Destination(
        name=name,
        type=step.config.type if step else None,
        enabled=step.config.enabled if step else False,
        paused=view.paused,
        circuit=view.circuit,
        reason=view.reason,
        holding_back=[asdict(hold) for hold in holds],
        notice=view.notice,
        counts=dict(view.counts),
        oldest_seconds=view.oldest_seconds,
    )


def _page(
    service: Service, wanted: DeadLetterFilter, key: Key, states: list[State], path: str
) -> tuple[list[Delivery], str | None]:
    """A page, and the address of the next one if there are more."""
    found = query.deliveries(
        service.database,
        destination=wanted.destination,
        states=states,
        fingerprint=wanted.fingerprint,
        lead=getattr(wanted, "lead", None),
        source=key.source,
        before=wanted.before,
        limit=wanted.limit + 1,
    )
    page = [Delivery.model_validate(view) for view in found[: wanted.limit]]
    if len(found) <= wanted.limit:
        return page, None
    given: dict[str, Any] = wanted.model_dump(mode="json", exclude_defaults=True, exclude={"before"})
    return page, f"{path}?{urlencode({**given, 'before': page[-1].id}, doseq=True)}"
