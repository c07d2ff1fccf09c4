"""An event, or a lead, as a signed webhook: Standard Webhooks, or a CloudEvent under the same signature.

It may not know how requests are sent or signatures are made: it writes what they hold.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from typing import Any, ClassVar, Unpack

from pydantic import BaseModel

from app.connectors._http.connector import HttpConnector
from app.connectors._response import ResponseRules
from app.connectors.base import Capability, Given
from app.connectors.webhook.settings import WebhookSettings
from app.connectors.webhook.signature import StandardWebhooks
from app.model import Fault, Item, Outcome, Result

# An endpoint that took webhooks answers so when it is no longer there: waiting for a person loses nothing.
_NO_ENDPOINT = frozenset({404, 405})
_GONE = 410


class WebhookRules(ResponseRules):
    """Reads the answers of one endpoint; raises `InvalidTemplate` naming the rule that cannot be compiled."""

    def interpret(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        transcript: Mapping[str, Any] | None = None,
        *,
        truncated: bool = False,
    ) -> Outcome:
        """What an answer means: as for `ResponseRules`, but that an endpoint which is not there is a matter for a person."""
        if status == _GONE:
            reason = f"HTTP {status}: the endpoint wants no more webhooks"
        elif status in _NO_ENDPOINT:
            reason = f"HTTP {status}: no webhook endpoint there; correct the address"
        else:
            return super().interpret(status, headers, body, transcript, truncated=truncated)
        return Outcome(result=Result.ERROR, fault=Fault.CONFIGURATION, reason=reason, transcript=transcript)


class WebhookConnector(HttpConnector):
    """One endpoint for webhooks in one process."""

    Settings: ClassVar[type[BaseModel]] = WebhookSettings
    # Whether it takes our signature only a webhook can tell: there is nothing to check without one.
    capabilities = Capability.IDEMPOTENT | Capability.RESPONSE | Capability.NETWORK | Capability.HTTP
    templated = ("headers.*",)

    def __init__(self, name: str, settings: WebhookSettings, **given: Unpack[Given]) -> None:
        super().__init__(
            name,
            settings.request(),
            **given,
            rules=WebhookRules(given.get("response")),
            how=StandardWebhooks(settings.signed_with()),
        )
        self._source = (settings.source or "leadrelay") if settings.format == "cloudevents" else None

    @classmethod
    def check_mapping(cls, settings: BaseModel, mapping: Mapping[str, Any]) -> list[tuple[str, str]]:  # noqa: ARG003  # of the base
        """Any property may be mapped."""
        return []

    @classmethod
    def writes_attributes(cls, settings: BaseModel) -> bool:  # noqa: ARG003  # of the base
        """In JSON there are none."""
        return False

    def deliver(self, item: Item) -> Outcome:
        """Post one webhook; raises as HTTP does."""
        return super().deliver(self._enveloped(item))

    def request(self, item: Item, *, reveal: bool) -> Mapping[str, Any]:
        """The request that `deliver` would send; its signature is made as it leaves, and masked here."""
        return super().request(self._enveloped(item), reveal=reveal)

    def _enveloped(self, item: Item) -> Item:
        """The item with what goes over the wire as its payload; the same on every retry."""
        moment = item.occurred_at.astimezone(UTC).isoformat()
        if self._source is None:
            return replace(item, payload={"type": item.type, "timestamp": moment, "data": item.payload})
        # CloudEvents 1.0.2, 2 and 3.1; its id is that of the webhook: both stand for what must be done once.
        event = {"specversion": "1.0", "id": item.key, "source": self._source, "type": item.type, "time": moment}
        return replace(item, payload={**event, "datacontenttype": "application/json", "data": item.payload})
