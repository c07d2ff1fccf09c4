"""POST /v1/feedback: conversions and returns, one or a list of them; a line that is wrong never stops the rest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app import feedback
from app.api.body import FORM_TYPE, read_json, read_value, reader
from app.api.permission import FeedbackGiver
from app.api.problem import Kind, Problem, invalid, invalid_parameter, problem_of, shown
from app.api.service import Held, Service
from app.api.submission import refuse_encoded
from app.api.view import ProblemDocument, Shape
from app.api.wire import JSON, encode
from app.errors import InvalidInput
from app.ledger.feedback import Recorded

MOST = 10_000
"""Entries of one request."""

router = APIRouter(prefix="/v1")


class FeedbackTaken(Shape):
    """Feedback on record."""

    id: UUID
    """Ours."""
    delivery_id: UUID
    """The delivery it is about."""
    repeated: bool
    """It was on record before."""


class FeedbackLine(Shape):
    """The answer to one entry of a list."""

    line: int
    """Its place in the list, from 1."""
    status: Literal["accepted", "rejected"]
    """Whether it is on record."""
    id: UUID | None = None
    """Ours."""
    delivery_id: UUID | None = None
    """The delivery it is about."""
    repeated: bool | None = None
    """It was on record before."""
    problem: ProblemDocument | None = None
    """Why it is not."""


class FeedbackLines(Shape):
    """The answers to a list."""

    accepted: int
    """How many are on record."""
    rejected: int
    """How many are not."""
    lines: list[FeedbackLine]
    """One for each entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """What a body holds; `alone`: one entry that is no list of one."""

    items: Sequence[Any]
    alone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The answer to a body."""

    status: int
    document: dict[str, Any]


class FeedbackQuery(BaseModel):
    """What may stand in the address instead of the body."""

    model_config = ConfigDict(extra="forbid")

    delivery_id: UUID | None = Field(None, description="The delivery, for a body that is a single entry without one.")


_ENTRY = {"$ref": "#/components/schemas/FeedbackEntry"}
_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"anyOf": [_ENTRY, {"type": "array", "items": _ENTRY, "maxItems": MOST}]}},
        FORM_TYPE: {"schema": _ENTRY},
        "application/xml": {"schema": {"type": "string"}},
    },
}


@router.post(
    "/feedback",
    status_code=201,
    tags=["feedback"],
    summary="Report conversions and returns",
    response_model=FeedbackTaken,
    responses={
        200: {
            "model": FeedbackLines,
            "description": "To a list: an answer for each entry. To a single entry that was on record before: as with 201.",
        },
    },
    openapi_extra={"requestBody": _BODY},
)
async def give_feedback(
    wanted: Annotated[FeedbackQuery, Query()], request: Request, service: Held, key: FeedbackGiver
) -> Response:
    """Takes one entry or a list of up to 10,000; each once, by its `id`, whatever is wrong with others of its list."""
    refuse_encoded(request.headers.get("content-encoding"))
    given = entries(await request.body(), request.headers.get("content-type", ""))
    if wanted.delivery_id is not None:
        given = _about(given, wanted.delivery_id)
    found = await take(service, given, actor=f"key:{key.name}", source=key.source)
    return Response(encode(found.document), found.status, media_type=JSON[1].decode())


def entries(raw: bytes, content_type: str) -> Entries:
    """The entries of a body; raises `Problem` (400, 413, 415)."""
    read = reader(content_type)
    if read is not read_json:
        return Entries(items=[read(raw)], alone=True)
    value = read_value(raw)
    if not isinstance(value, list):
        return Entries(items=[value], alone=True)
    if len(value) > MOST:
        raise Problem(Kind.TOO_LARGE, f"a list may have {MOST} entries here; send several")
    return Entries(items=value, alone=False)


async def take(
    service: Service, given: Entries, *, actor: str, source: str | None = None, destination: str | None = None
) -> Answered:
    """Record what a body holds; raises what is wrong with an entry that is alone, and `Unavailable`."""
    record = partial(feedback.take, service.database, given.items, actor=actor, source=source, destination=destination)
    found = await service.bulk.run(record)
    if given.alone:
        [answer] = found
        if not isinstance(answer, Recorded):
            raise _problem(answer)
        return Answered(status=200 if answer.repeated else 201, document=_told(answer))
    lines = [_line(place, answer) for place, answer in enumerate(found, start=1)]
    accepted = sum(isinstance(answer, Recorded) for answer in found)
    return Answered(status=200, document={"accepted": accepted, "rejected": len(found) - accepted, "lines": lines})


def _about(given: Entries, delivery_id: UUID) -> Entries:
    entry = given.items[0] if given.alone else None
    if not isinstance(entry, dict) or "delivery_id" in entry:
        raise invalid_parameter("delivery_id", "is for a body that is a single entry and names no delivery itself")
    return Entries(items=[{"delivery_id": str(delivery_id), **entry}], alone=True)


def _told(answer: Recorded) -> dict[str, Any]:
    return {"id": answer.id, "delivery_id": answer.delivery_id, "repeated": answer.repeated}


def _line(place: int, answer: feedback.Answer) -> dict[str, Any]:
    if isinstance(answer, Recorded):
        return {"line": place, "status": "accepted", **_told(answer)}
    return {"line": place, "status": "rejected", "problem": _problem(answer).document()}


def _problem(error: Exception) -> Problem:
    if isinstance(error, InvalidInput):
        complaints = [replace(one, field=shown(one.field)) for one in error.complaints]
        return invalid(Kind.INVALID_FEEDBACK, complaints)
    return problem_of(error)
