"""The `auth` settings of credentials that are made anew: access tokens, signed tokens, signatures, digests.

What can be wrong with keys and templates is found here; a `${env:NAME}` or `${file:/path}` in their place is let through
and checked once it is resolved.
"""

from typing import Any, Literal, cast

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from app.config.base import SECRET_REFERENCE
from app.connectors._http.value import FixedAddress, HeaderName, HeaderValue, Settings
from app.connectors._jws import Algorithm, Asymmetric, SigningKey
from app.signature import SIGNABLE, TimestampFormat, secret_bytes, template_parts, value_parts

_CLAIMS_MADE = frozenset({"iss", "sub", "aud", "iat", "exp", "jti"})
_TIMES_MADE = frozenset({"iat", "exp", "jti"})
_FORM_MADE = frozenset({"grant_type", "client_id", "client_secret", "scope", "refresh_token", "assertion"})


def _usable_key(secret: SecretStr, info: ValidationInfo) -> SecretStr:
    text = secret.get_secret_value()
    if "algorithm" in info.data and not SECRET_REFERENCE.search(text):
        SigningKey(text, cast("Algorithm", info.data["algorithm"]))
    return secret


class AssertionAuth(Settings):
    """What is signed to show who we are (RFC 7523)."""

    algorithm: Asymmetric = Field("RS256", examples=["ES256"])
    """How it is signed: with an RSA key of 2048 bits or more (RS…, PS…), or a key on the curve P-256, P-384 or P-521 (ES…)."""
    private_key: SecretStr = Field(examples=["${file:/run/secrets/buyer.pem}"])
    """The private key, in PEM without a password."""
    key_id: str | None = Field(None, min_length=1, examples=["2026-01"])
    """`kid` of the key, where the endpoint knows several."""
    issuer: str = Field(min_length=1, examples=["leads@partner.example.com"])
    """`iss`: who signs, often the client id."""
    subject: str | None = Field(None, min_length=1, examples=["integration@buyer.example.com"])
    """`sub`: for whom the token is; the issuer if not set."""
    audience: str | None = Field(None, min_length=1, examples=["https://login.buyer.example.com"])
    """`aud`: who is to read it; the `token_url` if not set."""
    lifetime_seconds: int = Field(300, ge=10, le=3600, examples=[180])
    """From `iat` to `exp`."""
    claims: dict[str, str] = Field({}, examples=[{"scope": "https://api.buyer.example.com/leads"}])
    """Further claims."""

    _key = field_validator("private_key")(_usable_key)

    @field_validator("claims")
    @classmethod
    def _not_ours(cls, claims: dict[str, str]) -> dict[str, str]:
        return _without(claims, _CLAIMS_MADE, "claim")


class OAuth2Auth(Settings):
    """An access token (OAuth 2.0, RFC 6749), shared by all workers."""

    token_url: FixedAddress = Field(examples=["https://login.buyer.example.com/oauth2/token"])
    """The token endpoint."""
    grant: Literal["client_credentials", "refresh_token", "jwt_bearer"] = Field(
        "client_credentials", examples=["jwt_bearer"]
    )
    """What the token is given for: our own credentials, a refresh token that somebody got by signing in, or an assertion."""
    client_id: str | None = Field(None, min_length=1, examples=["leadrelay"])
    """Who we are to the endpoint; required but for `jwt_bearer`."""
    client_secret: SecretStr | None = Field(None, min_length=1, examples=["${env:BUYER_CLIENT_SECRET}"])
    """Its secret; required for `client_credentials`."""
    client_auth: Literal["basic", "body"] = Field("basic", examples=["body"])
    """Where both go: in a Basic header, or in the body."""
    scope: str | None = Field(None, min_length=1, examples=["leads.write"])
    """What the token is to allow; several are separated by spaces."""
    parameters: dict[str, str] = Field({}, examples=[{"audience": "https://api.buyer.example.com"}])
    """Further parameters of the token request."""
    refresh_token: SecretStr | None = Field(None, min_length=1, examples=["${file:/run/secrets/refresh_token}"])
    """The refresh token to begin with, for `refresh_token`; one that the endpoint gives in its place is kept."""
    assertion: AssertionAuth | None = Field(
        None, examples=[{"private_key": "${file:/run/secrets/buyer.pem}", "issuer": "leads@partner.example.com"}]
    )
    """What is signed, for `jwt_bearer`."""

    @field_validator("parameters")
    @classmethod
    def _not_ours(cls, parameters: dict[str, str]) -> dict[str, str]:
        return _without(parameters, _FORM_MADE, "parameter")

    @model_validator(mode="after")
    def _what_the_grant_needs(self) -> "OAuth2Auth":
        needed = {
            "client_credentials": {"client_id", "client_secret"},
            "refresh_token": {"client_id", "refresh_token"},
            "jwt_bearer": {"assertion"},
        }
        for name in sorted(needed[self.grant]):
            if getattr(self, name) is None:
                raise ValueError(f"grant {self.grant} needs {name}")
        for name, grant in (("refresh_token", "refresh_token"), ("assertion", "jwt_bearer")):
            if getattr(self, name) is not None and self.grant != grant:
                raise ValueError(f"{name} is for grant {grant}; this one is {self.grant}")
        if self.client_secret is not None and self.client_id is None:
            raise ValueError("client_secret needs client_id")
        return self


