"""`leadrelay show`: a lead, its deliveries, and every attempt in the order of time."""

import json
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.text import Text

from app.api.timeline import DeliveryTimeline, Feedback, LeadTimeline, lead_timeline
from app.cli.output import Json, clock, coloured, console, duration, moment, print_json, print_text
from app.cli.session import ledger
from app.errors import NotFound
from app.ledger import Database, feedback, query

STATE_WIDTH = 11


def show(
    lead: Annotated[UUID, typer.Argument(metavar="LEAD", help="Id of the lead, as `send` prints it.")],
    transcripts: Annotated[
        bool, typer.Option("--transcripts", help="Show requests and answers too, secrets masked.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show a lead with its deliveries, every attempt, and feedback.

    Times are UTC.
    """
    with ledger() as database:
        found = _read(database, lead)
    if as_json:
        document = found.model_dump(mode="json")
        if not transcripts:
            for delivery in document["deliveries"]:
                for attempt in delivery["timeline"]:
                    del attempt["transcript"]
        print_json(document)
        return
    _print_lead(found)
    for delivery in found.deliveries:
        print_delivery(delivery, transcripts=transcripts)


def _read(database: Database, lead_id: UUID) -> LeadTimeline:
    leads = query.leads(database, [lead_id])
    if not leads:
        raise NotFound(f"there is no lead {lead_id}")
    [(lead, _)] = leads
    deliveries = query.lead_deliveries(database, [lead_id])
    ids = [one.id for one in deliveries]
    return lead_timeline(lead, deliveries, query.attempts(database, ids), feedback.of(database, ids))


def _print_lead(lead: LeadTimeline) -> None:
    test = "  [yellow]test[/yellow]" if lead.test else ""
    print_text(f"[bold]lead {lead.id}[/bold]  from {lead.source}  {moment(lead.received_at)}{test}")
    width = max((len(name) for name in lead.fields), default=0)
    for name, value in lead.fields.items():
        complaint = f"  [yellow]({escape(lead.invalid[name])})[/yellow]" if name in lead.invalid else ""
        print_text(f"  [dim]{escape(name.ljust(width))}[/dim]  {escape(str(value))}{complaint}")


def print_delivery(delivery: DeliveryTimeline, *, transcripts: bool) -> None:
    """Print a delivery and every attempt, after an empty line."""
    print_text()
    marks = [f"took over from {delivery.origin}"] if delivery.origin else []
    marks += [f"ref {escape(delivery.reference)}"] if delivery.reference else []
    marks += [f"price {delivery.price}"] if delivery.price is not None else []
    if delivery.ended_at is not None:
        marks.append(f"after {duration((delivery.ended_at - delivery.accepted_at).total_seconds())}")
    elif delivery.waits_for:
        marks.append(f"waits for {', '.join(delivery.waits_for)}")
    elif delivery.state == "ready" and delivery.due_at is not None:
        marks.append(f"due {moment(delivery.due_at)}")
    state = coloured(delivery.state) + " " * (STATE_WIDTH - len(delivery.state))
    print_text(f"[bold]{delivery.destination}[/bold]  {state}{'  '.join(marks)}  [dim]{delivery.id}[/dim]")
    if not delivery.timeline and delivery.reason:
        print_text(f"  {escape(delivery.reason)}")
    for attempt in delivery.timeline:
        at = f"  {attempt.destination}" if delivery.origin else ""
        fault = f" ({attempt.fault})" if attempt.fault else ""
        reason = f"  {escape(attempt.reason)}" if attempt.reason else ""
        ambiguous = "  [yellow]the answer was lost[/yellow]" if attempt.ambiguous else ""
        print_text(
            f"  {clock(attempt.started_at)}  #{attempt.number}{at}  {coloured(attempt.result)}{fault}"
            f"  {duration(attempt.duration_ms / 1000)}{reason}{ambiguous}"
        )
        for name, value in (attempt.captured or {}).items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            print_text(f"    [dim]{escape(name)}[/dim] {escape(text)}")
        if transcripts and attempt.transcript:
            _print_transcript(attempt.transcript)
    for heard in delivery.feedback:
        _print_feedback(heard)


def _print_feedback(heard: Feedback) -> None:
    marks = [moment(heard.received_at), coloured(heard.type)]
    marks += [f"{heard.value} {heard.currency}"] if heard.value is not None else []
    marks += [f"of {moment(heard.occurred_at)}"] if heard.occurred_at else []
    marks += [escape(" ".join(heard.reason.split()))] if heard.reason else []
    print_text(f"  {'  '.join(marks)}  [dim]{escape(heard.actor)}[/dim]")


def _print_transcript(transcript: dict[str, Any], indent: int = 4) -> None:
    for name, value in transcript.items():
        if isinstance(value, dict):
            print_text(f"{' ' * indent}[dim]{escape(name)}[/dim]")
            _print_transcript(value, indent + 2)
            continue
        first, *further = str(value).splitlines() or [""]
        line = Text(" " * indent).append(f"{name} ", style="dim").append(first)
        for more in further:
            line.append("\n" + " " * (indent + 2) + more)
        console().print(line, soft_wrap=True)
