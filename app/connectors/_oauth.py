"""Access tokens from an OAuth 2.0 token endpoint: one request, its answer, and what a refusal means.

Grants: client credentials (RFC 6749, 4.4), refresh token (RFC 6749, 6) and JWT bearer (RFC 7523). The request goes through
the destination's own session, so the guard, proxies and time limits are the same as for leads. It may not know who keeps
tokens or what they open.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import isfinite
from time import monotonic, time
from typing import Any, Literal
from urllib.parse import quote_plus, urlencode
from uuid import uuid4

import msgspec

from app.connectors._jws import SigningKey, signed_token
from app.connectors._response import ResponseRules
from app.connectors._token import Granted, SharedToken, Token
from app.connectors._token_store import TokenStore
from app.connectors._transport import Answer, Origin, Session, head
from app.errors import ConfigurationFault, DeliveryFault, TransientFault
from app.redaction import mask_url, scrub

ANSWER_BYTES = 65_536
REQUEST_SECONDS = 10.0
UNTIL_REFUSED_SECONDS = 86_400.0
"""How long a token is kept whose lifetime the endpoint does not tell."""
_LONGEST_SECONDS = 30 * 86_400.0
_SKEW_SECONDS = 30
_SHOWN_CHARACTERS = 200
_PASSES = frozenset({"server_error", "temporarily_unavailable", "slow_down"})
_USABLE = re.compile(r"[\x21-\x7e]+")  # RFC 6750, 2.1, and what is seen beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """What a JWT bearer grant signs (RFC 7523, 3); iat, exp and jti are made for each one."""

    key: SigningKey
    key_id: str | None
    lifetime_seconds: int
    claims: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """How a token is asked for. `secrets` are the texts in it that never appear in a reason or transcript."""

    token_url: str
    kind: Literal["client_credentials", "refresh_token", "jwt_bearer"]
    client_id: str | None = None
    client_secret: str | None = None
    client_auth: Literal["basic", "body"] = "basic"
    scope: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    refresh_token: str | None = None
    assertion: Assertion | None = None
    private_key: str | None = None

    @property
    def secrets(self) -> list[str]:
        """What nobody else knows."""
        return [secret for secret in (self.client_secret, self.refresh_token, self.private_key) if secret]

    def identity(self) -> list[Any]:
        """All that makes a token this one and no other."""
        asked = [self.token_url, self.kind, self.client_id, self.scope, dict(self.parameters), *self.secrets]
        return [*asked, dict(self.assertion.claims)] if self.assertion else asked


def shared_token(grant: Grant, *, destination: str, through: Session, store: TokenStore) -> SharedToken:
    """The token of a destination, got by this grant and shared through `store`."""
    return SharedToken(
        store,
        lambda before, deadline: request_token(grant, through, before=before, deadline=deadline),
        destination=destination,
        credentials=grant.identity(),
        secret="\0".join(grant.secrets),
    )


def request_token(grant: Grant, through: Session, *, before: Token | None, deadline: float) -> Granted:
    """Ask the endpoint; raises `TransientFault` and `ConfigurationFault`: of a lead, nothing was sent."""
    form, headers = _request(grant, before)
    body = urlencode(form).encode()
    fields = {
        "User-Agent": "leadrelay",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "Content-Type": "application/x-www-form-urlencoded",
        **headers,
        "Content-Length": str(len(body)),
    }
    transcript: dict[str, Any] = {"token_request": {"url": mask_url(grant.token_url), "grant_type": form["grant_type"]}}
    try:
        answer = through.send_message(
            Origin.of(grant.token_url),
            head("POST", grant.token_url, fields) + body,
            deadline=min(deadline, monotonic() + REQUEST_SECONDS),
            body_cap_bytes=ANSWER_BYTES,
        )
    except DeliveryFault as fault:
        kind = TransientFault if isinstance(fault, TransientFault) else ConfigurationFault
        raise kind(f"access token: {fault.reason}", unsent=True, transcript=transcript) from None
    transcript["token_response"] = {"status": answer.status}
    return _granted(grant, answer, form.get("refresh_token"), transcript)


def _request(grant: Grant, before: Token | None) -> tuple[dict[str, str], dict[str, str]]:
    """Form and headers of a token request."""
    form = dict(grant.parameters)
    if grant.kind == "jwt_bearer":
        form |= {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": _assertion(grant)}
    else:
        form["grant_type"] = grant.kind
    if grant.kind == "refresh_token":
        form["refresh_token"] = (before.refresh_token if before else None) or grant.refresh_token or ""
    if grant.scope:
        form["scope"] = grant.scope
    if grant.client_id and grant.client_secret and grant.client_auth == "basic":
        # RFC 6749, 2.3.1: both are form-encoded first.
        pair = f"{quote_plus(grant.client_id)}:{quote_plus(grant.client_secret)}"
        return form, {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
    if grant.client_id:
        form["client_id"] = grant.client_id
    if grant.client_secret:
        form["client_secret"] = grant.client_secret
    return form, {}


def _assertion(grant: Grant) -> str:
    assertion = grant.assertion
    assert assertion is not None
    now = int(time())
    claims = {"iat": now, "exp": now + assertion.lifetime_seconds, "jti": str(uuid4()), **assertion.claims}
    return signed_token(assertion.key, claims, key_id=assertion.key_id)


def _granted(grant: Grant, answer: Answer, refresh_token: str | None, transcript: dict[str, Any]) -> Granted:
    said = _object(answer)
    if answer.status != 200 or "error" in said:  # noqa: PLR2004  # RFC 6749, 5.1; some refuse with a 200
        raise _refusal(grant, answer, said, transcript)
    token, kind = said.get("access_token"), said.get("token_type", "bearer")
    if answer.truncated or not isinstance(token, str) or not _USABLE.fullmatch(token):
        raise TransientFault("access token: the answer holds no usable token", unsent=True, transcript=transcript)
    if str(kind).lower() != "bearer":
        raise ConfigurationFault("access token: it is no bearer token", unsent=True, transcript=transcript)
    rotated = said.get("refresh_token")
    return Granted(
        value=token,
        lifetime_seconds=_lifetime(said.get("expires_in")),
        refresh_token=rotated if isinstance(rotated, str) and rotated else refresh_token,
    )


def _refusal(grant: Grant, answer: Answer, said: Mapping[str, Any], transcript: dict[str, Any]) -> DeliveryFault:
    """RFC 6749, 5.2; the endpoint's own words are for the operator."""
    code = said.get("error", "")
    code = code if isinstance(code, str) else ""
    told = [f"HTTP {answer.status}", _words(grant, code), _words(grant, said.get("error_description"))]
    reason = f"access token refused: {' '.join(part for part in told if part)}{_skew(answer)}"
    passes = answer.status in {408, 425, 429} or answer.status >= 500 or code in _PASSES  # noqa: PLR2004  # RFC 9110
    if passes:
        wait = ResponseRules(None).interpret(answer.status, answer.headers, b"").retry_after
        return TransientFault(reason, unsent=True, retry_after=wait, transcript=transcript)
    return ConfigurationFault(reason, unsent=True, transcript=transcript)


def _object(answer: Answer) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _words(grant: Grant, text: object) -> str:
    """What an endpoint says, without the secrets that some repeat."""
    if not isinstance(text, str) or any(secret in text for secret in grant.secrets):
        return ""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return str(scrub(plain))[:_SHOWN_CHARACTERS]


def _skew(answer: Answer) -> str:
    """What a signed assertion is refused for more often than for anything else."""
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", ""))
        seconds = round(theirs.replace(tzinfo=theirs.tzinfo or UTC).timestamp() - time())
    except (ValueError, TypeError, OverflowError):
        return ""
    return f" (its clock and ours are {abs(seconds)} s apart)" if abs(seconds) > _SKEW_SECONDS else ""


def _lifetime(expires_in: object) -> float:
    """Seconds; some send them as text."""
    try:
        seconds = float(expires_in)  # type: ignore[arg-type]  # whatever it is
    except (TypeError, ValueError, OverflowError):
        return UNTIL_REFUSED_SECONDS
    return min(seconds, _LONGEST_SECONDS) if isfinite(seconds) and seconds > 0 else UNTIL_REFUSED_SECONDS
