"""Connections to the ledger, and the one place where PostgreSQL's errors become ours.

psycopg's messages may quote the values of a row, which are personal data: they never leave this module.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from app.errors import LeadrelayError, Unavailable

Connection = psycopg.Connection[TupleRow]
Cursor = psycopg.Cursor[TupleRow]
CONNECT_SECONDS = 5
STALL_SECONDS = 15
"""A process that stands still in a transaction for longer loses its connection, and with it its locks."""

_GUARD = b"""
select set_config('idle_in_transaction_session_timeout', %s, false), set_config('tcp_keepalives_idle', '5', false),
       set_config('tcp_keepalives_interval', '2', false), set_config('tcp_keepalives_count', '3', false),
       set_config('tcp_user_timeout', '10000', false)
"""


class LedgerError(LeadrelayError):
    """PostgreSQL refused a statement; only its SQLSTATE is told."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn psycopg's errors into `Unavailable` (out of reach, try again) or `LedgerError` (refused)."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
        code = getattr(error, "sqlstate", None)
        raise Unavailable(f"the ledger (PostgreSQL) is out of reach ({code or type(error).__name__})") from None
    except psycopg.errors.IdleInTransactionSessionTimeout:
        raise Unavailable("the ledger (PostgreSQL) gave this process up: it stood still") from None
    except psycopg.errors.ReadOnlySqlTransaction:
        raise Unavailable("the ledger (PostgreSQL) is read-only at the moment") from None
    except psycopg.Error as error:
        raise LedgerError(f"PostgreSQL refused a statement ({error.sqlstate or type(error).__name__})") from None


def connect(url: str, *, application_name: str) -> Connection:
    """A connection of one's own (autocommit), for LISTEN and advisory locks; raises `Unavailable`."""
    with translated():
        connection = psycopg.connect(
            url,
            autocommit=True,
            application_name=application_name,
            connect_timeout=CONNECT_SECONDS,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=10_000,
        )
        _guard(connection)
        return connection


def _guard(connection: Connection) -> None:
    """Have the server notice a client whose host is gone: by its own defaults it keeps its locks for hours."""
    connection.execute(_GUARD, (f"{STALL_SECONDS}s",))


def _prepare(connection: Connection) -> None:
    connection.autocommit = True
    _guard(connection)
    connection.autocommit = False


class Database:
    """A pool of connections to one ledger; threads share it."""

    def __init__(self, url: str, *, size: int = 8, application_name: str = "leadrelay") -> None:
        self.url = url
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url,
            min_size=1,
            max_size=size,
            open=True,
            timeout=CONNECT_SECONDS,
            reconnect_timeout=0,  # try for ever: whoever waits has its own timeout
            kwargs={
                "application_name": application_name,
                "connect_timeout": CONNECT_SECONDS,
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "tcp_user_timeout": 10_000,
            },
            configure=_prepare,
            check=None,
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction, committed at the end; raises `Unavailable` or `LedgerError`."""
        with translated(), self._pool.connection() as connection:
            yield connection

    def fetch(self, statement: str, parameters: Any = None) -> list[TupleRow]:
        """Rows of one reading statement in a transaction of its own."""
        with self.transaction() as connection:
            return connection.execute(statement.encode(), parameters).fetchall()

    def close(self) -> None:
        """Close every connection."""
        self._pool.close(timeout=2)
