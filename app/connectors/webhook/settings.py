"""The connection settings of a webhook; docs/connectors/webhook.md shows them as a table."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from app.config.base import SECRET_REFERENCE
from app.connectors._http.settings import HttpSettings
from app.connectors._http.value import FixedAddress, HeaderName, HeaderValue, Settings
from app.connectors.webhook.signature import ID, SIGNATURE, TIMESTAMP, signer

_MEDIA_TYPES = {"standard": "application/json", "cloudevents": "application/cloudevents+json"}
_OURS = frozenset({ID, TIMESTAMP, SIGNATURE, "content-type"})


def _usable(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not SECRET_REFERENCE.search(text):
        signer(text)
    return secret


class SignedRequest(HttpSettings):
    """A request whose signature is made as it leaves."""

    def made_headers(self) -> list[str]:
        """Those of the signature."""
        return [TIMESTAMP, SIGNATURE]


class WebhookSettings(Settings):
    """Where events or leads are posted, in which form, and what they are signed with."""

    url: FixedAddress = Field(examples=["https://partner.example.com/hooks/leads"])
    """Address of the endpoint, http or https."""
    secrets: list[Annotated[SecretStr, AfterValidator(_usable)]] = Field(
        min_length=1, max_length=2, examples=[["${env:PARTNER_WEBHOOK_SECRET}"]]
    )
    """What each request is signed with: a `whsec_…` secret (HMAC-SHA256) or a `whsk_…` private key (Ed25519); two while the
    receiver goes from one to the other."""
    format: Literal["standard", "cloudevents"] = Field("standard", examples=["cloudevents"])
    """The body: `type`, `timestamp` and `data`, as Standard Webhooks has it, or a CloudEvent 1.0 in structured JSON."""
    source: str | None = Field(None, min_length=1, examples=["https://leads.example.com"])
    """`source` of CloudEvents, a URI reference; `leadrelay` if not set."""
    headers: dict[HeaderName, HeaderValue] = Field({}, examples=[{"X-Tenant": "acme"}])
    """Further headers; may hold `{{ }}`. One whose templates render to nothing is left out."""

    def request(self) -> SignedRequest:
        """The request that carries a webhook, without its signature."""
        return SignedRequest(
            url=self.url,
            headers={"Content-Type": _MEDIA_TYPES[self.format], **self.headers},
            idempotency_header=ID,
        )

    def signed_with(self) -> list[str]:
        """The secrets in clear."""
        return [secret.get_secret_value() for secret in self.secrets]

    @field_validator("headers")
    @classmethod
    def _not_ours(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in headers:
            if name.lower() in _OURS:
                raise ValueError(f"{name.lower()} is set for each webhook and cannot be configured")
        return headers

    @field_validator("secrets")
    @classmethod
    def _differ(cls, secrets: list[SecretStr]) -> list[SecretStr]:
        if len({secret.get_secret_value() for secret in secrets}) < len(secrets):
            raise ValueError("the same secret stands there twice")
        return secrets

    @model_validator(mode="after")
    def _fits_together(self) -> "WebhookSettings":
        if self.source is not None and self.format != "cloudevents":
            raise ValueError(f"source is for format: cloudevents; this one is {self.format}")
        self.request()
        return self
