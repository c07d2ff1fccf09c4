"""Who gets how much of what may go: fresh leads before backfill, and each source as much as the next. Pure.

What cannot be divided evenly is drawn by lot, and a turn's number decides the lot. Going round one after another would be
more even, but not where something goes in some of the turns only (each tenth, say, because a rate lets one go each tenth
look): then it might always be the same lane's turn. Whichever turns a lane waits in, it gets its share of those.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b

from app.model import Lane, Priority

BACKFILL_PART = 10
"""Backfill gets one of so many where fresh leads wait too."""
_BITS = 64


def split(room: int, lanes: Sequence[Lane], turn: int) -> dict[Lane, int]:
    """Divide `room` among the lanes that have something waiting; the shares add up to it exactly.

    `turn` is another number each time. Empty without lanes.
    """
    room, place = max(0, room), _lot(turn)
    backfill = sorted({lane for lane in lanes if lane.priority == Priority.BACKFILL})
    fresh = sorted(set(lanes).difference(backfill))
    # The lot's leading digit decides between the classes, what follows it inside of them: were it the same number, the
    # backfill's turn would always be the same source's.
    digit, place = divmod(place * BACKFILL_PART, 1 << _BITS)
    part = room if not fresh else (room + digit) // BACKFILL_PART if backfill else 0
    return _equally(room - part, fresh, place) | _equally(part, backfill, place)


def leftover(shares: Mapping[Lane, int], taken: Mapping[Lane, int]) -> tuple[int, list[Lane]]:
    """How much of their shares lanes had no use for, and the lanes that used up theirs and may have more waiting."""
    unused = sum(share - taken.get(lane, 0) for lane, share in shares.items())
    return unused, [lane for lane, share in shares.items() if taken.get(lane, 0) >= share]


def _lot(turn: int) -> int:
    """A number below 2**64 that looks drawn at random."""
    return int.from_bytes(blake2b(turn.to_bytes(8), digest_size=_BITS // 8).digest())


def _equally(room: int, lanes: Sequence[Lane], place: int) -> dict[Lane, int]:
    if not lanes:
        return {}
    each, rest = divmod(room, len(lanes))
    first = (place * len(lanes)) >> _BITS
    return {lane: each + ((number - first) % len(lanes) < rest) for number, lane in enumerate(lanes)}
