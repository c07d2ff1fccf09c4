"""Who may do what: API keys from `Authorization: Bearer` (RFC 6750) or `X-API-Key`, looked up in the ledger.

A key that was found, or not found, is remembered for a few seconds, so that the ledger is asked once for many requests
and a revoked key still ends soon.
"""

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Final

from app.api.errand import Errands
from app.api.problem import Kind, Problem
from app.ledger import Database
from app.ledger.key import PREFIX, Key, find

REMEMBERED_SECONDS: Final = 5.0
REMEMBERED_KEYS: Final = 1024
_LONGEST_SECRET: Final = 128
_CHALLENGE: Final = 'Bearer realm="leadrelay"'


class Access:
    """The keys of one installation as this process knows them."""

    def __init__(self, database: Database, errands: Errands) -> None:
        self._database = database
        self._errands = errands
        self._known: dict[str, tuple[float, asyncio.Task[Key | None]]] = {}

    async def permit(self, headers: Mapping[str, str], scope: str) -> Key:
        """The key of a request; raises `Problem` (401, 403) or `Unavailable`."""
        secret = _secret(headers)
        if secret is None:
            raise _unauthenticated("send your key as Authorization: Bearer lr_... or X-API-Key: lr_...")
        found = await self._find(secret) if secret.startswith(PREFIX) and len(secret) <= _LONGEST_SECRET else None
        if found is None:
            raise _unauthenticated("this key is unknown or revoked", error="invalid_token")
        require_scope(found, scope)
        return found

    async def _find(self, secret: str) -> Key | None:
        now = monotonic()
        known = self._known.get(secret)
        if known is not None and known[0] > now:
            # Shielded: whoever asks first may go away while others wait for the same answer.
            return known[1].result() if known[1].done() else await asyncio.shield(known[1])
        if len(self._known) >= REMEMBERED_KEYS:
            self._known.clear()
        lookup = asyncio.create_task(self._errands.run(find, self._database, secret))
        self._known[secret] = (now + REMEMBERED_SECONDS, lookup)
        try:
            return await asyncio.shield(lookup)
        except Exception:
            self._known.pop(secret, None)
            raise


def require_scope(key: Key, scope: str, why: str | None = None) -> None:
    """Raises `Problem` (403) when a key lacks a scope; `why` says what needs it, where that is not plain."""
    if scope not in key.scopes:
        raise Problem(
            Kind.FORBIDDEN,
            f"this key lacks the scope '{scope}'" + (f": {why}" if why else ""),
            headers={"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'},
        )


def refuse_foreign(key: Key, source: str) -> None:
    """Raises `Problem` (403) when a key is bound to another source."""
    if key.source is not None and key.source != source:
        raise Problem(Kind.FORBIDDEN, f"this key is bound to the source '{key.source}'")


def refuse_bound(key: Key) -> None:
    """Raises `Problem` (403) when a key is bound to a source: this concerns the whole installation."""
    if key.source is not None:
        raise Problem(Kind.FORBIDDEN, "this key is bound to a source, and this concerns all of them")


def _secret(headers: Mapping[str, str]) -> str | None:
    authorization = headers.get("authorization")
    if authorization is not None:
        scheme, _, credentials = authorization.partition(" ")
        return credentials.strip() if scheme.lower() == "bearer" else ""
    return headers.get("x-api-key")


def _unauthenticated(detail: str, *, error: str | None = None) -> Problem:
    challenge = _CHALLENGE if error is None else f'{_CHALLENGE}, error="{error}"'
    return Problem(Kind.UNAUTHENTICATED, detail, headers={"WWW-Authenticate": challenge})
