"""What a stand-in remembers, bounded: a sandbox left running for a week must not eat its machine.

Knows nothing of leads, receipts or HTTP.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A mapping that surely keeps its newest `keep` entries, and never more than twice as many.

    Two generations instead of an ordered dict: forgetting costs nothing per entry, and no links are stored.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._young or key in self._old

    def __setitem__(self, key: K, value: V) -> None:
        if len(self._young) >= self._keep:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def __iter__(self) -> Iterator[K]:
        yield from self._young
        yield from (key for key in self._old if key not in self._young)

    def get(self, key: K) -> V | None:
        """The value, or None if it was never there or is forgotten."""
        value = self._young.get(key)
        return self._old.get(key) if value is None else value

    def clear(self) -> None:
        """Forget everything."""
        self._young.clear()
        self._old.clear()
