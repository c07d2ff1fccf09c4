"""The connection settings of a GraphQL destination; docs/connectors/graphql.md shows them as a table.

What is wrong with the document, by itself or against the schema, is found here, when the configuration is applied.
"""

from collections.abc import Sequence

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from app.connectors._http.credentials import Auth
from app.connectors._http.settings import HttpSettings
from app.connectors._http.value import FixedAddress, HeaderName, HeaderValue, Settings
from app.connectors.graphql.document import Operation, read_operation
from app.errors import InvalidConfig

# GraphQL over HTTP, 4.1: the newer media type first, the older one for servers that know no other.
_SENT = {
    "Content-Type": "application/json",
    "Accept": "application/graphql-response+json, application/json;q=0.9",
}


class SchemaSettings(Settings):
    """What the destination's API looks like."""

    sdl: str = Field(min_length=1, examples=["../schemas/acme.graphql"])
    """Schema definition language: the name of a file, relative to this one, or the text itself."""


class GraphqlSettings(Settings):
    """Where a lead is sent, by which operation, and with which credentials."""

    url: FixedAddress = Field(examples=["https://crm.example.com/graphql"])
    """Address of the endpoint, http or https."""
    document: str = Field(
        min_length=1, max_length=100_000, examples=["mutation($email: String!) { createLead(email: $email) { id } }"]
    )
    """The GraphQL document: a mutation or query, and the fragments it uses. The mapping names its variables."""
    operation: str | None = Field(None, examples=["CreateLead"])
    """Name of the operation to run; required if the document holds several."""
    known_schema: SchemaSettings | None = Field(None, alias="schema", examples=[{"sdl": "../schemas/acme.graphql"}])
    """The schema that document and mapping are checked against when the configuration is applied, and values are typed by."""
    headers: dict[HeaderName, HeaderValue] = Field({}, examples=[{"X-Campaign": "{{ lead.campaign }}"}])
    """Further headers; may hold `{{ }}`. One whose templates render to nothing is left out."""
    auth: Auth | None = Field(None, examples=[{"bearer": {"token": "${env:CRM_TOKEN}"}}])
    """Credentials; none if not set."""
    idempotency_header: HeaderName | None = Field("Idempotency-Key", examples=["X-Request-Id"])
    """Header that carries the delivery's id, the same on every retry; null to send none."""

    def read(self) -> Operation:
        """The operation to run; raises `InvalidConfig` with a complaint for each thing wrong."""
        return read_operation(self.document, self.operation, self.known_schema.sdl if self.known_schema else None)

    def request(self) -> HttpSettings:
        """The request that carries the operation; the endpoint is also what a check asks."""
        named = {name.lower() for name in self.headers}
        ours = {name: value for name, value in _SENT.items() if name.lower() not in named}
        return HttpSettings(
            url=self.url,
            check_url=self.url,
            headers=ours | self.headers,
            auth=self.auth,
            idempotency_header=self.idempotency_header,
        )

    @model_validator(mode="after")
    def _fits_together(self) -> "GraphqlSettings":
        if self.auth is not None and self.auth.body_key() is not None:
            raise _complaints([("auth.api_key.in", "the body is the operation: put the key in a header or the query")])
        self.request()
        try:
            self.read()
        except InvalidConfig as invalid:
            raise _complaints([(complaint.field, complaint.detail) for complaint in invalid.complaints]) from None
        return self


def _complaints(found: Sequence[tuple[str, str]]) -> ValidationError:
    """What is wrong, each with the dotted place of a setting."""
    errors: list[InitErrorDetails] = [
        {
            "type": PydanticCustomError("graphql", "{detail}", {"detail": detail}),
            "loc": tuple(place.split(".")),
            "input": None,
        }
        for place, detail in found
    ]
    return ValidationError.from_exception_data("GraphqlSettings", errors)
