"""What became of leads after their delivery: conversions and returns, as the destinations report them.

Each is written once however often it is reported, in one transaction with its audit record and the figures. The reason is
free text from outside and kept as leads are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from app.errors import Conflict, NotFound
from app.ledger.codec import decode, encode
from app.ledger.database import Connection, Database
from app.model import FeedbackType


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFeedback:
    """Feedback to be written: on `delivery_id`, or on what `destination` knows by `reference`; `key` is the giver's id of it."""

    type: FeedbackType
    delivery_id: UUID | None = None
    destination: str | None = None
    reference: str | None = None
    key: str | None = None
    reason: str | None = None
    value: Decimal | None = None
    currency: str | None = None
    occurred_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Feedback on record; `repeated`: it was before."""

    id: UUID
    delivery_id: UUID
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackView:
    """Feedback as people see it."""

    id: UUID
    type: FeedbackType
    reason: str | None
    value: Decimal | None
    currency: str | None
    occurred_at: datetime | None
    received_at: datetime
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """All-time figures of one cell; `currency` is empty, and `value` 0, for feedback that told none."""

    destination: str
    type: str
    currency: str
    count: int
    value: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The delivery that feedback is on."""

    id: UUID
    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    given: NewFeedback
    on: Delivered
    id: UUID
    key: str
    digest: bytes


_APART = "\x1f"
"""Between a giver and its id; no id holds it, for it cannot be printed."""
Answer = Recorded | NotFound | Conflict
Found = Delivered | NotFound | Conflict

_BY_ID = b"""
select d.id, d.destination from deliveries d
where d.id = any(%(ids)s) and (%(destination)s::text is null or d.destination = %(destination)s)
    and (%(source)s::text is null or exists (select from leads l where l.id = d.lead_id and l.source = %(source)s))
"""
_BY_REFERENCE = b"""
select wanted.place, found.id, found.destination
from unnest(%(places)s::int[], %(destinations)s::text[], %(references)s::text[]) as wanted (place, destination, reference)
cross join lateral (
    select d.id, d.destination from deliveries d
    where d.destination = wanted.destination and left(d.reference, 100) = left(wanted.reference, 100)
        and d.reference = wanted.reference and (%(destination)s::text is null or d.destination = %(destination)s)
        and (%(source)s::text is null or exists (select from leads l where l.id = d.lead_id and l.source = %(source)s))
    limit 2
) as found
"""
# Of a delivery that is being forgotten this waits for the end, and then there is none; one that it holds is forgotten later.
_LOCK = b"select id from deliveries where id = any(%s) order by id for key share"
_INSERT = b"""
insert into feedback (id, delivery_id, destination, key, digest, type, value, currency, occurred_at, actor, data)
select id, delivery_id, destination, key, digest, type, value, currency, occurred_at, %s, data
from unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::bytea[], %s::text[], %s::numeric[], %s::text[],
            %s::timestamptz[], %s::bytea[])
    as t (id, delivery_id, destination, key, digest, type, value, currency, occurred_at, data)
on conflict (destination, key) do nothing
returning id
"""
_BEFORE = b"""
select f.destination, f.key, f.id, f.delivery_id, f.digest from feedback f
join unnest(%s::text[], %s::text[]) as wanted (destination, key) using (destination, key)
"""
_COUNT = b"""
insert into feedback_figures (destination, type, currency, count, value)
select destination, type, coalesce(currency, ''), count(*), coalesce(sum(value), 0)
from feedback where id = any(%s) group by 1, 2, 3 order by 1, 2, 3
on conflict (destination, type, currency) do update set
    count = feedback_figures.count + excluded.count, value = feedback_figures.value + excluded.value
"""
_AUDIT = b"""
insert into audit (actor, action, subject, detail)
select actor, 'delivery.feedback', delivery_id::text, jsonb_build_object('feedback', id::text, 'type', type)
from feedback where id = any(%s)
"""
_OF_DELIVERIES = """
select delivery_id, id, type, value, currency, occurred_at, received_at, actor, data
from feedback where delivery_id = any(%s) order by id
"""
_FIGURES = "select destination, type, currency, count, value from feedback_figures order by 1, 2, 3"


def record(
    database: Database,
    given: Sequence[NewFeedback],
    *,
    actor: str,
    source: str | None = None,
    destination: str | None = None,
) -> list[Answer]:
    """Write feedback in one transaction; for each, in order, what is on record now or why it is not.

    `source` and `destination` bound what the giver may speak of: other deliveries do not exist for it. Who gives it is told
    by `actor` and `source`: a key's name may be used for several sources.
    """
    with database.transaction() as connection:
        found = _held(connection, given, _deliveries(connection, given, {"source": source, "destination": destination}))
        giver = f"{actor}{_APART}{source or ''}"
        rows = [_row(one, on, giver) for one, on in zip(given, found, strict=True) if isinstance(on, Delivered)]
        answers = iter(_write(connection, rows, actor) if rows else ())
    return [next(answers) if isinstance(on, Delivered) else on for on in found]


