"""What destinations say is left of their rate limits, and of the end of their interfaces."""

from alembic import op

revision = "0005"
down_revision = "0004"

COLUMNS = """
alter table destination_status
    add column if not exists quota_left  integer, -- requests that were left when it last said so
    add column if not exists quota_limit integer, -- how many there are in all
    add column if not exists quota_until timestamptz, -- when there are so many again
    add column if not exists notice      text -- Deprecation and Sunset
"""


def upgrade() -> None:
    op.execute(COLUMNS)
