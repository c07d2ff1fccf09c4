"""Leads in: a group of leads with all their deliveries in one transaction.

After the commit they survive anything but the loss of the database; the NOTIFY inside it wakes the dispatcher. Events are
leads too, of a source of ours: they are written in the transaction of the change they tell of.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from app.ledger.codec import decode, encode
from app.ledger.database import Connection, Database
from app.model import EVENTS, EventType, Lead, Priority, State

WAKE_CHANNEL = "leadrelay_ready"
WAITS_FOR_STEPS = "9999-01-01T00:00:00Z"
"""When a delivery is due whose steps have not ended; not 'infinity', which Python's datetime cannot hold."""
PRIORITIES = {Priority.FRESH: 0, Priority.BACKFILL: 1}
SHARD = os.getpid() % 16  # processes do not wait for each other's row of the same minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """A delivery to be written: `state` is ready, or skipped with the reason.

    `waits_for` holds the ids of deliveries of the same lead that must have ended before it may go.
    """

    id: UUID
    destination: str
    state: State = State.READY
    reason: str | None = None
    waits_for: Sequence[UUID] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLead:
    """A lead to be written. `key` is the producer's idempotency key, `digest` of what it sent."""

    id: UUID
    source: str
    fields: Mapping[str, Any]
    invalid: Mapping[str, str]
    test: bool
    config_version: int
    deliveries: Sequence[Routed]
    key: str | None
    digest: bytes
    priority: Priority = Priority.FRESH


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The producer's key was used before: for the lead `lead_id`, with the same or another body."""

    lead_id: UUID
    same_body: bool


def _nowhere(_event_id: UUID, _fields: Mapping[str, Any]) -> Sequence[Routed]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriptions:
    """Of the running configuration: who is told of what; nobody of anything by default.

    `types` are those that anybody is told of. Of what happens at `destinations`, which are told, nobody is told anything: no
    event brings about another. `route` gives an event's deliveries by its id and fields.
    """

    types: frozenset[EventType] = frozenset()
    destinations: frozenset[str] = frozenset()
    route: Callable[[UUID, Mapping[str, Any]], Sequence[Routed]] = _nowhere
    version: int = 0

    def event(self, kind: EventType, *, test: bool = False, **fields: Any) -> Iterator[NewLead]:
        """The event as a lead to be written, if anybody is told of its type; `fields` that are None are left out."""
        if kind not in self.types:
            return
        event_id = uuid7()
        told = {name: value for name, value in fields.items() if value is not None}
        told = {"type": kind.value, **told, "test": test}
        yield NewLead(
            id=event_id,
            source=EVENTS,
            fields=told,
            invalid={},
            test=test,
            config_version=self.version,
            deliveries=self.route(event_id, told),
            key=None,
            digest=b"",
        )


NOBODY = Subscriptions()
_INSERT_SUBMISSIONS = b"""
insert into submissions (source, key, lead_id, digest)
select * from unnest(%b::text[], %b::text[], %b::uuid[], %b::bytea[])
on conflict do nothing
returning lead_id
"""
_KNOWN_SUBMISSIONS = b"""
select source, key, lead_id, digest from submissions
join unnest(%b::text[], %b::text[]) as wanted (source, key) using (source, key)
"""
_INSERT_LEADS = b"""
insert into leads (id, source, config_version, test, deliveries, data)
select id, source, config_version, test, string_to_array(deliveries, ',')::uuid[], data
from unnest(%b::uuid[], %b::text[], %b::int[], %b::bool[], %b::text[], %b::bytea[])
    as t (id, source, config_version, test, deliveries, data)
"""
_INSERT_DELIVERIES = f"""
insert into deliveries (id, lead_id, destination, state, reason, config_version, result, ended_at, source, priority,
                        waits_for, due_at)
select id, lead_id, destination, state::delivery_state, reason, config_version,
       case state when 'skipped' then 'skipped' end, case state when 'skipped' then now() end, source, priority,
       string_to_array(waits_for, ',')::uuid[], case when waits_for is null then now() else '{WAITS_FOR_STEPS}' end
from unnest(%b::uuid[], %b::uuid[], %b::text[], %b::text[], %b::text[], %b::int[], %b::text[], %b::int[], %b::text[])
    as t (id, lead_id, destination, state, reason, config_version, source, priority, waits_for)
""".encode()  # noqa: S608  # a constant of ours
_COUNT = b"""
insert into intake_rollups (minute, source, shard, leads, deliveries, repeats)
select date_trunc('minute', now()), source, %s, leads, deliveries, repeats
from unnest(%b::text[], %b::int[], %b::int[], %b::int[]) as t (source, leads, deliveries, repeats)
on conflict (minute, source, shard) do update set
    leads = intake_rollups.leads + excluded.leads,
    deliveries = intake_rollups.deliveries + excluded.deliveries,
    repeats = intake_rollups.repeats + excluded.repeats
"""


