"""The HTTP connector as a worker uses it: values of the lead in the request, a destination that tells of its end."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from time import monotonic
from typing import Any
from uuid import UUID

import pytest

from app import delivery, operations
from app.catalog import Catalog
from app.config.schema import DestinationConfig, Document, RetryConfig, SourceConfig
from app.delivery import Deliverer
from app.ledger import Database, acceptance, query
from app.ledger.balance import balance
from app.telemetry import Event
from tests.connectors import fault_server
from tests.connectors.fault_server import LOCAL, FaultServer, answer
from tests.ledger.conftest import new_lead, queued


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server.running(answer(200, deprecation="@1769817600")) as running:
        yield running


def deliver(database: Database, groups: int, *more: DestinationConfig, **settings: Any) -> list[query.DeliveryView]:
    config = DestinationConfig(name="a", type="http", mapping={"n": 1}, settings=settings, network=LOCAL)
    document = Document(sources=[SourceConfig(name="web")], destinations=[config, *more])
    operations.apply(database, document, actor="test")
    catalog = Catalog(database)
    catalog.refresh()
    deliverer = Deliverer(database, catalog, lease_seconds=32.5, environ={})
    for _ in range(groups):
        acceptance.accept(database, [new_lead(), new_lead()])
        deliverer.deliver("a", queued(database, "a", 2))
    deliverer.close()
    return list(query.deliveries(database))


def test_request_holds_values_of_its_own_lead(database: Database, server: FaultServer) -> None:
    views = deliver(
        database,
        1,
        url=f"{server.url}/{{{{ delivery.id }}}}?lead={{{{ delivery.lead_id }}}}",
        headers={"X-Mail": "{{ lead.email | upcase }}", "X-Try": "{{ delivery.attempt }}"},
    )
    assert sorted(request.target for request in server.received) == sorted(
        f"/{view.id}?lead={view.lead_id}" for view in views
    )
    assert all(request.headers["x-mail"].endswith("@EXAMPLE.COM") for request in server.received)
    assert {request.headers["x-try"] for request in server.received} == {"1"}


def test_lead_that_would_break_a_header_is_dead_and_the_others_are_delivered(
    database: Database, server: FaultServer
) -> None:
    header = "{% if lead.email %}{{ delivery.destination | append: source.name }}{% endif %}{{ lead.break }}"
    settings = {"url": server.url, "headers": {"X-A": header}}
    config = DestinationConfig(name="a", type="http", settings=settings, network=LOCAL)
    operations.apply(database, Document(sources=[SourceConfig(name="web")], destinations=[config]), actor="test")
    catalog = Catalog(database)
    catalog.refresh()
    good, bad = new_lead(), replace(new_lead(), fields={"break": "x\r\nX-Evil: 1"})
    acceptance.accept(database, [good, bad])
    deliverer = Deliverer(database, catalog, lease_seconds=32.5, environ={})
    deliverer.deliver("a", queued(database, "a", 2))
    deliverer.close()
    views = {view.state: view for view in query.deliveries(database)}
    assert views.keys() == {"delivered", "dead"}
    assert views["dead"].fault == "data"
    assert (views["dead"].reason or "").startswith("header X-A: ")
    assert len(server.received) == 1


def test_end_of_an_interface_is_logged_once_a_day(
    database: Database, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[Event, dict[str, object]]] = []
    monkeypatch.setattr(delivery, "emit", lambda event, **fields: told.append((event, fields)))
    deliver(database, 3, url=server.url)
    notices = [fields for event, fields in told if event is Event.DEPRECATED]
    assert [(fields["destination"], fields["detail"]) for fields in notices] == [("a", "deprecated since 2026-01-31")]


def test_end_of_an_interface_is_told_until_the_destination_is_configured_anew(
    database: Database, server: FaultServer
) -> None:
    deliver(database, 1, url=server.url)
    assert query.destinations(database)["a"].notice == "deprecated since 2026-01-31"
    server.behaviour = answer(200)
    deliver(database, 1, url=f"{server.url}/v3")
    assert query.destinations(database)["a"].notice is None


def test_end_of_an_interface_is_an_event_once_for_each_thing_that_is_said(
    database: Database, server: FaultServer
) -> None:
    hook = DestinationConfig(name="hook", type="http", events=["destination.*"], settings={"url": server.url})
    for _ in range(2):  # as of two workers
        deliver(database, 2, hook, url=server.url)
    server.behaviour = answer(200, sunset="Sun, 31 Jan 2027 00:00:00 GMT")
    deliver(database, 1, hook, url=server.url)
    events = sorted(row[0] for row in database.fetch("select id from leads where source = 'events'"))
    told = {lead.id: lead.fields for lead, _ in query.leads(database, events)}
    assert [(told[one]["type"], told[one]["destination"], told[one]["reason"]) for one in events] == [
        ("destination.deprecated", "a", "deprecated since 2026-01-31"),
        ("destination.deprecated", "a", "shut down on 2027-01-31"),
    ]
    assert balance(database).holds


def test_leads_whose_answer_was_lost_go_again_together_under_the_same_key(
    database: Database, server: FaultServer
) -> None:
    retry = RetryConfig(base_seconds=0.01, max_seconds=0.01)
    settings = {"url": server.url, "batch": {"size": 10, "results": "*"}}
    config = DestinationConfig(
        name="a", type="http", mapping={"id": "{{ delivery.id }}"}, settings=settings, network=LOCAL, retry=retry
    )
    operations.apply(database, Document(sources=[SourceConfig(name="web")], destinations=[config]), actor="test")
    catalog = Catalog(database)
    catalog.refresh()
    deliverer = Deliverer(database, catalog, lease_seconds=32.5, environ={})
    acceptance.accept(database, [new_lead() for _ in range(3)])
    for behaviour in (fault_server.reset, answer(200, b'[{"ok": 1}, {"ok": 2}]'), answer(200, b"[1, 2, 3]")):
        server.behaviour = behaviour
        ids: list[UUID] = []
        ends = monotonic() + 5
        while len(ids) < 3 and monotonic() < ends:
            ids += queued(database, "a", 3)
        deliverer.deliver("a", ids)
    deliverer.close()
    views = query.deliveries(database)
    assert [(view.state, view.attempts) for view in views] == [("delivered", 3)] * 3
    expected = sha256("\n".join(sorted(str(view.id) for view in views)).encode()).hexdigest()
    assert [request.headers["idempotency-key"] for request in server.received] == [expected] * 3
    for attempts in query.attempts(database, [view.id for view in views]).values():
        assert [one.ambiguous for one in attempts] == [True, True, False]
    assert all(len({request.body.count(str(view.id).encode()) for request in server.received}) == 1 for view in views)
