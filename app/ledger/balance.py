"""The equation, proved: accepted = delivered + rejected + skipped + waiting + held + dead + cancelled.

The two sides are counted from different tables: what each lead was promised when it was accepted, and where each
delivery stands. One statement then lays promises, deliveries and attempts side by side and asks of each id whatever
could be wrong with it (`app.ledger.gap` says what that means). It changes nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import TupleRow

from app.errors import NotFound
from app.ledger.acceptance import WAITS_FOR_STEPS
from app.ledger.database import Connection, Database
from app.ledger.gap import Gap, Kind
from app.model import WAITING, State

LISTED = 1_000
"""How many gaps of each kind are told one by one; all are counted."""

_ORDER = {kind: place for place, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Both sides of the equation at one moment, how many gaps of each kind there are, and the first of each."""

    accepted: int
    states: Mapping[State, int]
    counts: Mapping[Kind, int]
    gaps: tuple[Gap, ...]

    @property
    def sides(self) -> dict[str, int]:
        """The right side in the words of the equation."""
        found = {
            name: self.states.get(State(name), 0)
            for name in ("delivered", "rejected", "skipped", "held", "dead", "cancelled")
        }
        return {**found, "waiting": sum(self.states.get(state, 0) for state in WAITING)}

    @property
    def holds(self) -> bool:
        """Whether both sides are equal and nothing is amiss."""
        return self.accepted == sum(self.states.values()) and not self.gaps


