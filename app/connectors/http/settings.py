"""The connection settings of an HTTP destination; docs/connectors/http.md shows them as a table.

What can be wrong with them is found here, when the configuration is applied. A `${env:NAME}` or `${file:/path}` in
place of a value is let through: it is checked again once it is resolved.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import requests
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.config.base import SECRET_REFERENCE, Strict
from app.connectors._endpoints import Spread
from app.errors import InvalidTemplate
from app.templates import Slot, is_template, slots

BodyFormat = Literal["json", "form", "xml", "query", "none"]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_XML_NAME = r"^[A-Za-z_][\w.-]*(:[A-Za-z_][\w.-]*)?$"
_PLACE = "leadrelay-place-"
"""Stands for a template while an address is checked."""
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection"})


def _fixed_address(url: str) -> str:
    if is_template(url):
        raise ValueError("this address is the same for every lead and holds no {{ }}")
    return _address(url)


def _templated_address(url: str) -> str:
    """The address with its templates as they were written, all else in the form it is sent in."""
    if not is_template(url):
        return _address(url)
    try:
        parts = slots(url)
    except InvalidTemplate:  # the compiler of templates complains, with line and column
        return url
    start = SECRET_REFERENCE.sub("x", parts[0])
    _, mark, after = start.partition("://")
    if "{%" in url:
        raise ValueError("an address takes {{ }} only, no tags: put the choice into a field or a filter")
    if isinstance(parts[0], Slot) or not re.search(r"[/?#]", after if mark else start):
        raise ValueError("scheme, host and port are the same for every lead: begin {{ }} after the host's '/'")
    found = [part for part in parts if isinstance(part, Slot)]
    places = [f"{_PLACE}{count}x" for count in range(len(found))]
    waiting = iter(places)
    address = _address("".join(next(waiting) if isinstance(part, Slot) else part for part in parts))
    for place, slot in zip(places, found, strict=True):
        address = address.replace(place, slot, 1)
    return address


def _address(url: str) -> str:
    if SECRET_REFERENCE.search(url):
        return url
    try:
        prepared = requests.Request("GET", url).prepare()
    except requests.RequestException:
        raise ValueError("not an absolute http or https address") from None
    if not (prepared.url or "").startswith(("http://", "https://")):
        raise ValueError("not an absolute http or https address")
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise ValueError("credentials do not belong in the address; use auth.basic")
    return (prepared.url or "").partition("#")[0]


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError("not a header name (RFC 9110)")
    if name.lower() in _OURS:
        raise ValueError("this header is set for each request and cannot be configured")
    return name


def _header_value(value: str) -> str:
    if not value.isprintable():
        raise ValueError("a header value holds a line break or another control character")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("a header value holds characters that headers cannot carry") from None
    return value


def _weight(weight: int) -> int:
    if not 1 <= weight <= 1000:  # noqa: PLR2004  # told in the complaint and in the schema
        raise ValueError("a weight is from 1 to 1000; leave the endpoint out to send it nothing")
    return weight


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Address = Annotated[str, AfterValidator(_templated_address)]
FixedAddress = Annotated[str, AfterValidator(_fixed_address)]
ParameterName = Annotated[str, StringConstraints(min_length=1)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]


class _Settings(Strict):
    """Values may be secrets: a complaint never repeats them."""

    model_config = ConfigDict(hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)


class BasicAuth(_Settings):
    """User and password (RFC 7617)."""

    username: str = Field(examples=["leads"])
    """User name; it holds no colon."""
    password: SecretStr = Field(examples=["${env:BUYER_PASSWORD}"])
    """Password."""

    @model_validator(mode="after")
    def _no_colon(self) -> "BasicAuth":
        if ":" in SECRET_REFERENCE.sub("", self.username):
            raise ValueError("a user name holds no colon (RFC 7617)")
        return self


class BearerAuth(_Settings):
    """A token (RFC 6750)."""

    token: SecretStr = Field(examples=["${env:BUYER_TOKEN}"])
    """The token."""


class ApiKeyAuth(_Settings):
    """A key in a header or in the query."""

    name: HeaderName = Field(examples=["X-API-Key"])
    """Name of the header or query parameter."""
    value: SecretStr = Field(examples=["${env:BUYER_KEY}"])
    """The key."""
    place: Literal["header", "query"] = Field("header", alias="in", examples=["query"])
    """Where it goes."""


class Auth(_Settings):
    """How we show who we are: exactly one of the three."""

    basic: BasicAuth | None = None
    """User and password."""
    bearer: BearerAuth | None = None
    """A bearer token."""
    api_key: ApiKeyAuth | None = None
    """An API key."""

    @model_validator(mode="after")
    def _exactly_one(self) -> "Auth":
        if sum(way is not None for way in (self.basic, self.bearer, self.api_key)) != 1:
            raise ValueError("give exactly one of basic, bearer and api_key")
        for secret in self._secrets():
            try:
                _header_value(secret)
            except ValueError:
                raise ValueError("the credentials hold characters that headers cannot carry") from None
        return self

    def _secrets(self) -> list[str]:
        found = [self.bearer.token if self.bearer else None, self.api_key.value if self.api_key else None]
        return [secret.get_secret_value() for secret in found if secret is not None]


class Endpoint(_Settings):
    """One of several addresses that take the same leads."""

    url: Address = Field(examples=["https://eu.buyer.example.com/leads"])
    """Address, as `url` above."""
    weight: Annotated[int, AfterValidator(_weight)] = Field(
        1, examples=[3], json_schema_extra={"minimum": 1, "maximum": 1000}
    )
    """Its share of the leads beside the others' weights."""


