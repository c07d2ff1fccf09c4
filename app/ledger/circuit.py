"""A destination's circuit: what its answers say about the destination itself, beyond the single delivery.

It opens on a fault of configuration at once, on errors in a row, or on their share of recent attempts; single probes are let
through, and the first answer to one closes it. Business rejections never open it; a run of them has an alarm of its own.
Who closes it frees what it held, in a statement of its own: one that waited for the circuit's row does not see what the
group it waited for has held.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from app.config.flow import CircuitConfig, RejectionsConfig
from app.ledger.acceptance import WAITS_FOR_STEPS
from app.ledger.database import Connection
from app.ledger.quota import note
from app.ledger.unsent import counting_unsent
from app.model import Fault, Outcome, Result

_OPEN = b"""
insert into destination_status (destination, circuit, reason, opened_at, probe_at, openings)
values (%(name)s, 'open', %(reason)s, now(), now() + make_interval(secs => %(first)s), 1)
on conflict (destination) do update set
    circuit = 'open', reason = excluded.reason, errors_in_row = 0,
    opened_at = case destination_status.circuit when 'closed' then now() else destination_status.opened_at end,
    openings = destination_status.openings + 1,
    probe_at = now() + make_interval(secs => least(%(most)s, %(first)s * power(2, least(destination_status.openings, 20))))
where destination_status.circuit <> 'open'
returning openings
"""
# Messages that are out already would burn an attempt each: they shall find nothing to claim.
_CALL_BACK = counting_unsent(b"""
update deliveries d set state = 'ready', lease_until = null where id in (
    select id from deliveries where destination = %s and state = 'queued' for update skip locked
) and state = 'queued'
""")
_CLOSE = b"""
update destination_status
set circuit = 'closed', reason = null, probe_at = null, openings = 0, errors_in_row = 0, closed_at = now()
where destination = any(%s) and circuit <> 'closed'
returning destination
"""
_FREE = f"""
update deliveries set state = 'ready', due_at = case due_at when '{WAITS_FOR_STEPS}' then due_at else now() end
where destination = any(%s) and state = 'held' and fault = 'configuration'
""".encode()  # noqa: S608  # a constant of ours
_ANSWERED = b"""
update destination_status set errors_in_row = %(trailing)s,
    circuit = case circuit when 'half-open' then 'closed' else circuit end,
    reason = case circuit when 'half-open' then null else reason end,
    probe_at = case circuit when 'half-open' then null else probe_at end,
    openings = case circuit when 'half-open' then 0 else openings end,
    closed_at = case circuit when 'half-open' then now() else closed_at end
where destination = %(name)s and (circuit = 'half-open' or errors_in_row <> %(trailing)s)
returning coalesce(closed_at = now(), false), errors_in_row
"""
_FAILED = b"""
insert into destination_status (destination, errors_in_row) values (%(name)s, %(trailing)s)
on conflict (destination) do update set errors_in_row =
    case when %(answered)s then excluded.errors_in_row else destination_status.errors_in_row + excluded.errors_in_row end
returning circuit, errors_in_row
"""
# Only whole minutes since it closed last: the errors that opened it do not open it again.
_SHARE = b"""
select coalesce(sum(attempts) filter (where fault = 'transient'), 0)::bigint, coalesce(sum(attempts), 0)::bigint
from rollups where destination = %(name)s and (result in ('success', 'failure') or fault = 'transient')
    and minute > date_trunc('minute', now()) - make_interval(mins => %(minutes)s)
    and minute > coalesce((select closed_at from destination_status where destination = %(name)s), '-infinity')
"""
# The probe ended for reasons of its own lead: the next may go.
_NO_ANSWER = b"update destination_status set probe_at = now() where destination = %s and circuit = 'half-open'"
_REJECTED = b"""
insert into destination_status (destination, rejections_in_row) values (%(name)s, %(trailing)s)
on conflict (destination) do update set rejections_in_row =
    case when %(succeeded)s then excluded.rejections_in_row
    else destination_status.rejections_in_row + excluded.rejections_in_row end
