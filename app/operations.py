"""What operators and integrators do, shared by CLI, API and console: configure, replay, discard, pause, reconcile."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from app.broker import Publisher, dead_queue
from app.catalog import Compiled, compile_document, nowhere
from app.config.loading import Loaded, load_folder
from app.config.schema import Document
from app.connectors import unusable_files
from app.errors import Conflict, InvalidConfig, NotFound
from app.ledger import Database, dispatch, operation, query, rollup, version
from app.ledger.acceptance import NOBODY, Subscriptions
from app.settings import Settings
from app.subscription import subscriptions_of

_RETENTION_GROUP = 1000


def validate(folder: Path) -> Loaded:
    """Read and compile a folder of configuration; raises `InvalidConfig` with file, line, field and remedy.

    Certificates are looked at here and not whenever a version is taken up: that must not hang on one process's files.
    """
    loaded = load_folder(folder)
    compile_document(loaded.document, 0, place=loaded.complaint)
    complaints = [
        loaded.complaint("destination", destination.name, one.field, one.detail, one.remedy)
        for destination in loaded.document.destinations
        if destination.network is not None
        for one in unusable_files(destination.network)
    ]
    if complaints:
        raise InvalidConfig(complaints)
    return loaded


def running(database: Database) -> Document:
    """The configuration in force, empty when none was applied yet."""
    if version.newest(database) == 0:
        return Document()
    return Document.model_validate(version.read(database).document)


def changes(before: Document, after: Document) -> list[tuple[str, str, str]]:
    """What differs: (added | removed | changed, source | destination, name)."""
    found = []
    for kind, old, new in (
        ("source", before.sources, after.sources),
        ("destination", before.destinations, after.destinations),
    ):
        was: Mapping[str, Any] = {one.name: one for one in old}
        now: Mapping[str, Any] = {one.name: one for one in new}
        found += [("added", kind, name) for name in now if name not in was]
        found += [("removed", kind, name) for name in was if name not in now]
        found += [("changed", kind, name) for name in now if name in was and was[name] != now[name]]
    return found


def apply(database: Database, document: Document, *, actor: str, note: str = "") -> int | None:
    """Make a validated configuration the running one; its version, or None when nothing differs."""
    differing = changes(running(database), document)
    if not differing and version.newest(database) > 0:
        return None
    touched = [name for _, kind, name in differing if kind == "destination"]
    return version.write(
        database,
        document.model_dump(mode="json"),
        changed=touched,
        actor=actor,
        note=note,
        subscriptions=subscriptions_of(document, 0),
    )


def roll_back(database: Database, number: int, *, actor: str) -> int | None:
    """Apply the document of an earlier version as a new one; raises `NotFound`, `InvalidConfig`."""
    document = Document.model_validate(version.read(database, number).document)
    compile_document(document, 0, place=nowhere)
    return apply(database, document, actor=actor, note=f"roll back to version {number}")


def subscriptions(database: Database) -> Subscriptions:
    """Who is told of what by the configuration in force; for one-shot commands."""
    return subscriptions_of(running(database), version.newest(database))


def replay(database: Database, delivery_id: UUID, *, actor: str, note: str = "") -> query.DeliveryView:
    """Send one delivery again; raises `NotFound`, or `Conflict` when it is still under way."""
    if not operation.replay(database, [delivery_id], actor=actor, note=note):
        found = _existing(database, delivery_id)
        raise Conflict(f"delivery {delivery_id} is {found.state}: it is still under way and cannot be replayed")
    return _existing(database, delivery_id)


def discard(
    database: Database, delivery_id: UUID, *, actor: str, note: str = "", subscriptions: Subscriptions = NOBODY
) -> query.DeliveryView:
    """Give one dead or held delivery up; raises `NotFound`, or `Conflict` when it is neither."""
    if not operation.cancel(database, [delivery_id], actor=actor, note=note, subscriptions=subscriptions):
        found = _existing(database, delivery_id)
        raise Conflict(f"delivery {delivery_id} is {found.state}: only dead and held deliveries can be discarded")
    return _existing(database, delivery_id)


class Steward:
    """Housekeeping of one installation, run by workers when the leader's beat asks."""

    def __init__(self, database: Database, publisher: Publisher, settings: Settings) -> None:
        self._database = database
        self._publisher = publisher
        self._settings = settings

    def retain(self) -> None:
        """Delete leads past their retention, group by group, and fold figures as old. Raises `Unavailable`."""
        days = self._settings.retention_days
        while operation.forget(self._database, older_than_days=days, limit=_RETENTION_GROUP) == _RETENTION_GROUP:
            pass
        rollup.fold(self._database, after_days=days)

    def mirror(self) -> None:
        """Rebuild each dead-letter queue whose length is not what the ledger says was put there. Raises `Unavailable`."""
        shown = dispatch.shown(self._database)
        names = {*shown, *(one.name for one in running(self._database).destinations)}
        lengths = self._publisher.lengths([dead_queue(name) for name in sorted(names)])
        for name in sorted(names):
            if lengths[dead_queue(name)] != shown.get(name, 0):
                self._publisher.purge(dead_queue(name))
                dispatch.remirror(self._database, name)


def compiled(database: Database) -> Compiled:
    """The running configuration, compiled; for one-shot commands. Raises `NotFound` when none was applied yet."""
    if version.newest(database) == 0:
        raise NotFound("no configuration was applied yet; run `leadrelay config apply`")
    found = version.read(database)
    return compile_document(Document.model_validate(found.document), found.version)


def _existing(database: Database, delivery_id: UUID) -> query.DeliveryView:
    found = query.delivery(database, delivery_id)
    if found is None:
        raise NotFound(f"there is no delivery {delivery_id}")
    return found
