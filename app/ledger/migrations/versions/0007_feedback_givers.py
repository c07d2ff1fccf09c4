"""Ids of feedback are told apart by who gave it: two givers may use the same id for different things.

The giver stands before the id in `key`. A column of its own would need another unique constraint in place of (destination, key),
and processes of the release before, which may still be running, could record no feedback without that.
"""

from alembic import op

revision = "0007"
down_revision = "0006"

# As `app.ledger.feedback` writes it: actor, source of a key that is bound to one, id. What begins with a space is nobody's id.
GIVERS = """
update feedback f set key = concat_ws(chr(31), f.actor, coalesce((
    select l.source from deliveries d join leads l on l.id = d.lead_id
    where d.id = f.delivery_id
        and exists (select from api_keys k where 'key:' || k.name = f.actor and k.source = l.source)
), ''), f.key)
where f.key not like ' %'
"""


def upgrade() -> None:
    op.execute(GIVERS)
