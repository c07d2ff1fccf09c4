"""The request of an HTTP destination: everything that is the same for each lead, in bytes before the first one comes.

It may not know connections or answers.
"""

import re
from collections.abc import Mapping
from gzip import compress
from typing import Any, Protocol
from urllib.parse import quote

from app.connectors._http.body import content_type, encoder, written_in
from app.connectors._http.cookies import Cookies
from app.connectors._http.filling import NOTHING
from app.connectors._http.head import Headers, Target, secret_headers, secret_parameters
from app.connectors._http.settings import HttpSettings
from app.connectors._transport import Origin, head
from app.connectors.base import TEST_HEADER, mask
from app.model import Item
from app.redaction import MASK, is_secret, mask_secrets, mask_url

SHOWN_BYTES = 4096
"""Most of a body that a transcript keeps."""
_TEST = f"{TEST_HEADER}: true\r\n".encode()
BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})
"""Those that tell the length of a body even where there is none (RFC 9110, 8.6)."""


class Content(Protocol):
    """Writes bodies of a kind that `body` has no word for."""

    def encode(self, item: Item) -> bytes:
        """The body as it is sent; raises `DataFault` naming the property that does not fit."""

    def shown(self, item: Item, content: bytes | None = None) -> bytes:
        """The same as people see it, without secrets; `content` is what `encode` gave, if it did."""


