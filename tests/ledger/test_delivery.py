"""Whatever a connector, a mapping or an answer does, each delivery of the group ends in a recorded state."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID

import pytest
from pydantic import BaseModel

from app import delivery, operations
from app.catalog import Catalog, Step
from app.config.schema import DestinationConfig, Document, SourceConfig
from app.connectors.base import Connector, Sent
from app.delivery import Deliverer
from app.errors import DataFault
from app.ledger import Database, acceptance, query
from app.mapping import CompiledMapping
from app.model import Item, Outcome, Result
from tests.ledger.conftest import SUCCESS, new_lead, queued

Make = Callable[..., Connector[Any]]


class NoSettings(BaseModel):
    pass


class Plain(Connector[Any]):
    Settings: ClassVar[type[BaseModel]] = NoSettings

    def deliver(self, item: Item) -> Outcome:  # noqa: ARG002  # the contract's
        return SUCCESS


class Silent(Plain):
    def deliver(self, item: Item) -> Any:  # noqa: ARG002  # the contract's
        return None


class Short(Plain):
    def deliver_many(self, items: Sequence[Item], *, until: float) -> list[Sent]:  # noqa: ARG002  # the contract's
        return [Sent(answer=SUCCESS)]


class Unstorable(Plain):
    def deliver(self, item: Item) -> Outcome:  # noqa: ARG002  # the contract's
        return Outcome(result=Result.SUCCESS, captured={"name": "\ud800"})


class Unmakeable(Plain):
    def __init__(self, *_: Any, **__: Any) -> None:
        raise OSError("no such certificate")


@pytest.fixture
def deliver(database: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Plain]], list[query.DeliveryView]]:
    document = Document(
        sources=[SourceConfig(name="web")],
        destinations=[DestinationConfig(name="a", type="http", settings={"url": "http://127.0.0.1/"})],
    )
    operations.apply(database, document, actor="test")
    catalog = Catalog(database)
    catalog.refresh()

    def run(kind: type[Plain]) -> list[query.DeliveryView]:
        def create(step: Step, _environ: object, _tokens: object) -> Connector[Any]:
            return kind(step.config.name, NoSettings(), limits=step.config.limits)

        monkeypatch.setattr(delivery, "create_connector", create)
        acceptance.accept(database, [new_lead() for _ in range(3)])
        ids: list[UUID] = queued(database, "a", 3)
        deliverer = Deliverer(database, catalog, lease_seconds=32.5, environ={})
        deliverer.deliver("a", ids)
        deliverer.close()
        return sorted(query.deliveries(database), key=lambda view: ids.index(view.id))

    return run


Deliver = Callable[[type[Plain]], list[query.DeliveryView]]


@pytest.mark.parametrize("test", [False, True])
def test_a_lead_sent_to_try_things_out_is_marked_for_its_destination(
    deliver: Deliver, monkeypatch: pytest.MonkeyPatch, *, test: bool
) -> None:
    seen: list[tuple[bool, object]] = []

    class Noting(Plain):
        def deliver(self, item: Item) -> Outcome:
            seen.append((item.test, item.payload))
            return SUCCESS

    def marked(database: Database, leads: Sequence[acceptance.NewLead], accept: Any = acceptance.accept) -> Any:
        return accept(database, [replace(lead, test=test) for lead in leads])

    monkeypatch.setattr(CompiledMapping, "render", lambda _, context: {"test": context["delivery"]["test"]})
    monkeypatch.setattr(acceptance, "accept", marked)
    deliver(Noting)
    assert seen == [(test, {"test": test})] * 3


@pytest.mark.parametrize("kind", [Silent, Short])
def test_an_answer_that_is_none_is_a_defect_of_the_connector(deliver: Deliver, kind: type[Plain]) -> None:
    for view in deliver(kind):
        assert (view.state, view.fault) == ("dead", "permanent")
        assert (view.reason or "").startswith("a defect of connector type http")


def test_an_answer_that_cannot_be_stored_keeps_its_outcome(deliver: Deliver) -> None:
    assert [view.state for view in deliver(Unstorable)] == ["delivered"] * 3


def test_a_connector_that_cannot_be_made_opens_the_circuit(deliver: Deliver) -> None:
    first, *rest = deliver(Unmakeable)
    assert (first.state, first.fault, first.ambiguous) == ("held", "configuration", False)
    assert "no such certificate" not in (first.reason or "")
    assert [(view.state, view.attempts) for view in rest] == [("ready", 0)] * 2


def test_a_mapping_that_breaks_on_one_lead_costs_the_others_nothing(
    deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[object] = []

    def render(_mapping: CompiledMapping, context: Any) -> dict[str, Any]:
        rendered.append(context)
        if len(rendered) == 1:
            raise ZeroDivisionError(context["lead"]["email"])
        return {}

    monkeypatch.setattr(CompiledMapping, "render", render)
    views = deliver(Plain)
    assert sum(view.state == "delivered" for view in views) == 2
    [broken] = [view for view in views if view.state == "dead"]
    assert (broken.fault, broken.ambiguous) == (DataFault.fault, False)
    assert "example.com" not in (broken.reason or "")
