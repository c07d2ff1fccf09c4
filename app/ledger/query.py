"""What people and programs read: leads with their timelines, deliveries by filter, dead letters, destinations.

Pages run newest first and continue below an id (`before`): ids are time-ordered (RFC 9562 UUIDv7).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from app.ledger.acceptance import PRIORITIES, read_lead
from app.ledger.codec import decode
from app.ledger.database import Database
from app.model import Lead, Priority, State


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryView:
    """A delivery as people see it.

    `due_at` is None while it waits for steps: then `waits_for` names those that have not ended. `origin` is the destination
    it was routed to, when another has taken it over.
    """

    id: UUID
    lead_id: UUID
    destination: str
    state: State
    attempts: int
    due_at: datetime | None
    accepted_at: datetime
    ended_at: datetime | None
    result: str | None
    fault: str | None
    reason: str | None
    reference: str | None
    price: Decimal | None
    ambiguous: bool
    fingerprint: str | None
    config_version: int
    origin: str | None
    waits_for: Sequence[str]
    priority: Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """An attempt as people see it; `detail` holds captured data and the redacted transcript."""

    number: int
    destination: str
    started_at: datetime
    duration_ms: float
    result: str
    fault: str | None
    reason: str | None
    ambiguous: bool
    worker: str
    config_version: int
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationView:
    """How a destination stands: deliveries by live state, the oldest due one's age, gate and circuit.

    `reason` is the circuit's, `openings` how often it opened since it closed last. Until `not_before` it asked to be left alone,
    until `quota_until` its rate limit leaves `quota_left` requests. `notice` is what it says of its interface's end.
    """

    name: str
    counts: Mapping[str, int]
    oldest_seconds: float = 0.0
    paused: bool = False
    pause_reason: str | None = None
    circuit: str = "closed"
    reason: str | None = None
    openings: int = 0
    rejections_in_row: int = 0
    not_before: datetime | None = None
    quota_left: int | None = None
    quota_until: datetime | None = None
    notice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadGroup:
    """Dead letters, or held deliveries, of one kind: how many, since when, and the reason of the newest."""

    fingerprint: str | None
    destination: str
    fault: str | None
    reason: str | None
    count: int
    oldest_at: datetime
    newest_at: datetime


_DELIVERY = (
    "id, lead_id, destination, state::text, attempts, nullif(due_at, '9999-01-01T00:00:00Z'), accepted_at, ended_at, "
    "result, fault, reason, reference, price, ambiguous, fingerprint, config_version, origin, "
    "case when state = 'ready' and due_at = '9999-01-01T00:00:00Z' then array("
    "select coalesce(step.origin, step.destination) from deliveries step where step.id = any(deliveries.waits_for) "
    "and step.state in ('ready', 'queued', 'delivering', 'held') order by 1) else '{}' end, priority"
)
_LIVE = b"""
select destination, state::text, count(*),
       extract(epoch from now() - min(due_at) filter (where due_at <= now() and state <> 'held'))::float8
from deliveries where state in ('ready', 'queued', 'delivering', 'held', 'dead') group by 1, 2
"""
_STATUS_FIELDS = tuple(one.name for one in fields(DestinationView))[3:]
_STATUS = f"select destination, {', '.join(_STATUS_FIELDS)} from destination_status".encode()  # noqa: S608  # fixed columns
_ENDED = """
select id from leads where id = any(%s) and not exists (
    select from deliveries d where d.id = any(leads.deliveries) and d.state in ('ready', 'queued', 'delivering', 'held'))
"""
_DEAD_GROUPS = """
select fingerprint, destination, (array_agg(fault order by id desc))[1], (array_agg(reason order by id desc))[1],
       count(*), min(coalesce(ended_at, accepted_at)), max(coalesce(ended_at, accepted_at))
from deliveries
where state = %(state)s::delivery_state and (%(destination)s::text is null or destination = %(destination)s)
    and (%(fingerprint)s::text is null or fingerprint = %(fingerprint)s)
