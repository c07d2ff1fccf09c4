"""HubSpot: a lead is upserted as a contact, found by its e-mail address, through the CRM API.

hubspot-api-client knows no date-versioned paths, so its client and auth build the request for them; our session sends
it, since the client itself would wait without end and print errors to standard output. Upserting by a unique property
makes a repeat an update.
"""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, ClassVar, Unpack

import requests
from hubspot.client import Client
from hubspot.utils.requests.http_request_builder import Request
from pydantic import AfterValidator, ConfigDict, Field, SecretStr

from app.config.base import Strict
from app.connectors import _vendor
from app.connectors._hubspot_errors import read_error, refusal
from app.connectors._quota import quota_of
from app.connectors._transport import Session, session
from app.connectors._vendor import Call
from app.connectors.base import Capability, Connector, Given, Property, mask
from app.errors import ConfigurationFault, DataFault, DeliveryFault, TransientFault
from app.model import Fault, Item, Outcome, Result


class HubSpotSettings(Strict):
    """Connection settings of a destination of type `hubspot`."""

    model_config = ConfigDict(hide_input_in_errors=True)

    access_token: Annotated[SecretStr, AfterValidator(_vendor.sendable)] = Field(examples=["${env:HUBSPOT_TOKEN}"])
    """Access token of a private app with the scopes crm.objects.contacts.write and crm.schemas.contacts.read."""
    base_url: Annotated[str, AfterValidator(_vendor.base_url)] = Field(
        "https://api.hubapi.com", examples=["https://api.hubapi.com"]
    )
    """Address of the API."""
    api_version: str = Field("2026-09", pattern=r"^20\d\d-(03|09)$", examples=["2026-09"])
    """Date version of the CRM API; HubSpot supports each for 18 months."""
    object: str = Field("contacts", pattern=r"^[A-Za-z0-9_-]+$", examples=["2-1234567"])
    """Object type: contacts, or the name or id of another type with a unique property."""
    id_property: str = Field("email", pattern=r"^[a-z0-9_]+$", examples=["email"])
    """Unique property that tells records apart; the mapping must give it a value."""


class _Client(Client):  # type: ignore[misc]  # the library has no types
    """The vendor's client, with our session below it."""

    def __init__(self, settings: HubSpotSettings, through: Session) -> None:
        super().__init__(
            access_token=settings.access_token.get_secret_value(), base_url=settings.base_url, user_agent="leadrelay"
        )
        self._session = through

    def api_request(self, options: dict[str, Any]) -> requests.Response:
        """Send a request with the account's credentials; raises what the session raises."""
        request = self.build(options)
        return self._session.request(request.get_method(), request.get_url(), **request.get_options_for_sending())

    def build(self, options: dict[str, Any]) -> Any:
        """A request as the vendor's client builds it, with the account's credentials."""
        return Request(self.config, options)


