"""How many may be under way of what a destination says is left of its rate limit. Pure; the ledger keeps what it said.

Whatever is under way may not have been counted yet when the destination said so, and counts as if it were not. Once its limit
begins anew there is as much as there is in all, until an answer tells otherwise.
"""

from app.flow.volume import UNBOUNDED

REMEMBERED_SECONDS = 86_400.0
"""So long after it last began anew a limit is thought to be there still."""


def allowed(*, left: int | None, limit: int | None, reset_seconds: float) -> int:
    """How many may be under way; `UNBOUNDED` where nothing is known.

    `left`: how many there were when the destination said so last, `reset_seconds` until (or, negative, since) the limit begins
    anew, with `limit` in all.
    """
    if left is None:
        return UNBOUNDED
    if reset_seconds > 0:
        return left
    return UNBOUNDED if limit is None or reset_seconds < -REMEMBERED_SECONDS else max(1, limit)
