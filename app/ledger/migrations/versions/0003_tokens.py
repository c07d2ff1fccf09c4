"""Access tokens that all workers share, sealed with keys that are not in the ledger."""

from alembic import op

revision = "0003"
down_revision = "0002"

TOKENS = """
create table tokens (
    destination text not null,
    digest      text not null, -- of the credentials, keyed by them
    version     integer not null default 0,
    content     bytea,
    obtained_at timestamptz,
    expires_at  timestamptz,
    turn        integer not null, -- who may renew it
    turn_until  timestamptz,
    primary key (destination, digest)
)
"""


def upgrade() -> None:
    op.execute(TOKENS)
