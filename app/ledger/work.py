"""What a worker does to deliveries: claim them under a lease, record what came of them, hand back what it did not begin.

Every change is compare-and-set on state and fencing token: a duplicate message claims nothing, a worker that was held up
beyond its lease records nothing. `tests/ledger` draws transitions from the table in `app.model`.
"""

import os
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from app.ledger.acceptance import NOBODY, SHARD, WAKE_CHANNEL, Subscriptions, read_lead
from app.ledger.circuit import GateRules, Recorded, judge, storable
from app.ledger.codec import encode
from app.ledger.database import Connection, Database
from app.ledger.event import tell
from app.ledger.rollup import Cell, add, bucket
from app.ledger.step import Steps, captured, release_steps
from app.ledger.unsent import counting_unsent
from app.model import Attempt, Claim, Fault, Lead

WORKER_ENDED = "the worker ended before the destination's answer was recorded"
WORKER = f"{socket.gethostname()}:{os.getpid()}"

_CLAIM = b"""
with claimed as (
    update deliveries
    set state = 'delivering', token = token + 1, lease_until = now() + make_interval(secs => %s)
    where id = any(%b::uuid[]) and destination = %s and state = 'queued'
    returning id, lead_id, token, attempts - attempts_from as tries, extract(epoch from now() - age_from)::float8 as age
)
select claimed.id, claimed.token, claimed.tries, claimed.age,
       exists (select from destination_status where destination = %s and circuit = 'half-open'),
       leads.id, leads.source, leads.received_at, leads.test, leads.data
from claimed join leads on leads.id = claimed.lead_id
"""
# `state::text` keeps the planner to the key: of what is under way its statistics always tell of another moment, and it
# would read all of that from the partial index.
_RECORD = b"""
with input as (
    select * from unnest(
        %b::uuid[], %b::int[], %b::text[], %b::float8[], %b::timestamptz[], %b::float8[], %b::text[], %b::text[], %b::text[],
        %b::text[], %b::numeric[], %b::bool[], %b::text[], %b::bytea[], %b::text[], %b::bool[]
    ) as t (id, token, state, due_in, started_at, duration_ms, result, fault, reason,
            reference, price, ambiguous, fingerprint, detail, fallback, free)
), moved as (
    update deliveries d
    set state = input.state::delivery_state,
        destination = coalesce(input.fallback, d.destination),
        origin = case when input.fallback is null then d.origin else coalesce(d.origin, d.destination) end,
        attempts_from = case when input.fallback is null then d.attempts_from + input.free::int else d.attempts + 1 end,
        age_from = case when input.fallback is null then d.age_from else now() end,
        due_at = now() + make_interval(secs => input.due_in),
        lease_until = null,
        attempts = d.attempts + 1,
        ambiguous = d.ambiguous or input.ambiguous,
        mirrored = false,
        result = input.result, fault = input.fault, reason = input.reason, fingerprint = input.fingerprint,
        reference = coalesce(input.reference, d.reference), price = coalesce(input.price, d.price),
        ended_at = case when input.state in ('delivered', 'rejected', 'skipped', 'dead') then now() end
    from input
    where d.id = input.id and d.token = input.token and d.state::text = 'delivering'
    returning d.id, d.attempts, d.lead_id
), noted as (
    insert into attempts
        (delivery_id, number, started_at, duration_ms, result, fault, reason, ambiguous, worker, config_version, detail,
         destination)
    select moved.id, moved.attempts, started_at, duration_ms, result, fault, reason, ambiguous, %s, %s, detail, %s
    from moved join input using (id)
)
select id, lead_id from moved
"""
_RELEASE = counting_unsent(b"""
update deliveries d set state = 'ready', due_at = now(), lease_until = null
from unnest(%b::uuid[], %b::int[]) as input (id, token)
where d.id = input.id and d.token = input.token and d.state::text = 'delivering'
""")
_EXPIRED = b"""
select id, token, attempts - attempts_from, extract(epoch from now() - age_from)::float8, destination
from deliveries where state = 'delivering' and lease_until <= now() limit %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """A delivery whose lease ran out while a worker held it."""

    delivery_id: UUID
    token: int
    tries: int
    age_seconds: float
    destination: str


def claim(
    database: Database, destination: str, ids: Sequence[UUID], *, lease_seconds: float, steps: Collection[str] = ()
) -> list[Claim]:
    """Take what is still queued of `ids`, with its leads and what the named `steps` said; whoever claims first has them."""
    parameters = (lease_seconds, list(ids), destination, destination)
    with database.transaction() as connection:
        rows = connection.execute(_CLAIM, parameters, binary=True).fetchall()
        said = captured(connection, [row[5] for row in rows], steps) if steps and rows else {}
    return [
        Claim(
            delivery_id=row[0],
            token=row[1],
            tries=row[2],
            age_seconds=row[3],
            probe=row[4],
            lead=_readable(row[5:10]),
            steps=said.get(row[5], {}),
        )
        for row in rows
    ]


def _readable(row: tuple[Any, ...]) -> Lead | None:
    """The lead, unless what is stored cannot be read: then its delivery must end, not its whole group wait."""
    try:
        return read_lead((row[0], row[1], row[2], row[3], row[4]))
    except ValueError:
        return None


def record(
    database: Database,
    destination: str,
    attempts: Sequence[Attempt],
    *,
    config_version: int,
    gate: GateRules | None = GateRules(),  # noqa: B008  # frozen
    steps: Steps = Steps(),  # noqa: B008  # frozen
    subscriptions: Subscriptions = NOBODY,
) -> Recorded:
    """Write finished attempts, states, figures and circuit in one transaction; what came of it.

    `gate` says when the destination's circuit opens, None that these attempts say nothing of it; `steps` whether others come
    after it, `subscriptions` who is told.
    """
    if not attempts:
        return Recorded()
    with database.transaction() as connection:
        parameters = (*_columns(attempts), WORKER, config_version, destination)
        written = dict(connection.execute(_RECORD, parameters).fetchall())
        counted = [attempt for attempt in attempts if attempt.delivery_id in written]
        with connection.pipeline():
            _count(connection, destination, counted)
            outcomes = [attempt.outcome for attempt in counted]
            found = judge(connection, destination, outcomes, gate) if gate else Recorded()
        ended = [(one.delivery_id, one.next.state) for one in counted]
        if destination in steps.awaited:
            ended += release_steps(connection, [written[one.delivery_id] for one in counted if one.next.ends], steps)
        if any(one.next.fallback for one in counted):
            connection.execute(f"notify {WAKE_CHANNEL}".encode())
        tell(connection, subscriptions, deliveries=ended, destinations=[(destination, found)])
    return replace(found, stale=len(attempts) - len(counted))


def release(database: Database, unbegun: Sequence[tuple[UUID, int]]) -> None:
    """Hand back claimed deliveries (id, token) that were not begun; no attempt is recorded."""
    with database.transaction() as connection:
        connection.execute(_RELEASE, ([row[0] for row in unbegun], [row[1] for row in unbegun]))


def expired(database: Database, *, limit: int) -> list[Expired]:
    """Deliveries whose worker let its lease run out."""
    with database.transaction() as connection:
        return [
            Expired(delivery_id=row[0], token=row[1], tries=row[2], age_seconds=row[3], destination=row[4])
            for row in connection.execute(_EXPIRED, (limit,))
        ]


def _columns(attempts: Sequence[Attempt]) -> tuple[list[Any], ...]:
    rows = [
        (
            attempt.delivery_id,
            attempt.token,
            attempt.next.state.value,
            attempt.next.due_in_seconds,
            attempt.started_at,
            attempt.duration_ms,
            outcome.result.value,
            outcome.fault.value if outcome.fault else None,
            storable(outcome.reason),
            storable(outcome.reference),
            outcome.price,
            outcome.ambiguous,
            attempt.next.fingerprint,
            encode({"captured": outcome.captured, "transcript": outcome.transcript}, row=attempt.delivery_id)
            if outcome.captured or outcome.transcript
            else None,
            attempt.next.fallback,
            attempt.next.free,
        )
        for attempt in attempts
        for outcome in (attempt.outcome,)
    ]
    return tuple(list(column) for column in zip(*rows, strict=True))


def _count(connection: Connection, destination: str, attempts: Sequence[Attempt]) -> None:
    counts: dict[Cell, int] = {}
    times: dict[Cell, float] = {}
    for attempt in attempts:
        # That a worker ended is no sign of the destination's health.
        fault = Fault.SYSTEM if attempt.outcome.reason == WORKER_ENDED else attempt.outcome.fault
        cell = (attempt.outcome.result.value, fault or "", bucket(attempt.duration_ms))
        counts[cell] = counts.get(cell, 0) + 1
        times[cell] = times.get(cell, 0.0) + attempt.duration_ms
    add(connection, destination, SHARD, counts, times)
