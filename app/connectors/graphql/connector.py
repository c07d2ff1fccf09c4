"""A lead as one GraphQL operation, sent as every HTTP destination's request is (GraphQL over HTTP).

It may not know how documents are checked, requests are written or answers are read: it joins them.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar, Unpack

import msgspec
from graphql import GraphQLError, GraphQLSchema, build_client_schema, get_introspection_query

from app.config.schema import ResponseConfig
from app.connectors._http.authentication import TEMPLATED_CLAIMS
from app.connectors._http.connector import HttpConnector
from app.connectors.base import Capability, Connector, Given, Property
from app.connectors.graphql.document import Operation, checked_operation
from app.connectors.graphql.response import GraphqlRules, Response, read_response
from app.connectors.graphql.settings import GraphqlSettings
from app.errors import ConfigurationFault, InvalidConfig, TransientFault
from app.model import Fault, Item, Outcome, Result

_SCHEMA_CAP_BYTES = 16_000_000
"""Schemas are longer than answers: those of the largest public APIs come to half of this."""
_PING = msgspec.json.encode({"query": "{ __typename }"})
_INTROSPECTION = msgspec.json.encode({"query": get_introspection_query(descriptions=False)})


class GraphqlConnector(Connector[GraphqlSettings]):
    """One GraphQL endpoint in one process."""

    Settings: ClassVar[type[GraphqlSettings]] = GraphqlSettings
    capabilities = (
        Capability.IDEMPOTENT
        | Capability.CHECK
        | Capability.DESCRIBE
        | Capability.RESPONSE
        | Capability.NETWORK
        | Capability.HTTP
    )
    templated = ("headers.*", *TEMPLATED_CLAIMS)

    def __init__(self, name: str, settings: GraphqlSettings, **given: Unpack[Given]) -> None:
        super().__init__(name, settings, **given)
        self._operation = settings.read()
        self._http = HttpConnector(name, settings.request(), **given, rules=GraphqlRules(self.response))

    @classmethod
    def check_response(cls, response: ResponseConfig) -> None:
        """Compile response rules; raises `InvalidTemplate` naming what is wrong."""
        GraphqlRules(response)

    @classmethod
    def check_mapping(cls, settings: GraphqlSettings, mapping: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Properties that are no variables of the document, and required variables without one."""
        return list(settings.read().complaints(mapping))

    def deliver(self, item: Item) -> Outcome:
        """Run the operation for one lead; raises `DataFault` for a variable without a fit value, else as HTTP does."""
        try:
            return self._http.deliver(self._carried(item))
        finally:
            self.notice, self._http.notice = self._http.notice or self.notice, None

    def request(self, item: Item, *, reveal: bool) -> Mapping[str, Any]:
        """The request that `deliver` would send."""
        return self._http.request(self._carried(item), reveal=reveal)

    def interpret(self, status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
        """What an answer would mean."""
        return self._http.interpret(status, headers, body)

    def check(self) -> None:
        """Ask the endpoint for nothing but the name of its root type, then check the document against its schema.

        A destination that tells no schema passes. Raises as `deliver` does.
        """
        self._ping()
        schema = self._introspected()
        if schema is not None:
            _fit(self.settings, schema)

    def describe(self) -> list[Property]:
        """The document's variables, input objects by their fields where the schema is known or the destination tells it."""
        operation = self._operation
        if self.settings.known_schema is None:
            self._ping()
            schema = self._introspected()
            if schema is not None:
                operation = _fit(self.settings, schema)
        return [found for variable in operation.variables.values() for found in variable.properties()]

    def secrets(self) -> Sequence[str]:
        """Credentials of the requests that this thread sent last."""
        return self._http.secrets()

    def close(self) -> None:
        """Give back threads and connections."""
        super().close()
        self._http.close()

    def _carried(self, item: Item) -> Item:
        """The item with what goes over the wire as its payload (GraphQL over HTTP, 5.1)."""
        payload: dict[str, Any] = {"query": self._operation.text}
        if self._operation.name is not None:
            payload["operationName"] = self._operation.name
        payload["variables"] = self._operation.fill(item.payload)
        return replace(item, payload=payload)

    def _ping(self) -> None:
        answer = self._http.asking.post(_PING)
        outcome = GraphqlRules(None).interpret(answer.status, answer.headers, answer.body, truncated=answer.truncated)
        if outcome.fault is Fault.TRANSIENT:
            raise TransientFault(outcome.reason or "", retry_after=outcome.retry_after)
        if outcome.result is not Result.SUCCESS:
            raise ConfigurationFault(outcome.reason or "")

    def _introspected(self) -> GraphQLSchema | None:
        """The schema the destination tells, None where it tells none: many have introspection switched off."""
        answer = self._http.asking.post(_INTROSPECTION, body_cap_bytes=_SCHEMA_CAP_BYTES)
        response: Response | None = None if answer.truncated else read_response(answer.headers, answer.body)
        if response is None or response.errors or "__schema" not in response.data:
            return None
        with suppress(GraphQLError, TypeError, ValueError, KeyError, AttributeError, RecursionError):
            return build_client_schema(response.data)
        return None


def _fit(settings: GraphqlSettings, schema: GraphQLSchema) -> Operation:
    """The operation against the schema that the destination has told; raises `ConfigurationFault`."""
    try:
        return checked_operation(settings.document, settings.operation, schema)
    except InvalidConfig as invalid:
        raise ConfigurationFault(f"the document does not fit the schema: {invalid.complaints[0].detail}") from None
