"""The connection settings of an HTTP destination; docs/connectors/http.md shows them as a table.

What can be wrong with them is found here, when the configuration is applied. A `${env:NAME}` or `${file:/path}` in
place of a value is let through: it is checked again once it is resolved.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from app.config.base import SECRET_REFERENCE
from app.connectors._endpoints import Spread
from app.connectors._http import agreement
from app.connectors._http.batch import BatchSettings
from app.connectors._http.credentials import Auth
from app.connectors._http.lookup import CacheSettings, PagesSettings
from app.connectors._http.value import (
    XML_NAME,
    Address,
    Charset,
    FixedAddress,
    HeaderName,
    HeaderValue,
    MediaType,
    Namespace,
    ParameterName,
    Prefix,
    Settings,
)

BodyFormat = Literal["json", "form", "multipart", "xml", "text", "query", "none"]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


def _weight(weight: int) -> int:
    if not 1 <= weight <= 1000:  # noqa: PLR2004  # told in the complaint and in the schema
        raise ValueError("a weight is from 1 to 1000; leave the endpoint out to send it nothing")
    return weight


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Endpoint(Settings):
    """One of several addresses that take the same leads."""

    url: Address = Field(examples=["https://eu.buyer.example.com/leads"])
    """Address, as `url` above."""
    weight: Annotated[int, AfterValidator(_weight)] = Field(
        1, examples=[3], json_schema_extra={"minimum": 1, "maximum": 1000}
    )
    """Its share of the leads beside the others' weights."""


class FilePart(Settings):
    """How a property travels as a file of a multipart body."""

    filename: str = Field(min_length=1, examples=["{{ lead.last_name }}.pdf"])
    """Name of the file; may hold `{{ }}`."""
    content_type: MediaType = Field("application/octet-stream", examples=["application/pdf"])
    """Its media type."""
    encoding: Literal["base64", "text"] = Field("base64", examples=["text"])
    """What the property holds: the file's bytes in base64, or text, sent as UTF-8."""


class HttpSettings(Settings):
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
    """How the mapped properties travel: `json`, `form`, `multipart`, `xml`, in the `query`, or `none` at all; `text` is a
    body of `template` alone."""
    json_array: bool = Field(False, examples=[True])
    """Send a JSON body as an array of one object; properties `0.email`, `1.email` make several."""
    batch: BatchSettings | None = Field(None, examples=[{"size": 100, "results": "results"}])
    """Send several leads in one request, as an array of JSON objects."""
    xml_root: str = Field("lead", pattern=XML_NAME, examples=["adf"])
    """Name of the root element of an XML body."""
    xml_namespaces: dict[Prefix, Namespace] = Field({}, examples=[{"a": "urn:acme:leads:2"}])
    """Prefix -> namespace, declared on the root element; the prefix "" is the default namespace."""
    xml_declaration: bool = Field(True, examples=[False])
    """Whether an XML body begins with `<?xml … ?>`."""
    template: str | None = Field(None, examples=["{{ lead.email }};{{ lead.last_name }}"])
    """The body, if `body` is `text`; values go in as they are, so `escape` or `json` them where the format asks for it."""
    content_type: MediaType = Field("text/plain", examples=["text/csv"])
    """Media type of a `text` body."""
    wrap: str | None = Field(None, min_length=1, examples=["lead_xml"])
    """Send the JSON, XML or text body as the form field of this name."""
    form: dict[ParameterName, str] = Field({}, examples=[{"campaign": "{{ lead.campaign }}"}])
    """Form fields beside that of `wrap`; may hold `{{ }}`. One whose templates render to nothing is left out."""
    files: dict[str, FilePart] = Field({}, examples=[{"resume": {"filename": "resume.pdf"}}])
    """Properties of a multipart body that travel as files."""
    charset: Charset = Field("utf-8", examples=["iso-8859-1"])
    """Character set of a form, XML or text body."""
    ascii: bool = Field(False, examples=[True])
    """Transliterate values in the body to ASCII: `Zoë Müller` becomes `Zoe Muller`."""
    compress: Literal["gzip"] | None = Field(None, examples=["gzip"])
    """Compress the body."""
    query: dict[ParameterName, str] = Field({}, examples=[{"campaign": "{{ lead.campaign | downcase }}"}])
    """Query parameters beside the body; may hold `{{ }}`. One whose templates render to nothing is left out."""
    headers: dict[HeaderName, HeaderValue] = Field({}, examples=[{"X-Campaign": "spring"}])
    """Further headers; may hold `{{ }}`. One whose templates render to nothing is left out."""
    auth: Auth | None = Field(None, examples=[{"bearer": {"token": "${env:BUYER_TOKEN}"}}])
    """Credentials; none if not set."""
    redirects: int = Field(0, ge=0, le=10, examples=[3])
    """Most redirects that are followed for one lead; by default each is a configuration error."""
    cookies: bool = Field(False, examples=[True])
    """Send back the cookies that the destination sets, to the host that set them; each worker process keeps its own."""
    idempotency_header: HeaderName | None = Field("Idempotency-Key", examples=["X-Request-Id"])
    """Header that carries the delivery's id, the same on every retry; null to send none."""
    pages: PagesSettings | None = Field(None, examples=[{"kind": "link", "items": "contacts"}])
    """For a GET whose answer comes in pages: all are asked for and joined."""
    cache: CacheSettings | None = Field(None, examples=[{"ttl_seconds": 300}])
    """For a GET: keep answers in each worker process, and do not ask again while they are fresh."""
    check_url: FixedAddress | None = Field(None, examples=["https://buyer.example.com/status"])
    """Address that `check` asks, with the same credentials; if not set, it only connects to `url`."""
    check_method: Literal["GET", "HEAD", "OPTIONS"] = Field("GET", examples=["HEAD"])
    """Method that `check` uses."""

    def addresses(self) -> list[tuple[str, int]]:
        """The addresses that share the leads, with their weights; standbys are no part of them."""
        if self.url is not None:
            return [(self.url, 1)]
        return [(endpoint.url, endpoint.weight) for endpoint in self.endpoints or ()]

    def made_headers(self) -> list[str]:
        """Headers that are made for each request."""
        return self.auth.made_headers() if self.auth else []

    @model_validator(mode="after")
    def _one_way_to_say_where(self) -> "HttpSettings":
        if self.url is None and self.endpoints is None:
            raise _complaint("give an address, or several under endpoints", "url")
        if self.url is not None and self.endpoints is not None:
            raise _complaint("both url and endpoints are set: move the address of url into endpoints", "url")
        if self.endpoints is not None and not self.endpoints:
            raise _complaint("the list is empty: give one endpoint at least, or url", "endpoints")
        known: set[Any] = set()
        for place, address in self.places():
            if _sameness(address) in known:
                raise _complaint("this address stands here before: remove one of the two", *place)
            known.add(_sameness(address))
        return self

    def places(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Every address, those of standbys too, with its place in the settings."""
        for count, (address, _) in enumerate(self.addresses()):
            yield ("url",) if self.url is not None else ("endpoints", count, "url"), address
        for count, address in enumerate(self.standby):
            yield ("standby", count), address

    @model_validator(mode="after")
    def _fits_together(self) -> "HttpSettings":
        for place, complaint in agreement.complaints(self):
            raise _complaint(complaint, *place)
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
