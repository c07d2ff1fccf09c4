"""A streamed answer to a client that may still be sending.

Many clients read nothing before their whole body is sent. Were each answer line awaited, both sides would wait for each
other for ever once the sockets' buffers are full; so a bounded backlog is kept here and sent beside the reading.
"""

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Send

from app.api.wire import Header

BACKLOG_BYTES = 16 * 1024 * 1024
_NDJSON: Header = (b"content-type", b"application/x-ndjson")


class Outflow:
    """An answer of status 200 whose lines are written by and by; it ends with the block."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._backlog = bytearray()
        self._changed = asyncio.Condition()
        self._ending = False
        self._sender: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        """Whether the answer has begun, so that its status can no longer change."""
        return self._sender is not None

    async def write(self, lines: bytes) -> None:
        """Send soon; waits only while more than `BACKLOG_BYTES` are unsent."""
        if not lines:
            return
        self._begin()
        async with self._changed:
            self._backlog += lines
            self._changed.notify_all()
            await self._changed.wait_for(lambda: len(self._backlog) <= BACKLOG_BYTES)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            if self._sender is not None:
                self._sender.cancel()  # an answer without its end says that it failed (RFC 9112, 8)
            return
        sender = self._begin()
        async with self._changed:
            self._ending = True
            self._changed.notify_all()
        await sender

    def _begin(self) -> "asyncio.Task[None]":
        if self._sender is None:
            self._sender = asyncio.create_task(self._run())
        return self._sender

    async def _run(self) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": [_NDJSON]}
        await self._send(start)
        more = True
        while more:
            async with self._changed:
                await self._changed.wait_for(lambda: self._backlog or self._ending)
                chunk, self._backlog = bytes(self._backlog), bytearray()
                more = not self._ending
                self._changed.notify_all()
            await self._send({"type": "http.response.body", "body": chunk, "more_body": more})