def accept(
    database: Database, leads: Sequence[NewLead], *, subscriptions: Subscriptions = NOBODY
) -> list[Known | None]:
    """Write a group of leads; for each, in order, None (written) or the lead its key already stands for."""
    with database.transaction() as connection:
        known = _claim_keys(connection, leads)
        new = [lead for lead, before in zip(leads, known, strict=True) if before is None]
        events = [event for lead in new for event in _events(lead, subscriptions)] if subscriptions.types else []
        with connection.pipeline():
            if new:
                _insert(connection, [*new, *events])
            _count(connection, [*leads, *events], [*known, *[None] * len(events)])
    return known


def write(connection: Connection, leads: Sequence[NewLead]) -> None:
    """Write leads that have no key within one's transaction.

    Best as its last statements: their source's figures stay locked until the commit.
    """
    if leads:
        with connection.pipeline():
            _insert(connection, leads)
            _count(connection, leads, [None] * len(leads))


def _events(lead: NewLead, subscriptions: Subscriptions) -> Iterator[NewLead]:
    about: dict[str, Any] = {"lead_id": str(lead.id), "source": lead.source, "test": lead.test}
    yield from subscriptions.event(EventType.LEAD_ACCEPTED, **about)
    for delivery in lead.deliveries:
        if delivery.state is State.SKIPPED:
            yield from subscriptions.event(
                EventType.SKIPPED,
                delivery_id=str(delivery.id),
                destination=delivery.destination,
                result="skipped",
                reason=delivery.reason,
                attempts=0,
                **about,
            )


def _claim_keys(connection: Connection, leads: Sequence[NewLead]) -> list[Known | None]:
    # Sorted, so that two groups with the same keys cannot wait for each other in a circle.
    keyed = sorted((lead for lead in leads if lead.key is not None), key=lambda lead: (lead.source, lead.key))
    if not keyed:
        return [None] * len(leads)
    sources, keys = [lead.source for lead in keyed], [lead.key for lead in keyed]
    parameters = (sources, keys, [lead.id for lead in keyed], [lead.digest for lead in keyed])
    written = {row[0] for row in connection.execute(_INSERT_SUBMISSIONS, parameters)}
    if len(written) == len(keyed):
        return [None] * len(leads)
    found = {
        (row[0], row[1]): (row[2], bytes(row[3])) for row in connection.execute(_KNOWN_SUBMISSIONS, (sources, keys))
    }
    return [_before(lead, found) if lead.key is not None and lead.id not in written else None for lead in leads]


def _before(lead: NewLead, found: Mapping[tuple[str, str], tuple[UUID, bytes]]) -> Known:
    assert lead.key is not None
    lead_id, digest = found[lead.source, lead.key]
    return Known(lead_id=lead_id, same_body=digest == lead.digest)


def _insert(connection: Connection, leads: Sequence[NewLead]) -> None:
    connection.execute(
        _INSERT_LEADS,
        (
            [lead.id for lead in leads],
            [lead.source for lead in leads],
            [lead.config_version for lead in leads],
            [lead.test for lead in leads],
            [",".join(str(delivery.id) for delivery in lead.deliveries) for lead in leads],
            [encode({"fields": lead.fields, "invalid": lead.invalid}, row=lead.id) for lead in leads],
        ),
    )
    rows = [(lead, delivery) for lead in leads for delivery in lead.deliveries]
    if not rows:
        return
    connection.execute(
        _INSERT_DELIVERIES,
        (
            [delivery.id for _, delivery in rows],
            [lead.id for lead, _ in rows],
            [delivery.destination for _, delivery in rows],
            [delivery.state.value for _, delivery in rows],
            [delivery.reason for _, delivery in rows],
            [lead.config_version for lead, _ in rows],
            [lead.source for lead, _ in rows],
            [PRIORITIES[lead.priority] for lead, _ in rows],
            [",".join(map(str, delivery.waits_for)) or None for _, delivery in rows],
        ),
    )
    connection.execute(f"notify {WAKE_CHANNEL}".encode())


def _count(connection: Connection, leads: Sequence[NewLead], known: Sequence[Known | None]) -> None:
    figures: dict[str, list[int]] = {}
    for lead, before in zip(leads, known, strict=True):
        counts = figures.setdefault(lead.source, [0, 0, 0])
        if before is None:
            counts[0] += 1
            counts[1] += len(lead.deliveries)
        else:
            counts[2] += 1
    sources = sorted(figures)
    connection.execute(
        _COUNT, (SHARD, sources, *([figures[source][place] for source in sources] for place in range(3)))
    )


def read_lead(row: tuple[UUID, str, datetime, bool, bytes]) -> Lead:
    """A `Lead` from the columns id, source, received_at, test, data."""
    lead_id, source, received_at, test, data = row
    stored = decode(data, row=lead_id)
    return Lead(
        id=lead_id,
        source=source,
        received_at=received_at,
        fields=stored["fields"],
        invalid=stored["invalid"],
        test=test,
    )
