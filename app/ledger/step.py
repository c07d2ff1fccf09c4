"""Steps that come after others of the same lead: what lets them go, and what the others captured.

A delivery whose steps have not ended is `ready` and due in a far future; `waits_for` names the deliveries it waits for. When
the last of these has ended it is due at once, or skipped if one that is not optional failed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.ledger.acceptance import NOBODY, WAITS_FOR_STEPS, WAKE_CHANNEL, Subscriptions
from app.ledger.codec import decode
from app.ledger.database import Connection, Database
from app.ledger.event import tell
from app.model import State

# One after the other for each lead: of two steps that end in the same moment, the second must see the first.
_LOCK = b"select from leads where id = any(%s) order by id for update"
_JUDGE = f"""
select waiting.id, bool_and(step.state in ('delivered', 'rejected', 'skipped', 'cancelled', 'dead')),
       min('step ' || coalesce(step.origin, step.destination) || ' is ' || step.state || coalesce(': ' || step.reason, ''))
           filter (where step.state <> 'delivered' and coalesce(step.origin, step.destination) <> all(%s))
from leads cross join lateral unnest(leads.deliveries) as own (id)
join deliveries waiting on waiting.id = own.id and waiting.state = 'ready' and waiting.due_at = '{WAITS_FOR_STEPS}'
cross join lateral unnest(waiting.waits_for) as before (id)
join deliveries step on step.id = before.id
where leads.id = any(%s) group by waiting.id
""".encode()  # noqa: S608  # a constant of ours
_LET_GO = b"update deliveries set due_at = now() where id = any(%s) and state = 'ready'"
_SKIP = b"""
update deliveries set state = 'skipped', result = 'skipped', reason = input.reason, ended_at = now(), due_at = now()
from unnest(%b::uuid[], %b::text[]) as input (id, reason) where deliveries.id = input.id and state = 'ready'
"""
_OVERLOOKED = f"""
select distinct lead_id from deliveries waiting
where waiting.state = 'ready' and waiting.due_at = '{WAITS_FOR_STEPS}' and not exists (
    select from deliveries step where step.id = any(waiting.waits_for)
        and step.state not in ('delivered', 'rejected', 'skipped', 'cancelled', 'dead')
) limit %s
"""  # noqa: S608  # a constant of ours
_CAPTURED = b"""
select leads.id, coalesce(d.origin, d.destination), d.result, d.state::text, d.reason, d.reference, d.price, d.id, a.detail
from leads cross join lateral unnest(leads.deliveries) as own (id)
join deliveries d on d.id = own.id and coalesce(d.origin, d.destination) = any(%s)
left join attempts a on a.delivery_id = d.id and a.number = d.attempts
where leads.id = any(%s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Of the running configuration: what its destinations are to those that come after them.

    The failure of an `optional` one lets steps after it go on; only what ends at an `awaited` one can let anything go.
    """

    optional: frozenset[str] = frozenset()
    awaited: frozenset[str] = frozenset()


def release_steps(connection: Connection, leads: Sequence[UUID], steps: Steps) -> list[tuple[UUID, State]]:
    """Let go, or skip, what waits for steps of these leads that have all ended; what was skipped."""
    skipped: list[tuple[UUID, State]] = []
    if not leads:
        return skipped
    ids, optional = list(set(leads)), sorted(steps.optional)
    connection.execute(_LOCK, (ids,))
    while ended := [row for row in connection.execute(_JUDGE, (optional, ids)) if row[1]]:
        free = [row[0] for row in ended if row[2] is None]
        barred = [(row[0], row[2]) for row in ended if row[2] is not None]
        connection.execute(_LET_GO, (free,))
        if free:
            connection.execute(f"notify {WAKE_CHANNEL}".encode())
        if not barred:
            break
        connection.execute(_SKIP, ([row[0] for row in barred], [row[1] for row in barred]))
        skipped += [(row[0], State.SKIPPED) for row in barred]
    return skipped


def release_overlooked(
    database: Database, steps: Steps, *, subscriptions: Subscriptions = NOBODY, limit: int = 1000
) -> None:
    """The same for leads whose steps ended otherwise than by an attempt: discarded, too old, no step any more."""
    leads = [row[0] for row in database.fetch(_OVERLOOKED, (limit,))]
    if leads:
        with database.transaction() as connection:
            skipped = release_steps(connection, leads, steps)
            tell(connection, subscriptions, deliveries=skipped)


def captured(
    connection: Connection, leads: Sequence[UUID], names: Collection[str]
) -> dict[UUID, dict[str, Mapping[str, Any]]]:
    """What the named steps of these leads said, by lead and step: their captured data beside `outcome`, `reason`, ..."""
    found: dict[UUID, dict[str, Mapping[str, Any]]] = {lead: {} for lead in leads}
    for lead, name, result, state, reason, reference, price, delivery, detail in connection.execute(
        _CAPTURED, (list(names), list(leads))
    ):
        said = {"outcome": result, "state": state, "reason": reason, "reference": reference, "price": price}
        kept = decode(detail, row=delivery)["captured"] if detail is not None else None
        found[lead][name] = {**said, **(kept or {})}
    return found
