"""The producer's door for Python programs: leads go straight into the ledger, nothing else has to run.

The same intake as behind the HTTP API; it needs PostgreSQL only. It may not know how leads are delivered.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from logging import ERROR
from time import monotonic
from types import TracebackType
from typing import Any, Literal, Self
from uuid import UUID

from app import feedback
from app.catalog import Catalog
from app.errors import Complaint, Conflict, InvalidConfig, InvalidLead
from app.intake import Answer, Intake, Receipt, Submission
from app.ledger import Database, revision
from app.ledger.feedback import Recorded
from app.model import Priority
from app.settings import settings
from app.telemetry import Event, emit

Fields = Mapping[str, Any]
Entry = Fields | tuple[Fields, str | None]
Class = Priority | Literal["fresh", "backfill"]


class Client:
    """Submits leads; threads share one.

    `database_url` is the ledger's address (a PostgreSQL URL); without it the settings' is used: `LEADRELAY_DATABASE_URL`,
    or that of a stack running in `LEADRELAY_HOME`. Raises `Unavailable` if neither is there.

    >>> with Client() as client:
    ...     receipt = client.submit({"email": "ada@example.com"}, source="web", key="order-4711")
    ...     print(receipt.lead_id)
    """

    def __init__(self, database_url: str | None = None) -> None:
        url = database_url or settings().required_database_url
        self._database = Database(url, size=settings().database_pool, application_name="leadrelay-client")
        self._catalog = Catalog(self._database)
        self._intake = Intake(self._database, self._catalog)
        self._look_again = 0.0
        self._is_usable = False

    def submit(
        self,
        lead: Fields,
        *,
        source: str,
        key: str | None = None,
        test: bool = False,
        priority: Class | None = None,
    ) -> Receipt:
        """Submit one lead; when this returns, the lead is safe and will be delivered.

        `lead` holds JSON values by field name. `key` is your own id of the lead: the same key with the same fields gives
        the same receipt (`repeated`) and no second lead, so a call that failed half-way can be made again. `test` marks a
        lead sent to try things out. `priority` is the source's if not given: where both wait, most of a destination goes to
        fresh leads and the rest to the backfill.

        Raises `InvalidLead` with a complaint per field, `Conflict` when the key was used with other fields, and
        `Unavailable` when the ledger is out of reach: then it is not known whether the lead was taken; submit again with
        the same key. `Outdated`, one of these, tells that `leadrelay migrate` has not run yet.
        """
        [answer] = self._accept([_submission((lead, key), source, test=test, priority=priority)])
        if isinstance(answer, Receipt):
            return answer
        raise answer

    def submit_many(
        self, leads: Iterable[Entry], *, source: str, group_size: int = 500, priority: Class | None = None
    ) -> Iterator[Receipt | InvalidLead | Conflict]:
        """Submit many leads, one transaction per group; the answers come in the order of the leads.

        `leads` may be endless: it is read `group_size` at a time, as the answers are taken. An entry is a lead, or a pair of
        a lead and its key. `priority` is that of `submit`, for all of them. A lead that cannot be taken is answered with its
        exception and stops nothing.

        Raises `Unavailable` as `submit` does; groups answered before are safe.

        >>> with Client() as client:
        ...     pairs = (({"email": row["mail"]}, str(row["id"])) for row in rows)
        ...     for answer in client.submit_many(pairs, source="web"):
        ...         if not isinstance(answer, Receipt):
        ...             print("refused:", answer)
        """
        entries = iter(leads)
        while group := list(islice(entries, group_size)):
            yield from self._accept([_submission(entry, source, test=False, priority=priority) for entry in group])

    def give_feedback(
        self,
        delivery_id: UUID | str | None = None,
        *,
        type: Literal["conversion", "return"],  # noqa: A002  # the word of the HTTP API
        **more: Any,
    ) -> Recorded:
        """Report what became of a lead after its delivery; told on the delivery's timeline.

        `delivery_id` is the idempotency key its destination was sent; instead, give `destination` and `reference`. `more` may
        hold `reason`, `value` (a `Decimal`) with `currency`, `occurred_at` (with its zone), and `id`: the same id again is
        taken once.

        Raises `InvalidInput` with a complaint per argument, `NotFound` for an unknown delivery, `Conflict` for an id that was
        used for other feedback, and `Unavailable`: then report it again.
        """
        entry = {"type": type, **more} if delivery_id is None else {"delivery_id": delivery_id, "type": type, **more}
        self._check()
        [answer] = feedback.take(self._database, [entry], actor="python")
        if isinstance(answer, Recorded):
            return answer
        raise answer

    def close(self) -> None:
        """Close the connections to the ledger."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self, submissions: list[Submission | InvalidLead]) -> list[Answer]:
        self._check()
        self._refresh()
        taken = iter(self._intake.accept([one for one in submissions if isinstance(one, Submission)]))
        return [next(taken) if isinstance(one, Submission) else one for one in submissions]

    def _check(self) -> None:
        """See once that the ledger's tables are not older than this code; raises `Outdated`."""
        if not self._is_usable:
            with self._database.transaction() as connection:
                revision.check(connection)
            self._is_usable = True

    def _refresh(self) -> None:
        """Take up a newer configuration, looking for one as often as every other process does."""
        now = monotonic()
        if now < self._look_again:
            return
        try:
            self._catalog.refresh()
        except InvalidConfig as error:  # applied by a newer release; go on with what this one understands
            if self._catalog.current.version == 0:
                raise
            emit(Event.CONFIG_REFUSED, level=ERROR, detail=str(error))
        self._look_again = now + settings().config_poll_seconds


def _submission(entry: Entry, source: str, *, test: bool, priority: str | None) -> Submission | InvalidLead:
    fields, key = entry if isinstance(entry, tuple) else (entry, None)
    if not isinstance(fields, Mapping):
        return InvalidLead([Complaint(field="lead", detail="must be a mapping of field names to values")])
    if key is not None and not isinstance(key, str):
        return InvalidLead([Complaint(field="key", detail="must be text", remedy="convert it: str(key)")])
    if priority is not None and priority not in list(Priority):
        return InvalidLead([Complaint(field="priority", detail=f"must be {' or '.join(Priority)}")])
    return Submission(
        source=source, fields=fields, key=key, test=test, priority=Priority(priority) if priority else None
    )


__all__ = ["Client", "Conflict", "InvalidLead", "Receipt"]
