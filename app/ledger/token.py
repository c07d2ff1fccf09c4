"""Access tokens that workers share, sealed by whoever uses them: what is here opens only with the destination's credentials.

One process at a time renews a token. Its turn is a lease in a row, no lock: no connection is held while a token endpoint
takes its time. All ages are by this server's clock.
"""

from app.ledger.database import Database
from app.model import KeptToken, TokenSlot

_READ = b"""
select content, version, extract(epoch from clock_timestamp() - obtained_at)::float8,
    extract(epoch from expires_at - clock_timestamp())::float8
from tokens where destination = %s and digest = %s and content is not null
"""
_TAKE_TURN = b"""
insert into tokens as t (destination, digest, turn, turn_until)
values (%s, %s, 1, clock_timestamp() + make_interval(secs => %s))
on conflict (destination, digest) do update set turn = t.turn + 1, turn_until = excluded.turn_until
where t.turn_until is null or t.turn_until < clock_timestamp()
returning turn
"""
_PUT = b"""
update tokens set content = %(content)s, version = version + 1, obtained_at = clock_timestamp(),
    expires_at = clock_timestamp() + make_interval(secs => %(lifetime)s),
    turn_until = case when turn = %(turn)s then null else turn_until end
where destination = %(destination)s and digest = %(digest)s and version = %(after)s
"""
# Of credentials long replaced; not at once, for a configuration may be rolled back.
_FORGET = b"""
delete from tokens where destination = %s and digest <> %s
    and greatest(obtained_at, turn_until, expires_at) < clock_timestamp() - interval '30 days'
"""
_END_TURN = b"update tokens set turn_until = null where destination = %s and digest = %s and turn = %s"


class Tokens:
    """The tokens of one ledger; every method raises `Unavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, slot: TokenSlot) -> KeptToken | None:
        """What is kept; None if nothing is."""
        with self._database.transaction() as connection:
            row = connection.execute(_READ, slot).fetchone()
        if row is None:
            return None
        return KeptToken(content=row[0], version=row[1], age_seconds=row[2], left_seconds=row[3])

    def take_turn(self, slot: TokenSlot, *, seconds: float) -> int | None:
        """The right to renew, for so long at most; None while another process has it."""
        with self._database.transaction() as connection:
            row = connection.execute(_TAKE_TURN, (*slot, seconds)).fetchone()
        return None if row is None else int(row[0])

    def put(self, slot: TokenSlot, content: bytes, *, lifetime_seconds: float, after: int, turn: int) -> bool:
        """Keep it and end the turn; False, keeping nothing, if what is kept is no longer version `after`."""
        values = {"content": content, "lifetime": lifetime_seconds, "after": after, "turn": turn}
        with self._database.transaction() as connection:
            done = connection.execute(_PUT, values | slot._asdict()).rowcount == 1
            connection.execute(_FORGET, slot)
        return done

    def end_turn(self, slot: TokenSlot, turn: int) -> None:
        """Let others try."""
        with self._database.transaction() as connection:
            connection.execute(_END_TURN, (*slot, turn))
