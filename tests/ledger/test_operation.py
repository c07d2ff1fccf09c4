"""What people do: replay, discard, pause, forget; and what the equation says of a ledger that was tampered with."""

from collections.abc import Callable

import pytest

from app import operations
from app.config.schema import DestinationConfig, Document, SourceConfig
from app.errors import Conflict, NotFound
from app.ledger import Database, acceptance, dispatch, operation, query, rollup, version, work
from app.ledger.balance import balance
from app.ledger.key import create, find, revoke
from app.model import Claim, State
from tests.ledger.conftest import BROKEN, REFUSED, SUCCESS, attempt, new_lead, queued, state_of

Claimed = Callable[..., list[Claim]]


@pytest.fixture
def dead(database: Database, claimed: Claimed) -> Claim:
    [claim] = claimed(1)
    work.record(database, "a", [attempt(claim, BROKEN, State.DEAD)], config_version=1)
    return claim


def test_a_replay_gives_a_fresh_budget_and_is_audited(database: Database, dead: Claim) -> None:
    view = operations.replay(database, dead.delivery_id, actor="ann", note="buyer is back")
    assert (view.state, view.attempts) == (State.READY, 1)
    [claim] = work.claim(database, "a", queued(database), lease_seconds=30)
    assert claim.tries == 0
    audit = database.fetch("select actor, action, subject, detail->>'note' from audit")
    assert audit == [("ann", "delivery.replay", str(dead.delivery_id), "buyer is back")]
    with pytest.raises(Conflict, match="still under way"):
        operations.replay(database, dead.delivery_id, actor="ann")


def test_a_discarded_dead_letter_is_cancelled(database: Database, dead: Claim) -> None:
    assert operations.discard(database, dead.delivery_id, actor="ann").state is State.CANCELLED
    with pytest.raises(Conflict, match="only dead and held"):
        operations.discard(database, dead.delivery_id, actor="ann")
    assert balance(database).holds


def test_replaying_an_unknown_delivery_is_said(database: Database) -> None:
    with pytest.raises(NotFound):
        operations.replay(database, new_lead().id, actor="ann")


def test_dead_letters_are_shown_to_the_broker_once(database: Database, dead: Claim) -> None:
    [letter] = dispatch.unmirrored(database)
    assert (letter.delivery_id, letter.fault) == (dead.delivery_id, "transient")
    dispatch.mirrored(database, [letter.delivery_id])
    assert dispatch.unmirrored(database) == []
    dispatch.remirror(database, "a")
    assert len(dispatch.unmirrored(database)) == 1


def test_leads_are_forgotten_only_when_all_their_deliveries_ended(database: Database, claimed: Claimed) -> None:
    done, open_one = claimed(2)
    work.record(database, "a", [attempt(done, SUCCESS, State.DELIVERED)], config_version=1)
    database.fetch("update leads set received_at = now() - interval '91 days' returning 1")
    assert operation.forget(database, older_than_days=90, limit=100) == 1
    assert query.delivery(database, done.delivery_id) is None
    assert state_of(database, open_one.delivery_id) is State.DELIVERING
    assert balance(database).holds


def test_folded_figures_keep_their_totals(database: Database, claimed: Claimed) -> None:
    for claim in claimed(2):
        work.record(database, "a", [attempt(claim, SUCCESS, State.DELIVERED)], config_version=1)
    before = database.fetch("select sum(attempts)::int, sum(total_ms) from rollups")
    database.fetch("update rollups set minute = minute - interval '91 days' returning 1")
    rollup.fold(database, after_days=90)
    assert database.fetch("select sum(attempts)::int, sum(total_ms) from rollups") == before
    assert database.fetch("select count(*)::int from rollups where minute > '-infinity'") == [(0,)]


@pytest.mark.parametrize(
    "damage",
    [
        "delete from deliveries",
        "delete from leads",
        "delete from attempts",
        "update attempts set number = 2",
        "update deliveries set state = 'rejected'",
    ],
)
def test_the_equation_finds_damage(database: Database, claimed: Claimed, damage: str) -> None:
    [claim] = claimed(1)
    work.record(database, "a", [attempt(claim, SUCCESS, State.DELIVERED)], config_version=1)
    assert balance(database).holds
    with database.transaction() as connection:
        connection.execute(damage.encode())
    found = balance(database)
    assert not found.holds
    assert found.gaps


def test_applying_a_changed_destination_releases_what_it_held(database: Database, claimed: Claimed) -> None:
    [claim] = claimed(1)
    work.record(database, "a", [attempt(claim, REFUSED, State.HELD)], config_version=1)
    document = Document(
        sources=[SourceConfig(name="web")],
        destinations=[DestinationConfig(name="a", type="http", settings={"url": "http://127.0.0.1/"})],
    )
    assert operations.apply(database, document, actor="ann") == 1
    assert operations.apply(database, document, actor="ann") is None, "nothing differs"
    assert state_of(database, claim.delivery_id) is State.READY
    assert version.read(database).created_by == "ann"


def test_a_removed_destination_holds_its_deliveries(database: Database) -> None:
    acceptance.accept(database, [new_lead()])
    assert dispatch.hold_orphans(database, ["a"], config_version=0) == 1
    [view] = query.deliveries(database, states=[State.HELD])
    assert view.reason == "the destination is not in the configuration"


def test_a_key_is_found_by_its_secret_until_revoked(database: Database) -> None:
    secret = create(database, name="shop", scopes=frozenset({"submit"}), source="web", actor="ann")
    found = find(database, secret)
    assert found is not None
    assert (found.name, found.scopes, found.source) == ("shop", {"submit"}, "web")
    assert find(database, secret + "x") is None
    revoke(database, "shop", actor="ann")
    assert find(database, secret) is None
    with pytest.raises(NotFound):
        revoke(database, "shop", actor="ann")
