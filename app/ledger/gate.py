"""What the ledger knows of a destination that decides whether it may be sent anything, and what it says of its end."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.ledger.database import Connection, Database

_GATES = b"""
select destination, paused, circuit, extract(epoch from now() - closed_at)::float8,
       greatest(extract(epoch from not_before - now()), 0)::float8,
       quota_left, quota_limit, extract(epoch from quota_until - now())::float8
from destination_status
"""
_NOTICE = b"""
insert into destination_status as known (destination, notice) values (%s, %s)
on conflict (destination) do update set notice = excluded.notice where known.notice is distinct from excluded.notice
"""
_FORGET_QUOTAS = b"""
update destination_status set quota_left = null, quota_limit = null, quota_until = null
where destination = any(%s) and quota_left is not null
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """How a destination stands.

    `closed_seconds`: since when its circuit is closed again, if it ever was open. `wait_seconds`: how much longer it asked to
    be left alone (Retry-After). `quota_left`: how many requests it said were left, of `quota_limit` in all, until its limit
    begins anew in `reset_seconds` (or, negative, did so that long ago).
    """

    paused: bool
    circuit: str
    closed_seconds: float | None = None
    wait_seconds: float = 0.0
    quota_left: int | None = None
    quota_limit: int | None = None
    reset_seconds: float = 0.0

    @property
    def is_shut(self) -> bool:
        """Whether nothing may go now."""
        return self.paused or self.circuit != "closed" or self.wait_seconds > 0 or self.is_spent

    @property
    def is_spent(self) -> bool:
        """Whether its rate limit leaves nothing for now."""
        return self.quota_left == 0 and self.reset_seconds > 0


def gates(connection: Connection) -> dict[str, Gate]:
    """Those of all destinations that have one."""
    return {
        row[0]: Gate(
            paused=row[1],
            circuit=row[2],
            closed_seconds=row[3],
            wait_seconds=row[4] or 0.0,
            quota_left=row[5],
            quota_limit=row[6],
            reset_seconds=row[7] or 0.0,
        )
        for row in connection.execute(_GATES)
    }


def keep_notice(connection: Connection, destination: str, notice: str) -> bool:
    """Keep what it says of its interface's end; whether that is news."""
    return connection.execute(_NOTICE, (destination, notice)).rowcount == 1


def forget_notices(connection: Connection, destinations: Sequence[str]) -> None:
    """What they said was said of what they were configured to."""
    connection.execute(
        b"update destination_status set notice = null where destination = any(%s)", (list(destinations),)
    )


def forget_quotas(database: Database, destinations: Sequence[str]) -> None:
    """What they said is left of their rate limits says nothing."""
    with database.transaction() as connection:
        connection.execute(_FORGET_QUOTAS, (list(destinations),))
