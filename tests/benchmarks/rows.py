"""A ledger with a past: delivered leads written by SQL, in the shape and of the size the product writes.

Ids are time-ordered as its own are, three days back; what is packed or encrypted there is noise here, of the same length.
"""

import psycopg

from tests.benchmarks.stand import Bench

_ID = """(lpad(to_hex(floor(extract(epoch from at) * 1000)::bigint), 12, '0')
    || '7' || substr(md5({seed}), 1, 3) || '8' || substr(md5({seed}), 4, 15))::uuid"""
_MADE = f"""
create temporary table made as
select n, at, {_ID.format(seed="n || 'lead'")} as lead_id, {_ID.format(seed="n || 'delivery'")} as id
from (select n, now() - interval '3 days' + n * (interval '3 days' / {{count}}) as at from generate_series(1, {{count}}) n) as t
order by n
"""
_NOISE = "decode((select string_agg(md5(made.n || '-' || part), '') from generate_series(1, {parts}) part), 'hex')"
_FILL = (
    f"""
insert into leads (id, source, received_at, config_version, deliveries, data)
select lead_id, 'web', at, 1, array[id], {_NOISE.format(parts=15)} from made order by n
""",
    """
insert into deliveries (id, lead_id, destination, state, due_at, accepted_at, age_from, ended_at, token, config_version,
    attempts, result)
select id, lead_id, 'sink', 'delivered', at, at, at, at, 1, 1, 1, 'success' from made order by n
""",
    f"""
insert into attempts (delivery_id, number, started_at, duration_ms, result, ambiguous, worker, config_version, detail)
select id, 1, at, 1.0, 'success', false, 'host:1', 1, {_NOISE.format(parts=25)} from made order by n
""",
    "vacuum analyze",
    "checkpoint",
)


def template(bench: Bench, count: int) -> str:
    """Name of a database with so many delivered leads; made once in a run."""
    if count not in bench.templates:
        name = f"bench_rows_{count}"
        with psycopg.connect(bench.create(name), autocommit=True) as ledger:
            ledger.execute(_MADE.format(count=count).encode())
            for statement in _FILL:
                ledger.execute(statement.encode())
        bench.templates[count] = name
    return bench.templates[count]