returning rejections_in_row
"""
_PAUSE = b"update destination_status set paused = true, pause_reason = %s where destination = %s and not paused"
_LEAVE_ALONE = b"""
insert into destination_status (destination, not_before) values (%(name)s, now() + make_interval(secs => %(seconds)s))
on conflict (destination) do update set not_before = greatest(destination_status.not_before, excluded.not_before)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRules:
    """What a destination's configuration says about its circuit; `longest_wait_seconds` clamps what it asks for.

    That is Retry-After, and the time until its rate limit begins anew.
    """

    circuit: CircuitConfig = field(default_factory=CircuitConfig)
    rejections: RejectionsConfig | None = None
    longest_wait_seconds: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What came of recording a group: how many were stale and written nowhere, and what changed about the destination.

    `opened` holds the reason when its circuit opened, `reopened` that this was after a probe, `rejections` the length of a
    run that has just become too long.
    """

    stale: int = 0
    opened: str | None = None
    reopened: bool = False
    closed: bool = False
    rejections: int | None = None


def judge(connection: Connection, destination: str, outcomes: Sequence[Outcome], rules: GateRules) -> Recorded:
    """Draw the conclusions from one group's outcomes, in their order."""
    rejections = _judge_rejections(connection, destination, outcomes, rules.rejections)
    waits = [outcome.retry_after for outcome in outcomes if outcome.retry_after]
    if waits:
        seconds = min(max(waits), rules.longest_wait_seconds)
        connection.execute(_LEAVE_ALONE, {"name": destination, "seconds": seconds})
    quotas = [outcome.quota for outcome in outcomes if outcome.quota]
    if quotas and note(connection, destination, quotas, longest_seconds=rules.longest_wait_seconds):
        connection.execute(_CALL_BACK, (destination,))
    refused = next((outcome for outcome in outcomes if outcome.fault is Fault.CONFIGURATION), None)
    if refused is not None:
        return replace(_open(connection, destination, refused.reason, rules.circuit), rejections=rejections)
    marks = [outcome.fault is Fault.TRANSIENT for outcome in outcomes if _tells(outcome)]
    if not marks:
        if outcomes:
            connection.execute(_NO_ANSWER, (destination,))
        return Recorded(rejections=rejections)
    answered, trailing = not all(marks), _trailing(marks)
    if answered and not any(marks):
        closed = _answered(connection, destination, 0)
        return Recorded(closed=closed, rejections=rejections)
    last = next(outcome for outcome in reversed(outcomes) if outcome.fault is Fault.TRANSIENT)
    found = _failed(connection, destination, rules.circuit, last.reason, trailing=trailing, answered=answered)
    return replace(found, rejections=rejections)


def close_circuits(connection: Connection, destinations: Sequence[str]) -> list[tuple[str, Recorded]]:
    """Close them, whatever opened them, and free what they held; those that were not closed."""
    closed = [(row[0], Recorded(closed=True)) for row in connection.execute(_CLOSE, (list(destinations),))]
    connection.execute(_FREE, (list(destinations),))
    return closed


def _tells(outcome: Outcome) -> bool:
    """Whether an outcome says anything about the destination: what was not sent, or is one lead's own trouble, does not."""
    return outcome.result in {Result.SUCCESS, Result.FAILURE} or outcome.fault is Fault.TRANSIENT


def _trailing(marks: Sequence[bool]) -> int:
    return next((place for place, mark in enumerate(reversed(marks)) if not mark), len(marks))


def _answered(connection: Connection, destination: str, trailing: int) -> bool:
    row = connection.execute(_ANSWERED, {"name": destination, "trailing": trailing}).fetchone()
    if row is None or not row[0]:
        return False
    connection.execute(_FREE, ([destination],))
    return True


def _failed(
    connection: Connection, destination: str, rules: CircuitConfig, reason: str | None, *, trailing: int, answered: bool
) -> Recorded:
    row = connection.execute(_FAILED, {"name": destination, "trailing": trailing, "answered": answered}).fetchone()
    assert row is not None
    circuit, in_a_row = row
    if circuit == "half-open":
        return _open(connection, destination, reason, rules)
    if circuit == "open":
        return Recorded()
    if rules.consecutive is not None and in_a_row >= rules.consecutive:
        return _open(connection, destination, f"{in_a_row} errors in a row, the last: {reason}", rules)
    if rules.error_ratio is None:
        return Recorded()
    shares = connection.execute(_SHARE, {"name": destination, "minutes": rules.minutes}).fetchone()
    assert shares is not None
    errors, attempts = shares
    if attempts < rules.minimum or errors < rules.error_ratio * attempts:
        return Recorded()
    return _open(connection, destination, f"{errors} of {attempts} recent attempts failed, the last: {reason}", rules)


def _open(connection: Connection, destination: str, reason: str | None, rules: CircuitConfig) -> Recorded:
    """Open it, unless it is; each opening in a row doubles the wait for a probe."""
    said = storable(reason) or "no reason given"
    parameters = {"name": destination, "reason": said, "first": rules.probe_seconds, "most": rules.probe_max_seconds}
    opened = connection.execute(_OPEN, parameters).fetchone()
    if opened is None:  # a pipeline knows rows, but no row count yet
        return Recorded()
    connection.execute(_CALL_BACK, (destination,))
    return Recorded(opened=said, reopened=opened[0] > 1)


def _judge_rejections(
    connection: Connection, destination: str, outcomes: Sequence[Outcome], rules: RejectionsConfig | None
) -> int | None:
    """Count a run of rejections; its length when it has just become too long."""
    marks = [one.result is Result.FAILURE for one in outcomes if one.result in {Result.SUCCESS, Result.FAILURE}]
    if rules is None or not marks:
        return None
    trailing = _trailing(marks)
    parameters = {"name": destination, "trailing": trailing, "succeeded": not all(marks)}
    row = connection.execute(_REJECTED, parameters).fetchone()
    assert row is not None
    if not row[0] - trailing < rules.in_a_row <= row[0]:
        return None
    if rules.pause:
        connection.execute(_PAUSE, (f"{row[0]} rejections in a row", destination))
    return int(row[0])


def storable(text: str | None) -> str | None:
    """What PostgreSQL can hold of a destination's words: no NUL, no lone surrogates."""
    return None if text is None else text.replace("\0", "").encode("utf-8", "replace").decode()
