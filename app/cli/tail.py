"""`leadrelay tail`: deliveries as they end, read from the ledger, so nothing is missed while nobody looked at the broker."""

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape

from app.cli.output import Json, clock, coloured, duration, print_line, print_text, say
from app.cli.session import ledger
from app.ledger import progress
from app.ledger.query import DeliveryView

POLL_SECONDS = 0.5
AGE = timedelta(hours=1)
OVERLAP = timedelta(seconds=2)
"""Read again each time: a transaction may become visible later than one that ended after it."""
STATE_WIDTH = 10


def tail(
    destination: Annotated[str | None, typer.Option(help="Only this destination.")] = None,
    as_json: Json = False,
) -> None:
    """Follow deliveries as they end, one line each.

    Shows those of leads accepted within the last hour. Times are UTC; Ctrl-C ends it.
    """
    with ledger() as database, suppress(KeyboardInterrupt):
        if not as_json:
            say("waiting for deliveries to end; Ctrl-C stops")
        since = datetime.now(UTC)
        seen: set[tuple[UUID, datetime | None]] = set()
        while True:
            found = progress.ended_since(
                database, since, accepted_after=datetime.now(UTC) - AGE, destination=destination
            )
            for delivery in found:
                if (delivery.id, delivery.ended_at) not in seen:
                    print_line(delivery) if as_json else _print(delivery)
            seen = {(delivery.id, delivery.ended_at) for delivery in found}
            if found and found[-1].ended_at is not None:
                since = max(since, found[-1].ended_at - OVERLAP)
            time.sleep(POLL_SECONDS)


def _print(delivery: DeliveryView) -> None:
    assert delivery.ended_at is not None
    took = duration((delivery.ended_at - delivery.accepted_at).total_seconds())
    tries = f"{delivery.attempts} attempts" if delivery.attempts != 1 else "1 attempt"
    state = coloured(delivery.state) + " " * (STATE_WIDTH - len(delivery.state))
    print_text(
        f"{clock(delivery.ended_at)}  {state} {delivery.destination:<14}  {took:>7}  {tries:<10}  lead {delivery.lead_id}"
        + (f"  {escape(delivery.reason)}" if delivery.reason else "")
    )
