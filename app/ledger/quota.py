"""What a destination says is left of its rate limit, kept for the dispatcher.

Groups end in any order, so of what is said of one span the least is kept, until that span ends or a later one is spoken of.
"""

from collections.abc import Sequence
from time import monotonic

from app.ledger.database import Connection
from app.model import Quota

# Whole seconds are told: spans whose ends lie nearer than that are one.
_NOTE = b"""
insert into destination_status as known (destination, quota_left, quota_limit, quota_until)
values (%(name)s, %(left)s, %(limit)s, now() + make_interval(secs => %(seconds)s))
on conflict (destination) do update set
    quota_left = case when known.quota_left < excluded.quota_left and known.quota_until > now()
            and excluded.quota_until <= known.quota_until + interval '2 seconds'
        then known.quota_left else excluded.quota_left end,
    quota_until = case when known.quota_left < excluded.quota_left and known.quota_until > now()
            and excluded.quota_until <= known.quota_until + interval '2 seconds'
        then known.quota_until else excluded.quota_until end,
    quota_limit = case when %(told)s then excluded.quota_limit
        else greatest(known.quota_limit, excluded.quota_limit) end
returning quota_left
"""


def note(connection: Connection, destination: str, quotas: Sequence[Quota], *, longest_seconds: float) -> bool:
    """Keep what a group's answers say, for `longest_seconds` at most; whether nothing is left."""
    now = monotonic()
    told = [(one, one.told_at + one.reset_seconds - now) for one in quotas]
    current = [(one.remaining, -seconds, one.limit) for one, seconds in told if seconds > 0]
    if not current:
        return False
    left, negative, limit = min(current, key=lambda one: one[:2])
    seconds = min(-negative, longest_seconds)
    # Where it does not say how many there are in all, there are as many as were ever left. Who is asked before its limit
    # begins anew is asked by one.
    all_of_them = max(remaining for remaining, _, _ in current) if limit is None else limit
    is_early = seconds < -negative
    values = {
        "name": destination,
        "left": left,
        "limit": 1 if is_early else all_of_them,
        "told": is_early or limit is not None,
        "seconds": seconds,
    }
    row = connection.execute(_NOTE, values).fetchone()
    assert row is not None
    return bool(row[0] == 0)
