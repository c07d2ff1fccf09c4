"""`leadrelay send`: one lead from a file or a pipe, and on request what became of it."""

import time
from collections.abc import Sequence
from typing import Annotated

import typer

from app.api.body import read_json
from app.api.view import Outcome, Routed, Submitted
from app.cli.file import read_input
from app.cli.output import Json, coloured, print_json, print_table, print_text, say
from app.cli.session import check_usable, ledger
from app.client import Client
from app.intake import Receipt
from app.ledger import Database, query
from app.ledger.query import DeliveryView
from app.model import Priority, State
from app.settings import settings

SETTLED = frozenset({State.DELIVERED, State.REJECTED, State.SKIPPED})
UNDER_WAY = frozenset({State.READY, State.QUEUED, State.DELIVERING})
POLL_SECONDS = 0.05

Source = Annotated[str, typer.Option("--source", "-s", help="Source the lead belongs to.")]
Class = Annotated[
    Priority | None,
    typer.Option(help="Where both wait, most of a destination goes to fresh leads; the source's own if not given."),
]


def send(
    file: Annotated[str, typer.Argument(metavar="FILE", help="File with a JSON object of fields; - is stdin.")],
    source: Source,
    key: Annotated[
        str | None,
        typer.Option(help="Your own id of the lead: sent again with the same key, it makes no second lead."),
    ] = None,
    *,
    priority: Class = None,
    wait: Annotated[
        float, typer.Option(min=0, max=3600, metavar="SECONDS", help="Wait this long for the deliveries to end.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Submit one lead, a JSON object.

    Prints the lead's id. With --wait also what became of it; then the exit code is 0 only if every delivery ended as
    delivered, rejected or skipped.
    """
    fields = read_json(read_input(file, most_bytes=settings().max_body_bytes))
    check_usable(settings().required_database_url)
    with Client() as client:
        receipt = client.submit(fields, source=source, key=key, priority=priority)
    for name, complaint in receipt.invalid.items():
        say(f"[yellow]note:[/yellow] {name} {complaint}; it was taken as text")
    if not wait:
        _print(receipt, source, as_json=as_json)
        return
    with ledger() as database:
        found = _await_end(database, receipt, wait)
    _print(receipt, source, as_json=as_json, deliveries=found)
    if any(delivery.state not in SETTLED for delivery in found):
        raise typer.Exit(1)


def _await_end(database: Database, receipt: Receipt, seconds: float) -> list[DeliveryView]:
    until = time.monotonic() + seconds
    while True:
        found = query.lead_deliveries(database, [receipt.lead_id])
        if time.monotonic() >= until or not any(delivery.state in UNDER_WAY for delivery in found):
            return found
        time.sleep(POLL_SECONDS)


def _print(receipt: Receipt, source: str, *, as_json: bool, deliveries: Sequence[DeliveryView] | None = None) -> None:
    if as_json:
        routed = [Routed(id=id_, destination=name) for id_, name in receipt.deliveries.items()]
        answer = Submitted(
            id=receipt.lead_id,
            source=source,
            deliveries=routed if deliveries is None else [Outcome.model_validate(one) for one in deliveries],
            invalid=dict(receipt.invalid),
            repeated=receipt.repeated,
        )
        print_json(answer.model_dump(mode="json"))
        return
    print_text(str(receipt.lead_id))
    if deliveries is None:
        names = ", ".join(receipt.deliveries.values()) or "no destination"
        told = "was accepted before, for" if receipt.repeated else "accepted for"
        say(f"{told} {names}; see `leadrelay show {receipt.lead_id}`")
        return
    print_table(
        ["destination", "state", "attempts", "reference", "reason"],
        [
            (one.destination, coloured(one.state), str(one.attempts), one.reference or "", one.reason or "")
            for one in deliveries
        ],
        right=["attempts"],
    )
