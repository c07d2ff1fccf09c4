"""Destinations that are told of events: who they are under a configuration, and what their templates and conditions may ask.

An event is a lead of a source of ours (`app.ledger.event` makes them), so all else about these destinations is as with any.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app.config.event import matched
from app.config.reference import subscribed
from app.config.schema import DestinationConfig, Document, SourceConfig
from app.config.suggestion import suggest
from app.context import context
from app.errors import Complaint, InvalidLead
from app.ledger.acceptance import NOBODY, Routed, Subscriptions
from app.model import EVENT_FIELDS, EVENTS, EventType
from app.promise import promised
from app.routing import Route
from app.rules import compile_rule

WHOLE_EVENT: Mapping[str, str] = {name: f"{{{{ event.{name} }}}}" for name in EVENT_FIELDS}
"""The mapping of a subscription that has none."""

OUR_EVENTS = SourceConfig(name=EVENTS)
"""Reads the events that a destination is tried with."""

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_LEAD = re.compile(r"(?<![\w.])lead\b")
_EVENT = re.compile(r"(?<![\w.])event\b(?:\.([A-Za-z_]\w*))?")


def subscriptions_of(document: Document, number: int) -> Subscriptions:
    """Who is told of what under a version of the configuration that is known to be well."""
    told = [_told(one) for one in subscribed(document.destinations) if one.enabled]
    if not told:
        return NOBODY

    def route(event_id: UUID, fields: Mapping[str, Any]) -> Sequence[Routed]:
        routes = [one for types, one in told if fields["type"] in types]
        return promised(routes, context(fields, lead_id=event_id, received_at=datetime.now(UTC), source=EVENTS))

    return Subscriptions(
        types=frozenset().union(*(types for types, _ in told)),
        destinations=frozenset(one.name for one in document.destinations if one.events is not None),
        route=route,
        version=number,
    )


def mistakes(config: DestinationConfig, text: str) -> Iterator[tuple[str, str]]:
    """What a condition, or what stands in braces, asks for and cannot have: the detail and the remedy."""
    plain = _QUOTED.sub("''", text)
    asked = _EVENT.findall(plain)
    if config.events is None:
        if asked:
            yield "uses event, and leads come here", "list `events` for a destination that is told of events"
        return
    if _LEAD.search(plain):
        yield "uses lead, and events come here", "write event.lead_id for the lead's id; the API has its fields"
    for name in sorted(set(filter(None, asked)) - set(EVENT_FIELDS)):
        yield f"there is no event.{name}", suggest(name, EVENT_FIELDS)


def untold(config: DestinationConfig, event: Mapping[str, Any]) -> str | None:
    """Why a destination would not be told of an event; raises `InvalidLead` for what is none."""
    kind = str(event.get("type", ""))
    if kind not in frozenset(EventType):
        detail = "names no event, and this destination is told of events" if kind else "is required of an event"
        raise InvalidLead([Complaint(field="type", detail=detail, remedy=suggest(kind, EventType))])
    return None if kind in matched(config.events or ()) else f"it is not told of {kind}"


def _told(config: DestinationConfig) -> tuple[frozenset[EventType], Route]:
    condition = compile_rule(config.when).matches if config.when else None
    return matched(config.events or ()), Route(destination=config.name, condition=condition)
