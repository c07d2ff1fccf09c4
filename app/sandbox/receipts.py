"""What arrived: the sandbox's memory as a witness, in this process only and bounded.

Counts are kept of everything; the last `BODIES` receipts with their body (the first `BODY_BYTES` of it); of the last
`ENTRIES` receipts key, digest, time and whether they repeated. Knows nothing of the ledger: that is what makes it a witness.
"""

import hashlib
import struct
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from app.sandbox.memory import Recent

Target = Literal["salesforce", "hubspot", "buyer", "smtp", "subscriber"]
TARGETS: tuple[Target, ...] = ("salesforce", "hubspot", "buyer", "smtp", "subscriber")

BODIES = 10_000
BODY_BYTES = 16_384
ENTRIES = 1_000_000

_ENTRY = struct.Struct(">dB?8s")  # time, place in TARGETS, repeat, digest; the key's text follows
_PLACE = 8  # where the place in TARGETS stands
_NO_KEY = b"\xff"  # never a whole UTF-8 text, so no key can look like it


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of one stand-in: `received = accepted + rejected + repeats`, and `= unique_keys + repeats + without_key`."""

    received: int = 0
    unique_keys: int = 0
    repeats: int = 0
    without_key: int = 0
    duplicates: int = 0
    accepted: int = 0
    rejected: int = 0
    faults: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One lead taken, `sequence` counting from 1 over all stand-ins; `at` is in epoch seconds.

    `repeat`: the same idempotency key came before. `duplicate`: another key, but a person known already.
    """

    sequence: int
    target: Target
    key: str | None
    at: float
    digest: bytes
    repeat: bool
    duplicate: bool
    outcome: Literal["accepted", "rejected"]
    reason: str | None
    body: bytes

    def document(self) -> dict[str, Any]:
        """The receipt as the API shows it."""
        return {
            "sequence": self.sequence,
            "target": self.target,
            "key": self.key,
            "at": _iso(self.at),
            "digest": self.digest.hex(),
            "repeat": self.repeat,
            "duplicate": self.duplicate,
            "outcome": self.outcome,
            "reason": self.reason,
            "body": self.body.decode(errors="replace"),
        }


@dataclass(slots=True)
class Receipts:
    """Every receipt of one sandbox. Used from one event loop only, hence without locks."""

    _sequence: int = 0
    _tallies: dict[Target, Tally] = field(default_factory=lambda: {target: Tally() for target in TARGETS})
    _keys: dict[Target, Recent[str, bool]] = field(
        default_factory=lambda: {target: Recent(ENTRIES) for target in TARGETS}
    )
    _bodies: deque[Receipt] = field(default_factory=lambda: deque(maxlen=BODIES))
    _entries: deque[bytes] = field(default_factory=lambda: deque(maxlen=ENTRIES))

    def take(
        self,
        target: Target,
        *,
        key: str | None,
        body: bytes,
        rejected: str | None = None,
        duplicate: bool = False,
    ) -> Receipt:
        """Write down one lead that a stand-in took, with the reason if it was rejected."""
        self._sequence += 1
        repeat = key is not None and key in self._keys[target]
        receipt = Receipt(
            sequence=self._sequence,
            target=target,
            key=key,
            at=time.time(),
            digest=hashlib.blake2b(body, digest_size=8).digest(),
            repeat=repeat,
            duplicate=duplicate and not repeat,
            outcome="accepted" if rejected is None else "rejected",
            reason=rejected,
            body=body[:BODY_BYTES],
        )
        self._bodies.append(receipt)
        text = _NO_KEY if key is None else key.encode(errors="surrogateescape")
        self._entries.append(_ENTRY.pack(receipt.at, TARGETS.index(target), repeat, receipt.digest) + text)
        self._count(receipt)
        return receipt

    def count_fault(self, target: Target) -> None:
        """Count one fault made on purpose."""
        self._tallies[target].faults += 1

    def summary(self) -> dict[Target, dict[str, int]]:
        """The counts of every stand-in."""
        return {target: asdict(tally) for target, tally in self._tallies.items()}

    def newest(
        self, *, target: Target | None, key: str | None, since: float | None, before: int | None, limit: int
    ) -> list[Receipt]:
        """Up to `limit` receipts with their bodies, newest first; `since` in epoch seconds, `before` a sequence number."""
        found: list[Receipt] = []
        for receipt in reversed(self._bodies):
            if len(found) == limit or (since is not None and receipt.at < since):
                break
            if target in {None, receipt.target} and key in {None, receipt.key}:
                if before is not None and receipt.sequence >= before:
                    continue
                found.append(receipt)
        return found

    def chunks(self, target: Target | None, size: int) -> Iterator[bytes]:
        """Every receipt known now, oldest first, as NDJSON (`target, key, digest, at, repeat`), `size` lines at a time.

        What is known now is copied at once; the iterator may then be consumed in another thread.
        """
        entries = list(self._entries)
        groups = (entries[start : start + size] for start in range(0, len(entries), size))
        return (b"".join(_line(entry) for entry in group if target in {None, _target(entry)}) for group in groups)

    def clear(self) -> None:
        """Forget all receipts and counts; sequence numbers go on."""
        self._bodies.clear()
        self._entries.clear()
        for target in TARGETS:
            self._tallies[target] = Tally()
            self._keys[target].clear()

    def _count(self, receipt: Receipt) -> None:
        tally = self._tallies[receipt.target]
        tally.received += 1
        if receipt.key is None:
            tally.without_key += 1
        elif not receipt.repeat:
            tally.unique_keys += 1
            self._keys[receipt.target][receipt.key] = True
        if receipt.repeat:
            tally.repeats += 1
        elif receipt.outcome == "accepted":
            tally.accepted += 1
        else:
            tally.rejected += 1
        tally.duplicates += receipt.duplicate


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _target(entry: bytes) -> Target:
    return TARGETS[entry[_PLACE]]


def _line(entry: bytes) -> bytes:
    at, _, repeat, digest = _ENTRY.unpack_from(entry)
    text = entry[_ENTRY.size :]
    key = None if text == _NO_KEY else text.decode(errors="replace")
    receipt = {"target": _target(entry), "key": key, "digest": digest.hex(), "at": _iso(at), "repeat": repeat}
    return msgspec.json.encode(receipt) + b"\n"
