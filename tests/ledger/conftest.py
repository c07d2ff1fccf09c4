"""Short ways to write leads and attempts straight into a ledger."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from app.ledger import Database, acceptance, dispatch, work
from app.model import Attempt, Claim, Fault, Next, Outcome, Result, State
from tests.ledger.relay import Relay, relaying

SUCCESS = Outcome(result=Result.SUCCESS, reference="r-1")

FAILURE = Outcome(result=Result.FAILURE, reason="duplicate")
REFUSED = Outcome(result=Result.ERROR, fault=Fault.CONFIGURATION, reason="401 from the destination")
BROKEN = Outcome(result=Result.ERROR, fault=Fault.TRANSIENT, reason="503 from the destination")


def new_lead(
    *, key: str | None = None, digest: bytes = b"body", destinations: Sequence[str] = ("a",)
) -> acceptance.NewLead:
    return acceptance.NewLead(
        id=uuid7(),
        source="web",
        fields={"email": "ann@example.com"},
        invalid={},
        test=False,
        config_version=1,
        deliveries=[acceptance.Routed(id=uuid7(), destination=name) for name in destinations],
        key=key,
        digest=digest,
    )


def attempt(claim: Claim, outcome: Outcome, state: State, *, token: int | None = None, due: float = 0.0) -> Attempt:
    return Attempt(
        delivery_id=claim.delivery_id,
        token=claim.token if token is None else token,
        outcome=outcome,
        started_at=datetime.now(UTC),
        duration_ms=12.0,
        next=Next(state=state, due_in_seconds=due, fingerprint="f" * 12),
    )


def state_of(database: Database, delivery: UUID) -> State:
    return State(database.fetch("select state::text from deliveries where id = %s", (delivery,))[0][0])


def queued(database: Database, destination: str = "a", count: int = 1) -> list[UUID]:
    """Mark what is due as queued, from every lane that has something."""
    lanes = dispatch.survey(database).due.get(destination, ())
    found = dispatch.queue(database, {destination: dict.fromkeys(lanes, count)})
    return [one.id for lane in found.get(destination, {}).values() for one in lane][:count]


@pytest.fixture
def claimed(database: Database) -> Callable[..., list[Claim]]:
    """Accepts `count` leads for destination `a`, queues and claims them."""

    def claim(count: int = 1, *, lease_seconds: float = 30.0) -> list[Claim]:
        acceptance.accept(database, [new_lead() for _ in range(count)])
        ids = queued(database, "a", count)
        return work.claim(database, "a", ids, lease_seconds=lease_seconds)

    return claim


@pytest.fixture
def relay(database: Database) -> Iterator[Relay]:
    with relaying(database) as found:
        yield found