group by 1, 2 order by 5 desc, 1 limit %(limit)s
"""


def leads(database: Database, ids: Sequence[UUID]) -> list[tuple[Lead, dict[UUID, str]]]:
    """Leads with the destinations of their deliveries by delivery id."""
    rows = database.fetch(
        "select leads.id, leads.source, received_at, test, data, d.id, d.destination from leads "
        "left join deliveries d on d.id = any(leads.deliveries) where leads.id = any(%s)",
        (list(ids),),
    )
    found: dict[UUID, tuple[Lead, dict[UUID, str]]] = {}
    for row in rows:
        _lead, deliveries = found.setdefault(row[0], (read_lead(row[:5]), {}))
        if row[5] is not None:
            deliveries[row[5]] = row[6]
    return list(found.values())


def lead_version(database: Database, lead_id: UUID) -> int | None:
    """The configuration version a lead was accepted under."""
    rows = database.fetch("select config_version from leads where id = %s", (lead_id,))
    return int(rows[0][0]) if rows else None


def lead_deliveries(database: Database, ids: Sequence[UUID]) -> list[DeliveryView]:
    """Deliveries of these leads, oldest first."""
    rows = database.fetch(
        f"select {_DELIVERY} from deliveries where id in (select unnest(deliveries) from leads where id = any(%s)) order by id",  # noqa: S608  # fixed columns
        (list(ids),),
    )
    return [_delivery(row) for row in rows]


def deliveries(
    database: Database,
    *,
    destination: str | None = None,
    states: Sequence[State] = (),
    fingerprint: str | None = None,
    lead: UUID | None = None,
    source: str | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> list[DeliveryView]:
    """Deliveries newest first, below `before`, that meet every filter given."""
    conditions = {
        "id in (select unnest(deliveries) from leads where id = %(lead)s)": lead,
        "exists (select from leads where leads.id = lead_id and source = %(source)s)": source,
        "destination = %(destination)s": destination,
        "state = any(%(states)s::delivery_state[])": list(states) or None,
        "fingerprint = %(fingerprint)s": fingerprint,
        "id < %(before)s": before,
    }
    where = " and ".join(text for text, value in conditions.items() if value is not None) or "true"
    rows = database.fetch(
        f"select {_DELIVERY} from deliveries where {where} order by id desc limit %(limit)s",  # noqa: S608  # fixed texts
        {
            "destination": destination,
            "states": [state.value for state in states],
            "fingerprint": fingerprint,
            "lead": lead,
            "source": source,
            "before": before,
            "limit": limit,
        },
    )
    return [_delivery(row) for row in rows]


def ended(database: Database, lead_ids: Sequence[UUID]) -> list[UUID]:
    """Which of these leads have no delivery that is still under way or held."""
    return [row[0] for row in database.fetch(_ENDED, (list(lead_ids),))]


def dead_groups(
    database: Database,
    *,
    state: State = State.DEAD,
    destination: str | None = None,
    fingerprint: str | None = None,
    limit: int = 100,
) -> list[DeadGroup]:
    """Dead letters (or held deliveries) counted by fingerprint, the largest group first."""
    rows = database.fetch(
        _DEAD_GROUPS,
        {"state": state.value, "destination": destination, "fingerprint": fingerprint, "limit": limit},
    )
    return [
        DeadGroup(
            fingerprint=row[0],
            destination=row[1],
            fault=row[2],
            reason=row[3],
            count=row[4],
            oldest_at=row[5],
            newest_at=row[6],
        )
        for row in rows
    ]


def delivery(database: Database, delivery_id: UUID) -> DeliveryView | None:
    """One delivery."""
    rows = database.fetch(f"select {_DELIVERY} from deliveries where id = %s", (delivery_id,))  # noqa: S608  # fixed columns
    return _delivery(rows[0]) if rows else None


def attempts(database: Database, delivery_ids: Sequence[UUID]) -> dict[UUID, list[AttemptView]]:
    """Attempts of these deliveries, in order."""
    rows = database.fetch(
        "select delivery_id, number, started_at, duration_ms, a.result, a.fault, a.reason, a.ambiguous, worker, "
        "a.config_version, detail, coalesce(a.destination, d.origin, d.destination) "
        "from attempts a join deliveries d on d.id = delivery_id where delivery_id = any(%s) order by delivery_id, number",
        (list(delivery_ids),),
    )
    found: dict[UUID, list[AttemptView]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(
            AttemptView(
                number=row[1],
                started_at=row[2],
                duration_ms=row[3],
                result=row[4],
                fault=row[5],
                reason=row[6],
                ambiguous=row[7],
                worker=row[8],
                config_version=row[9],
                destination=row[11],
                detail=decode(row[10], row=row[0]) if row[10] is not None else {},
            )
        )
    return found


def destinations(database: Database) -> dict[str, DestinationView]:
    """How every destination with work, trouble or a gate stands."""
    with database.transaction() as connection:
        live = connection.execute(_LIVE).fetchall()
        status = {row[0]: dict(zip(_STATUS_FIELDS, row[1:], strict=True)) for row in connection.execute(_STATUS)}
    counts: dict[str, dict[str, int]] = {name: {} for name in status}
    oldest: dict[str, float] = {}
    for name, state, count, age in live:
        counts.setdefault(name, {})[state] = count
        if state != "dead":
            oldest[name] = max(oldest.get(name, 0.0), age or 0.0)
    return {
        name: DestinationView(name=name, counts=found, oldest_seconds=oldest.get(name, 0.0), **status.get(name, {}))
        for name, found in counts.items()
    }


def _delivery(row: tuple[Any, ...]) -> DeliveryView:
    return DeliveryView(
        id=row[0],
        lead_id=row[1],
        destination=row[2],
        state=State(row[3]),
        attempts=row[4],
        due_at=row[5],
        accepted_at=row[6],
        ended_at=row[7],
        result=row[8],
        fault=row[9],
        reason=row[10],
        reference=row[11],
        price=row[12],
        ambiguous=row[13],
        fingerprint=row[14],
        config_version=row[15],
        origin=row[16],
        waits_for=row[17],
        priority=list(PRIORITIES)[row[18]],
    )
