"""POST /v1/leads: one lead in, answered after the commit.

Bare ASGI: this is the route that must be fast. What it does beyond `app.intake` is reading and writing HTTP.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app.api.body import reader
from app.api.parameter import choose_source, read_parameters
from app.api.problem import Kind, Problem
from app.api.service import Service
from app.api.view import Outcome
from app.api.wire import JSON, Header, encode, headers_of, read_body, send_answer
from app.errors import Conflict
from app.intake import Receipt, Submission
from app.ledger.query import DeliveryView

ROUTE = "POST /v1/leads"
PARAMETERS = frozenset({"source", "test", "priority", "wait"})
_REPLAYED: Header = (b"idempotent-replayed", b"true")


class SubmissionDoor:
    """The route as an ASGI application."""

    def __init__(self, app: FastAPI) -> None:
        self._state = app.state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one lead and answer; raises `Problem`, `InvalidLead`, `Unavailable`."""
        service: Service = self._state.service
        headers = headers_of(scope)
        key = await service.access.permit(headers, "submit")
        parameters = read_parameters(scope["query_string"], PARAMETERS)
        source = choose_source(parameters, headers, key)
        refuse_encoded(headers.get("content-encoding"))
        read = reader(headers.get("content-type", ""))
        raw = await read_body(receive, headers, service.settings.max_body_bytes)
        submission = Submission(
            source=source,
            fields=read(raw),
            key=headers.get("idempotency-key"),
            test=parameters.test,
            priority=parameters.priority,
        )
        try:
            receipt = await service.grouping.accept(submission)
        except Conflict as error:
            raise Problem(Kind.KEY_REUSED, str(error)) from None
        ended = None
        if parameters.wait_seconds is not None:
            ended = await service.waiting.outcomes(receipt.lead_id, seconds=parameters.wait_seconds)
        await send_receipt(send, source, receipt, ended)


def refuse_encoded(encoding: str | None) -> None:
    """Raises `Problem` (415) for a compressed body."""
    if encoding is not None and encoding.strip().lower() not in {"", "identity"}:
        raise Problem(Kind.UNSUPPORTED_TYPE, "compressed bodies are not taken; send without Content-Encoding")


async def send_receipt(send: Send, source: str, receipt: Receipt, ended: Sequence[DeliveryView] | None = None) -> None:
    """Answer that a lead was accepted; with outcomes when all its deliveries have ended."""
    deliveries: list[Any]
    if ended is None:
        deliveries = [{"id": one, "destination": name} for one, name in receipt.deliveries.items()]
    else:
        deliveries = [Outcome.model_validate(view).model_dump(mode="json") for view in ended]
    document = {
        "id": receipt.lead_id,
        "source": source,
        "deliveries": deliveries,
        "invalid": receipt.invalid,
        "repeated": receipt.repeated,
    }
    headers = [JSON, (b"location", f"/v1/leads/{receipt.lead_id}".encode())]
    if receipt.repeated:
        headers.append(_REPLAYED)
    await send_answer(send, 202 if ended is None else 200, encode(document), headers)
