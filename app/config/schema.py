"""What integrators write: sources and destinations, as plain data.

Pydantic models of the YAML files. They check what can be known from the text alone; connector settings, templates and
rules are compiled, and so checked, by `app.catalog`. Nothing here knows the ledger, Celery or a connector.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from app.config.base import FieldName, Name, Strict
from app.config.event import Events
from app.config.flow import CircuitConfig, Fallback, Rates, RejectionsConfig, ScheduleConfig, TimeZone, VolumeConfig
from app.config.hook import HookConfig
from app.config.network import NetworkConfig
from app.model import Priority


class FieldType(StrEnum):
    """Types a lead's field can have."""

    TEXT = "text"
    EMAIL = "email"
    PHONE = "phone"
    POSTAL_CODE = "postal_code"
    STATE = "state"
    DATE = "date"
    BOOLEAN = "boolean"
    NUMBER = "number"
    IP = "ip"
    URL = "url"


class FieldConfig(Strict):
    """How a source's field is read."""

    type: FieldType | None = None
    """Type the value is read as; if not set, a well-known name's own, else text."""
    required: bool = False
    """Refuse a lead without a valid value."""
    region: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] = "US"
    """ISO 3166 country that phones, postal codes and states without one belong to."""


class SourceConfig(Strict):
    """One submitter of leads."""

    name: Name
    """Name producers submit under."""
    description: str = ""
    """For people."""
    fields: dict[FieldName, FieldConfig] = {}
    """Types of fields; well-known names (email, phone_1, postal_code, ...) have theirs without being listed."""
    defaults: dict[FieldName, Any] = {}
    """Values of fields the producer leaves out."""
    priority: Priority = Priority.FRESH
    """Class of its leads unless the producer names another: where both wait, most of a destination goes to the fresh."""
    destinations: list[Name] | Literal["all"] = "all"
    """Destinations its leads are routed to; each still applies its own `when`."""
    hook: HookConfig | None = None
    """Takes signed webhooks at `/v1/hooks/NAME`, without an API key; see docs/hooks.md."""


class RetryConfig(Strict):
    """When an attempt that ended in a transient error is tried again."""

    attempts: int = Field(10, ge=1, le=100)
    """Most attempts of one delivery."""
    base_seconds: float = Field(5.0, gt=0, le=3600)
    """Wait before the second attempt; it doubles with each further one."""
    max_seconds: float = Field(600.0, gt=0, le=86_400)
    """Longest wait between two attempts, also for a destination's Retry-After."""
    jitter: float = Field(0.2, ge=0, le=1)
    """Random share added to each wait, so that retries do not come in waves."""
    deadline_seconds: float = Field(86_400.0, gt=0, le=2_592_000)
    """Age of a delivery after which it is not tried any more, and what still waits is dead."""
    on_ambiguous: Literal["retry", "hold"] = "retry"
    """After an answer was lost: send again with the same idempotency key, or wait for a person."""

    @model_validator(mode="after")
    def _waits_make_sense(self) -> "RetryConfig":
        if self.max_seconds < self.base_seconds:
            raise ValueError("max_seconds must not be below base_seconds")
        if self.attempts > 1 and self.deadline_seconds < self.base_seconds:
            raise ValueError(
                f"deadline_seconds ({self.deadline_seconds:g}) is shorter than the wait before the first retry "
                f"(base_seconds {self.base_seconds:g}): lower base_seconds, or set attempts to 1"
            )
        return self


class LimitsConfig(Strict):
    """How much a destination is given."""

    concurrency: int = Field(8, ge=1, le=256)
    """Most sends at the same time in one worker process."""
    window: int = Field(1000, ge=1, le=100_000)
    """Most deliveries queued or in flight in the whole installation."""
    timeout_seconds: float = Field(15.0, gt=0, le=300)
    """Total time one send may take."""
    rate: Rates = []
    """Most sends in a time, in the whole installation: `10/s`, `100/10s`, `2000/h`, or several of them."""
    volume: VolumeConfig = VolumeConfig()
    """Most successes in a day and a month."""
    adaptive: bool = False
    """Find out by itself how much at once the destination stands, up to `window`: less on errors and slowness, then more."""
    obey_rate_headers: bool = True
    """Keep to the rate limit that its answers tell of (`RateLimit`, `X-RateLimit-Remaining`); Retry-After counts anyway."""


class SearchConfig(Strict):
    """Where to look in a response, and what finding the term means."""

    path: str | None = None
    """JSON dotted path (`*` for any), XPath for XML, CSS for HTML; whole body if not set."""
    term: str
    """Text (case does not matter) or /regex/flags."""
    on_match: Literal["success", "failure", "error"] = "success"
    """Result when the term is found; otherwise the inverse."""


