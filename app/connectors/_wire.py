"""One request and its answer over one connected socket, in HTTP/1.1, within a total time and a total size.

It exists because the time limits of the usual libraries start anew with every read, so that a destination which sends
one byte a second is never late, and because a lead costs a fifth of the processor time this way. The parser is llhttp,
the one Node.js uses. It may not know connections, pools, retries or what a body means.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from socket import socket
from time import monotonic

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from app.connectors._compression import decompressed
from app.connectors._tls import refusal
from app.errors import ConfigurationFault, TransientFault

_READ_BYTES = 65_536
_MAX_HEADER_BYTES = 131_072
_JOINTS = {"set-cookie": "\n"}
"""What joins repeats where a comma is part of the value (RFC 9110, 5.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a destination answered.

    `headers` has lower-cased names, repeats joined with ", ", those of Set-Cookie by line breaks. `body` is decompressed;
    `truncated` says that it was longer than the cap and ends there. `ms` is the time from the first byte sent to the last
    one received.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    ms: float


class Reply:
    """An answer being received: the callbacks of the parser.

    `complete` when nothing more is to come, `reusable` when the connection may serve another request (RFC 9112, 9.3).
    """

    __slots__ = (
        "_cap",
        "_chunks",
        "_no_body",
        "_parser",
        "_size",
        "begun",
        "complete",
        "headers",
        "headers_complete",
        "reusable",
        "status",
        "truncated",
    )

    def __init__(self, *, cap_bytes: int, no_body: bool) -> None:
        self._cap = cap_bytes
        self._no_body = no_body
        self._chunks: list[bytes] = []
        self._size = 0
        self.headers: dict[str, str] = {}
        self.status = 0
        self.begun = self.headers_complete = self.complete = self.reusable = self.truncated = False
        self._parser = HttpResponseParser(self)
        # Old servers end lines with a bare LF and send a length beside chunks. One destination owns the connection, so
        # leniency cannot let one answer be taken for another's.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_chunked_length=True,
            lenient_optional_lf_after_cr=True,
            lenient_optional_cr_before_lf=True,
            lenient_optional_crlf_after_chunk=True,
            lenient_spaces_after_chunk_size=True,
        )

    def feed(self, data: bytes) -> None:
        """Take bytes off the wire; raises `TransientFault` (ambiguous) for what is not HTTP."""
        self.begun = True
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            # Bytes behind a complete answer are no part of it; the connection is not used again.
            self.reusable = False
            if not self.complete:
                raise TransientFault("the answer is not valid HTTP", ambiguous=True) from None
        if not self.headers_complete:
            self._size += len(data)
            if self._size > _MAX_HEADER_BYTES:
                raise TransientFault("the answer's headers are too long", ambiguous=True)

    def end(self, *, ambiguous: bool) -> None:
        """The destination closed the connection: right where the body ends by that, a fault elsewhere."""
        if not self.begun:
            raise TransientFault("the connection was closed before an answer came", ambiguous=ambiguous)
        framed = "content-length" in self.headers or "chunked" in self.headers.get("transfer-encoding", "")
        if not self.headers_complete or framed:
            raise TransientFault("the connection was closed in the middle of the answer", ambiguous=True)
        self.complete = True

    def body(self) -> bytes:
        """The body as received so far, decompressed as far as the cap; raises `TransientFault` (ambiguous)."""
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        if body and (codings := self.headers.get("content-encoding")):
            body = decompressed(body, codings, at_most=self._cap + 1, is_cut=self.truncated)
            self.truncated = self.truncated or len(body) > self._cap
        return body[: self._cap]

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line (called by the parser)."""
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
        if key in self.headers:
            text = f"{self.headers[key]}{_JOINTS.get(key, ', ')}{text}"
        self.headers[key] = text

    def on_headers_complete(self) -> None:
        """All header lines are here (called by the parser)."""
        self.status = self._parser.get_status_code()
        self.headers_complete = True
        self._size = 0
        if self._no_body and self.status >= 200:  # noqa: PLR2004  # 1xx answers are followed by the real one
            self.complete = True

    def on_body(self, data: bytes) -> None:
        """A part of the body (called by the parser)."""
        if self.truncated or self.complete:
            return
        self._size += len(data)
        self._chunks.append(data)
        if self._size > self._cap:
            self.truncated = self.complete = True

    def on_message_complete(self) -> None:
        """The answer ends here (called by the parser)."""
        if self.status < 200:  # noqa: PLR2004  # an interim answer (RFC 9110, 15.2): the real one follows
            self.headers.clear()
            self.headers_complete = False
            return
        self.reusable = not self.truncated and self._parser.should_keep_alive()
        self.complete = True


def converse(sock: socket, message: bytes, *, deadline: float, cap_bytes: int) -> tuple[Answer, bool]:
    """Send a whole request and receive its answer; the second value says whether the connection may be used again.

    Raises `TransientFault`: not ambiguous while the request had not left completely, ambiguous from then on; and
    `ConfigurationFault` when the destination refuses our certificate, which with TLS 1.3 it does this late.
    `deadline` is a `time.monotonic()` instant, `cap_bytes` bounds the decompressed body.
    """
    begun = monotonic()
    reply = Reply(cap_bytes=cap_bytes, no_body=message.startswith(b"HEAD "))
    broken = not _sent(sock, message, deadline)
    while not reply.complete:
        data = _received(sock, deadline, ambiguous=reply.begun or not broken)
        if data:
            reply.feed(data)
        else:
            reply.end(ambiguous=reply.begun or not broken)
    body = reply.body()
    answer = Answer(
        status=reply.status,
        headers=reply.headers,
        body=body,
        truncated=reply.truncated,
        ms=(monotonic() - begun) * 1000,
    )
    return answer, reply.reusable and not broken


def _sent(sock: socket, message: bytes, deadline: float) -> bool:
    """Whether the request left whole; a destination may refuse a long one early and answer all the same."""
    left = deadline - monotonic()
    if left <= 0:
        raise TransientFault("no time was left to send the request")
    try:
        sock.settimeout(left)
        sock.sendall(message)
    except TimeoutError:
        raise TransientFault("the request could not be sent within the time limit") from None
    except OSError:
        return False
    return True


def _received(sock: socket, deadline: float, *, ambiguous: bool) -> bytes:
    """The next bytes, none when the destination closed the connection."""
    left = deadline - monotonic()
    try:
        if left > 0:
            sock.settimeout(left)
            return sock.recv(_READ_BYTES)
    except TimeoutError:
        pass
    except OSError as error:
        if (said := refusal(error)) is not None:
            raise ConfigurationFault(f"the destination {said}") from None
        raise TransientFault("the connection was reset before the answer was complete", ambiguous=ambiguous) from None
    raise TransientFault("no complete answer within the time limit", ambiguous=ambiguous)
