"""The way of a lead in one process and without a broker: real intake, ledger, deliverer and repair; answers as a test says."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar
from unittest.mock import patch
from uuid import UUID

from pydantic import BaseModel

from app import delivery, operations, repair
from app.catalog import Catalog, Step
from app.config.schema import DestinationConfig, Document, SourceConfig
from app.connectors.base import Connector
from app.delivery import Deliverer
from app.intake import Intake, Receipt, Submission
from app.ledger import Database, dispatch, query
from app.model import Item, Outcome, Result

TAKEN = Outcome(result=Result.SUCCESS, reference="r-1")


class NoSettings(BaseModel):
    pass


class Scripted(Connector[Any]):
    """Answers as its relay says."""

    Settings: ClassVar[type[BaseModel]] = NoSettings
    relay: "Relay"

    def deliver(self, item: Item) -> Outcome:
        self.relay.sent.append((self.name, item))
        return self.relay.answers.get(self.name, TAKEN)


class Relay:
    """What a test drives. `answers` by destination (success where none is set), `sent` holds what went out, in order."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.catalog = Catalog(database)
        self.answers: dict[str, Outcome] = {}
        self.sent: list[tuple[str, Item]] = []
        self._deliverer = Deliverer(database, self.catalog, lease_seconds=30, environ={})

    def configure(self, destinations: Mapping[str, Mapping[str, Any]], /, **source: Any) -> None:
        """Apply a configuration: destinations by name, with what is special about each."""
        made = [
            DestinationConfig.model_validate(
                {"name": name, "type": "http", "settings": {"url": "http://127.0.0.1/"}, **special}
            )
            for name, special in destinations.items()
        ]
        document = Document(sources=[SourceConfig(name="web", **source)], destinations=made)
        operations.apply(self.database, document, actor="test")
        self.catalog.refresh()

    def accept(self, **fields: Any) -> Receipt:
        """One lead in."""
        [answer] = Intake(self.database, self.catalog).accept(
            [Submission(source="web", fields={"email": "ann@example.com", **fields})]
        )
        assert isinstance(answer, Receipt)
        return answer

    def run(self, *names: str) -> None:
        """Let each of these destinations have what is due for it, in this order."""
        for name in names:
            lanes = dispatch.survey(self.database).due.get(name, ())
            found = dispatch.queue(self.database, {name: dict.fromkeys(lanes, 100)}).get(name, {})
            self._deliverer.deliver(name, [one.id for lane in found.values() for one in lane])

    def repair(self) -> None:
        """What the leader's sweep does for what is late and overlooked."""
        repair.move_late(self.database, self.catalog.current)
        repair.release_overlooked(self.database, self.catalog.current)

    def views(self) -> dict[str, query.DeliveryView]:
        """Deliveries of the only lead, by the destination where they are now."""
        return {view.destination: view for view in query.deliveries(self.database)}

    def states(self) -> dict[str, str]:
        """Where each stands; one that waits for steps is "waits"."""
        waiting = {row[0] for row in self.database.fetch("select id from deliveries where due_at > '9000-01-01'")}
        return {
            name: "waits" if view.id in waiting and view.state == "ready" else str(view.state)
            for name, view in self.views().items()
        }

    def payloads(self, name: str) -> list[Mapping[str, Any]]:
        """What a destination was sent."""
        return [item.payload for destination, item in self.sent if destination == name]

    def id_of(self, name: str) -> UUID:
        """The delivery that is now with a destination."""
        return self.views()[name].id

    def close(self) -> None:
        """Give threads back."""
        self._deliverer.close()


@contextmanager
def relaying(database: Database) -> Iterator[Relay]:
    """A relay while the block lasts."""
    relay = Relay(database)

    def create(step: Step, _environ: object, _tokens: object) -> Connector[Any]:
        connector = Scripted(step.config.name, NoSettings(), limits=step.config.limits)
        connector.relay = relay
        return connector

    with patch.object(delivery, "create_connector", create):
        yield relay
    relay.close()
