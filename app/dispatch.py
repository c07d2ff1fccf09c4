"""What may go now: the leader's loop body. It alone publishes, and all flow control is here.

`turn` marks what is due as queued, as much of each destination as `app.flow` allows and fairly among its lanes, and publishes
it in groups. `sweep` repairs: lost messages, expired leases, open circuits due for a probe, deliveries that grew too old,
steps overlooked, dead letters not yet shown, destinations that were removed.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from math import inf
from time import monotonic
from uuid import UUID

from app.broker import Publisher, delivery_queue
from app.catalog import Catalog, Compiled, Step
from app.errors import InvalidConfig, Unavailable
from app.flow.control import Flow
from app.flow.quota import allowed
from app.flow.share import leftover, split
from app.flow.volume import UNBOUNDED, period_starts
from app.ledger import Database, dispatch, rollup
from app.ledger.dispatch import Queued, Survey, UnderWay
from app.ledger.gate import Gate, forget_quotas
from app.model import Lane, Priority
from app.repair import expire_leases, move_late, release_overlooked
from app.settings import Settings
from app.telemetry import Event, emit

Message = tuple[str, Sequence[UUID]]
"""Destination and ids of deliveries."""
LEARN_SECONDS = 1.0
"""How often an adaptive destination is told what recent attempts were like."""
_SETTLED = timedelta(minutes=2)
"""So long after midnight the figures of the days before may still change."""


class Dispatcher:
    """One installation's dispatcher; only the leader's may turn. Not for several threads at once."""

    def __init__(self, database: Database, catalog: Catalog, publisher: Publisher, settings: Settings) -> None:
        self._database = database
        self._catalog = catalog
        self._publisher = publisher
        self._settings = settings
        self._flows: dict[str, tuple[str, Flow]] = {}
        self._learnt: dict[str, float] = {}
        self._months: dict[str, tuple[datetime, int]] = {}
        self._turns = 0
        self._late_at = 0.0

    def turn(self) -> float:
        """Dispatch what is due and has room; in how many seconds to look again at the latest. Raises `Unavailable`."""
        compiled = self._catalog.current
        seen = dispatch.survey(self._database)
        now = monotonic()  # after the snapshot: what ended in it had ended by now
        if orphans := seen.waiting - compiled.steps.keys():
            if self._is_behind():
                return 0.0  # leads came under a newer version than this process had
            if count := dispatch.hold_orphans(
                self._database,
                sorted(orphans),
                config_version=compiled.version,
                subscriptions=compiled.subscriptions,
            ):
                emit(Event.ORPHANED, count=count, destinations=sorted(orphans))
        self._turns += 1
        may_go = [step for name in seen.due if (step := compiled.steps.get(name)) and _may_go(step, seen)]
        rooms = self._rooms(may_go, seen, now)
        shares = {name: split(room, seen.due[name], self._turns) for name, room in rooms.items() if room}
        taken = self._one_suspect_each(self._queue(shares, seen))
        counts = {name: sum(map(len, lanes.values())) for name, lanes in taken.items()}
        self._publish([message for name, lanes in taken.items() for message in self._messages(name, lanes)])
        full = [name for name, room in rooms.items() if room <= counts.get(name, 0)]
        waits = [self._flow(compiled.steps[name], now).soon(now=now) for name in full]
        resets = [gate.reset_seconds for name in seen.due if (gate := seen.gates.get(name)) and gate.is_spent]
        return min([self._settings.tick_seconds, *waits, *resets])

    def sweep(self) -> None:
        """Repair what faults left behind. Raises `Unavailable`."""
        compiled = self._catalog.current
        expire_leases(self._database, compiled)
        unheeded = [name for name, step in compiled.steps.items() if not step.config.limits.obey_rate_headers]
        if unheeded:  # noted before it was so, or by a worker that does not know it yet
            forget_quotas(self._database, unheeded)
        self._probe(compiled)
        count = dispatch.requeue_lost(
            self._database, after_seconds=self._settings.queued_seconds, is_empty=self._empty_queues
        )
        if count:
            emit(Event.REQUEUED, count=count)
        if monotonic() >= self._late_at:
            begun = monotonic()
            move_late(self._database, compiled)
            release_overlooked(self._database, compiled)
            # It reads whatever waits: the more that is, the more rarely.
            self._late_at = monotonic() + max(self._settings.tick_seconds, 20 * (monotonic() - begun))
        if letters := dispatch.unmirrored(self._database):
            self._publisher.bury(letters)
            dispatch.mirrored(self._database, [letter.delivery_id for letter in letters])

    def _queue(self, shares: Mapping[str, Mapping[Lane, int]], seen: Survey) -> dict[str, dict[Lane, list[Queued]]]:
        """Take each lane's share; what some had no use for goes to the others, once."""
        busy = [name for name, under_way in seen.active.items() if under_way.alone]
        taken = dispatch.queue(self._database, shares, without_suspects=busy)
        again: dict[str, Mapping[Lane, int]] = {}
        for name, lanes in shares.items():
            found = {lane: len(ids) for lane, ids in taken.get(name, {}).items()}
            unused, hungry = leftover(lanes, found)
            if unused and hungry:
                again[name] = split(unused, hungry, self._turns)
        for name, more in dispatch.queue(self._database, again, without_suspects=busy).items():
            for lane, ids in more.items():
                taken.setdefault(name, {}).setdefault(lane, []).extend(ids)
        return taken

    def _one_suspect_each(self, taken: dict[str, dict[Lane, list[Queued]]]) -> dict[str, dict[Lane, list[Queued]]]:
        """Of what may have ended several workers, one goes to each destination, and with nothing else that may have."""
        surplus = []
        for name, lanes in taken.items():
            alone = [one for found in lanes.values() for one in found if one.alone]
            suspects = [one for one in alone if one.suspect]
            too_many = suspects[1:] if suspects == alone else suspects
            # That they come back is counted, and so it must be that they went.
            self._flows[name][1].dispatched(len(too_many), messages=0)
            surplus += too_many
        if surplus:
            dispatch.unqueue(self._database, [one.id for one in surplus])
            left = set(surplus)
            taken = {
                name: {lane: [one for one in found if one not in left] for lane, found in lanes.items()}
                for name, lanes in taken.items()
            }
        return taken

    def _flow(self, step: Step, now: float) -> Flow:
        name = step.config.name
        digest, flow = self._flows.get(name, ("", None))
        if flow is None or digest != step.digest:
            flow = Flow(step.config, now=now, threads=self._settings.worker_threads)
            if seconds := flow.longest_seconds:
                flow.recall(now, rollup.sent(self._database, name, seconds=seconds))
            self._flows[name] = (step.digest, flow)
        return flow

    def _rooms(self, steps: Sequence[Step], seen: Survey, now: float) -> dict[str, int]:
        """How many more may go to each; it takes as many statements for a thousand as for one."""
        flows = {step.config.name: self._flow(step, now) for step in steps}
        self._count_volumes([step for step in steps if flows[step.config.name].volume.stale(now)], seen)
        self._learn([name for name, flow in flows.items() if flow.is_adaptive], now)
        rooms = {}
        for name, flow in flows.items():
            gate = seen.gates.get(name)
            closed_seconds = gate.closed_seconds if gate else None
            active, delivering, _ = seen.active.get(name, UnderWay(0, 0))
            rooms[name] = flow.room(
                now=now,
                active=active,
                delivering=delivering,
                unsent=seen.unsent.get(name, 0),
                closed_seconds=closed_seconds,
                quota=_quota(gate) if gate else UNBOUNDED,
            )
        return rooms

    def _count_volumes(self, steps: Sequence[Step], seen: Survey) -> None:
        if not steps:
            return
        now = monotonic()
        starts = {step.config.name: period_starts(seen.moment, step.config.time_zone) for step in steps}
        before = {
            step.config.name: self._month_before(step.config.name, *starts[step.config.name], seen.moment)
            for step in steps
            if step.config.limits.volume.monthly
        }
        for name, today, active in rollup.succeeded_today(
            self._database, {name: day for name, (day, _) in starts.items()}
        ):
            this_month = before.get(name, 0) + today
            self._flows[name][1].volume.counted(now, today=today, this_month=this_month, active=active)

    def _month_before(self, name: str, day: datetime, month: datetime, moment: datetime) -> int:
        """Successes of the month before today, counted once a day."""
        known_day, count = self._months.get(name, (None, 0))
        if known_day != day:
            count = rollup.succeeded_between(self._database, name, month, day)
            if moment - day > _SETTLED:
                self._months[name] = (day, count)
        return count

    def _learn(self, names: Iterable[str], now: float) -> None:
        due = [name for name in names if now - self._learnt.get(name, -inf) >= LEARN_SECONDS]
        if not due:
            return
        found = rollup.recent(self._database, due)
        for name in due:
            self._learnt[name] = now
            self._flows[name][1].learn(found.get(name, {}))

    def _probe(self, compiled: Compiled) -> None:
        """Let one delivery through each open circuit that is due for it, within all other limits."""
        due = dispatch.due_probes(self._database)
        if not due:
            return
        seen, now = dispatch.survey(self._database), monotonic()
        wanted = [step for name in due if (step := compiled.steps.get(name)) and _is_open(step, seen)]
        for name, room in self._rooms(wanted, seen, now).items():
            if room > 0:
                step = compiled.steps[name]
                patience = self._settings.lease_seconds + 2 * step.config.limits.timeout_seconds
                ids = dispatch.begin_probe(self._database, name, patience_seconds=patience)
                self._flow(step, now).dispatched(len(ids), messages=len(ids))
                self._publish([(name, [one]) for one in ids])

    def _is_behind(self) -> bool:
        try:
            return self._catalog.refresh()
        except InvalidConfig:  # of a newer release: what it brings waits for a leader that understands it
            return False

    def _messages(self, name: str, lanes: Mapping[Lane, Sequence[Queued]]) -> list[Message]:
        """What one destination is sent, fresh leads first, in groups of its share; noted as under way."""
        _, flow = self._flows[name]
        size = min(self._settings.group_size, flow.share())
        found = [one for lane in sorted(lanes, key=_class) for one in lanes[lane]]
        ids = [one.id for one in found if not one.alone]
        messages: list[Message] = [(name, ids[start : start + size]) for start in range(0, len(ids), size)]
        messages += [(name, [one.id]) for one in found if one.alone]
        flow.dispatched(len(found), messages=len(messages))
        return messages

    def _publish(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        try:
            self._publisher.deliver(messages)
        except Unavailable:
            dispatch.unqueue(self._database, [delivery for _, ids in messages for delivery in ids])
            raise
        emit(Event.DISPATCHED, level=logging.DEBUG, count=sum(len(ids) for _, ids in messages), messages=len(messages))

    def _empty_queues(self, destinations: Sequence[str]) -> set[str]:
        lengths = self._publisher.lengths([delivery_queue(name) for name in destinations])
        return {name for name in destinations if lengths[delivery_queue(name)] == 0}


def _may_go(step: Step, seen: Survey) -> bool:
    gate = seen.gates.get(step.config.name)
    return (gate is None or not gate.is_shut) and _is_open(step, seen)


def _quota(gate: Gate) -> int:
    return allowed(left=gate.quota_left, limit=gate.quota_limit, reset_seconds=gate.reset_seconds)


def _is_open(step: Step, seen: Survey) -> bool:
    return step.schedule is None or step.schedule.is_open(seen.moment)


def _class(lane: Lane) -> bool:
    return lane.priority is not Priority.FRESH
