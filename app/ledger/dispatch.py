"""What may go now: the statements of the dispatcher.

All of it is bookkeeping about wake-up calls: were it lost, deliveries would only be dispatched again. So these
transactions do not wait for the disk (`synchronous_commit = off`).
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from app.ledger.acceptance import NOBODY, PRIORITIES, Subscriptions
from app.ledger.database import Database
from app.ledger.event import tell
from app.ledger.gate import Gate, gates
from app.ledger.unsent import counting_unsent
from app.ledger.work import WORKER_ENDED
from app.model import DeadLetter, Lane, State

SUSPECT_AFTER = 2
"""After so many attempts the last of which its worker did not survive, a delivery may be what ended it."""
_CLASSES = list(PRIORITIES)


class Queued(NamedTuple):
    """A delivery to be sent; `alone`, because the worker that had it last ended, and it may be why.

    `suspect`: not for the first time. Only one such may be under way, lest it take others along that have done nothing.
    """

    id: UUID
    alone: bool
    suspect: bool = False


class UnderWay(NamedTuple):
    """How many deliveries of a destination are queued or in flight, how many of these in workers' hands.

    `alone`: how many are there because the worker that had them last ended.
    """

    active: int
    delivering: int
    alone: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What waits and what is under way at one moment.

    `due` holds lanes of each destination that have something due, `waiting` every destination with anything ready that waits
    for no step, `active` how many of each are under way, `unsent` how many ever came back without having been sent. `moment`
    is by PostgreSQL's clock, the only one that all processes share.
    """

    moment: datetime
    waiting: frozenset[str]
    due: Mapping[str, Sequence[Lane]]
    active: Mapping[str, UnderWay]
    unsent: Mapping[str, int]
    gates: Mapping[str, Gate]


# From lane to lane by the index, so that its cost grows with the lanes and not with what waits in them.
_LANES = b"""
with recursive lanes as (
    (select destination, priority, source, due_at from deliveries where state = 'ready'
     order by destination, priority, source, due_at limit 1)
    union all
    select following.* from lanes cross join lateral (
        select destination, priority, source, due_at from deliveries
        where state = 'ready' and (destination, priority, source) > (lanes.destination, lanes.priority, lanes.source)
        order by destination, priority, source, due_at limit 1
    ) as following
)
select destination, priority, source, due_at <= now() from lanes where due_at < '9999-01-01'
"""
# In one statement: what came back unsent must be of the same snapshot as what is under way.
_ACTIVE = b"""
select destination, coalesce(active, 0), coalesce(delivering, 0), coalesce(alone, 0), coalesce(unsent, 0)
from (
    select destination, count(*) as active, count(*) filter (where state = 'delivering') as delivering,
           count(*) filter (where reason = %s) as alone
    from deliveries where state in ('queued', 'delivering') group by destination
) as under_way full join (select destination, unsent from destination_status) as status using (destination)
"""
_QUEUE = b"""
with picked as (
    select due.id
    from unnest(%(names)b::text[], %(priorities)b::int[], %(sources)b::text[], %(rooms)b::int[])
        as wanted (destination, priority, source, room)
    cross join lateral (
        select id from deliveries
        where destination = wanted.destination and priority = wanted.priority and source = wanted.source
            and state = 'ready' and due_at <= now()
            and (attempts < %(suspect_after)b or reason is distinct from %(ended)b or destination <> all (%(busy)b::text[]))
        order by due_at limit wanted.room
        for update skip locked
    ) as due
)
update deliveries set state = 'queued', lease_until = now()
from picked where deliveries.id = picked.id
returning deliveries.destination, deliveries.priority, deliveries.source, deliveries.id,
          coalesce(deliveries.reason = %(ended)b, false), attempts
"""
_PROBE = b"""
update destination_status set circuit = 'half-open', probe_at = now() + make_interval(secs => %s)
where destination = %s and circuit <> 'closed' and probe_at <= now() and not paused and exists (
    select from deliveries d where d.destination = destination_status.destination
        and (d.state = 'ready' and d.due_at < '9999-01-01' or d.state = 'held' and d.fault = 'configuration')
) returning 1
"""
# One that failed as a probe was due later than the others, or held later: the next probe is another.
_OLDEST_HELD = b"""
update deliveries set state = 'ready', due_at = now()
where id = (
    select id from deliveries where destination = %s and state = 'held' and fault = 'configuration' order by due_at, id limit 1
)
returning id
"""
_OLDEST_READY = b"""
select id from deliveries where destination = %s and state = 'ready' and due_at < '9999-01-01' order by due_at limit 1
"""
_QUEUE_ONE = (
    b"update deliveries set state = 'queued', lease_until = now() where id = %s and state = 'ready' returning id"
)
_LOST = b"""
select destination, min(lease_until) <= now() - make_interval(secs => %s) from deliveries
where state = 'queued' and lease_until <= now() - make_interval(secs => %s) group by destination
"""
_UNQUEUE = counting_unsent(
    b"update deliveries d set state = 'ready', lease_until = null where id = any(%s) and state = 'queued'"
)
_REQUEUE = counting_unsent(b"""
update deliveries d set state = 'ready', lease_until = null
where state = 'queued' and destination = any(%s) and lease_until <= now() - make_interval(secs => %s)
""")
_ORPHANS = b"""
update deliveries set state = 'held', fault = 'configuration', reason = 'the destination is not in the configuration'
where id in (
    select id from deliveries where state = 'ready' and due_at < '9999-01-01' and destination = any(%s) limit 10000
)
    and state = 'ready' and not exists (select from config_versions where version > %s)
returning id
"""
_SHOWN = "select destination, count(*) from deliveries where state = 'dead' and mirrored group by 1"
_UNMIRRORED = (
    b"select id, destination, fault, fingerprint from deliveries where state = 'dead' and not mirrored limit 1000"
)