class ExtractConfig(Strict):
    """A value taken out of a response, by path or by regular expression (its first group)."""

    path: str | None = None
    """JSON dotted path, XPath or CSS, as the body's type asks for."""
    regex: str | None = None
    """Regular expression over the body's text; its first group is the value."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "ExtractConfig":
        if (self.path is None) == (self.regex is None):
            raise ValueError("give exactly one of path and regex")
        return self


Extract = str | ExtractConfig


class SchemaConfig(Strict):
    """What a usable answer looks like: exactly one of the two."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)

    json_schema: dict[str, Any] | str | None = Field(None, alias="json", examples=["../schemas/acme.json"])
    """JSON Schema: the name of a file, relative to this one, or the schema itself."""
    xsd: str | None = Field(None, examples=["../schemas/acme.xsd"])
    """XML Schema: likewise."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "SchemaConfig":
        if (self.json_schema is None) == (self.xsd is None):
            raise ValueError("give exactly one of json and xsd")
        return self


class ResponseConfig(Strict):
    """How a destination's answer becomes an outcome (LeadConduit's response rules)."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)

    search: SearchConfig | None = None
    """Decides success or failure; without it any 2xx is success."""
    reason: Extract | None = None
    """Why; several values are trimmed, sorted and joined with ", "."""
    default_reason: str | None = None
    """Reason when none is found."""
    price: Extract | None = None
    """What the destination pays or costs, a decimal number."""
    fallback_price: Decimal | None = None
    """Price when none is found."""
    reference: Extract | None = None
    """The destination's own record id."""
    capture: dict[FieldName, Extract] = {}
    """Further values kept with the delivery."""
    format: Literal["auto", "json", "xml", "html", "text"] = "auto"
    """Read the body as this type whatever its Content-Type says."""
    answer_schema: SchemaConfig | None = Field(None, alias="schema")
    """What a 2xx answer must look like to be usable; any other is a transient error."""


class DestinationConfig(Strict):
    """One integration step: where leads go and how."""

    name: Name
    """Name of the destination, also of its queues."""
    type: Name
    """Connector type: http, graphql, soap, webhook, email, salesforce, hubspot."""
    description: str = ""
    """For people."""
    enabled: bool = True
    """A disabled destination is routed nothing new."""
    events: Events | None = None
    """Events it is told of, such as `delivery.dead` or `delivery.*`; with them it takes no leads (docs/webhooks.md)."""
    when: str | None = None
    """CEL condition on `lead` and `source`, or on `event`; what does not meet it is skipped."""
    mapping: dict[str, Any] = {}
    """Property -> template or literal; dots make nested objects, numbers arrays."""
    settings: dict[str, Any] = {}
    """Connection settings of the connector type (docs/connectors)."""
    response: ResponseConfig | None = None
    """How to read the answer, for connector types whose answers need it."""
    network: NetworkConfig | None = None
    """How it is reached, for connector types that speak HTTP."""
    retry: RetryConfig = RetryConfig()
    """When to try again."""
    limits: LimitsConfig = LimitsConfig()
    """How much at once, how fast, how many in all."""
    time_zone: TimeZone = "UTC"
    """IANA time zone of `schedule` and of the days and months of `limits.volume`."""
    schedule: ScheduleConfig | None = None
    """When it takes leads; always if not set."""
    circuit: CircuitConfig = CircuitConfig()
    """When a failing destination is left alone."""
    rejections: RejectionsConfig | None = None
    """What a run of rejections means; nothing if not set."""
    fallback: Fallback | None = None
    """Where a lead goes instead: a destination's name (on dead letters), or more of it."""
    after: list[Name] = []
    """Steps whose deliveries of the same lead must have ended first; `steps.NAME` holds what they captured."""
    optional: bool = False
    """Whether steps that come `after` this one go on when it fails; otherwise they are skipped."""


class Document(Strict):
    """A whole configuration: what `config apply` writes as one version."""

    sources: list[SourceConfig] = []
    """Every source."""
    destinations: list[DestinationConfig] = []
    """Every destination."""

    def source(self, name: str) -> SourceConfig | None:
        """The source of that name, if there is one."""
        return next((source for source in self.sources if source.name == name), None)

    def destination(self, name: str) -> DestinationConfig | None:
        """The destination of that name, if there is one."""
        return next((destination for destination in self.destinations if destination.name == name), None)
