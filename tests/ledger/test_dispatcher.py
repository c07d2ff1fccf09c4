"""The leader's loop body on a real ledger, with a broker in memory."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from app import operations
from app.broker import Publisher, create
from app.catalog import Catalog
from app.config.schema import DestinationConfig, Document, SourceConfig
from app.dispatch import Dispatcher
from app.ledger import Database, acceptance, dispatch, work
from app.model import State
from app.settings import Settings
from tests.ledger.conftest import new_lead, state_of


def _document(*names: str) -> Document:
    return Document(
        sources=[SourceConfig(name="web")],
        destinations=[
            DestinationConfig(name=name, type="http", settings={"url": "http://127.0.0.1/"}) for name in names
        ],
    )


@pytest.fixture
def catalog(database: Database) -> Catalog:
    operations.apply(database, _document("a"), actor="test")
    found = Catalog(database)
    found.refresh()
    return found


@pytest.fixture
def dispatcher(database: Database, catalog: Catalog) -> Dispatcher:
    return Dispatcher(database, catalog, Publisher(create(Settings(broker_url="memory://"))), Settings())


def test_a_version_that_only_a_newer_release_understands_stops_no_other_destination(
    database: Database, dispatcher: Dispatcher
) -> None:
    novel: Mapping[str, Any] = {**_document("a", "b").model_dump(mode="json"), "novelty": {}}
    database.fetch(
        "insert into config_versions (created_by, digest, document) values ('x', 'x', %s) returning 1", (Jsonb(novel),)
    )
    lead = new_lead(destinations=("a", "b"))
    acceptance.accept(database, [lead])
    dispatcher.turn()
    assert [state_of(database, one.id) for one in lead.deliveries] == [State.QUEUED, State.READY]


def test_a_destination_taken_up_by_another_thread_in_mid_turn_is_not_held(
    database: Database, catalog: Catalog, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations.apply(database, _document("a", "b"), actor="test")
    lead = new_lead(destinations=("b",))
    acceptance.accept(database, [lead])
    survey = dispatch.survey

    def late(ledger: Database) -> Any:
        catalog.refresh()  # as the thread that follows the configuration does
        return survey(ledger)

    monkeypatch.setattr(dispatch, "survey", late)
    dispatcher.turn()
    dispatcher.turn()
    assert state_of(database, lead.deliveries[0].id) is State.QUEUED


def test_a_destination_removed_for_good_holds_its_work(database: Database, dispatcher: Dispatcher) -> None:
    lead = new_lead(destinations=("gone",))
    acceptance.accept(database, [lead])
    dispatcher.turn()
    assert state_of(database, lead.deliveries[0].id) is State.HELD


def test_what_may_have_ended_several_workers_goes_one_by_one(database: Database, dispatcher: Dispatcher) -> None:
    leads = [new_lead(destinations=("a",)) for _ in range(6)]
    acceptance.accept(database, leads)
    ids = [lead.deliveries[0].id for lead in leads]
    ended = "update deliveries set reason = %s, attempts = %s where id = any(%s) returning 1"
    database.fetch(ended, (work.WORKER_ENDED, 1, ids[:2]))
    database.fetch(ended, (work.WORKER_ENDED, 2, ids[2:5]))

    def sent() -> set[UUID]:
        dispatcher.turn()
        found = "select id from deliveries where state = 'queued'"
        return {row[0] for row in database.fetch(found)}

    def end(*done: UUID) -> None:
        database.fetch("update deliveries set state = 'delivered' where id = any(%s) returning 1", (list(done),))

    assert sent() == {*ids[:2], ids[5]}, "suspects wait for those whose worker ended once"
    end(ids[0])
    assert sent() == {ids[1], ids[5]}
    end(ids[1])
    gone = []
    while suspect := sent() - {ids[5]}:
        assert sent() - {ids[5]} == suspect, "one at a time"
        gone += suspect
        end(*suspect)
    assert sorted(gone) == sorted(ids[2:5])
