"""Salesforce: a lead is upserted by an external id through the REST API.

Signs on with OAuth's client credentials, by a token that all workers share; simple-salesforce gets it as a session id, so that
its own refresh (which drops headers and knows no end) never runs. The external id makes a repeat an update.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Unpack
from urllib.parse import quote

import requests
from pydantic import AfterValidator, ConfigDict, Field, SecretStr, StrictBool, StringConstraints
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceError

from app.config.base import Strict
from app.connectors import _vendor
from app.connectors._oauth import UNTIL_REFUSED_SECONDS
from app.connectors._salesforce_errors import refusal, sign_on_refusal
from app.connectors._token import Granted, SharedToken, Token
from app.connectors._transport import session
from app.connectors._vendor import Call
from app.connectors.base import Capability, Connector, Given, Property, mask
from app.errors import ConfigurationFault, DataFault, DeliveryFault, TransientFault
from app.model import Fault, Item, Outcome, Result
from app.redaction import MASK

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
RuleId = Annotated[str, StringConstraints(pattern=r"^01Q[A-Za-z0-9]{12}([A-Za-z0-9]{3})?$")]


class SalesforceSettings(Strict):
    """Connection settings of a destination of type `salesforce`."""

    model_config = ConfigDict(hide_input_in_errors=True)

    instance_url: Annotated[str, AfterValidator(_vendor.base_url)] = Field(
        examples=["https://example.my.salesforce.com"]
    )
    """The org's My Domain address; client credentials are not accepted at login.salesforce.com."""
    client_id: SecretStr = Field(examples=["${env:SALESFORCE_CLIENT_ID}"])
    """Consumer key of the external client app, with the client credentials flow enabled."""
    client_secret: SecretStr = Field(examples=["${env:SALESFORCE_CLIENT_SECRET}"])
    """Its consumer secret."""
    api_version: str = Field("65.0", pattern=r"^(4[6-9]|[5-9]\d|1\d\d)\.0$", examples=["65.0"])
    """Version of the REST API, 46.0 or newer."""
    object: Name = Field("Lead", examples=["Contact"])
    """API name of the object."""
    external_id_field: Name = Field(examples=["Leadrelay_Id__c"])
    """API name of the unique external id field; it gets the mapped property of that name, else the delivery's id."""
    auto_assign: StrictBool | RuleId = Field(default=True, examples=["01Qxx0000000001AAA"])
    """Apply the active assignment rules, none (false), or the one of that id."""
    allow_duplicates: bool = Field(default=False, examples=[True])
    """Save also when a duplicate rule that only alerts has found a duplicate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exchange:
    """A request and its answer, whatever its status."""

    call: Call
    response: requests.Response

    def transcript(self) -> dict[str, Any]:
        """What is kept of it."""
        return self.call.transcript(self.response)


class SalesforceConnector(Connector[SalesforceSettings]):
    """One org; all threads share its connections."""

    Settings: ClassVar[type[SalesforceSettings]] = SalesforceSettings
    capabilities = Capability.IDEMPOTENT | Capability.CHECK | Capability.DESCRIBE | Capability.NETWORK | Capability.HTTP
    # What the session cannot send is told apart there; requests itself refuses odd addresses and headers.
    faults: ClassVar[Mapping[type[Exception], Fault]] = {requests.RequestException: Fault.CONFIGURATION}

    def __init__(self, name: str, settings: SalesforceSettings, **given: Unpack[Given]) -> None:
        super().__init__(name, settings, **given)
        self._session = session(self.limits, self.network)
        secret = settings.client_secret.get_secret_value()
        self._token = SharedToken(
            self.tokens,
            self._sign_on,
            destination=name,
            credentials=[settings.instance_url, settings.client_id.get_secret_value(), secret],
            secret=secret,
        )
        self._client: tuple[str, Salesforce | None] = ("", None)
        self._headers = _headers(settings)

    def deliver(self, item: Item) -> Outcome:
        """Upsert one record; `reference` is its id, captured `created` tells new from updated."""
        path, body = self._upsert(item)
        with self._session.until(min(item.deadline, self._session.deadline())):
            done = self._exchange("PATCH", path, body)
        return self._outcome(done.response, done.transcript())

    def request(self, item: Item, *, reveal: bool) -> Mapping[str, Any]:
        """The upsert of one record; its token is not known before the sign-on, so it is masked in either form."""
        path, body = self._upsert(item)
        client = self._client_for(MASK, self.settings.instance_url)
        headers = {"User-Agent": str(self._session.headers["User-Agent"]), **client.headers, **self._headers}
        shown = body if reveal else _vendor.masked(body)
        return {"method": "PATCH", "url": f"{client.base_url}{path}", "headers": mask(headers), "body": shown}

    def interpret(self, status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
        """What an answer to an upsert means."""
        return self._outcome(_vendor.answer(status, headers, body), None)

    def check(self) -> None:
        """Sign on, read the limits, and see that the object has the external id field."""
        self._read("limits")
        name = self.settings.external_id_field
        fields = {field["name"]: field for field in self._fields()}
        if not fields.get(name, {}).get("externalId"):
            raise ConfigurationFault(f"{self.settings.object} has no external id field {name}, or we may not see it")

    def describe(self) -> list[Property]:
        """The fields of the object that can be written."""
        return [
            Property(
                name=field["name"],
                type=field["type"],
                required=not field["nillable"] and not field["defaultedOnCreate"],
                label=field["label"],
            )
            for field in self._fields()
            if field["createable"] or field["updateable"]
        ]

    def secrets(self) -> Sequence[str]:
        """The token in use."""
        token = self._client[0].partition(" ")[2]
        return (token,) if token else ()

    def close(self) -> None:
        """Give back threads and connections."""
        super().close()
        self._session.close()

    def _upsert(self, item: Item) -> tuple[str, str]:
        """Path and body."""
        values = {name: _plain(value) for name, value in item.payload.items()}
        external_id = _external_id(values.pop(self.settings.external_id_field, None) or item.key)
        path = f"sobjects/{self.settings.object}/{self.settings.external_id_field}/{external_id}"
        return path, _vendor.write_json(values)

    def _outcome(self, response: requests.Response, transcript: Mapping[str, Any] | None) -> Outcome:
        if not _vendor.is_success(response):
            found = refusal(response, self.settings.external_id_field, transcript)
            if isinstance(found, Outcome):
                return found
            raise found
        answer = _vendor.read_json(response, transcript=transcript)
        if not isinstance(answer, dict) or "id" not in answer:
            raise TransientFault("the answer names no record", ambiguous=True, transcript=transcript)
        return Outcome(
            result=Result.SUCCESS,
            reference=answer["id"],
            captured={"created": answer.get("created") is True},
            transcript=transcript,
        )

    def _fields(self) -> list[dict[str, Any]]:
        fields: list[dict[str, Any]] = self._read(f"sobjects/{self.settings.object}/describe")["fields"]
        return fields

    def _read(self, path: str) -> Any:
        with self._session.until(self._session.deadline()):
            done = self._exchange("GET", path)
        if not _vendor.is_success(done.response):
            found = refusal(done.response, self.settings.external_id_field, done.transcript())
            raise found if isinstance(found, DeliveryFault) else ConfigurationFault(found.reason or path)
        return _vendor.read_json(done.response)

    def _exchange(self, method: str, path: str, body: str = "") -> _Exchange:
        """One request; where the token is no longer good, once more with a new one."""
        deadline = self._session.deadline()
        token = self._token.get(deadline)
        done = self._try(self._signed_on(token), method, path, body)
        if done.response.status_code != requests.codes.unauthorized:
            return done
        other = self._token.instead_of(token, deadline)
        return done if other is None else self._try(self._signed_on(other), method, path, body)

    def _try(self, client: Salesforce, method: str, path: str, body: str) -> _Exchange:
        call = Call(method=method, url=f"{client.base_url}{path}", body=body)
        seen: list[requests.Response] = []
        hooks = {"response": lambda response, **_: seen.append(response)}
        try:
            # Its exceptions lose the answer's headers, its result the status: both are read from the answer itself.
            with suppress(SalesforceError, requests.JSONDecodeError):
                client.restful(path, method=method, data=body.encode() or None, headers=self._headers, hooks=hooks)
        except DeliveryFault as fault:
            fault.transcript = call.transcript()
            raise
        return _Exchange(call=call, response=seen[0])

    def _signed_on(self, token: Token) -> Salesforce:
        """The client to send with; one serves all threads for as long as its token."""
        value, client = self._client
        if client is None or value != token.value:
            url, _, session_id = token.value.partition(" ")
            client = self._client_for(session_id, url)
            self._client = (token.value, client)
        return client

    def _sign_on(self, _before: Token | None, _deadline: float) -> Granted:
        """OAuth 2.0 client credentials flow (RFC 6749, 4.4; Salesforce Help, remoteaccess_oauth_client_credentials_flow).

        What workers share is the address of the instance and the token that is good there.
        """
        form = {
            "grant_type": "client_credentials",
            "client_id": self.settings.client_id.get_secret_value(),
            "client_secret": self.settings.client_secret.get_secret_value(),
        }
        try:
            response = self._session.post(f"{self.settings.instance_url}/services/oauth2/token", data=form)
        except TransientFault as fault:
            raise TransientFault(f"sign-on: {fault.reason}") from None  # no lead has left: nothing is ambiguous
        if response.status_code != requests.codes.ok:
            raise sign_on_refusal(response)
        try:
            given = response.json()
            token, url = str(given["access_token"]), _vendor.base_url(str(given["instance_url"]))
        except (ValueError, KeyError, TypeError):
            raise TransientFault("sign-on: the answer holds no token") from None
        return Granted(value=f"{url} {token}", lifetime_seconds=UNTIL_REFUSED_SECONDS)

    def _client_for(self, token: str, url: str) -> Salesforce:
        client = Salesforce(
            session_id=token, instance_url=url, version=self.settings.api_version, session=self._session
        )
        client.base_url = f"{url}/services/data/v{self.settings.api_version}/"  # it keeps only the host, and only https
        return client


def _headers(settings: SalesforceSettings) -> dict[str, str]:
    """Request headers of an upsert (REST API Developer Guide: Assignment Rule Header, Duplicate Rule Header)."""
    headers = {"X-PrettyPrint": "0"}
    if settings.auto_assign is not True:
        headers["Sforce-Auto-Assign"] = str(settings.auto_assign or "FALSE")
    if settings.allow_duplicates:
        headers["Sforce-Duplicate-Rule-Header"] = "allowSave=true"
    return headers


def _plain(value: Any) -> Any:
    """A value as the REST API takes it: several values of a multi-select picklist are one text."""
    return ";".join(map(str, value)) if isinstance(value, list) else value


def _external_id(value: Any) -> str:
    text = str(value)
    if isinstance(value, Mapping) or text in {".", ".."}:  # dots alone would be taken for a step in the path
        raise DataFault("the mapped external id is not usable")
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise DataFault("the mapped external id is not usable") from None


CONNECTOR = SalesforceConnector
