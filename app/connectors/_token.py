"""Access tokens that all workers of an installation share: kept sealed, renewed by one of them at a time.

Where they are kept is a `TokenStore`'s matter: the ledger for workers, this process for one-shot commands. What a store
holds is encrypted with a key made from the destination's own credentials, so a store by itself reveals nothing. Ages
are told by the store's clock alone: the clocks of hosts may differ. It may not know how a token is obtained.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from hmac import digest
from time import monotonic, sleep
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.connectors._token_store import TokenStore
from app.errors import DeliveryFault, LeadrelayError, TransientFault
from app.model import KeptToken, TokenSlot

FRESH_SECONDS = 5.0
"""A token younger than this is not renewed because a destination refuses it: a new one would fare no better."""
LONGEST_MARGIN_SECONDS = 30.0
_TURN_SECONDS = 3.0
"""A turn lasts this much longer than its owner may take."""
_PAUSE_SECONDS = 0.05
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What a token endpoint gave; `refresh_token` is what the next renewal needs, if it needs one."""

    value: str
    lifetime_seconds: float
    refresh_token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token in this process; instants are `time.monotonic()`."""

    value: str
    refresh_token: str | None
    obtained_at: float
    good_until: float

    def serves(self, refused: "Token | None") -> bool:
        """Whether to use it, `refused` being the one that the destination does not take."""
        return monotonic() < self.good_until and (refused is None or refused.value != self.value)


Obtain = Callable[[Token | None, float], Granted]
"""(the token before, deadline) -> a new one; raises faults of deliveries that are `unsent`."""


class SharedToken:
    """One destination's token; any thread may ask for it.

    `credentials` are what identifies us there and what `obtain` uses: with any other value the token is another one.
    `secret` is what among them nobody else knows.
    """

    def __init__(self, store: TokenStore, obtain: Obtain, *, destination: str, credentials: Any, secret: str) -> None:
        self._store = store
        self._obtain = obtain
        material = HKDF(SHA256(), length=64, salt=None, info=b"leadrelay: token of a destination").derive(
            secret.encode()
        )
        self._cipher = AESGCM(material[:32])
        canonical = msgspec.json.encode(credentials, order="deterministic")
        self._slot = TokenSlot(destination, digest(material[32:], canonical, "sha256").hex())
        self._aad = sha256(f"{destination}\0{self._slot.digest}".encode()).digest()
        self._lock = threading.Lock()
        self._held: Token | None = None
        self._unkept: Token | None = None
        self._failure: tuple[float, DeliveryFault] | None = None

    def get(self, deadline: float) -> Token:
        """A token that is good for a request now; raises `TransientFault` and `ConfigurationFault`, both `unsent`."""
        held = self._held
        return held if held is not None and held.serves(None) else self._renewed(None, deadline)

    def instead_of(self, refused: Token, deadline: float) -> Token | None:
        """Another token after the destination refused this one; None if that was obtained only just now."""
        if monotonic() - refused.obtained_at < FRESH_SECONDS:
            return None
        return self._renewed(refused, deadline)

    def _renewed(self, refused: Token | None, deadline: float) -> Token:
        begun = monotonic()
        if not self._lock.acquire(timeout=max(0.0, deadline - begun)):
            raise _too_late()
        try:
            if self._held is not None and self._held.serves(refused):
                return self._held
            if self._failure is not None and self._failure[0] >= begun:  # it failed while this thread waited
                raise _again(self._failure[1])
            try:
                self._held = self._shared(refused, deadline)
            except DeliveryFault as fault:
                self._failure = (monotonic(), fault)
                raise
            return self._held
        finally:
            self._lock.release()

    def _shared(self, refused: Token | None, deadline: float) -> Token:
        """The store's token if it serves, else a new one as soon as it is our turn."""
        try:
            while True:
                token = self._opened(self._store.read(self._slot))
                if token is not None and token.serves(refused):
                    return token
                turn = self._store.take_turn(self._slot, seconds=max(0.0, deadline - monotonic()) + _TURN_SECONDS)
                if turn is not None:
                    return self._new(refused, turn, deadline)
                if monotonic() + _PAUSE_SECONDS >= deadline:
                    raise _too_late()
                sleep(_PAUSE_SECONDS)
        except DeliveryFault:
            raise
        except LeadrelayError:
            raise TransientFault("the token that workers share is out of reach", unsent=True) from None

    def _new(self, refused: Token | None, turn: int, deadline: float) -> Token:
        try:
            kept = self._store.read(self._slot)
            before = self._opened(kept)
            if before is not None and before.serves(refused):  # somebody's turn ended while we asked for ours
                return before
            granted = self._obtain(self._unkept or before, deadline)
            token = _token(granted.value, granted.refresh_token, age=0.0, left=granted.lifetime_seconds)
            self._unkept = None if self._keep(granted, after=kept.version if kept else 0, turn=turn) else token
            return token
        finally:
            with suppress(LeadrelayError):  # it ends by itself
                self._store.end_turn(self._slot, turn)

    def _keep(self, granted: Granted, *, after: int, turn: int) -> bool:
        """Put it into the store; a store that is away cannot undo what the endpoint gave, so this process goes on with it."""
        nonce = os.urandom(_NONCE_BYTES)
        plain = msgspec.json.encode([granted.value, granted.refresh_token])
        content = nonce + self._cipher.encrypt(nonce, plain, self._aad)
        try:
            self._store.put(self._slot, content, lifetime_seconds=granted.lifetime_seconds, after=after, turn=turn)
        except LeadrelayError:
            return False
        return True

    def _opened(self, kept: KeptToken | None) -> Token | None:
        if kept is None:
            return None
        try:
            plain = self._cipher.decrypt(kept.content[:_NONCE_BYTES], kept.content[_NONCE_BYTES:], self._aad)
            value, refresh_token = msgspec.json.decode(plain, type=tuple[str, str | None])
        except (InvalidTag, ValueError):  # not ours, or damaged: as good as nothing
            return None
        return _token(value, refresh_token, age=kept.age_seconds, left=kept.left_seconds)


def _token(value: str, refresh_token: str | None, *, age: float, left: float) -> Token:
    now = monotonic()
    margin = min(LONGEST_MARGIN_SECONDS, (age + left) / 10)
    return Token(value=value, refresh_token=refresh_token, obtained_at=now - age, good_until=now + left - margin)


def _too_late() -> TransientFault:
    return TransientFault("no access token within the time limit", unsent=True)


def _again(fault: DeliveryFault) -> DeliveryFault:
    return type(fault)(fault.reason, unsent=True, retry_after=fault.retry_after, transcript=fault.transcript)
