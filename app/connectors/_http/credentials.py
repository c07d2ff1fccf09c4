"""The `auth` settings: exactly one way to show who we are, and the credentials among them that never change.

Those that are made anew are in `auth`. A `${env:NAME}` or `${file:/path}` in place of a value is let through and checked once
it is resolved.
"""

from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from app.config.base import SECRET_REFERENCE
from app.connectors._http.addition import property_name
from app.connectors._http.auth import DigestAuth, HmacAuth, JwtAuth, OAuth2Auth
from app.connectors._http.value import Settings, header_name, header_value


class BasicAuth(Settings):
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


class BearerAuth(Settings):
    """A token (RFC 6750)."""

    token: SecretStr = Field(examples=["${env:BUYER_TOKEN}"])
    """The token."""


class ApiKeyAuth(Settings):
    """A key in a header, in the query or in the body."""

    place: Literal["header", "query", "body"] = Field("header", alias="in", examples=["body"])
    """Where it goes."""
    name: str = Field(examples=["X-API-Key"])
    """Name of the header, query parameter or property of the body (dotted, as in a mapping)."""
    value: SecretStr = Field(examples=["${env:BUYER_KEY}"])
    """The key."""

    @field_validator("name")
    @classmethod
    def _fit_for_its_place(cls, name: str, info: ValidationInfo) -> str:
        return property_name(name) if info.data.get("place") == "body" else header_name(name)

    @field_validator("value")
    @classmethod
    def _in_every_format(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        key = value.get_secret_value()
        if info.data.get("place") == "body" and not (key.isascii() and key.isprintable()):
            raise ValueError("a key in the body is printable ASCII, which every format and charset can carry")
        return value


class Auth(Settings):
    """How we show who we are: exactly one of these."""

    basic: BasicAuth | None = None
    """User and password."""
    bearer: BearerAuth | None = None
    """A bearer token."""
    api_key: ApiKeyAuth | None = None
    """An API key."""
    oauth2: OAuth2Auth | None = None
    """An access token that is got and renewed as needed."""
    jwt: JwtAuth | None = None
    """A token that we sign ourselves."""
    hmac: HmacAuth | None = None
    """A signature of each request."""
    digest: DigestAuth | None = None
    """User and password by challenge and response."""

    @model_validator(mode="after")
    def _exactly_one(self) -> "Auth":
        ways = list(type(self).model_fields)
        if sum(getattr(self, way) is not None for way in ways) != 1:
            raise ValueError(f"give exactly one of {', '.join(ways[:-1])} and {ways[-1]}")
        for secret in self._secrets():
            try:
                header_value(secret)
            except ValueError:
                raise ValueError("the credentials hold characters that headers cannot carry") from None
        return self

    def headers(self) -> list[str]:
        """Names of the headers that carry the credentials."""
        if self.api_key is not None:
            return [self.api_key.name] if self.api_key.place == "header" else []
        if self.hmac is not None:
            return [self.hmac.header, *([self.hmac.timestamp_header] if self.hmac.timestamp_header else [])]
        return [self.jwt.header if self.jwt else "Authorization"]

    def body_key(self) -> ApiKeyAuth | None:
        """The key that travels in the body, if one does."""
        return self.api_key if self.api_key is not None and self.api_key.place == "body" else None

    def made_headers(self) -> list[str]:
        """Those of them that are made for each request."""
        return self.headers() if self.oauth2 or self.jwt or self.hmac or self.digest else []

    def _secrets(self) -> list[str]:
        found = [self.bearer.token if self.bearer else None, self.api_key.value if self.api_key else None]
        return [secret.get_secret_value() for secret in found if secret is not None]