def of(database: Database, delivery_ids: Sequence[UUID]) -> dict[UUID, list[FeedbackView]]:
    """Feedback on these deliveries, in the order it came."""
    found: dict[UUID, list[FeedbackView]] = {}
    for row in database.fetch(_OF_DELIVERIES, (list(delivery_ids),)):
        found.setdefault(row[0], []).append(
            FeedbackView(
                id=row[1],
                type=FeedbackType(row[2]),
                reason=decode(row[8], row=row[1])["reason"],
                value=row[3],
                currency=row[4],
                occurred_at=row[5],
                received_at=row[6],
                actor=row[7],
            )
        )
    return found


def figures(database: Database) -> list[Figure]:
    """What was ever reported; unlike the feedback itself, this outlives its leads."""
    return [
        Figure(destination=row[0], type=row[1], currency=row[2], count=row[3], value=row[4])
        for row in database.fetch(_FIGURES)
    ]


def _deliveries(connection: Connection, given: Sequence[NewFeedback], bounds: Mapping[str, str | None]) -> list[Found]:
    ids = [one.delivery_id for one in given if one.delivery_id is not None]
    by_id = {
        row[0]: Delivered(id=row[0], destination=row[1]) for row in connection.execute(_BY_ID, {"ids": ids, **bounds})
    }
    named = [(place, one) for place, one in enumerate(given) if one.delivery_id is None]
    columns = {
        "places": [place for place, _ in named],
        "destinations": [one.destination for _, one in named],
        "references": [one.reference for _, one in named],
    }
    by_place: dict[int, list[Delivered]] = {}
    for place, *row in connection.execute(_BY_REFERENCE, {**columns, **bounds}) if named else ():
        by_place.setdefault(place, []).append(Delivered(id=row[0], destination=row[1]))
    return [
        _only(one, by_place.get(place, [])) if one.delivery_id is None else by_id.get(one.delivery_id) or _missing(one)
        for place, one in enumerate(given)
    ]


def _held(connection: Connection, given: Sequence[NewFeedback], found: Sequence[Found]) -> list[Found]:
    """The deliveries again, kept from being forgotten before their feedback is written; without those that just were."""
    ids = [on.id for on in found if isinstance(on, Delivered)]
    there = {row[0] for row in connection.execute(_LOCK, (ids,))} if ids else set()
    return [
        _missing(one) if isinstance(on, Delivered) and on.id not in there else on
        for one, on in zip(given, found, strict=True)
    ]


def _only(one: NewFeedback, found: Sequence[Delivered]) -> Found:
    match found:
        case []:
            return _missing(one)
        case [delivered]:
            return delivered
        case _:
            return Conflict(
                f"destination {one.destination} gave this reference to several deliveries; name the one by delivery_id"
            )


def _missing(one: NewFeedback) -> NotFound:
    if one.delivery_id is not None:
        return NotFound(f"there is no delivery {one.delivery_id}")
    return NotFound(f"there is no delivery of destination {one.destination} with this reference")


def _row(given: NewFeedback, on: Delivered, giver: str) -> _Row:
    said = [
        str(on.id),
        given.type.value,
        given.reason,
        None if given.value is None else f"{given.value.normalize():f}",
        given.currency,
        None if given.occurred_at is None else given.occurred_at.astimezone(UTC).isoformat(),
    ]
    digest = blake2b(msgspec.json.encode(said), digest_size=16).digest()
    # Without an id of the giver's, the same words on the same delivery are the same feedback, whoever says them. No giver
    # begins with a space.
    key = f" {digest.hex()}" if given.key is None else f"{giver}{_APART}{given.key}"
    return _Row(given=given, on=on, id=uuid7(), key=key, digest=digest)


def _write(connection: Connection, rows: Sequence[_Row], actor: str) -> list[Answer]:
    # Sorted, so that two groups with the same keys cannot wait for each other in a circle.
    ordered = sorted(rows, key=lambda row: (row.on.destination, row.key))
    columns = (
        [row.id for row in ordered],
        [row.on.id for row in ordered],
        [row.on.destination for row in ordered],
        [row.key for row in ordered],
        [row.digest for row in ordered],
        [row.given.type.value for row in ordered],
        [row.given.value for row in ordered],
        [row.given.currency for row in ordered],
        [row.given.occurred_at for row in ordered],
        [encode({"reason": row.given.reason}, row=row.id) for row in ordered],
    )
    written = {row[0] for row in connection.execute(_INSERT, (actor, *columns))}
    connection.execute(_COUNT, (list(written),))
    connection.execute(_AUDIT, (list(written),))
    others = [row for row in ordered if row.id not in written]
    before = {
        (found[0], found[1]): found[2:]
        for found in connection.execute(_BEFORE, ([row.on.destination for row in others], [row.key for row in others]))
    }
    return [_answer(row, before.get((row.on.destination, row.key))) for row in rows]


def _answer(row: _Row, before: Sequence[Any] | None) -> Answer:
    if before is None:
        return Recorded(id=row.id, delivery_id=row.on.id)
    found, delivery_id, digest = before
    if found == row.id:
        return Recorded(id=row.id, delivery_id=row.on.id)
    if digest != row.digest:
        return Conflict("you used this id before for other feedback; use a new id for new feedback")
    return Recorded(id=found, delivery_id=delivery_id, repeated=True)


Views = Mapping[UUID, Sequence[FeedbackView]]
"""Feedback by delivery."""
