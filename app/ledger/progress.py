"""How deliveries come to their ends: what somebody who watches them asks, again and again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.ledger.database import Database
from app.ledger.query import _DELIVERY, DeliveryView, _delivery
from app.model import EVENTS, WAITING, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How some deliveries to one destination stand.

    `retried`: how many took more than one attempt; `p50_ms` and `p95_ms`: from acceptance to the end, of those delivered.
    """

    counts: Mapping[State, int]
    untried: int
    retried: int
    p50_ms: float | None
    p95_ms: float | None


_PROGRESS = """
select destination, state::text, count(*), count(*) filter (where attempts = 0), count(*) filter (where attempts > 1),
       percentile_cont(array[0.5, 0.95]) within group (order by extract(epoch from ended_at - accepted_at) * 1000)
from deliveries where id = any(%s) or (id >= %s and source = %s) group by 1, 2
"""


def ended_since(
    database: Database, moment: datetime, *, accepted_after: datetime, destination: str | None = None
) -> list[DeliveryView]:
    """Deliveries that ended after a moment, in that order, of leads accepted after another.

    The second bound keeps the scan short: ids are ordered by time and there is no index on the end.
    """
    rows = database.fetch(
        f"select {_DELIVERY} from deliveries where id >= %(lowest)s and ended_at > %(moment)s "  # noqa: S608  # fixed columns
        "and (%(destination)s::text is null or destination = %(destination)s) order by ended_at, id",
        {"lowest": _lowest(accepted_after), "moment": moment, "destination": destination},
    )
    return [_delivery(row) for row in rows]


def progress(database: Database, ids: Sequence[UUID], *, events_after: datetime) -> dict[str, Progress]:
    """How these deliveries stand, and those of what has been told since a moment; by destination."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in database.fetch(_PROGRESS, (list(ids), _lowest(events_after), EVENTS)):
        found.setdefault(row[0], []).append(row)
    return {
        name: Progress(
            counts={State(row[1]): row[2] for row in rows},
            untried=sum(row[3] for row in rows if State(row[1]) in WAITING),
            retried=sum(row[4] for row in rows),
            **_percentiles(rows),
        )
        for name, rows in sorted(found.items())
    }


def _lowest(moment: datetime) -> UUID:
    """Of the ids made from a moment on, the lowest (RFC 9562, 5.7: 48 bits of milliseconds lead)."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def _percentiles(rows: Sequence[tuple[Any, ...]]) -> dict[str, float | None]:
    p50, p95 = next((row[5] for row in rows if row[1] == State.DELIVERED and row[5]), (None, None))
    return {"p50_ms": p50, "p95_ms": p95}
