"""Who is told of what becomes of deliveries and destinations: their events, in the transaction of the change itself.

So every change is told exactly once, whatever is killed and whenever. Each way in which a delivery comes to a state, or a
circuit changes, ends here with what it has changed; that of leads as they come in is in `acceptance`. Nothing is told of an
event's own deliveries, or of destinations that are told: no event brings about another. Where nobody is told of a change,
there is no statement about it.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from uuid import UUID

from app.errors import LeadrelayError
from app.ledger import gate
from app.ledger.acceptance import NewLead, Subscriptions, write
from app.ledger.circuit import Recorded
from app.ledger.database import Connection, Database
from app.model import EVENTS, EventType, State
from app.redaction import scrub

_CHANGED = b"""
select d.id, d.lead_id, d.destination, d.state::text, d.result, d.fault, d.reason, d.reference, d.price, d.attempts,
       leads.source, leads.test
from deliveries d join leads on leads.id = d.lead_id where d.id = any(%s) and leads.source <> %s order by d.id
"""


def tell(
    connection: Connection,
    subscriptions: Subscriptions,
    *,
    deliveries: Iterable[tuple[UUID, State]] = (),
    destinations: Iterable[tuple[str, Recorded]] = (),
) -> None:
    """Write the events of deliveries that have come to a state, and of what has changed about destinations.

    The transaction's last statements, for `write`'s reason.
    """
    if subscriptions.types:
        events = [event for name, found in destinations for event in _of_destination(name, found, subscriptions)]
        write(connection, [*events, *_of_deliveries(connection, deliveries, subscriptions)])


def keep_notice(database: Database, subscriptions: Subscriptions, destination: str, notice: str) -> bool:
    """Keep what a destination says of its interface's end, and tell it where it is news.

    Whether that could be done. If not, it will be said again.
    """
    with suppress(LeadrelayError), database.transaction() as connection:
        if gate.keep_notice(connection, destination, notice) and destination not in subscriptions.destinations:
            write(connection, list(subscriptions.event(EventType.DEPRECATED, destination=destination, reason=notice)))
        return True
    return False


def _of_destination(name: str, found: Recorded, subscriptions: Subscriptions) -> Iterator[NewLead]:
    if name in subscriptions.destinations:
        return
    if found.opened is not None and not found.reopened:
        yield from subscriptions.event(EventType.CIRCUIT_OPENED, destination=name, reason=scrub(found.opened))
    if found.closed:
        yield from subscriptions.event(EventType.CIRCUIT_CLOSED, destination=name)
    if found.rejections is not None:
        yield from subscriptions.event(EventType.REJECTIONS, destination=name, in_a_row=found.rejections)


def _of_deliveries(
    connection: Connection, changed: Iterable[tuple[UUID, State]], subscriptions: Subscriptions
) -> Iterator[NewLead]:
    ids = [delivery for delivery, state in changed if f"delivery.{state}" in subscriptions.types]
    for row in connection.execute(_CHANGED, (ids, EVENTS)).fetchall() if ids else ():
        yield from subscriptions.event(
            EventType(f"delivery.{row[3]}"),
            delivery_id=str(row[0]),
            lead_id=str(row[1]),
            destination=row[2],
            result=row[4],
            fault=row[5],
            reason=scrub(row[6]),  # the destination's words, which may repeat a value of the lead
            reference=row[7],
            price=None if row[8] is None else str(row[8]),
            attempts=row[9],
            source=row[10],
            test=row[11],
        )
