"""Where access tokens are kept between requests: in the ledger for workers, in this process for one-shot commands.

What is kept is sealed by whoever puts it there. The ledger's store is `app.ledger.token`, which knows nothing of this
module: the two agree by their methods.
"""

from time import monotonic
from typing import Protocol

from app.model import KeptToken, TokenSlot


class TokenStore(Protocol):
    """Where sealed tokens are kept. Every method raises a `LeadrelayError` where the store is out of reach."""

    def read(self, slot: TokenSlot) -> KeptToken | None:
        """What is kept; None if nothing is."""

    def take_turn(self, slot: TokenSlot, *, seconds: float) -> int | None:
        """The right to renew, for so long at most; None while somebody else has it."""

    def put(self, slot: TokenSlot, content: bytes, *, lifetime_seconds: float, after: int, turn: int) -> bool:
        """Keep it and end the turn; False, keeping nothing, if what is kept is no longer version `after`."""

    def end_turn(self, slot: TokenSlot, turn: int) -> None:
        """Let others try: nothing came of it."""


class ProcessTokens:
    """A store for this process alone."""

    def __init__(self) -> None:
        self._kept: dict[TokenSlot, tuple[int, bytes, float, float]] = {}

    def read(self, slot: TokenSlot) -> KeptToken | None:
        """What is kept; None if nothing is."""
        if (kept := self._kept.get(slot)) is None:
            return None
        version, content, since, until = kept
        now = monotonic()
        return KeptToken(content=content, version=version, age_seconds=now - since, left_seconds=until - now)

    def take_turn(self, slot: TokenSlot, *, seconds: float) -> int | None:  # noqa: ARG002  # the protocol's
        """Always given: a connector has its own store and renews under its own lock."""
        return 0

    def put(self, slot: TokenSlot, content: bytes, *, lifetime_seconds: float, after: int, turn: int) -> bool:  # noqa: ARG002  # the protocol's
        """Keep it."""
        now = monotonic()
        self._kept[slot] = (after + 1, content, now, now + lifetime_seconds)
        return True

    def end_turn(self, slot: TokenSlot, turn: int) -> None:
        """Nothing to do."""
