"""The way into each HTTP stand-in: where asked-for faults of the connection itself happen.

A stand-in behind its door knows only its vendor's protocol; a door knows only ASGI. `Wire` is how a door gets at the TCP
connection: no ASGI message drops one without an answer.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.sandbox.faults import Faults, Misfortune, Refusal
from app.sandbox.receipts import Receipts, Target

BODY_LIMIT = 1_048_576
HANG_SECONDS = 600.0

_TAKEN = "leadrelay.taken"
_WIRE = "leadrelay.wire"


class Wire(HttpToolsProtocol):
    """uvicorn's protocol, with the connection's transport handed to the application."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = {_WIRE: {"transport": self.transport}}


class Door:
    """An ASGI application before a stand-in's own: makes the faults its plan asks for.

    `refuse` renders a refusal for a path as the vendor does, or returns None where the vendor has no such refusal.
    """

    def __init__(
        self,
        target: Target,
        app: ASGIApp,
        *,
        refuse: Callable[[str, Refusal], Response | None],
        faults: Faults,
        receipts: Receipts,
    ) -> None:
        self._target = target
        self._app = app
        self._refuse = refuse
        self._faults = faults
        self._receipts = receipts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or let it meet its misfortune."""
        misfortune = self._faults.draw(self._target)
        if misfortune is None:
            await self._app(scope, receive, send)
        else:
            await self._misbehave(misfortune, scope, receive, send)

    async def _misbehave(self, misfortune: Misfortune, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(misfortune.latency_seconds)
        refusal = misfortune.refusal
        answer = self._refuse(scope["path"], refusal) if refusal else None
        if misfortune.hang:
            self._receipts.count_fault(self._target)
            await _hang(scope, receive)
        elif answer is not None:
            self._receipts.count_fault(self._target)
            await answer(scope, receive, send)
        elif misfortune.reset:
            await self._reset(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _reset(self, scope: Scope, receive: Receive, send: Send) -> None:
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        await self._app(scope, receive, hold)
        if scope.get(_TAKEN):
            self._receipts.count_fault(self._target)
            await _drop(scope, receive)
        else:
            for message in held:
                await send(message)


def mark_taken(scope: Scope) -> None:
    """Say that this request brought a lead that was written down: only such a request is reset after receipt."""
    scope[_TAKEN] = True


def answer_json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")


async def read_body(receive: Receive) -> bytes | None:
    """The whole body of a request; None if it is larger than `BODY_LIMIT` bytes or the client went away."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        return body if len(body) <= BODY_LIMIT else None
    parts: list[bytes] = []
    size = 0
    while message["type"] == "http.request":
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_LIMIT:
            return None
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
    return None


def find_header(scope: Scope, name: bytes) -> str | None:
    """The value of a header, whose name is given in lower case."""
    for found, value in scope["headers"]:
        if found == name:
            return str(value, "latin-1")
    return None


def retry_headers(refusal: Refusal) -> dict[str, str]:
    """Retry-After, if the refusal asks for a wait (RFC 9110, section 10.2.3: whole seconds)."""
    return {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}


async def _hang(scope: Scope, receive: Receive) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(HANG_SECONDS):
            await _await_disconnect(receive)
            return
    await _drop(scope, receive)


async def _drop(scope: Scope, receive: Receive) -> None:
    transport: asyncio.Transport = scope["extensions"][_WIRE]["transport"]
    transport.abort()
    await _await_disconnect(receive)


async def _await_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