ENDED = "('delivered', 'rejected', 'skipped', 'cancelled', 'dead')"
LONG = "interval '15 minutes'"  # the sweep needs seconds, and ten times LEADRELAY_QUEUED_SECONDS at the very most
_KNOWN = "d.destination in (select name from known)"
# What is wrong (a condition) and with what words (an expression). p is the promise, d the delivery, a its attempts; a row
# of each id has those that exist. In `a.top` the highest number of an attempt is packed with what that one said.
_CHECKS: Mapping[Kind, tuple[str, str]] = {
    Kind.MISSING_DELIVERY: (
        "p.lead_id is not null and d.state is null",
        "'is missing; ' || coalesce(a.total, 0) || ' attempts of it are on record'",
    ),
    Kind.STRAY_DELIVERY: (
        "d.state is not null and p.lead_id is distinct from d.lead_id",
        (
            "concat('is ', d.state, ' for ', d.destination, case when p.lead_id is null then ', and no lead accounts for it' "
            "else ', of lead ' || d.lead_id || ', and lead ' || p.lead_id || ' accounts for it' end)"
        ),
    ),
    Kind.STRAY_ATTEMPTS: ("p.lead_id is null and d.state is null", "a.total || ' attempts without a delivery'"),
    Kind.ATTEMPT_NUMBERS: ("a.total <> a.top >> 2", "concat('has ', a.total, ' attempts, up to number ', a.top >> 2)"),
    Kind.ATTEMPT_COUNTER: (
        "d.attempts <> coalesce(a.top >> 2, 0) or d.attempts_from > d.attempts",
        (
            "concat('counts ', d.attempts, ' attempts, ', d.attempts_from, ' of them before its last replay; ', "
            "coalesce(a.total, 0), ' are on record, up to number ', coalesce(a.top >> 2, 0))"
        ),
    ),
    Kind.UNPROVEN_END: (
        "d.state = 'delivered' and coalesce(a.top & 3, 0) <> 1 or d.state = 'rejected' and coalesce(a.top & 3, 0) <> 2",
        "'is ' || d.state || ' for ' || d.destination || ' without an attempt that says so'",
    ),
    Kind.UNRECORDED_SUCCESS: (
        "a.top & 3 = 1 and d.state <> 'delivered' and a.top >> 2 > d.attempts_from",
        "'is ' || d.state || ' for ' || d.destination || ', and its last attempt says success'",
    ),
    Kind.UNEXPLAINED_HOLD: (
        "d.state = 'held' and d.fault is null and d.reason is null",
        "'is held for ' || d.destination || ' without a reason'",
    ),
    Kind.FORGOTTEN_HOLD: (
        (
            f"d.state = 'held' and d.fault = 'configuration' and {_KNOWN} and not exists ("
            "select from destination_status s where s.destination = d.destination and s.circuit <> 'closed')"
        ),
        "'is held for the configuration of ' || d.destination || ', whose circuit is closed'",
    ),
    Kind.END_TIME: (
        f"(d.state in {ENDED}) <> (d.ended_at is not null)",
        "'is ' || d.state || case when d.ended_at is null then ' without a time of its end' else ' with a time of its end' end",
    ),
    Kind.MIRROR_FLAG: (
        "d.mirrored and d.state <> 'dead'",
        "'is ' || d.state || ' and noted as shown among dead letters'",
    ),
    Kind.MISSING_LEASE: (
        "d.state in ('queued', 'delivering') and d.lease_until is null",
        "'is ' || d.state || ' for ' || d.destination || ' without a limit of time'",
    ),
    Kind.LOST_MESSAGE: (
        f"d.state = 'queued' and d.lease_until < now() - {LONG}",
        "'is queued for ' || d.destination || ' since ' || date_trunc('second', d.lease_until)",
    ),
    Kind.EXPIRED_LEASE: (
        f"d.state = 'delivering' and d.lease_until < now() - {LONG}",
        "'is being delivered to ' || d.destination || ' under a lease that ended at ' || date_trunc('second', d.lease_until)",
    ),
    Kind.ENDLESS_WAIT: (
        (
            f"d.state = 'ready' and d.due_at = '{WAITS_FOR_STEPS}' and not exists (select from deliveries step "
            f"where step.id = any(d.waits_for) and (step.ended_at is null or step.ended_at > now() - {LONG}))"
        ),
        "concat('waits for ', cardinality(d.waits_for), ' steps that have ended or are missing')",
    ),
    Kind.UNKNOWN_DESTINATION: (
        f"d.state = 'ready' and d.due_at < now() - {LONG} and exists (select from config_versions) and not {_KNOWN}",
        "'is ready for ' || d.destination || ', which is not in the configuration'",
    ),
}
_COLUMNS = ", ".join(f"case when {condition} then {words} end" for condition, words in _CHECKS.values())
_WRONG = " or ".join(f"({condition})" for condition, _ in _CHECKS.values())
# The gaps in braces narrow each table to what one lead is about.
_GAPS = f"""
with known as (
    select json_array_elements(document->'destinations')->>'name' as name
    from (select document from config_versions order by version desc limit 1) newest
), p as (
    select id as lead_id, unnest(deliveries) as id from leads {{lead}}
), d as (
    select * from deliveries {{delivery}}
), a as (
    select delivery_id as id, count(*) as total,
           max(number * 4 + case result when 'success' then 1 when 'failure' then 2 else 0 end) as top
    from attempts {{attempt}} group by delivery_id
)
select id, coalesce(p.lead_id, d.lead_id), p.lead_id is null and d.state is not null, {_COLUMNS}
from p full join d using (id) full join a using (id) where {_WRONG}
"""  # noqa: S608  # fixed texts
_DOUBLED = """
select id, array_agg(lead_id) from (select id as lead_id, unnest(deliveries) as id from leads {lead}) p
group by id having count(*) > 1
"""
_ACCEPTED = "select coalesce(sum(cardinality(deliveries)), 0)::bigint from leads {lead}"
_STATES = "select state::text, count(*) from deliveries {delivery} group by 1"
_ABOUT = b"""
select unnest(deliveries) from leads where id = %(lead)s union select id from deliveries where lead_id = %(lead)s
"""
_WHOLE = {"lead": "", "delivery": "", "attempt": ""}
_ONE = {
    "lead": "where id = %(lead)s",
    "delivery": "where id = any(%(ids)s)",
    "attempt": "where delivery_id = any(%(ids)s)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """One snapshot of the whole ledger, or of what one lead is about."""

    connection: Connection
    scope: Mapping[str, str]
    values: Mapping[str, Any]

    def statement(self, text: str) -> bytes:
        return text.format(**self.scope).encode()

    def rows(self, text: str) -> list[TupleRow]:
        return self.connection.execute(self.statement(text), self.values).fetchall()


def balance(
    database: Database, *, lead: UUID | None = None, listed: int = LISTED, step: Callable[[str], None] = lambda _: None
) -> Balance:
    """Count both sides in one snapshot, of the whole ledger or of one lead, and look for gaps.

    At most `listed` gaps of each kind are told, all are counted. `step` hears what is being done. Raises `NotFound` for a
    lead that is not there.
    """
    with database.transaction() as connection:
        connection.execute(b"set transaction isolation level repeatable read, read only")
        connection.execute(b"set local work_mem = '64MB'")  # so that hashes of a million deliveries stay in memory
        view = _View(connection=connection, scope=_WHOLE, values={}) if lead is None else _of_lead(connection, lead)
        step("counting what was promised")
        accepted = int(view.rows(_ACCEPTED)[0][0])
        step("counting where deliveries stand")
        states = {State(row[0]): int(row[1]) for row in view.rows(_STATES)}
        step(f"comparing {accepted:,} promises with deliveries and attempts")
        counts: Counter[Kind] = Counter()
        gaps: list[Gap] = []
        unpromised = 0
        for gap, stray in _gaps(view):
            counts[gap.kind] += 1
            unpromised += stray
            if counts[gap.kind] <= listed:
                gaps.append(gap)
        # Each promise is of one delivery, and each delivery but those is of one promise.
        if accepted - counts[Kind.MISSING_DELIVERY] != sum(states.values()) - unpromised:
            doubled = _doubled(view)
            counts[Kind.DOUBLED_PROMISE] = len(doubled)
            gaps += doubled[:listed]
    gaps.sort(key=lambda gap: _ORDER[gap.kind])
    return Balance(accepted=accepted, states=states, counts=counts, gaps=tuple(gaps))


def _of_lead(connection: Connection, lead: UUID) -> _View:
    ids = [row[0] for row in connection.execute(_ABOUT, {"lead": lead})]
    if not ids and connection.execute(b"select from leads where id = %s", (lead,)).fetchone() is None:
        raise NotFound(f"there is no lead {lead}")
    return _View(connection=connection, scope=_ONE, values={"lead": lead, "ids": ids})


def _gaps(view: _View) -> Iterator[tuple[Gap, bool]]:
    """Every gap but doubled promises, and whether it is a delivery nobody was promised; only some are in memory at once."""
    with view.connection.cursor(name="gaps") as cursor:
        cursor.itersize = 10_000
        for subject, lead_id, unpromised, *details in cursor.execute(view.statement(_GAPS), view.values):
            for kind, detail in zip(_CHECKS, details, strict=True):
                if detail is not None:
                    gap = Gap(kind=kind, subject=subject, lead_id=lead_id, detail=detail)
                    yield gap, unpromised and kind is Kind.STRAY_DELIVERY


def _doubled(view: _View) -> list[Gap]:
    return [
        Gap(
            kind=Kind.DOUBLED_PROMISE,
            subject=subject,
            lead_id=leads[0],
            detail=f"is promised {len(leads)} times, by lead {', '.join(sorted({str(one) for one in leads}))}",
        )
        for subject, leads in view.rows(_DOUBLED)
    ]
