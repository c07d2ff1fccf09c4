"""Bare ASGI for the doors that must be fast or stream: reading a body, sending an answer, turning errors into problems.

What a framework would do, for two routes, at a fraction of its cost. Knows problems, nothing of leads.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from starlette.types import Message, Receive, Scope, Send

from app.api.problem import MEDIA_TYPE, Kind, Problem, problem_of
from app.telemetry import Event, report

Header = tuple[bytes, bytes]
Door = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON: Header = (b"content-type", b"application/json")
_ALWAYS: tuple[Header, ...] = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))

encode = msgspec.json.Encoder().encode


class Gone(Exception):
    """The client went away before its request was whole."""


def headers_of(scope: Scope) -> dict[str, str]:
    """Headers by lower-case name; the last of several wins."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def read_body(receive: Receive, headers: Mapping[str, str], most_bytes: int) -> bytes:
    """The whole body, counted while it comes in; raises `Problem` (413) beyond `most_bytes`, `Gone`."""
    told = headers.get("content-length")
    if told is not None and int(told) > most_bytes:  # the server has checked that it is a number
        raise _too_large(most_bytes)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > most_bytes:
            raise _too_large(most_bytes)
        if not message.get("more_body", False):
            return chunk if not chunks else b"".join([*chunks, chunk])
        chunks.append(chunk)


async def send_answer(send: Send, status: int, body: bytes, headers: Sequence[Header]) -> None:
    """One whole answer."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def send_problem(send: Send, problem: Problem) -> None:
    """A problem as the answer."""
    headers = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    headers.append((b"content-type", MEDIA_TYPE.encode()))
    await send_answer(send, problem.status, encode(problem.document()), headers)


def marked(send: Send) -> Send:
    """The same, with what every answer says; for the outermost door alone, since doors stand within doors."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *_ALWAYS]
        await send(message)

    return sending


class Answering:
    """The same door, whose exceptions become problems as long as no answer was begun; defects are logged."""

    def __init__(self, door: Door, route: str | None = None) -> None:
        self._door = door
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request through."""
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._door(scope, receive, watched)
        except Gone:
            return
        except Exception as error:  # noqa: BLE001  # the edge of the process: nothing is above it
            problem = problem_of(error)
            if problem.kind is Kind.DEFECT:
                report(Event.REQUEST_FAILED, error, route=self._route or _route(scope))
            if not begun:
                await send_problem(watched, problem)


def _route(scope: Scope) -> str:
    """The route's pattern, which holds no values; a path as it was sent is never logged."""
    return f"{scope['method']} {getattr(scope.get('route'), 'path', '?')}"


def _too_large(most_bytes: int) -> Problem:
    return Problem(
        Kind.TOO_LARGE,
        f"a lead may have {most_bytes} bytes; send several through /v1/leads/bulk",
    )
