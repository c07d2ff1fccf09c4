"""`leadrelay feedback`: a conversion or return, reported by hand."""

from typing import Annotated
from uuid import UUID

import typer

from app import feedback
from app.cli.output import Json, print_json, say
from app.cli.session import actor, ledger
from app.ledger.feedback import Recorded
from app.model import FeedbackType


def give(
    delivery: Annotated[UUID, typer.Argument(metavar="DELIVERY", help="Id of the delivery, as `show` tells it.")],
    type_: Annotated[FeedbackType, typer.Option("--type", help="What became of the lead.")],
    reason: Annotated[str | None, typer.Option(help="Why, for people.")] = None,
    *,
    value: Annotated[str | None, typer.Option(help="What it is worth, a decimal number; needs --currency.")] = None,
    currency: Annotated[str | None, typer.Option(help="Of the value, as USD.")] = None,
    occurred_at: Annotated[str | None, typer.Option(metavar="TIME", help="When, as 2026-01-31T12:00:00Z.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Your own id of it: sent again, it is taken once.")] = None,
    as_json: Json = False,
) -> None:
    """Report what became of a lead: a conversion or a return.

    It is told on the delivery's timeline and counted; the delivery's state stays. Without --id, the same words on the same
    delivery are taken once.
    """
    entry = {
        "delivery_id": delivery,
        "type": type_,
        "reason": reason,
        "value": value,
        "currency": currency,
        "occurred_at": occurred_at,
        "id": id_,
    }
    with ledger() as database:
        [answer] = feedback.take(database, [entry], actor=actor())
    if not isinstance(answer, Recorded):
        raise answer
    if as_json:
        print_json(answer)
        return
    say(f"{type_} {'was on record before' if answer.repeated else 'recorded'} for delivery {delivery}")
