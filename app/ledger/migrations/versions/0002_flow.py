"""Lanes of waiting deliveries (class and source), fallback, steps, and what flow control remembers of destinations."""

from alembic import op

revision = "0002"
down_revision = "0001"

# Only what running workers of the release before can live beside. What reads whole tables does so concurrently, outside of a
# transaction; each statement can be run again, because a migration that had to give way begins anew.
COLUMNS = """
alter table deliveries
    add column if not exists priority  smallint not null default 0, -- 0 fresh, 1 backfill
    add column if not exists source    text not null default '',
    add column if not exists origin    text, -- the destination it was routed to, once another took it over
    add column if not exists waits_for uuid[]; -- deliveries of the same lead that must have ended first
alter table attempts
    add column if not exists destination text; -- null: of a release that knew no fallback
alter table destination_status
    add column if not exists errors_in_row     integer not null default 0,
    add column if not exists rejections_in_row integer not null default 0,
    add column if not exists closed_at         timestamptz, -- when its circuit closed last
    add column if not exists not_before        timestamptz, -- what the destination asked for (Retry-After)
    add column if not exists pause_reason      text;
"""
INDEXES = (
    "drop index concurrently if exists deliveries_lanes",
    "create index concurrently deliveries_lanes on deliveries (destination, priority, source, due_at) where state = 'ready'",
    "drop index concurrently if exists rollups_by_destination",
    "create unique index concurrently rollups_by_destination on rollups (destination, minute, result, fault, bucket, shard)",
)
SWAP = """
drop index deliveries_ready;
alter table rollups drop constraint rollups_pkey, add constraint rollups_pkey primary key using index rollups_by_destination;
"""


def upgrade() -> None:
    op.execute(COLUMNS)
    with op.get_context().autocommit_block():
        for statement in INDEXES:
            op.execute(statement)
    op.execute(SWAP)
