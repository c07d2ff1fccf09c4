"""Feedback on deliveries with its figures, deliveries by the destination's own record id, and refused webhooks counted."""

from alembic import op

revision = "0004"
down_revision = "0003"

TABLES = """
create table if not exists feedback (
    id          uuid primary key,
    delivery_id uuid not null,
    destination text not null, -- of then; a replay may move the delivery
    key         text not null, -- whoever gives it knows it by this; or a digest of what is said
    digest      bytea not null,
    type        text not null check (type in ('conversion', 'return')),
    value       numeric,
    currency    text,
    occurred_at timestamptz,
    received_at timestamptz not null default now(),
    actor       text not null,
    data        bytea not null,
    unique (destination, key)
);
create index if not exists feedback_delivery on feedback (delivery_id);

create table if not exists feedback_figures (
    destination text not null,
    type        text not null,
    currency    text not null, -- empty where no value was told
    count       bigint not null,
    value       numeric not null,
    primary key (destination, type, currency)
);

create table if not exists hook_refusals (
    source      text not null,
    reason      text not null,
    refused     bigint not null,
    primary key (source, reason)
);
"""
# A reference may be longer than an index takes.
INDEXES = (
    "drop index concurrently if exists deliveries_reference",
    """
create index concurrently deliveries_reference on deliveries (destination, left(reference, 100))
where reference is not null
""",
)


def upgrade() -> None:
    op.execute(TABLES)
    with op.get_context().autocommit_block():
        for statement in INDEXES:
            op.execute(statement)
