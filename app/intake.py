"""The one way in: validates, deduplicates on the producer's key, routes, and writes leads with their deliveries.

Every door (Python, HTTP, CLI) ends here. It needs the ledger only: with the broker down, leads are still accepted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from app.catalog import Catalog, Compiled, Source
from app.context import context
from app.errors import Complaint, Conflict, InvalidLead, Unavailable
from app.ledger import Database, acceptance, query
from app.model import Priority
from app.promise import promised

KEY_CHARACTERS = 255
_canonical = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What a producer hands in.

    `key` is its idempotency key; `test` marks a lead sent to try things out; `priority` is the source's if not given.
    """

    source: str
    fields: Mapping[str, Any]
    key: str | None = None
    test: bool = False
    priority: Priority | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """An accepted lead: its id, the destinations of its deliveries by delivery id, and fields that kept their raw text.

    `repeated`: the key was used before with the same body; this is the lead of then.
    """

    lead_id: UUID
    deliveries: Mapping[UUID, str]
    invalid: Mapping[str, str]
    repeated: bool = False


Answer = Receipt | InvalidLead | Conflict


class Intake:
    """Accepts leads into one ledger under the running configuration."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog

    def accept(self, submissions: Sequence[Submission]) -> list[Answer]:
        """Take a group; per submission, in order, a receipt or why it was not taken.

        A receipt is given after the commit. Raises `Unavailable` when the ledger is out of reach or no configuration
        was applied yet: then none was taken.
        """
        compiled = self._configuration()
        answers: list[Answer | None] = [None] * len(submissions)
        leads: list[acceptance.NewLead] = []
        places: list[int] = []
        for place, submission in enumerate(submissions):
            try:
                leads.append(self._prepare(compiled, submission))
                places.append(place)
            except InvalidLead as complaint:
                answers[place] = complaint
        if leads:
            known = acceptance.accept(self._database, leads, subscriptions=compiled.subscriptions)
            repeats = self._repeats([before.lead_id for before in known if before is not None and before.same_body])
            for place, lead, before in zip(places, leads, known, strict=True):
                answers[place] = _answer(lead, before, repeats)
        return [answer for answer in answers if answer is not None]

    def _configuration(self) -> Compiled:
        if self._catalog.current.version == 0:  # this process has only just started
            self._catalog.refresh()
        if self._catalog.current.version == 0:
            raise Unavailable("no configuration was applied yet; run `leadrelay config apply`")
        return self._catalog.current

    def _prepare(self, compiled: Compiled, submission: Submission) -> acceptance.NewLead:
        source = compiled.sources.get(submission.source)
        if source is None:
            known = ", ".join(sorted(compiled.sources)) or "none"
            raise InvalidLead(
                [Complaint(field="source", detail="there is no such source", remedy=f"known sources: {known}")]
            )
        _check_key(submission.key)
        read = source.specs.read(submission.fields)
        lead_id = uuid7()
        return acceptance.NewLead(
            id=lead_id,
            source=submission.source,
            fields=read.fields,
            invalid=read.invalid,
            test=submission.test,
            config_version=compiled.version,
            deliveries=_deliveries(source, lead_id, read.fields),
            priority=submission.priority or source.config.priority,
            key=submission.key,
            digest=b""
            if submission.key is None
            else blake2b(_canonical.encode(submission.fields), digest_size=16).digest(),
        )

    def _repeats(self, ids: Sequence[UUID]) -> Mapping[UUID, Receipt]:
        if not ids:
            return {}
        return {
            lead.id: Receipt(lead_id=lead.id, deliveries=deliveries, invalid=lead.invalid, repeated=True)
            for lead, deliveries in query.leads(self._database, ids)
        }


def _deliveries(source: Source, lead_id: UUID, fields: Mapping[str, Any]) -> list[acceptance.Routed]:
    if source.is_plain:
        return [acceptance.Routed(id=uuid7(), destination=one.destination) for one in source.routes]
    seen = context(
        fields,
        lead_id=lead_id,
        received_at=datetime.now(UTC),
        source=source.config.name,
        description=source.config.description,
    )
    return promised(source.routes, seen)


def _check_key(key: str | None) -> None:
    if key is not None and (not 0 < len(key) <= KEY_CHARACTERS or not key.isprintable()):
        raise InvalidLead(
            [
                Complaint(
                    field="Idempotency-Key",
                    detail=f"must be 1 to {KEY_CHARACTERS} printable characters",
                    remedy="send a UUID, or your own id of the lead",
                )
            ]
        )


def _answer(lead: acceptance.NewLead, before: acceptance.Known | None, repeats: Mapping[UUID, Receipt]) -> Answer:
    if before is None:
        deliveries = {delivery.id: delivery.destination for delivery in lead.deliveries}
        return Receipt(lead_id=lead.id, deliveries=deliveries, invalid=lead.invalid)
    if not before.same_body:
        return Conflict("this Idempotency-Key was used before with another body; use a new key for a new lead")
    return repeats[before.lead_id]
