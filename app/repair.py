"""What the leader mends between turns, beyond wake-up calls: leases of workers that ended, deliveries too old, steps overlooked.

It decides nothing of its own: the states come from `app.policy` and the configuration.
"""

from datetime import UTC, datetime

from app.catalog import Compiled, Step
from app.config.schema import RetryConfig
from app.delivery import announce
from app.ledger import Database, late, step, work
from app.ledger.late import Age
from app.model import Attempt, Fault, Outcome, Result
from app.policy import fingerprint, next_state
from app.telemetry import Event, emit

_EXPIRED_AT_ONCE = 500


def expire_leases(database: Database, compiled: Compiled) -> None:
    """Record an ambiguous attempt for each delivery whose worker let its lease run out. Raises `Unavailable`."""
    expired = work.expired(database, limit=_EXPIRED_AT_ONCE)
    for destination in sorted({row.destination for row in expired}):
        found = compiled.steps.get(destination)
        attempts = [_lost(row, found) for row in expired if row.destination == destination]
        recorded = work.record(
            database,
            destination,
            attempts,
            config_version=compiled.version,
            gate=None,
            steps=compiled.chain,
            subscriptions=compiled.subscriptions,
        )
        announce(destination, recorded)
        emit(Event.EXPIRED, destination=destination, count=len(attempts))


def move_late(database: Database, compiled: Compiled) -> None:
    """End what waits past its deadline, and hand over what is old enough for its fallback. Raises `Unavailable`."""
    ages = [age for found in compiled.steps.values() for age in _ages(found)]
    if count := late.move_late(database, ages, subscriptions=compiled.subscriptions):
        emit(Event.LATE, count=count)


def release_overlooked(database: Database, compiled: Compiled) -> None:
    """Let go what waits for steps that ended otherwise than by an attempt. Raises `Unavailable`."""
    step.release_overlooked(database, compiled.chain, subscriptions=compiled.subscriptions)


def _ages(found: Step) -> list[Age]:
    """No delivery meets more than one of them."""
    config, fallback = found.config, found.fallback
    deadline = config.retry.deadline_seconds
    # Nobody takes over what its steps might yet have kept from being sent.
    ages = [_age(config.name, deadline, None, f"its deadline of {deadline:g} s passed before its steps ended")]
    if fallback and fallback.age_seconds is not None:
        reason = f"it waited for more than {fallback.age_seconds:g} s"
        return [*ages, _age(config.name, fallback.age_seconds, fallback.destination, reason, in_steps=False)]
    dead_to = fallback.destination if fallback and "dead" in fallback.on else None
    return [*ages, _age(config.name, deadline, dead_to, f"its deadline of {deadline:g} s passed", in_steps=False)]


def _age(destination: str, seconds: float, fallback: str | None, reason: str, *, in_steps: bool = True) -> Age:
    outcome = Outcome(result=Result.ERROR, fault=Fault.TRANSIENT, reason=reason)
    return Age(
        destination=destination,
        in_steps=in_steps,
        seconds=seconds,
        fallback=fallback,
        reason=reason,
        fingerprint=fingerprint(destination, outcome),
    )


def _lost(row: work.Expired, found: Step | None) -> Attempt:
    outcome = Outcome(result=Result.ERROR, fault=Fault.TRANSIENT, reason=work.WORKER_ENDED, ambiguous=True)
    return Attempt(
        delivery_id=row.delivery_id,
        token=row.token,
        outcome=outcome,
        started_at=datetime.now(UTC),
        duration_ms=0.0,
        next=next_state(
            outcome,
            tries=row.tries + 1,
            age_seconds=row.age_seconds,
            retry=found.config.retry if found else RetryConfig(),
            destination=row.destination,
            fallback=found.fallback if found else None,
        ),
    )
