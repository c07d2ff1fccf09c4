"""The ledger as evidence: a trigger that writes down every change of a delivery, and an export of the tables as NDJSON.

Plain SQL of its own on a connection of its own, so that a defect of the product's statements cannot hide itself. Nothing
here imports the product.
"""

import json
import time
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

WATCH = """
create table if not exists chaos_transitions (
    number bigint generated always as identity primary key, at timestamptz not null default clock_timestamp(),
    delivery uuid not null, old_state text, new_state text not null, old_token int, new_token int not null,
    old_lease timestamptz, new_lease timestamptz, worker text
);
create or replace function chaos_watch() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into chaos_transitions (delivery, new_state, new_token, worker)
        values (new.id, new.state, new.token, current_setting('chaos.worker', true));
    elsif old.state is distinct from new.state or old.token is distinct from new.token then
        insert into chaos_transitions (delivery, old_state, new_state, old_token, new_token, old_lease, new_lease, worker)
        values (new.id, old.state, new.state, old.token, new.token, old.lease_until, new.lease_until,
                current_setting('chaos.worker', true));
    end if;
    return null;
end $$;
create or replace trigger chaos_watch after insert or update on deliveries for each row execute function chaos_watch();
"""
TABLES = {
    "leads": "select id, deliveries from leads",
    "submissions": "select source, key, lead_id as lead from submissions",
    "deliveries": "select id, lead_id as lead, destination, state, attempts, ambiguous, fault, accepted_at, ended_at, token"
    " from deliveries",
    "attempts": "select delivery_id as delivery, number, result, fault, ambiguous, worker from attempts",
    "transitions": "select number, at, delivery, old_state, new_state, old_token, new_token, old_lease, new_lease, worker"
    " from chaos_transitions",
    "audit": "select action, subject from audit",
}
STANDING = ("leads", "deliveries")
"""What a snapshot in mid-fault needs: the equation only."""


def install(url: str) -> None:
    """Begin to watch a ledger."""
    with psycopg.connect(url) as connection:
        connection.execute(WATCH.encode())


def export(url: str, path: Path, *, acknowledged: int, final: bool) -> None:
    """Write the tables as of one moment; `acknowledged` is how many leads had been by then."""
    with psycopg.connect(url, row_factory=dict_row, connect_timeout=5) as connection, path.open("w") as file:
        connection.execute(b"set transaction isolation level repeatable read, read only")
        header = {"table": "export", "at": time.time(), "acknowledged": acknowledged, "final": final}
        file.write(json.dumps(header) + "\n")
        for table in TABLES if final else STANDING:
            for row in connection.execute(TABLES[table].encode()):
                file.write(json.dumps({"table": table, **row}, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(type(value).__name__)