class HttpSettings(_Settings):
    """Where a lead is sent, in which form, and with which credentials."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["url"]}, {"required": ["endpoints"]}]})

    url: Address | None = Field(None, examples=["https://buyer.example.com/leads"])
    """Address, http or https, with a query if need be; `{{ }}` after the host. This or `endpoints` is required."""
    endpoints: list[Endpoint] | None = Field(None, examples=[[{"url": "https://eu.buyer.example.com/leads"}]])
    """Several addresses that share the leads, in place of `url`."""
    spread: Spread = Field("weighted", examples=["least_in_flight"])
    """How they share: by `weight`, or each lead to the one with the fewest under way from this process, by weight."""
    standby: Annotated[list[Address], BeforeValidator(_as_list, json_schema_input_type=Address | list[Address])] = (
        Field([], examples=["https://standby.buyer.example.com/leads"])
    )
    """Address, or list of them, that takes the leads only while none of the others is healthy."""
    method: Method = Field("POST", examples=["PUT"])
    """HTTP method."""
    body: BodyFormat = Field("json", examples=["form"])
    """How the mapped properties travel: `json`, `form`, `xml`, in the `query`, or `none` at all."""
    xml_root: str = Field("lead", pattern=_XML_NAME, examples=["adf"])
    """Name of the root element of an XML body."""
    query: dict[ParameterName, str] = Field({}, examples=[{"campaign": "{{ lead.campaign | downcase }}"}])
    """Query parameters beside the body; may hold `{{ }}`. One whose templates render to nothing is left out."""
    headers: dict[HeaderName, HeaderValue] = Field({}, examples=[{"X-Campaign": "spring"}])
    """Further headers; may hold `{{ }}`. One whose templates render to nothing is left out."""
    auth: Auth | None = Field(None, examples=[{"bearer": {"token": "${env:BUYER_TOKEN}"}}])
    """Credentials; none if not set."""
    idempotency_header: HeaderName | None = Field("Idempotency-Key", examples=["X-Request-Id"])
    """Header that carries the delivery's id, the same on every retry; null to send none."""
    check_url: FixedAddress | None = Field(None, examples=["https://buyer.example.com/status"])
    """Address that `check` asks, with the same credentials; if not set, it only connects to `url`."""
    check_method: Literal["GET", "HEAD", "OPTIONS"] = Field("GET", examples=["HEAD"])
    """Method that `check` uses."""

    def addresses(self) -> list[tuple[str, int]]:
        """The addresses that share the leads, with their weights; standbys are no part of them."""
        if self.url is not None:
            return [(self.url, 1)]
        return [(endpoint.url, endpoint.weight) for endpoint in self.endpoints or ()]

    @model_validator(mode="after")
    def _one_way_to_say_where(self) -> "HttpSettings":
        if self.url is None and self.endpoints is None:
            raise _complaint("give an address, or several under endpoints", "url")
        if self.url is not None and self.endpoints is not None:
            raise _complaint("both url and endpoints are set: move the address of url into endpoints", "url")
        if self.endpoints is not None and not self.endpoints:
            raise _complaint("the list is empty: give one endpoint at least, or url", "endpoints")
        known: set[Any] = set()
        for place, address in self._places():
            if _sameness(address) in known:
                raise _complaint("this address stands here before: remove one of the two", *place)
            known.add(_sameness(address))
        return self

    def _places(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for count, (address, _) in enumerate(self.addresses()):
            yield ("url",) if self.url is not None else ("endpoints", count, "url"), address
        for count, address in enumerate(self.standby):
            yield ("standby", count), address

    @model_validator(mode="after")
    def _fits_together(self) -> "HttpSettings":
        if self.method == "GET" and self.body not in {"query", "none"}:
            raise ValueError("a GET carries no body: set body to query or none")
        names = [name.lower() for name in self.headers]
        if len(set(names)) < len(names):
            raise ValueError("headers: a name stands there twice")
        if self.auth is not None:
            key = self.auth.api_key
            used = key.name.lower() if key and key.place == "header" else None if key else "authorization"
            if used in names:
                raise ValueError(f"both auth and headers set {used}")
        return self


def _sameness(address: str) -> Any:
    """What two spellings of one address have in common (RFC 3986, 6.2)."""
    if SECRET_REFERENCE.search(address):
        return address
    parts = urlsplit(address)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return parts.scheme, parts.hostname, port, parts.path or "/", parts.query


def _complaint(detail: str, *place: str | int) -> ValidationError:
    """A complaint about one field from where the whole is known; it repeats no value."""
    error = PydanticCustomError("addresses", "{detail}", {"detail": detail})
    return ValidationError.from_exception_data("HttpSettings", [{"type": error, "loc": place, "input": None}])
