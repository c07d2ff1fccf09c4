"""Figures per destination and minute, written in the same transaction as the attempts they count.

Dashboards and metrics read these, not the deliveries. Processes write to shards of their own, so that none waits for
another's row. `fold` keeps the totals when old minutes are forgotten: counters never go down.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.ledger.database import Connection, Database

BUCKETS = (5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 30000.0)
"""Upper bounds of the latency buckets, in ms; a last one takes the rest."""

_ADD = b"""
insert into rollups (minute, destination, result, fault, bucket, shard, attempts, total_ms)
select date_trunc('minute', now()), %s, result, fault, bucket, %s, attempts, total_ms
from unnest(%b::text[], %b::text[], %b::int[], %b::int[], %b::float8[]) as t (result, fault, bucket, attempts, total_ms)
on conflict (destination, minute, result, fault, bucket, shard) do update set
    attempts = rollups.attempts + excluded.attempts, total_ms = rollups.total_ms + excluded.total_ms
"""
_FOLD = b"""
with old as (
    delete from rollups where minute < now() - make_interval(days => %s) and minute > '-infinity'
    returning destination, result, fault, bucket, attempts, total_ms
)
insert into rollups (minute, destination, result, fault, bucket, shard, attempts, total_ms)
select '-infinity'::timestamptz, destination, result, fault, bucket, 0, sum(attempts), sum(total_ms)
from old group by destination, result, fault, bucket
on conflict (destination, minute, result, fault, bucket, shard) do update set
    attempts = rollups.attempts + excluded.attempts, total_ms = rollups.total_ms + excluded.total_ms
"""
_FOLD_INTAKE = b"""
with old as (
    delete from intake_rollups where minute < now() - make_interval(days => %s) and minute > '-infinity'
    returning source, leads, deliveries, repeats
)
insert into intake_rollups (minute, source, shard, leads, deliveries, repeats)
select '-infinity'::timestamptz, source, 0, sum(leads), sum(deliveries), sum(repeats) from old group by source
on conflict (minute, source, shard) do update set
    leads = intake_rollups.leads + excluded.leads, deliveries = intake_rollups.deliveries + excluded.deliveries,
    repeats = intake_rollups.repeats + excluded.repeats
"""

_SENT = """
select greatest(extract(epoch from now() - minute) - 60, 0)::float8, sum(attempts)::bigint from rollups
where destination = %s and minute > now() - make_interval(secs => %s) group by minute
"""
_SUCCEEDED_TODAY = """
select destination, (
    select coalesce(sum(attempts), 0)::bigint from rollups r
    where r.destination = wanted.destination and result = 'success' and minute >= wanted.day
), (
    select count(*) from deliveries d where d.destination = wanted.destination and state in ('queued', 'delivering')
)
from unnest(%s::text[], %s::timestamptz[]) as wanted (destination, day)
"""
_SUCCEEDED_BETWEEN = """
select coalesce(sum(attempts), 0)::bigint from rollups
where destination = %s and result = 'success' and minute >= %s and minute < %s
"""
_RECENT = """
select destination, minute, sum(attempts)::bigint,
       coalesce(sum(attempts) filter (where fault = 'transient'), 0)::bigint, sum(total_ms)
from rollups where destination = any(%s) and minute > now() - interval '2 minutes' group by 1, 2
"""
_ACCEPTED = b"select source, sum(leads)::bigint, sum(repeats)::bigint from intake_rollups group by 1"
_ATTEMPTED = b"""
select destination, result, fault, bucket, sum(attempts)::bigint, sum(total_ms) from rollups group by 1, 2, 3, 4
"""

Cell = tuple[str, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All-time totals: accepted leads by source, repeated submissions, and attempts by cell.

    A cell of `attempts` is (destination, result, fault or "", place in `BUCKETS`, count, total milliseconds).
    """

    accepted: Mapping[str, int]
    repeated: int
    attempts: Sequence[tuple[str, str, str, int, int, float]]


def bucket(duration_ms: float) -> int:
    """The place of a duration in `BUCKETS`."""
    return bisect_left(BUCKETS, duration_ms)


def add(
    connection: Connection, destination: str, shard: int, counts: Mapping[Cell, int], times: Mapping[Cell, float]
) -> None:
    """Add attempts to this minute; cells are (result, fault or "", bucket)."""
    cells = sorted(counts)  # one order for all, so that writers cannot wait for each other in a circle
    connection.execute(
        _ADD,
        (
            destination,
            shard,
            [cell[0] for cell in cells],
            [cell[1] for cell in cells],
            [cell[2] for cell in cells],
            [counts[cell] for cell in cells],
            [times[cell] for cell in cells],
        ),
    )


def sent(database: Database, destination: str, *, seconds: float) -> list[tuple[float, int]]:
    """Attempts of the last `seconds` by minute: how many seconds ago these had ended at the latest, and how many they were."""
    return [(row[0], row[1]) for row in database.fetch(_SENT, (destination, seconds + 60))]


def succeeded_today(database: Database, days: Mapping[str, datetime]) -> list[tuple[str, int, int]]:
    """Name, successes since the beginning of its day, and what is under way, of each destination; all of one snapshot."""
    columns = (list(days), list(days.values()))
    return [(row[0], row[1], row[2]) for row in database.fetch(_SUCCEEDED_TODAY, columns)]


def succeeded_between(database: Database, destination: str, begin: datetime, end: datetime) -> int:
    """Successes from one whole minute to another."""
    return int(database.fetch(_SUCCEEDED_BETWEEN, (destination, begin, end))[0][0])


def recent(database: Database, destinations: Sequence[str]) -> dict[str, dict[datetime, tuple[int, int, float]]]:
    """Of the last minutes of each destination: attempts, transient errors among them, and their milliseconds in all."""
    found: dict[str, dict[datetime, tuple[int, int, float]]] = {}
    for name, minute, attempts, errors, spent_ms in database.fetch(_RECENT, (list(destinations),)):
        found.setdefault(name, {})[minute] = (attempts, errors, spent_ms)
    return found


def fold(database: Database, *, after_days: int) -> None:
    """Add minutes older than this to the all-time rows and forget them."""
    with database.transaction() as connection:
        connection.execute(_FOLD, (after_days,))
        connection.execute(_FOLD_INTAKE, (after_days,))


def figures(database: Database) -> Figures:
    """What counters show, all processes together."""
    with database.transaction() as connection:
        accepted = connection.execute(_ACCEPTED).fetchall()
        attempted = connection.execute(_ATTEMPTED).fetchall()
    return Figures(
        accepted={source: leads for source, leads, _ in accepted},
        repeated=sum(repeats for _, _, repeats in accepted),
        attempts=[(row[0], row[1], row[2], row[3], row[4], row[5]) for row in attempted],
    )
