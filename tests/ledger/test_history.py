"""Whatever legal things happen to a ledger, in whatever order, it is in order after each of them."""

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from app.config.flow import FallbackConfig
from app.config.schema import RetryConfig
from app.ledger import Database, acceptance, dispatch, late, operation, step, version, work
from app.ledger.balance import balance
from app.ledger.step import Steps
from app.model import Attempt, Claim, Outcome, Result, State
from app.policy import next_state
from tests.ledger.conftest import BROKEN, FAILURE, REFUSED, SUCCESS, new_lead, queued

LOST = Outcome(result=Result.ERROR, fault=BROKEN.fault, reason="the answer was lost", ambiguous=True)
OUTCOMES = (SUCCESS, FAILURE, BROKEN, REFUSED, LOST)
DESTINATIONS = ("a", "b")
USUAL = 0.6
FALLBACKS = {"a": FallbackConfig(destination="b", on=["dead", "rejected"])}
STEPS = Steps(optional=frozenset({"b"}), awaited=frozenset({"a", "b"}))
RETRIES = [RetryConfig(attempts=most, base_seconds=0.001, max_seconds=0.001) for most in (1, 3)]


class History:
    """What producers, dispatcher, workers, sweep and people do, each by the function that does it."""

    def __init__(self, database: Database, seed: int) -> None:
        self.database = database
        self.chance = random.Random(seed)
        self.claims: list[tuple[str, Claim]] = []
        self.steps: Mapping[str, Callable[[], object]] = {
            "accept": self.accept,
            "queue": self.queue,
            "claim": self.claim,
            "record": self.record,
            "release": self.release,
            "lose messages": lambda: dispatch.requeue_lost(database, after_seconds=0, is_empty=set),
            "sweep leases": self.sweep,
            "probe": self.probe,
            "mirror": lambda: dispatch.mirrored(database, [one.delivery_id for one in dispatch.unmirrored(database)]),
            "purge": lambda: dispatch.remirror(database, "a"),
            "replay": lambda: operation.replay(database, self.some(), actor="ann"),
            "cancel": lambda: operation.cancel(database, self.some(), actor="ann"),
            "pause": lambda: operation.pause(database, "a", paused=True, actor="ann"),
            "resume": lambda: operation.pause(database, "a", paused=False, actor="ann"),
            "remove b": lambda: self.configure("a"),
            "bring b back": lambda: self.configure(*DESTINATIONS),
            "hold orphans": lambda: dispatch.hold_orphans(
                database, sorted({*DESTINATIONS} - self.configured), config_version=version.newest(database)
            ),
            "end what is late": self.end_late,
            "let overlooked steps go": lambda: step.release_overlooked(database, STEPS),
            "forget": lambda: operation.forget(database, older_than_days=0, limit=10),
        }
        self.configured: set[str] = set()
        self.configure(*DESTINATIONS)

    def accept(self) -> None:
        lead = new_lead(destinations=self.chance.choices(DESTINATIONS, k=self.chance.randrange(3)))
        skipped = acceptance.Routed(id=uuid7(), destination="a", state=State.SKIPPED, reason="not met")
        after = [acceptance.Routed(id=uuid7(), destination="b", waits_for=[one.id for one in lead.deliveries])]
        routed = [
            *lead.deliveries,
            *[skipped] * self.chance.randrange(2),
            *(after * self.chance.randrange(2) if lead.deliveries else ()),
        ]
        new = acceptance.NewLead(**{name: getattr(lead, name) for name in lead.__slots__} | {"deliveries": routed})
        acceptance.accept(self.database, [new])

    def end_late(self) -> None:
        kinds = [("a", False, "b"), ("a", True, None), ("b", False, None), ("b", True, None)]
        ages = [
            late.Age(destination=name, in_steps=waits, seconds=0.0, fallback=to, reason="too old", fingerprint="f")
            for name, waits, to in kinds
        ]
        late.move_late(self.database, ages)

    def queue(self) -> None:
        for name in self.configured:
            queued(self.database, name, 2)

    def claim(self) -> None:
        for name in DESTINATIONS:
            lease = self.chance.choice((0.0, 30.0))
            self.claims += [
                (name, claim) for claim in work.claim(self.database, name, self.some("queued"), lease_seconds=lease)
            ]

    def record(self) -> None:
        self.chance.shuffle(self.claims)
        for name, claim in self.claims[:2]:  # some are stale by now
            self.end(name, claim.delivery_id, claim.token, claim.tries, self.chance.choice(OUTCOMES))
        del self.claims[:1]  # the other comes again, as from a worker that repeats its record

    def end(self, name: str, delivery: UUID, token: int, tries: int, outcome: Outcome) -> None:
        retry = self.chance.choice(RETRIES)
        after = next_state(
            outcome, tries=tries + 1, age_seconds=0.0, retry=retry, destination=name, fallback=FALLBACKS.get(name)
        )
        attempt = Attempt(
            delivery_id=delivery,
            token=token,
            outcome=outcome,
            started_at=datetime.now(UTC),
            duration_ms=1.0,
            next=after,
        )
        work.record(self.database, name, [attempt], config_version=1, steps=STEPS)

    def release(self) -> None:
        work.release(self.database, [(claim.delivery_id, claim.token) for _, claim in self.claims[:1]])

    def sweep(self) -> None:
        for row in work.expired(self.database, limit=10):
            self.end(row.destination, row.delivery_id, row.token, row.tries, LOST)

    def probe(self) -> None:
        self.database.fetch("update destination_status set probe_at = now() returning 1")
        for name in dispatch.due_probes(self.database):
            dispatch.begin_probe(self.database, name, patience_seconds=0)

    def configure(self, *names: str) -> None:
        document = {"sources": [], "destinations": [{"name": name} for name in names]}
        changed = sorted(self.configured ^ {*names})
        version.write(self.database, document, changed=changed, actor="ann")
        self.configured = {*names}

    def some(self, state: str = "%") -> list[UUID]:
        rows = [
            row[0]
            for row in self.database.fetch("select id from deliveries where state::text like %s order by id", (state,))
        ]
        return self.chance.sample(rows, k=min(len(rows), 6))


@pytest.fixture(scope="module")
def ledger(module_database_url: str) -> Iterator[Database]:
    found = Database(module_database_url, size=4)
    yield found
    found.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_a_legal_history_leaves_no_gap(ledger: Database, seed: int) -> None:
    with ledger.transaction() as connection:
        connection.execute(b"truncate leads, deliveries, attempts, destination_status, config_versions")
    history = History(ledger, seed)
    done = []
    for _ in range(60):
        usual = history.chance.random() < USUAL
        name = history.chance.choice(
            ("accept", "queue", "queue", "claim", "claim", "record", "record") if usual else tuple(history.steps)
        )
        done.append(name)
        history.steps[name]()
        found = balance(ledger)
        assert found.holds, f"{found.gaps} after {done}"