def queue(
    database: Database, rooms: Mapping[str, Mapping[Lane, int]], *, without_suspects: Collection[str] = ()
) -> dict[str, dict[Lane, list[Queued]]]:
    """Mark what is due as queued, at most `rooms[destination][lane]` each, oldest due first.

    Nothing that is suspected of having ended several workers goes to the destinations `without_suspects`.
    """
    wanted = [
        (name, PRIORITIES[lane.priority], lane.source, room)
        for name, lanes in rooms.items()
        for lane, room in lanes.items()
        if room > 0
    ]
    groups: dict[str, dict[Lane, list[Queued]]] = {}
    if not wanted:
        return groups
    columns: dict[str, Any] = dict(
        zip(("names", "priorities", "sources", "rooms"), map(list, zip(*wanted, strict=True)), strict=True)
    )
    columns |= {"ended": WORKER_ENDED, "suspect_after": SUSPECT_AFTER, "busy": list(without_suspects)}
    with database.transaction() as connection:
        connection.execute(b"set local synchronous_commit = off")
        for name, priority, source, delivery, alone, attempts in connection.execute(_QUEUE, columns):
            lane = Lane(_CLASSES[priority], source)
            found = Queued(delivery, alone, alone and attempts >= SUSPECT_AFTER)
            groups.setdefault(name, {}).setdefault(lane, []).append(found)
    return groups


def unqueue(database: Database, ids: Sequence[UUID]) -> None:
    """Deliveries whose message could not be published or used become ready again."""
    with database.transaction() as connection:
        connection.execute(_UNQUEUE, (list(ids),))


