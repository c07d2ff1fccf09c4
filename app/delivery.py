"""The whole of what a worker does with a message: claim, render, send, judge, record.

The only broad `except` of the delivery path: whatever a connector does, its delivery ends in a recorded state.
"""

import logging
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from math import inf
from time import monotonic, sleep
from typing import Any
from uuid import UUID

from app.answer import bare, judged, outcome_of, unmade
from app.catalog import Catalog, Compiled, Step, create_connector
from app.connectors.base import Connector, Sent, Unbegun
from app.context import context
from app.errors import DataFault, Unavailable
from app.ledger import Database, dispatch, event, work
from app.ledger.circuit import Recorded
from app.ledger.token import Tokens
from app.model import Attempt, Claim, Item, Outcome, Result
from app.policy import next_state
from app.routing import NOT_MET
from app.telemetry import Event, emit, report

RECORDING_SECONDS = 2.0
"""Kept free at the end of a lease for recording."""
RECORDING_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Live:
    digest: str
    connector: Connector[Any]


class Deliverer:
    """Delivers groups with this process's connectors; several threads call it at once."""

    def __init__(
        self, database: Database, catalog: Catalog, *, lease_seconds: float, environ: Mapping[str, str]
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._lease_seconds = lease_seconds
        self._environ = environ
        self._tokens = Tokens(database)
        self._live: dict[str, _Live] = {}
        self._noticed: dict[str, tuple[date, str]] = {}
        self._lock = threading.Lock()

    def deliver(self, destination: str, ids: Sequence[UUID]) -> Mapping[str, int]:
        """Deliver what is still queued of `ids`; counts by resulting state. Raises `Unavailable` before anything is sent."""
        compiled = self._catalog.current
        step = compiled.steps.get(destination)
        if step is None:  # removed, or this process has not taken up the version that brings it
            dispatch.unqueue(self._database, ids)
            return {}
        begun = datetime.now(UTC)
        open_seconds = _open_seconds(step, begun)
        if open_seconds <= 0:  # it closed while the message was on its way
            dispatch.unqueue(self._database, ids)
            return {}
        lease = max(self._lease_seconds, 2 * step.config.limits.timeout_seconds + RECORDING_SECONDS)
        now = monotonic()
        ends, until = (
            now + lease,
            now + min(lease - step.config.limits.timeout_seconds - RECORDING_SECONDS, open_seconds),
        )
        claims = work.claim(self._database, destination, ids, lease_seconds=lease, steps=step.before)
        if not claims:
            return {}
        sent = self._send(compiled, step, claims, until=until)
        unbegun = [
            (claim.delivery_id, claim.token) for claim, one in zip(claims, sent, strict=True) if _is_unbegun(one)
        ]
        attempts = [
            _attempt(step, claim, one, begun) for claim, one in zip(claims, sent, strict=True) if not _is_unbegun(one)
        ]
        self._record(compiled, step, attempts, unbegun, ends)
        self._announce_notice(compiled, step)
        counts = Counter(attempt.next.state.value for attempt in attempts)
        emit(Event.RECORDED, destination=destination, **counts)
        return counts

    def stop(self) -> None:
        """Begin nothing more; what was claimed and not begun goes back unattempted."""
        with self._lock:
            for live in self._live.values():
                live.connector.stop()

    def close(self) -> None:
        """Give back every connector's threads and connections."""
        with self._lock:
            for live in self._live.values():
                live.connector.close()
            self._live.clear()

    def _send(self, compiled: Compiled, step: Step, claims: Sequence[Claim], *, until: float) -> list[Sent]:
        try:
            connector = self._connector(step)
        except Exception as error:  # noqa: BLE001  # whatever its constructor raises, each delivery ends in a recorded state
            # One attempt tells what is wrong; the rest waits, unattempted, for the circuit it opens.
            return [Sent(answer=unmade(step, error)), *[Sent(answer=Unbegun())] * (len(claims) - 1)]
        deadline = until + step.config.limits.timeout_seconds
        rendered = [_render(compiled, step, claim, deadline) for claim in claims]
        items = [item for item in rendered if isinstance(item, Item)]
        answers = iter(self._deliver_many(step, connector, items, until) if items else ())
        return [next(answers) if isinstance(item, Item) else Sent(answer=item) for item in rendered]

    def _deliver_many(self, step: Step, connector: Connector[Any], items: Sequence[Item], until: float) -> list[Sent]:
        try:
            sent = connector.deliver_many(items, until=until)
        except Exception as error:  # noqa: BLE001  # whatever a connector raises, each delivery ends in a recorded state
            sent = [Sent(answer=error)] * len(items)
        if len(sent) != len(items):  # whose answers they are cannot be known
            sent = [Sent(answer=TypeError("not one answer for each item"))] * len(items)
        return [judged(step, connector, one) for one in sent]

    def _announce_notice(self, compiled: Compiled, step: Step) -> None:
        """Once a day, after what was sent is recorded: news of an interface's end may cost no delivery."""
        live = self._live.get(step.config.name)
        if live is None or live.connector.notice is None:
            return
        notice, live.connector.notice = live.connector.notice, None
        today = (datetime.now(UTC).date(), step.digest)
        name = step.config.name
        if self._noticed.get(name) == today or not event.keep_notice(
            self._database, compiled.subscriptions, name, notice
        ):
            return
        self._noticed[name] = today
        emit(Event.DEPRECATED, level=logging.WARNING, destination=name, detail=notice)

    def _connector(self, step: Step) -> Connector[Any]:
        with self._lock:
            live = self._live.get(step.config.name)
            if live is not None and live.digest == step.digest:
                return live.connector
            connector = create_connector(step, self._environ, self._tokens)
            self._live[step.config.name] = _Live(digest=step.digest, connector=connector)
        if live is not None:
            live.connector.close()
        return connector

    def _record(
        self,
        compiled: Compiled,
        step: Step,
        attempts: Sequence[Attempt],
        unbegun: Sequence[tuple[UUID, int]],
        ends: float,
    ) -> None:
        destination = step.config.name
        while True:
            try:
                recorded = work.record(
                    self._database,
                    destination,
                    attempts,
                    config_version=compiled.version,
                    gate=step.gate,
                    steps=compiled.chain,
                    subscriptions=compiled.subscriptions,
                )
                if unbegun:
                    work.release(self._database, unbegun)
            except Exception as error:  # what was sent is known only here: the outcome counts more than how it was said
                # Keep it while the lease lasts. Later it counts as ambiguous.
                if monotonic() >= ends:
                    raise
                if not isinstance(error, Unavailable):  # something in an answer cannot be stored
                    report(Event.CONNECTOR_DEFECT, error, destination=destination)
                    attempts = [replace(attempt, outcome=bare(attempt.outcome)) for attempt in attempts]
                sleep(RECORDING_PAUSE_SECONDS)
            else:
                break
        announce(destination, recorded)


def announce(destination: str, recorded: Recorded) -> None:
    """Log what recording a group changed about its destination."""
    if recorded.stale:
        emit(Event.STALE, destination=destination, count=recorded.stale)
    if recorded.opened is not None:
        emit(Event.CIRCUIT_OPENED, level=logging.WARNING, destination=destination)
    if recorded.closed:
        emit(Event.CIRCUIT_CLOSED, destination=destination)
    if recorded.rejections is not None:
        emit(Event.REJECTIONS, level=logging.WARNING, destination=destination, in_a_row=recorded.rejections)


def _open_seconds(step: Step, moment: datetime) -> float:
    """How much longer the destination's schedule lets anything begin."""
    if step.schedule is None:
        return inf
    if not step.schedule.is_open(moment):
        return 0.0
    closes = step.schedule.closes_at(moment)
    return inf if closes is None else (closes - moment).total_seconds()


def _is_unbegun(sent: Sent) -> bool:
    return isinstance(sent.answer, Unbegun)


def _render(compiled: Compiled, step: Step, claim: Claim, deadline: float) -> Item | Outcome | DataFault:
    lead, key, attempt = claim.lead, str(claim.delivery_id), claim.tries + 1
    if lead is None:
        return DataFault("what is stored of the lead cannot be read")
    source = compiled.sources.get(lead.source)
    name = step.config.name
    told = {"id": key, "lead_id": str(lead.id), "destination": name, "attempt": attempt, "test": lead.test}
    seen = context(
        lead.fields,
        lead_id=lead.id,
        received_at=lead.received_at,
        source=lead.source,
        description=source.config.description if source else "",
        delivery=told,
        steps=claim.steps,
    )
    try:
        if step.asked_late and step.condition is not None and not step.condition.matches(seen):
            return Outcome(result=Result.SKIPPED, reason=NOT_MET)
        return item_for(
            step, seen, key=key, attempt=attempt, deadline=deadline, test=lead.test, occurred_at=lead.received_at
        )
    except DataFault as fault:
        return fault
    except Exception as error:  # noqa: BLE001  # one lead's trouble must not keep its group from being recorded
        report(Event.CONNECTOR_DEFECT, error, destination=step.config.name)
        return DataFault(f"a defect of the mapping: {type(error).__name__}")


def item_for(
    step: Step,
    seen: Mapping[str, Any],
    *,
    key: str,
    attempt: int,
    deadline: float,
    test: bool,
    occurred_at: datetime,
) -> Item:
    """A lead, or an event, as the destination's connector gets it; raises `DataFault`."""
    rendered = step.templates.render(seen) if step.templates is not None else None
    return Item(
        payload=step.mapping.render(seen),
        key=key,
        attempt=attempt,
        deadline=deadline,
        rendered=rendered,
        test=test,
        type=seen["event"].get("type", "lead"),
        occurred_at=occurred_at,
    )


def _attempt(step: Step, claim: Claim, sent: Sent, begun: datetime) -> Attempt:
    outcome = outcome_of(sent.answer)
    return Attempt(
        delivery_id=claim.delivery_id,
        token=claim.token,
        outcome=outcome,
        started_at=begun,
        duration_ms=sent.duration_ms,
        next=next_state(
            outcome,
            tries=claim.tries + 1,
            age_seconds=claim.age_seconds,
            retry=step.config.retry,
            destination=step.config.name,
            fallback=step.fallback,
            probe=claim.probe,
        ),
    )
