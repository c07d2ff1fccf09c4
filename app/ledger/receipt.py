"""What a destination says it got, laid beside what the ledger says it was sent.

Keys are copied into a temporary table of one connection, group by group, so that neither side holds a large file in memory.
May not know where keys come from; changes nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.ledger.database import Connection, connect, translated
from app.model import WAITING, State


class Verdict(StrEnum):
    """What is remarkable about a key."""

    MISSING = "missing"
    """Delivered here, and not among what the destination got: the worst."""
    UNRECORDED = "unrecorded"
    """The destination has it, and here it is dead, held, cancelled or skipped: probably its answer was lost."""
    REPEATED = "repeated"
    """The destination got it more often than answers and lost answers explain."""
    UNKNOWN = "unknown"
    """No delivery of this ledger has this key."""
    UNDER_WAY = "under-way"
    """The destination has it, and here it is still to be sent, or sent again: no gap."""
    ELSEWHERE = "elsewhere"
    """It is a delivery for another destination: no gap."""


GAPS = (Verdict.MISSING, Verdict.UNRECORDED, Verdict.REPEATED, Verdict.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One remarkable key: where the file names it first, how often it does, and how its delivery stands.

    `explained`: of how many attempts the destination may have got something: those it answered, those whose answer was
    lost, and one that is under way.
    """

    verdict: Verdict
    key: UUID
    line: int | None
    times: int
    explained: int
    lead_id: UUID | None
    destination: str | None
    state: State | None


_TABLE = b"create temporary table received (line bigint, key uuid)"
_COPY = b"copy received (line, key) from stdin (format binary)"
_GATHER = b"""
create temporary table there as select key, min(line) as line, count(*)::int as times from received group by key
"""
_KEYS = b"select count(*), coalesce(sum(times), 0)::bigint from there"
_REMARKABLE = b"""
select found.*, coalesce(tries.answered, 0), coalesce(tries.explained, 0)
from (
    select coalesce(d.id, t.key) as id, t.line, coalesce(t.times, 0) as times, d.lead_id, d.destination, d.state::text as state
    from deliveries d full join there t on t.key = d.id
    where t.key is null and d.destination = %(destination)s and d.state = 'delivered'
            and (%(since)s::timestamptz is null or d.ended_at >= %(since)s)
            and (%(until)s::timestamptz is null or d.ended_at < %(until)s)
        or t.key is not null and (
            d.id is null or d.destination <> %(destination)s or t.times > 1 or d.state not in ('delivered', 'rejected')
        )
) found left join lateral (
    select count(*) filter (where result in ('success', 'failure'))::int as answered,
           count(*) filter (where result in ('success', 'failure') or ambiguous)::int as explained
    from attempts where delivery_id = found.id and coalesce(attempts.destination, %(destination)s) = %(destination)s
) tries on found.times > 0 and found.state is not null
"""


class Receipts:
    """The keys a destination named, on a connection of their own; they are forgotten with it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, keys: Sequence[tuple[int, UUID]]) -> None:
        """Take some more: the number of the line, and its key. Raises `Unavailable`."""
        with translated(), self._connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.set_types(["int8", "uuid"])
            for row in keys:
                copy.write_row(row)

    def count(self) -> tuple[int, int]:
        """Called when all were added: how many different keys, and how many in all. Raises `Unavailable`."""
        with translated():
            self._connection.execute(_GATHER)
            self._connection.execute(b"analyze there")
            row = self._connection.execute(_KEYS).fetchone()
        assert row is not None
        return row[0], row[1]

    def findings(self, destination: str, *, since: datetime | None, until: datetime | None) -> Iterator[Finding]:
        """Every remarkable key, in one snapshot; what ended here before `since` or from `until` on is not missed there."""
        values = {"destination": destination, "since": since, "until": until}
        with translated(), self._connection.transaction(), self._connection.cursor(name="findings") as cursor:
            self._connection.execute(b"set local work_mem = '64MB'")
            cursor.itersize = 10_000
            for row in cursor.execute(_REMARKABLE, values):
                yield from _judged(row, destination)


@contextmanager
def receipts(url: str) -> Iterator[Receipts]:
    """A place for receipts beside the ledger at `url`; raises `Unavailable`."""
    connection = connect(url, application_name="leadrelay-receipts")
    try:
        with translated():
            connection.execute(_TABLE)
        yield Receipts(connection)
    finally:
        connection.close()


def _judged(row: tuple[Any, ...], destination: str) -> Iterator[Finding]:
    key, line, times, lead_id, name, word, answered, explained = row
    state = State(word) if word else None
    explained += state is State.DELIVERING

    def finding(verdict: Verdict) -> Finding:
        return Finding(
            verdict=verdict,
            key=key,
            line=line,
            times=times,
            explained=explained,
            lead_id=lead_id,
            destination=name,
            state=state,
        )

    if line is None:
        yield finding(Verdict.MISSING)
    elif state is None:
        yield finding(Verdict.UNKNOWN)
    elif name != destination:
        yield finding(Verdict.ELSEWHERE)
    else:
        if not answered and state not in {State.DELIVERED, State.REJECTED}:
            yield finding(Verdict.UNDER_WAY if state in WAITING else Verdict.UNRECORDED)
        if times > max(1, explained):
            yield finding(Verdict.REPEATED)