class HubSpotConnector(Connector[HubSpotSettings]):
    """One account; all threads share its connections."""

    Settings: ClassVar[type[HubSpotSettings]] = HubSpotSettings
    capabilities = Capability.IDEMPOTENT | Capability.CHECK | Capability.DESCRIBE | Capability.NETWORK | Capability.HTTP
    # What the session cannot send is told apart there; requests itself refuses odd addresses and headers.
    faults: ClassVar[Mapping[type[Exception], Fault]] = {requests.RequestException: Fault.CONFIGURATION}

    def __init__(self, name: str, settings: HubSpotSettings, **given: Unpack[Given]) -> None:
        super().__init__(name, settings, **given)
        self._session = session(self.limits, self.network)
        self._client = _Client(settings, self._session)

    def deliver(self, item: Item) -> Outcome:
        """Upsert one record; `reference` is its id, captured `created` tells new from updated."""
        options = self._upsert(item)
        call = Call(method="POST", url=f"{self.settings.base_url}{options['path']}", body=options["body"].decode())
        try:
            with self._session.until(min(item.deadline, self._session.deadline())):
                response = self._client.api_request(options)
        except DeliveryFault as fault:
            fault.transcript = call.transcript()
            raise
        return _outcome(response, call.transcript(response))

    def request(self, item: Item, *, reveal: bool) -> Mapping[str, Any]:
        """The upsert of one record."""
        built = self._client.build(self._upsert(item))
        headers, body = dict(built.headers), built.body.decode()
        if not reveal:
            headers, body = mask(headers), _vendor.masked(body)
        return {"method": built.get_method(), "url": built.get_url(), "headers": headers, "body": body}

    def interpret(self, status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
        """What an answer to an upsert means."""
        return _outcome(_vendor.answer(status, headers, body), None)

    def check(self) -> None:
        """Read the object's properties and see that the one records are told apart by is among them."""
        if self.settings.id_property not in {found.name for found in self.describe()}:
            raise ConfigurationFault(f"{self.settings.object} has no property {self.settings.id_property}")

    def describe(self) -> list[Property]:
        """The properties of the object that can be written."""
        path = f"/crm/properties/{self.settings.api_version}/{self.settings.object}"
        with self._session.until(self._session.deadline()):
            response = self._client.api_request({"method": "GET", "path": path})
        if not _vendor.is_success(response):
            found = refusal(response, read_error(response))
            raise found if isinstance(found, DeliveryFault) else ConfigurationFault(found.reason or path)
        return [
            Property(
                name=found["name"],
                type=found["type"],
                required=found["name"] == self.settings.id_property,
                label=found.get("label", ""),
            )
            for found in _vendor.read_json(response)["results"]
            if not found.get("modificationMetadata", {}).get("readOnlyValue", False)
        ]

    def close(self) -> None:
        """Give back threads and connections."""
        super().close()
        self._session.close()

    def _upsert(self, item: Item) -> dict[str, Any]:
        """An upsert in the words of the vendor's client."""
        path = f"/crm/objects/{self.settings.api_version}/{self.settings.object}/batch/upsert"
        body = _vendor.write_json({"inputs": [self._input(item)]})
        return {"method": "POST", "path": path, "body": body.encode()}

    def _input(self, item: Item) -> dict[str, Any]:
        """One input of a batch upsert; the trace id makes HubSpot name the record in its errors."""
        values = {name: _text(value, name) for name, value in item.payload.items()}
        identity = values.pop(self.settings.id_property, "")
        if not identity:
            raise DataFault(f"{self.settings.id_property}: no value, and records are told apart by it")
        return {
            "id": identity,
            "idProperty": self.settings.id_property,
            "objectWriteTraceId": item.key,
            "properties": values,
        }


def _outcome(response: requests.Response, transcript: Mapping[str, Any] | None) -> Outcome:
    if not _vendor.is_success(response):
        return _turned_down(response, read_error(response), transcript)
    answer = _vendor.read_json(response, transcript=transcript)
    if not isinstance(answer, dict):
        answer = {}
    if errors := answer.get("errors"):  # 207: HubSpot took the request but not this record
        return _turned_down(response, errors[0], transcript)
    if not (results := answer.get("results")):
        raise TransientFault("the answer names no record", ambiguous=True, transcript=transcript)
    return Outcome(
        result=Result.SUCCESS,
        reference=str(results[0]["id"]),
        captured={"created": results[0].get("new") is True},
        quota=quota_of(response.headers),
        transcript=transcript,
    )


def _turned_down(
    response: requests.Response, error: Mapping[str, Any], transcript: Mapping[str, Any] | None
) -> Outcome:
    found = refusal(response, error, transcript)
    if isinstance(found, DeliveryFault):
        raise found
    return found


def _text(value: Any, name: str) -> str:
    """A value as HubSpot's properties take it: text; several values of a checkbox property are joined by semicolons."""
    if isinstance(value, Mapping):
        raise DataFault(f"{name}: not a single value; properties have no parts")
    if isinstance(value, list):
        return ";".join(_text(one, name) for one in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return value.isoformat()
    return "" if value is None else str(value)


CONNECTOR = HubSpotConnector
