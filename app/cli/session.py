"""What a command works on: the settings and the ledger, with the remedy in the complaint when it cannot be reached.

May not know any command. Whoever acts is named for the audit trail by the account that runs the command.
"""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from app.errors import Complaint, InvalidConfig, Unavailable
from app.ledger import Database, revision
from app.ledger.database import Connection, connect, translated
from app.settings import settings


@contextmanager
def ledger() -> Iterator[Database]:
    """The ledger, for as long as the block lasts.

    Raises `Unavailable` at once when it is out of reach, `Outdated` when its tables are missing or older than this version.
    """
    url = settings().required_database_url
    check_usable(url)
    database = Database(url, size=2, application_name="leadrelay-cli")
    try:
        yield database
    finally:
        database.close()


def check_usable(url: str) -> None:
    """Raise as `check_reachable` does, and `Outdated`."""
    with _reached(url) as connection, translated():
        revision.check(connection)


def check_reachable(url: str) -> None:
    """Raise `Unavailable` that says where the ledger was looked for, `InvalidConfig` for no address at all."""
    _reached(url).close()


def _reached(url: str) -> Connection:
    place = _place(url)
    try:
        return connect(url, application_name="leadrelay-cli")
    except Unavailable:
        raise Unavailable(
            f"no PostgreSQL takes us in at {place}; start it (`leadrelay up` starts one of its own), "
            "or correct LEADRELAY_DATABASE_URL"
        ) from None


def actor() -> str:
    """Who does it, for the audit trail."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # a user id without an account, as in containers
        return "cli"


def _place(url: str) -> str:
    """The address without user and password."""
    try:
        parts = conninfo_to_dict(url)
    except ProgrammingError:
        raise InvalidConfig(
            [
                Complaint(
                    field="LEADRELAY_DATABASE_URL",
                    detail="is not the address of a PostgreSQL",
                    remedy="write postgresql://user:password@host:5432/database",
                )
            ]
        ) from None
    port = f":{parts['port']}" if "port" in parts else ""
    return f"{parts.get('host', 'the local socket')}{port}/{parts.get('dbname', '')}"
