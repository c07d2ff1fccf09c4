"""The request of an HTTP destination: everything that is the same for each lead, in bytes before the first one comes.

It may not know connections or answers.
"""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from app.connectors._transport import Origin, head
from app.connectors.base import mask
from app.connectors.http.body import CONTENT_TYPES, encoder
from app.connectors.http.settings import HttpSettings
from app.model import Item
from app.redaction import MASK, mask_secrets, mask_url

SHOWN_BYTES = 4096
"""Most of a body that a transcript keeps."""
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


class RequestTemplate:
    """A request to one address without its lead."""

    def __init__(self, settings: HttpSettings, url: str) -> None:
        self.origin = Origin.of(url)
        self.headers = _headers(settings)
        self.encode = encoder(settings.body, xml_root=settings.xml_root)
        self._in_query = settings.body == "query"
        self._measured = settings.method in _BODY_METHODS or settings.body in CONTENT_TYPES
        line, _, rest = head(settings.method, _with_key(url, settings), self.headers).partition(b"\r\n")
        self._start = line.removesuffix(b" HTTP/1.1")
        self._rest = b" HTTP/1.1\r\n" + rest.removesuffix(b"\r\n")
        self._key = f"{settings.idempotency_header}: ".encode() if settings.idempotency_header else None
        self._method = settings.method
        self._key_name = settings.idempotency_header
        self.shown_url = mask_url(_with_key(url, settings, shown=True))
        self._shown_headers = mask(self.headers, *_secret_headers(settings))

    def message(self, item: Item, content: bytes) -> bytes:
        """The whole request in bytes; `content` is the encoded payload."""
        parts = [self._start]
        if self._in_query and content:
            parts += (b"&" if b"?" in self._start else b"?", content)
        parts.append(self._rest)
        if self._key is not None:
            parts += (self._key, item.key.encode("ascii"), b"\r\n")
        if self._in_query:
            content = b""
        if self._measured:
            parts.append(b"Content-Length: %d\r\n" % len(content))
        parts += (b"\r\n", content)
        return b"".join(parts)

    def shown(self, item: Item, content: bytes) -> dict[str, Any]:
        """The request as a transcript keeps it: secrets masked, long bodies cut."""
        payload = mask_secrets(item.payload)
        text = content if payload is item.payload else self.encode(payload)
        body = text[:SHOWN_BYTES].decode(errors="replace")
        headers = self._shown_headers if self._key_name is None else {**self._shown_headers, self._key_name: item.key}
        url = self.shown_url
        if self._in_query and body:
            url, body = f"{url}{'&' if '?' in url else '?'}{body}", ""
        return {"method": self._method, "url": url, "headers": headers, "body": body}


def _headers(settings: HttpSettings) -> dict[str, str]:
    """Ours, those of the credentials, and the configured ones over both."""
    found = {"User-Agent": "leadrelay", "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}
    if settings.body in CONTENT_TYPES:
        found["Content-Type"] = CONTENT_TYPES[settings.body]
    if settings.auth is not None:
        if settings.auth.basic is not None:
            pair = f"{settings.auth.basic.username}:{settings.auth.basic.password.get_secret_value()}"
            found["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        elif settings.auth.bearer is not None:
            found["Authorization"] = f"Bearer {settings.auth.bearer.token.get_secret_value()}"
        elif settings.auth.api_key is not None and settings.auth.api_key.place == "header":
            found[settings.auth.api_key.name] = settings.auth.api_key.value.get_secret_value()
    configured = {name.lower() for name in settings.headers}
    return {name: value for name, value in found.items() if name.lower() not in configured} | settings.headers


def _secret_headers(settings: HttpSettings) -> list[str]:
    key = settings.auth.api_key if settings.auth else None
    return [key.name] if key else []


def _with_key(url: str, settings: HttpSettings, *, shown: bool = False) -> str:
    """The address with the API key in its query where it belongs there, masked if it is to be shown."""
    key = settings.auth.api_key if settings.auth else None
    if key is None or key.place == "header":
        return url
    value = MASK if shown else quote(key.value.get_secret_value(), safe="")
    return f"{url}{'&' if urlsplit(url).query else '?'}{quote(key.name, safe='')}={value}"


def check_request(settings: HttpSettings) -> tuple[str, Mapping[str, str]] | None:
    """Address and headers of the request that only asks whether we are let in; None if no address is configured."""
    return None if settings.check_url is None else (_with_key(settings.check_url, settings), _headers(settings))
