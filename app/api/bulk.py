"""POST /v1/leads/bulk: many leads as a stream of lines, answered by a stream of lines.

Lines are taken in groups of one transaction each; while a group is on its way to the ledger, the next one comes in. When
the ledger is slower than the client, nothing more is read (back-pressure); the body is never held as a whole.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app.api.body import media_type
from app.api.grouping import accept_apart
from app.api.line import Csv, Format, Line, Ndjson, Row, Splitter
from app.api.outflow import Outflow
from app.api.parameter import choose_source, read_parameters
from app.api.problem import Kind, Problem, invalid_parameter, malformed, problem_of, shown
from app.api.service import Service
from app.api.submission import refuse_encoded
from app.api.wire import Gone, encode, headers_of
from app.errors import Conflict, Unavailable
from app.intake import Answer, Intake, Receipt, Submission
from app.model import Priority
from app.telemetry import Event, report

ROUTE = "POST /v1/leads/bulk"
GROUP = 500
PARAMETERS = frozenset({"source", "test", "priority", "key_field"})
_FORMATS: Mapping[str, type[Ndjson] | type[Csv]] = {
    "application/x-ndjson": Ndjson,
    "application/ndjson": Ndjson,
    "application/jsonl": Ndjson,
    "application/x-jsonlines": Ndjson,
    "text/csv": Csv,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What every lead of one bulk body has in common."""

    intake: Intake
    rows: Format
    source: str
    test: bool
    priority: Priority | None
    key_field: str | None

    def take(self, lines: Sequence[Line], *, last: bool) -> bytes:
        """Take the leads of some lines and answer each on a line; raises `Unavailable`: then none was taken."""
        rows = self.rows.rows(lines, last=last)
        prepared = [row if row.fields is None else self._submission(row) for row in rows]
        submissions = [one for one in prepared if isinstance(one, Submission)]
        answers = iter(accept_apart(self.intake.accept, submissions) if submissions else [])
        told = []
        for row, one in zip(rows, prepared, strict=True):
            told.append(self._told(row.line, next(answers) if isinstance(one, Submission) else one.problem))
        return b"".join(told)

    def _submission(self, row: Row) -> Submission | Row:
        assert row.fields is not None
        key = None
        if self.key_field is not None:
            value = row.fields.get(self.key_field)
            if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
                detail = "is the key_field and must be text or a whole number"
                return Row(line=row.line, problem=malformed(detail, field=shown(self.key_field)))
            key = str(value)
        return Submission(source=self.source, fields=row.fields, key=key, test=self.test, priority=self.priority)

    def _told(self, line: int, answer: Answer | Exception | None) -> bytes:
        if isinstance(answer, Receipt):
            told: dict[str, Any] = {"line": line, "status": "accepted", "id": answer.lead_id}
            if answer.repeated:
                told["repeated"] = True
            return encode(told) + b"\n"
        assert answer is not None
        problem = Problem(Kind.KEY_REUSED, str(answer)) if isinstance(answer, Conflict) else problem_of(answer)
        if problem.kind is Kind.DEFECT:
            report(Event.REQUEST_FAILED, answer, route=ROUTE)
        return encode({"line": line, "status": "rejected", "problem": problem.document()}) + b"\n"


class BulkDoor:
    """The route as an ASGI application."""

    def __init__(self, app: FastAPI) -> None:
        self._state = app.state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one body and answer its lines; raises `Problem` before the first answer only."""
        service: Service = self._state.service
        headers = headers_of(scope)
        key = await service.access.permit(headers, "submit")
        parameters = read_parameters(scope["query_string"], PARAMETERS)
        source = choose_source(parameters, headers, key)
        _check_source(service, source)
        refuse_encoded(headers.get("content-encoding"))
        most_bytes = service.settings.max_line_bytes
        batch = Batch(
            intake=service.intake,
            rows=_format(headers.get("content-type", ""))(most_bytes),
            source=source,
            test=parameters.test,
            priority=parameters.priority,
            key_field=parameters.key_field,
        )
        async with Outflow(send) as outflow:
            await _Upload(service, batch, Splitter(most_bytes), outflow).run(receive)


class _Upload:
    """One body on its way in: at most one group with the ledger, one coming in."""

    def __init__(self, service: Service, batch: Batch, splitter: Splitter, outflow: Outflow) -> None:
        self._bulk = service.bulk
        self._batch = batch
        self._splitter = splitter
        self._outflow = outflow
        self._lines: list[Line] = []
        self._taking: asyncio.Future[bytes] | None = None
        self._first_line = 1

    async def run(self, receive: Receive) -> None:
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                self._lines += self._splitter.feed(message.get("body", b""))
                while len(self._lines) >= GROUP:
                    await self._next(last=False)
                if not message.get("more_body", False):
                    break
            self._lines += self._splitter.end()
            await self._next(last=True)
            await self._settle()
        except Unavailable as error:
            await self._stop(error)
        finally:
            if self._taking is not None:
                self._taking.cancel()

    async def _next(self, *, last: bool) -> None:
        """Hand over a group, once the one before is taken."""
        await self._settle()
        lines, self._lines = self._lines[:GROUP], self._lines[GROUP:]
        if lines:
            self._first_line = lines[0][0]
        self._taking = self._bulk.begin(self._batch.take, lines, last=last)

    async def _settle(self) -> None:
        taking, self._taking = self._taking, None
        if taking is not None:
            await self._outflow.write(await taking)

    async def _stop(self, error: Unavailable) -> None:
        """The ledger is out of reach: say from which line on nothing was taken. Raises when nothing was said yet."""
        if not self._outflow.begun:
            raise error
        told = {"line": self._first_line, "status": "stopped", "problem": problem_of(error).document()}
        await self._outflow.write(encode(told) + b"\n")


def _format(content_type: str) -> type[Ndjson] | type[Csv]:
    name, _ = media_type(content_type)
    found = _FORMATS.get(name)
    if found is None:
        what = f"bodies of type {shown(name)} are not taken" if name else "the Content-Type is missing"
        raise Problem(Kind.UNSUPPORTED_TYPE, f"{what}; send Content-Type: application/x-ndjson or text/csv")
    return found


def _check_source(service: Service, source: str) -> None:
    """One answer for the whole body instead of one for each of its lines."""
    known = service.catalog.current.sources
    if service.catalog.current.version and source not in known:  # without a configuration yet, intake says so itself
        raise invalid_parameter("source", "there is no such source", f"known sources: {', '.join(sorted(known))}")
