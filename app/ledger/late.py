"""Deliveries that waited too long: past their deadline, or at the age when another destination takes them over."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.ledger.acceptance import NOBODY, WAITS_FOR_STEPS, Subscriptions
from app.ledger.database import Database
from app.ledger.event import tell
from app.model import State

_AT_ONCE = 1000
_MOVE = f"""
with late as (
    select found.id, age.*
    from unnest(%b::text[], %b::bool[], %b::float8[], %b::text[], %b::text[], %b::text[])
        as age (destination, in_steps, seconds, fallback, reason, fingerprint)
    cross join lateral (
        select id from deliveries
        where destination = age.destination and state = 'ready' and age_from < now() - make_interval(secs => age.seconds)
            and (due_at = '{WAITS_FOR_STEPS}') = age.in_steps
        limit {_AT_ONCE} for update skip locked
    ) as found
)
update deliveries d set
    state = case when late.fallback is null then 'dead' else 'ready' end::delivery_state,
    destination = coalesce(late.fallback, d.destination),
    origin = case when late.fallback is null then d.origin else coalesce(d.origin, d.destination) end,
    due_at = case when late.fallback is null then d.due_at else now() end,
    age_from = case when late.fallback is null then d.age_from else now() end,
    attempts_from = case when late.fallback is null then d.attempts_from else d.attempts end,
    ended_at = case when late.fallback is null then now() end,
    mirrored = false, result = 'error', fault = coalesce(d.fault, 'transient'), fingerprint = late.fingerprint,
    reason = late.reason || coalesce('; before that: ' || d.reason, '')
from late where d.id = late.id and d.state = 'ready'
returning d.id, d.state::text
""".encode()  # noqa: S608  # constants of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """Of one destination: after so many seconds a waiting delivery is dead, or goes to `fallback`.

    `in_steps`: those that wait for their steps, else those that do not.
    """

    destination: str
    in_steps: bool
    seconds: float
    fallback: str | None
    reason: str
    fingerprint: str


def move_late(database: Database, ages: Sequence[Age], *, subscriptions: Subscriptions = NOBODY) -> int:
    """End or hand over what is older than this, some at a time; how many were."""
    columns = (
        [age.destination for age in ages],
        [age.in_steps for age in ages],
        [age.seconds for age in ages],
        [age.fallback for age in ages],
        [age.reason for age in ages],
        [age.fingerprint for age in ages],
    )
    with database.transaction() as connection:
        moved = [(row[0], State(row[1])) for row in connection.execute(_MOVE, columns)]
        tell(connection, subscriptions, deliveries=moved)
    return len(moved)
