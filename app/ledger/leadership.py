"""Who leads: the advisory lock that makes one dispatcher lead, on a connection that also listens for new work.

A process that is gone loses the lock with its connection. One that stands still keeps both, so the leader shows that it is
alive by a statement on that connection now and then, and whoever waits to lead ends a connection that has said nothing for
long.
"""

from time import monotonic

from app.ledger.database import Connection, connect, translated

SIGN_OF_LIFE_SECONDS = 1.0
SILENT_SECONDS = 15
"""So long may a leader say nothing before another takes its place."""
_LOCK = 7_165_312  # any number, the same in every process
_OUST = b"""
select pg_terminate_backend(held.pid) from pg_locks held join pg_stat_activity leader using (pid)
where held.locktype = 'advisory' and held.classid = 0 and held.objid = %s and held.granted
    and held.database = (select oid from pg_database where datname = current_database())
    and leader.state_change < now() - make_interval(secs => %s)
"""


class Leadership:
    """The lock, and the news that there is work."""

    def __init__(self, url: str, channel: str) -> None:
        self._url = url
        self._channel = channel
        self._connection: Connection | None = None
        self._shown_at = 0.0
        self.held = False

    def acquire(self) -> bool:
        """Try to lead; raises `Unavailable` when PostgreSQL is out of reach."""
        if self._connection is None:
            self._connection = connect(self._url, application_name="leadrelay-dispatcher")
        with translated():
            row = self._connection.execute(b"select pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
            self.held = bool(row and row[0])
            if self.held:
                self._connection.execute(f"listen {self._channel}".encode())
            else:
                self._connection.execute(_OUST, (_LOCK, SILENT_SECONDS))
        return self.held

    def wait(self, seconds: float) -> None:
        """Sleep until work is announced or `seconds` have passed; raises `Unavailable` when leadership was lost."""
        assert self._connection is not None
        with translated():
            if monotonic() - self._shown_at >= SIGN_OF_LIFE_SECONDS:
                self._connection.execute(b"select 1")
                self._shown_at = monotonic()
            for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                pass

    def release(self) -> None:
        """Stop leading; another takes over."""
        self.held = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None
