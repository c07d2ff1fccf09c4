"""Gaps mended, where that can neither lose nor double a lead (`app.ledger.gap` says which, and why not the others).

Rows are locked first and looked at again: what a worker or the sweep has set right meanwhile is left alone. Each repair is
audited in the transaction that does it.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from app.ledger.acceptance import WAITS_FOR_STEPS, WAKE_CHANNEL
from app.ledger.balance import ENDED, LONG
from app.ledger.database import Database
from app.ledger.gap import EXPLANATIONS, Gap, Kind

GROUP_SIZE = 500

# A statement that locks comes first: these then see every attempt recorded until now.
_LOCK = b"select from deliveries where id = any(%s) order by id for update"
_REPAIRS: Mapping[Kind, str] = {
    Kind.ATTEMPT_COUNTER: """
        update deliveries d set attempts = a.highest, attempts_from = least(d.attempts_from, a.highest)
        from (
            select one.id, coalesce(max(number), 0) as highest
            from unnest(%(ids)s::uuid[]) as one (id) left join attempts on delivery_id = one.id group by one.id
        ) a
        where d.id = a.id and (d.attempts <> a.highest or d.attempts_from > a.highest)
    """,
    Kind.FORGOTTEN_HOLD: f"""
        update deliveries d set state = 'ready',
            due_at = case when d.due_at = '{WAITS_FOR_STEPS}' then d.due_at else now() end
        where d.id = any(%(ids)s) and d.state = 'held' and d.fault = 'configuration' and not exists (
            select from destination_status s where s.destination = d.destination and s.circuit <> 'closed'
        )
    """,  # noqa: S608  # fixed texts
    Kind.END_TIME: f"""
        update deliveries d set ended_at = case when d.state in {ENDED} then coalesce(
            (select max(started_at) from attempts where delivery_id = d.id), d.accepted_at
        ) end
        where d.id = any(%(ids)s) and (d.state in {ENDED}) <> (d.ended_at is not null)
    """,  # noqa: S608  # fixed texts
    Kind.MIRROR_FLAG: """
        update deliveries d set mirrored = false where d.id = any(%(ids)s) and d.mirrored and d.state <> 'dead'
    """,
    Kind.MISSING_LEASE: """
        update deliveries d set lease_until = now()
        where d.id = any(%(ids)s) and d.state in ('queued', 'delivering') and d.lease_until is null
    """,
    Kind.LOST_MESSAGE: f"""
        update deliveries d set state = 'ready', lease_until = null
        where d.id = any(%(ids)s) and d.state = 'queued' and d.lease_until < now() - {LONG}
    """,  # noqa: S608  # fixed texts
}
_AUDIT = b"""
insert into audit (actor, action, subject, detail)
select %s, 'delivery.repair', subject, jsonb_build_object('gap', %s::text, 'note', note)
from unnest(%s::text[], %s::text[]) as t (subject, note)
"""


def repairable(gap: Gap) -> bool:
    """Whether `repair` may mend it."""
    return EXPLANATIONS[gap.kind].repairable


def repair(database: Database, gaps: Sequence[Gap], *, actor: str) -> Iterator[list[Gap]]:
    """Mend those of `gaps` that may be mended, some hundred in a transaction; yields those that were, group by group."""
    mendable = [gap for gap in gaps if repairable(gap)]
    for kind, same in groupby(sorted(mendable, key=lambda gap: gap.kind), key=lambda gap: gap.kind):
        found = list(same)
        for start in range(0, len(found), GROUP_SIZE):
            yield _mend(database, kind, found[start : start + GROUP_SIZE], actor)


def _mend(database: Database, kind: Kind, gaps: Sequence[Gap], actor: str) -> list[Gap]:
    ids = [gap.subject for gap in gaps]
    with database.transaction() as connection:
        connection.execute(_LOCK, (ids,))
        statement = f"{_REPAIRS[kind]} returning d.id"
        moved = {row[0] for row in connection.execute(statement.encode(), {"ids": ids})}
        mended = [gap for gap in gaps if gap.subject in moved]
        subjects, notes = [str(gap.subject) for gap in mended], [gap.detail for gap in mended]
        connection.execute(_AUDIT, (actor, kind.value, subjects, notes))
        connection.execute(f"notify {WAKE_CHANNEL}".encode())
    return mended