def survey(database: Database) -> Survey:
    """What waits, what is under way, and the gates of destinations."""
    with database.transaction() as connection:
        lanes = connection.execute(_LANES).fetchall()
        moment = connection.execute(b"select now()").fetchone()
        under_way = connection.execute(_ACTIVE, (WORKER_ENDED,)).fetchall()
        found = gates(connection)
    due: dict[str, list[Lane]] = defaultdict(list)
    for name, priority, source, is_due in lanes:
        if is_due:
            due[name].append(Lane(_CLASSES[priority], source))
    assert moment is not None
    return Survey(
        moment=moment[0],
        waiting=frozenset(row[0] for row in lanes),
        due=due,
        active={row[0]: UnderWay(*row[1:4]) for row in under_way if row[1]},
        unsent={row[0]: row[4] for row in under_way},
        gates=found,
    )


def due_probes(database: Database) -> list[str]:
    """Destinations whose open circuit may be tried again now."""
    return [
        row[0]
        for row in database.fetch(
            "select destination from destination_status where circuit <> 'closed' and probe_at <= now() and not paused "
            "and coalesce(not_before <= now(), true) and coalesce(quota_left > 0 or quota_until <= now(), true)"
        )
    ]


def begin_probe(database: Database, destination: str, *, patience_seconds: float) -> list[UUID]:
    """Let one delivery through an open circuit, the oldest held one first; its id, or nothing if there is none."""
    with database.transaction() as connection:
        if connection.execute(_PROBE, (patience_seconds, destination)).fetchone() is None:
            return []
        for oldest in (_OLDEST_HELD, _OLDEST_READY):
            found = connection.execute(oldest, (destination,)).fetchone()
            if found is not None:
                return [row[0] for row in connection.execute(_QUEUE_ONE, found)]
    return []


def requeue_lost(database: Database, *, after_seconds: float, is_empty: Callable[[Sequence[str]], set[str]]) -> int:
    """Deliveries queued for long whose broker queue is empty (or for ten times as long) become ready again."""
    with database.transaction() as connection:
        stale = connection.execute(_LOST, (after_seconds * 10, after_seconds)).fetchall()
    if not stale:
        return 0
    empty = is_empty([name for name, _ in stale])
    lost = [name for name, very_old in stale if very_old or name in empty]
    with database.transaction() as connection:
        return int(connection.execute(_REQUEUE, (lost, after_seconds)).fetchall()[0][0]) if lost else 0


def hold_orphans(
    database: Database, destinations: Sequence[str], *, config_version: int, subscriptions: Subscriptions = NOBODY
) -> int:
    """Hold what is ready for destinations that this version lacks, some at a time; nothing once there is a newer one."""
    with database.transaction() as connection:
        # Whoever writes a version frees what it brings back: it must come wholly before this, or wholly after.
        connection.execute(b"lock table config_versions in share mode")
        held = [(row[0], State.HELD) for row in connection.execute(_ORPHANS, (list(destinations), config_version))]
        tell(connection, subscriptions, deliveries=held)
    return len(held)


def unmirrored(database: Database) -> list[DeadLetter]:
    """Dead deliveries that the broker's dead-letter queues do not show yet."""
    with database.transaction() as connection:
        return [
            DeadLetter(delivery_id=row[0], destination=row[1], fault=row[2], fingerprint=row[3])
            for row in connection.execute(_UNMIRRORED)
        ]


def shown(database: Database) -> dict[str, int]:
    """How many dead deliveries each destination's dead-letter queue should show by now."""
    return {row[0]: int(row[1]) for row in database.fetch(_SHOWN)}


def mirrored(database: Database, ids: Sequence[UUID]) -> None:
    """Note that the dead-letter queues show these."""
    with database.transaction() as connection:
        connection.execute(b"update deliveries set mirrored = true where id = any(%s) and state = 'dead'", (list(ids),))


def remirror(database: Database, destination: str) -> None:
    """Note that a destination's dead-letter queue shows nothing any more; the dispatcher fills it again."""
    with database.transaction() as connection:
        connection.execute(
            b"update deliveries set mirrored = false where destination = %s and state = 'dead' and mirrored",
            (destination,),
        )