class JwtAuth(Settings):
    """A token that we sign ourselves (RFC 7519)."""

    algorithm: Algorithm = Field("RS256", examples=["ES256"])
    """How it is signed: HS256, HS384 and HS512 with a shared secret of 32, 48 or 64 bytes or more, RS… and PS… with an RSA key
    of 2048 bits or more, ES256, ES384 and ES512 with a key on the curve P-256, P-384 or P-521."""
    secret: SecretStr = Field(examples=["${file:/run/secrets/buyer.pem}"])
    """The shared secret, or the private key in PEM without a password."""
    key_id: str | None = Field(None, min_length=1, examples=["2026-01"])
    """`kid` of the key, where the destination knows several."""
    claims: dict[str, str | int | bool | list[str]] = Field({}, examples=[{"iss": "partner-7", "aud": "buyer"}])
    """What the token says beside `iat`, `exp` and `jti`, which are made for each; may hold `{{ }}`: then each delivery has a
    token of its own, without the claims that render to nothing."""
    lifetime_seconds: int = Field(300, ge=10, le=86_400, examples=[60])
    """From `iat` to `exp`."""
    per_request: bool = Field(False, examples=[True])
    """A token with a `jti` of its own for each request; else one serves until shortly before it ends."""
    header: HeaderName = Field("Authorization", examples=["X-Partner-Token"])
    """Header that carries it."""
    prefix: HeaderValue = Field("Bearer", examples=["JWT"])
    """What stands before it, and a space; may be empty."""

    _key = field_validator("secret")(_usable_key)

    @field_validator("claims")
    @classmethod
    def _not_ours(cls, claims: dict[str, Any]) -> dict[str, Any]:
        return _without(claims, _TIMES_MADE, "claim")


class HmacAuth(Settings):
    """A signature of each request by a shared secret (RFC 2104)."""

    secret: SecretStr = Field(min_length=1, examples=["${env:BUYER_SIGNING_SECRET}"])
    """The shared secret."""
    secret_encoding: Literal["text", "hex", "base64"] = Field("text", examples=["base64"])
    """How the secret's bytes are written."""
    algorithm: Literal["sha256", "sha512", "sha1"] = Field("sha256", examples=["sha512"])
    """The hash; `sha1` only for destinations that know no other."""
    encoding: Literal["hex", "base64"] = Field("hex", examples=["base64"])
    """How the signature is written."""
    string: str = Field("{{ body }}", min_length=1, examples=["{{ timestamp }}.{{ body }}"])
    """What is signed, from `method`, `path`, `query`, `host`, `timestamp`, `body`, `body_sha256` (hex) and `key` (the
    delivery's id), each as it is sent."""
    header: HeaderName = Field("X-Signature", examples=["X-Hub-Signature-256"])
    """Header that carries the signature."""
    value: HeaderValue = Field("{{ signature }}", examples=["t={{ timestamp }},v1={{ signature }}"])
    """What stands in it, from `signature` and `timestamp`."""
    timestamp_header: HeaderName | None = Field(None, examples=["X-Timestamp"])
    """Header that carries the time of signing; none if not set."""
    timestamp_format: TimestampFormat = Field("seconds", examples=["iso"])
    """Seconds or milliseconds since 1970, or `2026-01-31T12:00:00Z`."""

    @field_validator("string")
    @classmethod
    def _names_what_there_is(cls, string: str) -> str:
        template_parts(string, SIGNABLE)
        return string

    @field_validator("value")
    @classmethod
    def _holds_the_signature(cls, value: str) -> str:
        value_parts(value)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "HmacAuth":
        if not SECRET_REFERENCE.search(self.secret.get_secret_value()):
            self.secret_bytes()
        stamped = self.timestamp_header or "timestamp" in value_parts(self.value)[1::2]
        if "timestamp" in self.signed_names() and not stamped:
            raise ValueError(
                "string signs the timestamp, which is sent nowhere: set timestamp_header, or name it in value"
            )
        if self.timestamp_header is not None and self.timestamp_header.lower() == self.header.lower():
            raise ValueError("header and timestamp_header are the same")
        return self

    def signed_names(self) -> list[str]:
        """What the string to sign is made of."""
        return template_parts(self.string, SIGNABLE)[1::2]

    def secret_bytes(self) -> bytes:
        """The secret as bytes; raises `ValueError`."""
        return secret_bytes(self.secret.get_secret_value(), self.secret_encoding)


class DigestAuth(Settings):
    """User and password that are never sent themselves (RFC 7616)."""

    username: str = Field(min_length=1, examples=["leads"])
    """User name."""
    password: SecretStr = Field(examples=["${env:BUYER_PASSWORD}"])
    """Password."""


def _without(given: dict[str, Any], made: frozenset[str], what: str) -> dict[str, Any]:
    if taken := sorted(made & given.keys()):
        raise ValueError(f"the {what} {taken[0]} is set by what it stands for")
    return given
