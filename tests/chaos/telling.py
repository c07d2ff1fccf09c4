"""What was told beside what happened: events as they stand in the ledger, changes as a trigger wrote them down (`export`)."""

from collections import Counter

from app.ledger import Database, query

_HAPPENED = """
select t.delivery::text, t.new_state from chaos_transitions t
join deliveries d on d.id = t.delivery join leads on leads.id = d.lead_id
where leads.source <> 'events' and t.old_state is distinct from t.new_state
    and t.new_state in ('delivered', 'rejected', 'skipped', 'held', 'dead', 'cancelled')
"""
_EVENTS = "select id from leads where source = 'events'"

Changes = Counter[tuple[str, str]]
"""How often a delivery came to a state."""


def happened(database: Database) -> Changes:
    """Changes of leads' deliveries that subscribers are told of."""
    return Counter((row[0], row[1]) for row in database.fetch(_HAPPENED))


def told(database: Database) -> Changes:
    """Events of deliveries."""
    ids = [row[0] for row in database.fetch(_EVENTS)]
    events = [lead.fields for lead, _ in query.leads(database, ids)]
    return Counter(
        (event["delivery_id"], event["type"].removeprefix("delivery."))
        for event in events
        if event["type"].startswith("delivery.")
    )
