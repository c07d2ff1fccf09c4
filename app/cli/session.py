"""What a command works on: the settings and the ledger, with the remedy in the complaint when it cannot be reached.

May not know any command. Whoever acts is named for the audit trail by the account that runs the command.
"""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from app.errors import Complaint, InvalidConfig, NotFound, Unavailable
from app.ledger import Database
from app.ledger.database import LedgerError, connect
from app.settings import settings

UNDEFINED_TABLE, UNDEFINED_COLUMN = "42P01", "42703"


@contextmanager
def ledger() -> Iterator[Database]:
    """The ledger, for as long as the block lasts.

    Raises `Unavailable` at once when it is out of reach, and `NotFound` when its tables are missing or older than this
    version.
    """
    url = settings().required_database_url
    check_reachable(url)
    database = Database(url, size=2, application_name="leadrelay-cli")
    try:
        with current_tables():
            yield database
    finally:
        database.close()


def check_reachable(url: str) -> None:
    """Raise `Unavailable` that says where the ledger was looked for, `InvalidConfig` for no address at all."""
    place = _place(url)
    try:
        connect(url, application_name="leadrelay-cli").close()
    except Unavailable:
        raise Unavailable(
            f"no PostgreSQL takes us in at {place}; start it (`leadrelay up` starts one of its own), "
            "or correct LEADRELAY_DATABASE_URL"
        ) from None


@contextmanager
def current_tables() -> Iterator[None]:
    """Turn complaints about missing tables into what to do about them."""
    try:
        yield
    except LedgerError as error:
        if any(code in str(error) for code in (UNDEFINED_TABLE, UNDEFINED_COLUMN)):
            raise NotFound("the ledger's tables are missing or of an older version; run `leadrelay migrate`") from None
        raise


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
