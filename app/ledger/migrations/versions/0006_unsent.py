"""How many deliveries of each destination came back unsent, so that the dispatcher can tell them from those that were sent."""

from alembic import op

revision = "0006"
down_revision = "0005"

COLUMNS = """
alter table destination_status
    add column if not exists unsent bigint not null default 0 -- in all
"""


def upgrade() -> None:
    op.execute(COLUMNS)
