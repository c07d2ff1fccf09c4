"""Webhooks whose sender was not proven, counted by source and reason; of the webhooks themselves nothing is kept."""

from collections.abc import Mapping

from app.ledger.database import Database

_ADD = b"""
insert into hook_refusals (source, reason, refused)
select * from unnest(%b::text[], %b::text[], %b::bigint[])
on conflict (source, reason) do update set refused = hook_refusals.refused + excluded.refused
"""

Counts = Mapping[tuple[str, str], int]
"""How many by (source, reason)."""


def add(database: Database, counts: Counts) -> None:
    """Add to the totals; raises `Unavailable`."""
    cells = sorted(counts)  # one order for all, so that writers cannot wait for each other in a circle
    columns = ([cell[0] for cell in cells], [cell[1] for cell in cells], [counts[cell] for cell in cells])
    with database.transaction() as connection:
        connection.execute(_ADD, columns)


def totals(database: Database) -> Counts:
    """All-time totals."""
    return {(row[0], row[1]): row[2] for row in database.fetch("select source, reason, refused from hook_refusals")}
