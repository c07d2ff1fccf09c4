"""Leads, deliveries, attempts; configuration versions, keys, audit; status and figures of destinations."""

from alembic import op

revision = "0001"
down_revision = None

# Hot rows: a delivery is inserted once and updated three times (queued, delivering, recorded). It has one full index, its
# key; the others are partial and hold live or troubled rows only. A lead carries the ids of its deliveries, which saves an
# index on the table that is written most.
UPGRADE = """
create type delivery_state as enum (
    'ready', 'queued', 'delivering', 'held', 'delivered', 'rejected', 'skipped', 'cancelled', 'dead'
);

create table config_versions (
    version     integer generated always as identity primary key,
    created_at  timestamptz not null default now(),
    created_by  text not null,
    note        text not null default '',
    digest      text not null,
    document    json not null -- not jsonb: the order of properties counts for XML
);

create table api_keys (
    id          uuid primary key,
    name        text not null,
    digest      bytea not null unique,
    scopes      text[] not null,
    source      text,
    created_at  timestamptz not null default now(),
    revoked_at  timestamptz
);

create table audit (
    id          bigint generated always as identity primary key,
    at          timestamptz not null default now(),
    actor       text not null,
    action      text not null,
    subject     text not null,
    detail      jsonb not null default '{}'
);
create index audit_subject on audit (subject, id);

create table leads (
    id              uuid primary key,
    source          text not null,
    received_at     timestamptz not null default now(),
    config_version  integer not null,
    test            boolean not null default false,
    deliveries      uuid[] not null,
    data            bytea not null
);

create table submissions (
    source      text not null,
    key         text not null,
    lead_id     uuid not null,
    digest      bytea not null,
    created_at  timestamptz not null default now(),
    primary key (source, key)
);
create index submissions_created on submissions (created_at);

create table deliveries (
    id              uuid primary key,
    lead_id         uuid not null,
    destination     text not null,
    state           delivery_state not null,
    due_at          timestamptz not null default now(),
    lease_until     timestamptz,
    accepted_at     timestamptz not null default now(),
    age_from        timestamptz not null default now(),
    ended_at        timestamptz,
    token           integer not null default 0,
    config_version  integer not null,
    attempts        smallint not null default 0,
    attempts_from   smallint not null default 0,
    ambiguous       boolean not null default false,
    mirrored        boolean not null default false,
    result          text,
    fault           text,
    reason          text,
    reference       text,
    fingerprint     text,
    price           numeric
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
create index deliveries_ready on deliveries (destination, due_at) where state = 'ready';
create index deliveries_active on deliveries (destination, lease_until) where state in ('queued', 'delivering');
create index deliveries_unmirrored on deliveries (id) where state = 'dead' and not mirrored;
create index deliveries_trouble on deliveries (destination, state, id) where state in ('held', 'dead');

create table attempts (
    delivery_id     uuid not null,
    number          smallint not null,
    started_at      timestamptz not null,
    duration_ms     real not null,
    result          text not null,
    fault           text,
    reason          text,
    ambiguous       boolean not null,
    worker          text not null,
    config_version  integer not null,
    detail          bytea,
    primary key (delivery_id, number)
);

create table destination_status (
    destination     text primary key,
    paused          boolean not null default false,
    circuit         text not null default 'closed' check (circuit in ('closed', 'open', 'half-open')),
    reason          text,
    opened_at       timestamptz,
    probe_at        timestamptz,
    openings        integer not null default 0
);

create table rollups (
    minute          timestamptz not null,
    destination     text not null,
    result          text not null,
    fault           text not null,
    bucket          smallint not null,
    shard           smallint not null,
    attempts        bigint not null,
    total_ms        double precision not null,
    primary key (minute, destination, result, fault, bucket, shard)
);

create table intake_rollups (
    minute          timestamptz not null,
    source          text not null,
    shard           smallint not null,
    leads           bigint not null,
    deliveries      bigint not null,
    repeats         bigint not null,
    primary key (minute, source, shard)
);
"""


def upgrade() -> None:
    op.execute(UPGRADE)
