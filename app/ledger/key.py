"""API keys: random, shown once, stored as a SHA-256 digest (enough for 256 random bits), scoped and revocable."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from uuid_utils.compat import uuid7

from app.errors import NotFound
from app.ledger.database import Database

SCOPES = ("submit", "read", "operate", "feedback")
PREFIX = "lr_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key without its secret. `source`: the only source it may submit to and read, if it is bound to one."""

    id: UUID
    name: str
    scopes: frozenset[str]
    source: str | None
    created_at: datetime
    revoked_at: datetime | None


_COLUMNS = "id, name, scopes, source, created_at, revoked_at"


def create(database: Database, *, name: str, scopes: frozenset[str], source: str | None, actor: str) -> str:
    """Make a key and return its secret, which is stored nowhere."""
    secret = PREFIX + secrets.token_urlsafe(32)
    with database.transaction() as connection:
        connection.execute(
            b"insert into api_keys (id, name, digest, scopes, source) values (%s, %s, %s, %s, %s)",
            (uuid7(), name, digest(secret), sorted(scopes), source),
        )
        connection.execute(b"insert into audit (actor, action, subject) values (%s, 'key.create', %s)", (actor, name))
    return secret


def find(database: Database, secret: str) -> Key | None:
    """The unrevoked key of a secret."""
    rows = database.fetch(
        f"select {_COLUMNS} from api_keys where digest = %s and revoked_at is null",  # noqa: S608  # fixed columns
        (digest(secret),),
    )
    return _key(rows[0]) if rows else None


def every(database: Database) -> list[Key]:
    """All keys, newest first."""
    return [_key(row) for row in database.fetch(f"select {_COLUMNS} from api_keys order by id desc")]  # noqa: S608  # fixed columns


def revoke(database: Database, name: str, *, actor: str) -> None:
    """End every key of that name; raises `NotFound`."""
    with database.transaction() as connection:
        ended = connection.execute(
            b"update api_keys set revoked_at = now() where name = %s and revoked_at is null", (name,)
        )
        if ended.rowcount == 0:
            raise NotFound(f"there is no key named {name!r} in use")
        connection.execute(b"insert into audit (actor, action, subject) values (%s, 'key.revoke', %s)", (actor, name))


def digest(secret: str) -> bytes:
    """What is stored of a secret."""
    return sha256(secret.encode()).digest()


def _key(row: tuple) -> Key:  # type: ignore[type-arg]  # a row of _COLUMNS
    return Key(id=row[0], name=row[1], scopes=frozenset(row[2]), source=row[3], created_at=row[4], revoked_at=row[5])