class RequestTemplate:
    """A request to one address without its lead; `writer` writes its bodies where the settings do not say how."""

    def __init__(
        self, settings: HttpSettings, url: str, *, cookies: Cookies | None = None, writer: Content | None = None
    ) -> None:
        kind = content_type(settings)
        target, fields = Target(url, settings), Headers(settings, kind)
        self.origin = Origin.of(url)
        self._encode = encoder(settings)
        self._writer = writer
        self._adds_secret = (settings.auth is not None and settings.auth.body_key() is not None) or any(
            map(is_secret, settings.form)
        )
        self._has_fields = bool(settings.form)
        self._encode_masked = encoder(settings, masked=True) if self._adds_secret else self._encode
        self._charset = written_in(settings) if writer is None else "utf-8"
        self._compressed = settings.compress is not None
        self._cookies = cookies
        self.body_in_query = settings.body == "query"
        self._measured = settings.method in BODY_METHODS or kind is not None
        self._key = f"{settings.idempotency_header}: ".encode() if settings.idempotency_header else None
        self.key_name = settings.idempotency_header
        self.method = settings.method
        self._target = target
        self._headers = fields
        self._secret = secret_headers(settings)
        self._secret_parameters = secret_parameters(settings)
        # What the rest of a head could hold is checked here, for all leads.
        _, _, same = head(settings.method, target.origin, fields.fixed).partition(b"\r\n")
        self._same = b" HTTP/1.1\r\n" + same.removesuffix(b"\r\n")
        self._made = dict.fromkeys(settings.made_headers(), MASK)
        self._shown_same = mask(fields.fixed, *self._secret) | self._made
        fixed = not (target.is_templated or fields.is_templated)
        self._fixed = self._head(NOTHING) if fixed else None
        self._shown = self._shown_head(NOTHING) if fixed else None
        self.shown_url = self._shown[0] if self._shown else target.written

    def content(self, item: Item) -> bytes:
        """The payload encoded; raises `DataFault` naming the property that the body's kind cannot carry."""
        if self._writer is not None:
            return self._writer.encode(item)
        return self._encode(item.payload, item.rendered or NOTHING)

    def message(self, item: Item, content: bytes, fields: bytes = b"") -> bytes:
        """The whole request in bytes, with more header lines if any; `content` is what `content()` gave."""
        start, rest = self._fixed or self._head(item.rendered or NOTHING)
        parts = [start]
        if self.body_in_query and content:
            parts += (b"&" if b"?" in start else b"?", content)
        parts += (rest, fields)
        if item.test:
            parts.append(_TEST)
        if self._key is not None:
            parts += (self._key, item.key.encode("ascii"), b"\r\n")
        if self._cookies is not None and (cookie := self._cookies.header(self.address(item))):
            parts.append(f"Cookie: {cookie}\r\n".encode("latin-1"))
        if self.body_in_query:
            content = b""
        if self._compressed:
            content = self.compressed(content)
        if self._measured:
            parts.append(b"Content-Length: %d\r\n" % len(content))
        parts += (b"\r\n", content)
        return b"".join(parts)

    def compressed(self, content: bytes) -> bytes:
        """The content as it travels."""
        return compress(content, mtime=0) if self._compressed else content

    def address(self, item: Item) -> str:
        """The whole address for a lead; of properties in the query it knows nothing."""
        return self._target.address(item.rendered or NOTHING)

    def whole_address(self, item: Item, content: bytes) -> str:
        """The same with the properties that travel in the query."""
        address = self.address(item)
        if not (self.body_in_query and content):
            return address
        return f"{address}{'&' if '?' in address else '?'}{content.decode()}"

    def with_key(self, url: str) -> str:
        """An address of this host with the API key that goes into every query, if one does."""
        key = self._target.key
        if key is None or re.search(rf"[?&]{re.escape(key[0])}=", url):
            return url
        return f"{url}{'&' if '?' in url else '?'}{key[0]}={key[1]}"

    def fields(self, item: Item) -> Mapping[str, str]:
        """The headers for a lead, but for those of its key, length and cookies."""
        found = self._headers.fixed | self._headers.of_lead(item.rendered or NOTHING)
        return {**found, TEST_HEADER: "true"} if item.test else found

    def holds_secret(self, item: Item) -> bool:
        """Whether the body holds, or may hold, something that stands under a secret's name, the API key or a field of our own."""
        return (
            self._adds_secret
            or self._has_fields
            or self._writer is not None
            or mask_secrets(item.payload) is not item.payload
        )

    def shown(self, item: Item, content: bytes) -> dict[str, Any]:
        """The request as a transcript keeps it: secrets masked, long bodies cut."""
        body = self._masked_content(item, content)[:SHOWN_BYTES].decode(self._charset, "replace")
        url, headers = self._shown or self._shown_head(item.rendered or NOTHING)
        if self.key_name is not None:
            headers = {**headers, self.key_name: item.key}
        if item.test:
            headers = {**headers, TEST_HEADER: "true"}
        if self.body_in_query and body:
            url, body = f"{url}{'&' if '?' in url else '?'}{body}", ""
        return {"method": self.method, "url": url, "headers": headers, "body": body}

    def whole(self, item: Item, *, reveal: bool) -> dict[str, Any]:
        """The request as it goes out, its head read back from its bytes; the body as it is before compression.

        Secrets are masked unless `reveal`; credentials made for each request are not there yet, and always masked.
        """
        content = self.content(item) if reveal else self._masked_content(item)
        line, *lines = self.message(item, content).partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        headers = dict(one.split(": ", 1) for one in lines)
        url = f"{self.origin.scheme}://{headers['Host']}{line.split(' ')[1]}"
        if not reveal:
            url, headers = self.masked(url), mask(headers, *self._secret)
        body = "" if self.body_in_query else content.decode(self._charset, "replace")
        return {"method": self.method, "url": url, "headers": headers | self._made, "body": body}

    def masked(self, url: str) -> str:
        """An address without the API key in its query, whatever its name."""
        for name in self._secret_parameters:
            url = re.sub(rf"([?&]{re.escape(quote(name, safe=''))}=)[^&]*", rf"\g<1>{MASK}", url)
        return mask_url(url)

    def _masked_content(self, item: Item, content: bytes | None = None) -> bytes:
        """The content without what stands under secret names."""
        if self._writer is not None:
            return self._writer.shown(item, content)
        payload = mask_secrets(item.payload)
        if content is not None and payload is item.payload and not self._adds_secret:
            return content
        return self._encode_masked(payload, item.rendered or NOTHING)

    def _head(self, rendered: Mapping[str, str]) -> tuple[bytes, bytes]:
        """The head for a lead, cut in two where the query ends."""
        lines = "".join([f"{name}: {value}\r\n" for name, value in self._headers.of_lead(rendered).items()])
        start = f"{self.method} {self._target.filled(rendered)}"
        return start.encode("ascii"), self._same + lines.encode("latin-1")

    def _shown_head(self, rendered: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        of_lead = mask(self._headers.of_lead(rendered), *self._secret)
        return self._target.shown(rendered), self._shown_same | of_lead
