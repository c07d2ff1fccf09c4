"""What operators do: replay, discard, pause, resume. Each is audited under the name of the key."""

from uuid import UUID

from fastapi import APIRouter, Response

from app import operations
from app.api.access import refuse_bound
from app.api.permission import Operator
from app.api.reading import destination_views, own_delivery
from app.api.service import Held, Service
from app.api.view import Delivery, Destination, Note
from app.errors import NotFound
from app.ledger import operation, query
from app.ledger.key import Key

router = APIRouter(prefix="/v1")
_NO_NOTE = Note()


@router.post("/deliveries/{delivery_id}/replays", status_code=202, tags=["deliveries"], summary="Send a delivery again")
def replay(delivery_id: UUID, response: Response, service: Held, key: Operator, note: Note = _NO_NOTE) -> Delivery:
    """Makes an ended, held or dead delivery ready again with fresh attempts; 409 while it is under way."""
    own_delivery(service, delivery_id, key)
    view = operations.replay(service.database, delivery_id, actor=_actor(key), note=note.note)
    response.headers["Location"] = f"/v1/deliveries/{delivery_id}"
    return Delivery.model_validate(view)


@router.post("/deliveries/{delivery_id}/discards", tags=["deliveries"], summary="Give a dead or held delivery up")
def discard(delivery_id: UUID, service: Held, key: Operator, note: Note = _NO_NOTE) -> Delivery:
    """Cancels the delivery; a replay can still bring it back. 409 when there is nothing to give up."""
    own_delivery(service, delivery_id, key)
    told = service.catalog.current.subscriptions
    view = operations.discard(service.database, delivery_id, actor=_actor(key), note=note.note, subscriptions=told)
    return Delivery.model_validate(view)


@router.post("/destinations/{name}/pause", tags=["destinations"], summary="Stop dispatching to a destination")
def pause(name: str, service: Held, key: Operator) -> Destination:
    """Leads are still accepted for it and wait."""
    return _gate(service, name, key, paused=True)


@router.post("/destinations/{name}/resume", tags=["destinations"], summary="Dispatch to a destination again")
def resume(name: str, service: Held, key: Operator) -> Destination:
    """Also closes its circuit."""
    return _gate(service, name, key, paused=False)


def _gate(service: Service, name: str, key: Key, *, paused: bool) -> Destination:
    refuse_bound(key)
    compiled = service.catalog.current
    if name not in compiled.steps and name not in query.destinations(service.database):
        raise NotFound(f"there is no destination {name!a}")
    operation.pause(service.database, name, paused=paused, actor=_actor(key), subscriptions=compiled.subscriptions)
    return next(one for one in destination_views(service) if one.name == name)


def _actor(key: Key) -> str:
    return f"key:{key.name}"
