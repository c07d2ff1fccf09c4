"""What `hook` of a source may say: how its signed webhooks are told from forged ones.

The settings of scheme `hmac` are those of a destination's `auth.hmac`, seen from the other side.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from app.config.base import SECRET_REFERENCE, TOKEN, Name, Strict
from app.signature import (
    STANDARD_PUBLIC_KEY,
    VERIFIABLE,
    Algorithm,
    Encoding,
    SecretEncoding,
    TimestampFormat,
    standard_secret,
    template_parts,
    value_parts,
)

_OF_HMAC = (
    "secret_encoding",
    "algorithm",
    "encoding",
    "string",
    "header",
    "value",
    "timestamp_header",
    "timestamp_format",
    "id_header",
)


def _by_reference(secret: str) -> str:
    if secret.startswith(STANDARD_PUBLIC_KEY):
        standard_secret(secret)
    elif not SECRET_REFERENCE.search(secret):
        raise ValueError("a secret stands here in clear: use ${env:NAME} or ${file:/path}")
    return secret


def _header_name(name: str) -> str:
    if not TOKEN.fullmatch(name):
        raise ValueError("not a header name (RFC 9110)")
    return name


HeaderName = Annotated[str, AfterValidator(_header_name)]
Secret = Annotated[str, AfterValidator(_by_reference)]


class HookConfig(Strict):
    """How webhooks to `/v1/hooks/NAME` are signed, and what they bring."""

    model_config = ConfigDict(hide_input_in_errors=True)

    scheme: Literal["standard", "hmac"] = "standard"
    """`standard` for Standard Webhooks (standardwebhooks.com), `hmac` for a vendor's own header."""
    secrets: list[Secret] = Field(min_length=1, max_length=2, examples=[["${env:SHOP_WEBHOOK_SECRET}"]])
    """The shared secret by reference, two while it is being replaced: `whsec_...`, or a public key `whpk_...`, for `standard`."""
    takes: Literal["lead", "feedback"] = "lead"
    """What a webhook brings: a lead of this source, or feedback on deliveries of `destination`."""
    destination: Name | None = None
    """With `takes: feedback`: whose deliveries it may speak of."""
    tolerance_seconds: int = Field(300, ge=1, le=86_400)
    """How far the time of signing may lie in the past or in the future."""
    secret_encoding: SecretEncoding = Field("text", examples=["base64"])
    """`hmac`: how the secrets' bytes are written."""
    algorithm: Algorithm = Field("sha256", examples=["sha512"])
    """`hmac`: the hash; `sha1` only for vendors that know no other."""
    encoding: Encoding = Field("hex", examples=["base64"])
    """`hmac`: how the signature is written."""
    string: str = Field("{{ body }}", min_length=1, examples=["{{ timestamp }}.{{ body }}"])
    """`hmac`: what is signed, from `method`, `path`, `query`, `host`, `timestamp`, `id`, `body`, `body_sha256` (hex)."""
    header: HeaderName = Field("X-Signature", examples=["X-Hub-Signature-256"])
    """`hmac`: header that carries the signature."""
    value: str = Field("{{ signature }}", examples=["t={{ timestamp }},v1={{ signature }}"])
    """`hmac`: what stands in it, from `signature` and `timestamp`; parts between commas or semicolons come in any order."""
    timestamp_header: HeaderName | None = Field(None, examples=["X-Timestamp"])
    """`hmac`: header that carries the time of signing; it must be signed."""
    timestamp_format: TimestampFormat = Field("seconds", examples=["iso"])
    """`hmac`: seconds or milliseconds since 1970, or `2026-01-31T12:00:00Z`."""
    id_header: HeaderName | None = Field(None, examples=["X-Event-Id"])
    """`hmac`: header that carries the webhook's id, its idempotency key; it must be signed. Else the body's digest is the key."""

    @field_validator("string")
    @classmethod
    def _signs_the_body(cls, string: str) -> str:
        if not {"body", "body_sha256"} & set(template_parts(string, VERIFIABLE)[1::2]):
            raise ValueError("the body is not signed: write {{ body }} or {{ body_sha256 }}")
        return string

    @field_validator("value")
    @classmethod
    def _holds_the_signature(cls, value: str) -> str:
        value_parts(value)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "HookConfig":
        if (self.takes == "feedback") != (self.destination is not None):
            raise ValueError("takes: feedback and destination belong together")
        if self.scheme == "standard":
            self._refuse_settings_of_hmac()
        else:
            self._check_hmac()
        return self

    @property
    def is_timed(self) -> bool:
        """Whether webhooks tell when they were signed."""
        return (
            self.scheme == "standard"
            or self.timestamp_header is not None
            or "timestamp" in value_parts(self.value)[1::2]
        )

    def _refuse_settings_of_hmac(self) -> None:
        for name in _OF_HMAC:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is for scheme hmac; Standard Webhooks leave no choice")

    def _check_hmac(self) -> None:
        if any(secret.startswith(STANDARD_PUBLIC_KEY) for secret in self.secrets):
            raise ValueError("a public key (whpk_) is for scheme standard")
        signed = template_parts(self.string, VERIFIABLE)[1::2]
        if "timestamp" in signed and not self.is_timed:
            raise ValueError(
                "string names the timestamp, which comes nowhere: set timestamp_header, or name it in value"
            )
        if self.is_timed and "timestamp" not in signed:
            raise ValueError("a timestamp that is not signed proves nothing: name {{ timestamp }} in string")
        if not self.is_timed and self.tolerance_seconds != type(self).model_fields["tolerance_seconds"].default:
            raise ValueError("tolerance_seconds needs a timestamp: set timestamp_header, or name it in value")
        if "id" in signed and self.id_header is None:
            raise ValueError("string names the id, which comes nowhere: set id_header")
        if self.id_header is not None and "id" not in signed:
            raise ValueError("an id that is not signed can be changed to send a lead again: name {{ id }} in string")
        names = [name.lower() for name in (self.header, self.timestamp_header, self.id_header) if name is not None]
        if len(set(names)) < len(names):
            raise ValueError("header, timestamp_header and id_header must differ")
