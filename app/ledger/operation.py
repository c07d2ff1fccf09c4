"""What people do to deliveries and destinations, each audited in the transaction that does it."""

from collections.abc import Sequence
from uuid import UUID

from app.ledger.acceptance import NOBODY, PRIORITIES, WAITS_FOR_STEPS, WAKE_CHANNEL, Subscriptions
from app.ledger.circuit import close_circuits
from app.ledger.database import Connection, Database
from app.ledger.event import tell
from app.model import Priority, State

# Steps that are sent again too are waited for again.
_REPLAY = f"""
update deliveries d set state = 'ready', age_from = now(), attempts_from = attempts, ended_at = null, mirrored = false,
    priority = coalesce(%s, priority), due_at = case when exists (
        select from deliveries step where step.id = any(d.waits_for)
            and (step.id = any(%s) or step.state in ('ready', 'queued', 'delivering', 'held'))
    ) then '{WAITS_FOR_STEPS}' else now() end
where id = any(%s) and state in ('dead', 'held', 'delivered', 'rejected', 'skipped', 'cancelled')
returning id
""".encode()  # noqa: S608  # a constant of ours
_CANCEL = b"""
update deliveries set state = 'cancelled', ended_at = now(), mirrored = false
where id = any(%s) and state in ('dead', 'held', 'ready') returning id
"""
_GATE = b"""
insert into destination_status (destination, paused) values (%s, %s)
on conflict (destination) do update set paused = excluded.paused
"""
_START_OVER = b"""
update destination_status set not_before = null, pause_reason = null, rejections_in_row = 0,
    quota_left = null, quota_limit = null, quota_until = null
where destination = %s
"""
_AUDIT = b"""
insert into audit (actor, action, subject, detail)
select %s, %s, subject, jsonb_build_object('note', %s::text) from unnest(%s::text[]) as subject
"""
_EXPIRED_LEADS = b"""
select id, deliveries from leads
where received_at < now() - make_interval(days => %s) and not exists (
    select from deliveries d where d.id = any(leads.deliveries) and d.state in ('ready', 'queued', 'delivering', 'held', 'dead')
)
order by id limit %s
"""
# Whoever is about to add something to them, or to send them again, does so before this or not at all.
_LOCK = b"""
select id, state in ('ready', 'queued', 'delivering', 'held', 'dead') from deliveries where id = any(%s) order by id for update
"""


def replay(
    database: Database, ids: Sequence[UUID], *, actor: str, note: str = "", priority: Priority | None = None
) -> list[UUID]:
    """Make ended, held or dead deliveries ready again with a fresh budget of attempts; which ones were.

    They keep their class unless `priority` is given.
    """
    with database.transaction() as connection:
        rank = None if priority is None else PRIORITIES[priority]
        moved = [row[0] for row in connection.execute(_REPLAY, (rank, list(ids), list(ids)))]
        _audit(connection, actor, "delivery.replay", moved, note)
        connection.execute(f"notify {WAKE_CHANNEL}".encode())
    return moved


def cancel(
    database: Database, ids: Sequence[UUID], *, actor: str, note: str = "", subscriptions: Subscriptions = NOBODY
) -> list[UUID]:
    """Give up dead, held or ready deliveries; which ones were."""
    with database.transaction() as connection:
        moved = [row[0] for row in connection.execute(_CANCEL, (list(ids),))]
        _audit(connection, actor, "delivery.discard", moved, note)
        tell(connection, subscriptions, deliveries=[(delivery, State.CANCELLED) for delivery in moved])
    return moved


def pause(
    database: Database, destination: str, *, paused: bool, actor: str, subscriptions: Subscriptions = NOBODY
) -> None:
    """Stop or resume dispatching to a destination; resuming also closes its circuit and frees what it held."""
    with database.transaction() as connection:
        closed = []
        connection.execute(_GATE, (destination, paused))
        if not paused:
            closed = close_circuits(connection, [destination])
            connection.execute(_START_OVER, (destination,))
        _audit(connection, actor, "destination.pause" if paused else "destination.resume", [destination], "")
        connection.execute(f"notify {WAKE_CHANNEL}".encode())
        tell(connection, subscriptions, destinations=closed)


def forget(database: Database, *, older_than_days: int, limit: int) -> int:
    """Delete up to `limit` leads whose deliveries all ended, with all that belongs to them; how many were."""
    with database.transaction() as connection:
        expired = connection.execute(_EXPIRED_LEADS, (older_than_days, limit)).fetchall()
        locked = connection.execute(_LOCK, ([delivery for _, ids in expired for delivery in ids],)).fetchall()
        wanted = {delivery for delivery, is_wanted in locked if is_wanted}
        leads = [(lead, ids) for lead, ids in expired if wanted.isdisjoint(ids)]
        deliveries = [delivery for _, ids in leads for delivery in ids]
        connection.execute(b"delete from attempts where delivery_id = any(%s)", (deliveries,))
        connection.execute(b"delete from feedback where delivery_id = any(%s)", (deliveries,))
        connection.execute(b"delete from deliveries where id = any(%s)", (deliveries,))
        forgotten = connection.execute(b"delete from leads where id = any(%s)", ([row[0] for row in leads],)).rowcount
        connection.execute(
            b"delete from submissions where created_at < now() - make_interval(days => %s)", (older_than_days,)
        )
    return forgotten


def _audit(connection: Connection, actor: str, action: str, subjects: Sequence[object], note: str) -> None:
    if subjects:
        connection.execute(_AUDIT, (actor, action, note, [str(subject) for subject in subjects]))
