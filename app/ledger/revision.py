"""Whether the ledger's tables are those that this code needs, and how a process waits until they are.

Tables of a newer release are none of this code's business: migrations leave what the release before needs, so that processes
of both may run while a deployment rolls. Older tables lack what it needs. Migrations are known by the names of their files,
`NNNN_name.py`: importing Alembic takes a second.
"""

import logging
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources

from app.errors import LeadrelayError, Outdated
from app.ledger.database import Connection, connect, translated
from app.telemetry import Event, emit

PAUSE_SECONDS = 1.0
"""How long to wait between two looks."""


@cache
def known() -> Sequence[str]:
    """Every revision this code knows, oldest first; the last is the one it needs."""
    files = (resources.files("app.ledger") / "migrations" / "versions").iterdir()
    return sorted(file.name.partition("_")[0] for file in files if file.name.endswith(".py"))


def found(connection: Connection) -> str | None:
    """The revision of the ledger's tables; None where there are none."""
    table = connection.execute(b"select to_regclass('schema_version')").fetchone()
    if table is None or table[0] is None:
        return None
    row = connection.execute(b"select version_num from schema_version").fetchone()
    return None if row is None else str(row[0])


def is_newer(revision: str | None) -> bool:
    """Whether tables of this revision are of a release after this one."""
    return revision is not None and revision not in known()


def check(connection: Connection) -> None:
    """Raise `Outdated` where the tables are missing or older than this code."""
    revision, needed = found(connection), known()[-1]
    if revision is None:
        raise Outdated("the ledger has no tables yet: run `leadrelay migrate`")
    if revision != needed and not is_newer(revision):
        raise Outdated(
            f"the ledger's tables are at {revision} and this release needs {needed}: run `leadrelay migrate`"
        )


def pending(url: str, *, application_name: str) -> Iterator[str]:
    """Why the ledger at `url` cannot be used yet, look by look until it can; logged when it changes.

    Whoever asks for the next pauses between.
    """
    told = ""
    while True:
        try:
            with connect(url, application_name=application_name) as connection, translated():
                check(connection)
        except LeadrelayError as error:
            if told != str(error):
                told = str(error)
                event = Event.LEDGER_OUTDATED if isinstance(error, Outdated) else Event.LEDGER_UNAVAILABLE
                emit(event, level=logging.WARNING, detail=told)
            yield told
        else:
            return
