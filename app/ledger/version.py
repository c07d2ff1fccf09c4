"""Configuration versions: what `config apply` writes and every process reads. The highest version is the running one.

A roll-back is a new version with an old document: history only grows.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any

from app.errors import NotFound
from app.ledger.acceptance import NOBODY, Subscriptions
from app.ledger.circuit import close_circuits
from app.ledger.database import Database
from app.ledger.event import tell
from app.ledger.gate import forget_notices


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One configuration version; `document` is the JSON of `app.config.schema.Document`."""

    version: int
    created_at: datetime
    created_by: str
    note: str
    document: dict[str, Any]


_COLUMNS = "version, created_at, created_by, note, document"


def newest(database: Database) -> int:
    """The number of the running version, 0 when nothing was applied yet."""
    return int(database.fetch("select coalesce(max(version), 0) from config_versions")[0][0])


def read(database: Database, version: int | None = None) -> Version:
    """A version, or the running one; raises `NotFound`."""
    rows = database.fetch(
        f"select {_COLUMNS} from config_versions where %(v)s::int is null or version = %(v)s order by version desc limit 1",  # noqa: S608  # fixed columns
        {"v": version},
    )
    if not rows:
        what = (
            f"configuration version {version}" if version else "configuration (apply one with `leadrelay config apply`)"
        )
        raise NotFound(f"there is no {what}")
    return _version(rows[0])


def history(database: Database, *, limit: int = 100) -> list[Version]:
    """The newest versions, newest first."""
    rows = database.fetch(
        f"select {_COLUMNS} from config_versions order by version desc limit %s",  # noqa: S608  # fixed columns
        (limit,),
    )
    return [_version(row) for row in rows]


def write(
    database: Database,
    document: dict[str, Any],
    *,
    changed: list[str],
    actor: str,
    note: str = "",
    subscriptions: Subscriptions = NOBODY,
) -> int:
    """Write a new version, close the circuits of `changed` destinations, release what they held; its number.

    `subscriptions` are those of the new version.
    """
    text = json.dumps(document, sort_keys=True)
    with database.transaction() as connection:
        connection.execute(b"lock table config_versions in exclusive mode")
        row = connection.execute(
            b"insert into config_versions (created_by, note, digest, document) values (%s, %s, %s, %s) returning version",
            (actor, note, sha256(text.encode()).hexdigest(), text),
        ).fetchone()
        assert row is not None
        connection.execute(
            b"insert into audit (actor, action, subject, detail) "
            b"values (%s, 'config.apply', 'config', jsonb_build_object('version', %s::int))",
            (actor, row[0]),
        )
        closed = close_circuits(connection, changed)
        forget_notices(connection, changed)
        tell(connection, replace(subscriptions, version=row[0]), destinations=closed)
    return int(row[0])


def _version(row: tuple[Any, ...]) -> Version:
    return Version(version=row[0], created_at=row[1], created_by=row[2], note=row[3], document=row[4])
