"""The head of a request: address, query and headers, credentials among them, with places that the lead fills in.

A value goes in so that it can be nothing but a value there: percent-encoded in an address, refused in a header where it
would break the line. It may not know bodies, connections or answers.
"""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from app.connectors._compression import CODINGS
from app.connectors._http.credentials import BasicAuth
from app.connectors._http.filling import NOTHING, fill, value_of
from app.connectors._http.settings import HttpSettings
from app.errors import DataFault
from app.redaction import MASK, mask_url
from app.templates import Slot, is_template, slots

# RFC 9110, 5.5: what a field value cannot hold. A tab can be.
_NOT_IN_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_DOT_SEGMENT = re.compile(r"(?:\.|%2e){1,2}", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parameter:
    name: str
    parts: Sequence[str]
    is_literal: bool
    secret: bool = False


class Target:
    """What a request asks for (RFC 9112, 3.2.1): path and query."""

    def __init__(self, url: str, settings: HttpSettings) -> None:
        parts = slots(url)
        split = urlsplit(parts[0])
        self.origin = f"{split.scheme}://{split.netloc}"
        rest = parts[0][len(self.origin) :]
        self._parts = [rest if rest.startswith("/") else f"/{rest}", *parts[1:]]
        self._parameters = [_parameter(name, value) for name, value in settings.query.items()]
        self.key: tuple[str, str] | None = None
        """Name and value of the API key in the query, as they stand there."""
        key = settings.auth.api_key if settings.auth else None
        if key is not None and key.place == "query":
            name, value = quote(key.name, safe=""), key.value.get_secret_value()
            self.key = (name, quote(value, safe=""))
            self._parameters.append(_Parameter(name=name, parts=[value], is_literal=True, secret=True))
        self.is_templated = len(parts) > 1 or not all(one.is_literal for one in self._parameters)
        self.written = mask_url(url)
        """The address as configured, fit for a transcript."""

    def filled(self, rendered: Mapping[str, str], *, shown: bool = False) -> str:
        """The target for a lead; raises `DataFault` for a value that cannot stand in its place."""
        target = self._address(rendered)
        mark = "&" if "?" in target else "?"
        for one in self._parameters:
            text = MASK if shown and one.secret else _quoted(fill(one.parts, rendered, one.name), one.name)
            if text or one.is_literal:
                target += f"{mark}{one.name}={text}"
                mark = "&"
        return target

    def shown(self, rendered: Mapping[str, str]) -> str:
        """The whole address as a transcript keeps it."""
        return mask_url(self.origin + self.filled(rendered, shown=True))

    def address(self, rendered: Mapping[str, str]) -> str:
        """The whole address as it is asked for."""
        return self.origin + self.filled(rendered)

    def _address(self, rendered: Mapping[str, str]) -> str:
        if len(self._parts) == 1:
            return self._parts[0]
        address = ""
        for part in self._parts:
            if not isinstance(part, Slot):
                address += part
                continue
            value = _quoted(value_of(part, rendered, "the address"), "the address")
            if not value and "?" not in address:  # /leads/{{ lead.id }} without an id is another address
                raise DataFault(f"the address has no value for {part[:120]}")
            address += value
        if any(_DOT_SEGMENT.fullmatch(segment) for segment in address.partition("?")[0].split("/")):
            raise DataFault("a value makes a part of the address '.' or '..', which means another address")
        return address


class Headers:
    """The headers that do not come from body or delivery."""

    def __init__(self, settings: HttpSettings, content_type: str | None = None) -> None:
        self.fixed = _headers(settings, content_type)
        """Those that are the same for every lead."""
        self._parts = {
            name: slots(self.fixed.pop(name)) for name, value in settings.headers.items() if is_template(value)
        }
        self.is_templated = bool(self._parts)

    def of_lead(self, rendered: Mapping[str, str]) -> dict[str, str]:
        """The other ones for a lead; raises `DataFault` naming the header whose value no header can carry."""
        return {name: value for name, parts in self._parts.items() if (value := _header(name, parts, rendered))}


def _headers(settings: HttpSettings, content_type: str | None) -> dict[str, str]:
    """Ours, those of the credentials, and the configured ones over both."""
    found = {"User-Agent": "leadrelay", "Accept": "*/*", "Accept-Encoding": CODINGS}
    if content_type is not None:
        found["Content-Type"] = content_type
    if settings.compress is not None:
        found["Content-Encoding"] = settings.compress
    if settings.auth is not None:
        if settings.auth.basic is not None:
            found["Authorization"] = f"Basic {_basic(settings.auth.basic)}"
        elif settings.auth.bearer is not None:
            found["Authorization"] = f"Bearer {settings.auth.bearer.token.get_secret_value()}"
        elif settings.auth.api_key is not None and settings.auth.api_key.place == "header":
            found[settings.auth.api_key.name] = settings.auth.api_key.value.get_secret_value()
    configured = {name.lower() for name in settings.headers}
    return {name: value for name, value in found.items() if name.lower() not in configured} | settings.headers


def _basic(auth: BasicAuth) -> str:
    return b64encode(f"{auth.username}:{auth.password.get_secret_value()}".encode()).decode()


def fixed_secrets(settings: HttpSettings) -> tuple[str, ...]:
    """What is made of secrets once and stands in each request."""
    return (_basic(settings.auth.basic),) if settings.auth is not None and settings.auth.basic is not None else ()


def secret_headers(settings: HttpSettings) -> list[str]:
    """Headers that are secrets whatever they are called."""
    key = settings.auth.api_key if settings.auth else None
    return [key.name] if key and key.place == "header" else []


def secret_parameters(settings: HttpSettings) -> list[str]:
    """Query parameters that are."""
    key = settings.auth.api_key if settings.auth else None
    in_query = key is not None and (key.place == "query" or (key.place == "body" and settings.body == "query"))
    return [key.name] if key is not None and in_query else []


def check_request(settings: HttpSettings) -> tuple[str, Mapping[str, str]] | None:
    """Address and headers of the request that only asks whether we are let in; None if no address is configured.

    There is no lead: parameters and headers that one would fill in are left out.
    """
    if settings.check_url is None:
        return None
    fixed = settings.model_copy(update={"query": {}, "compress": None})
    return Target(settings.check_url, fixed).address(NOTHING), Headers(fixed).fixed


def _parameter(name: str, value: str) -> _Parameter:
    parts = slots(value)
    literal = not any(isinstance(part, Slot) for part in parts)
    return _Parameter(name=quote(name, safe=""), parts=parts, is_literal=literal)


def _header(name: str, parts: Sequence[str], rendered: Mapping[str, str]) -> str:
    value = fill(parts, rendered, f"header {name}")
    if _NOT_IN_HEADER.search(value):  # header injection (CWE-113)
        raise DataFault(f"header {name}: a value of the lead holds a line break or another control character")
    if not value.isascii():
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            raise DataFault(f"header {name}: a value of the lead holds characters that headers cannot carry") from None
    return value


def _quoted(value: str, place: str) -> str:
    try:
        return quote(value, safe="")
    except UnicodeEncodeError:
        raise DataFault(f"{place}: a value of the lead is not valid Unicode") from None
