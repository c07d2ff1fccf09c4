"""What we sign ourselves for each request: JSON Web Tokens, and HMAC signatures over a request's own parts (RFC 2104).

It may not know settings or connections.
"""

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic, time
from typing import Any, Literal
from uuid import uuid4

from app.connectors._authentication import Request, Send
from app.connectors._jws import SigningKey, signed_token
from app.connectors._transport import Answer

TimestampFormat = Literal["seconds", "milliseconds", "iso"]
_LONGEST_MARGIN_SECONDS = 30.0
_NAME = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")

_PARTS: Mapping[str, Callable[["_Signing"], bytes]] = {
    "method": lambda one: one.request.method.encode(),
    "path": lambda one: one.request.target.partition("?")[0].encode(),
    "query": lambda one: one.request.target.partition("?")[2].encode(),
    "host": lambda one: one.request.header("host").encode(),
    "timestamp": lambda one: one.timestamp.encode(),
    "body": lambda one: one.request.body,
    "body_sha256": lambda one: hashlib.sha256(one.request.body).hexdigest().encode(),
    "key": lambda one: one.key.encode(),
}
SIGNABLE = frozenset(_PARTS)
"""What a string to sign may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signing:
    request: Request
    timestamp: str
    key: str


def template_parts(text: str, known: frozenset[str]) -> list[str]:
    """A template cut into literals (even places) and names (odd ones); raises `ValueError` for an unknown name."""
    parts = _NAME.split(text)
    for name in parts[1::2]:
        if name not in known:
            raise ValueError(f"there is no {{{{ {name} }}}} here, only {', '.join(sorted(known))}")
    if any("{{" in literal or "}}" in literal for literal in parts[::2]):
        raise ValueError("{{ }} do not match")
    return parts


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPlan:
    """What a token of ours says, and where it goes; iat, exp and jti are made for each."""

    key: SigningKey
    key_id: str | None
    claims: Mapping[str, Any]
    lifetime_seconds: int
    per_request: bool
    header: str
    prefix: str


class SignedToken:
    """JSON Web Tokens of our own, each used until shortly before it ends, or for one request only."""

    def __init__(self, plan: TokenPlan) -> None:
        self._plan = plan
        self._made = (0.0, "")

    def prepare(self, deadline: float) -> None:
        """Nothing is needed."""

    def exchange(self, send: Send, _request: Request, _deadline: float) -> Answer:
        """Send with a token."""
        return send({self._plan.header: f"{self._plan.prefix} {self._token()}".lstrip()})

    def _token(self) -> str:
        plan = self._plan
        good_until, token = self._made
        if not plan.per_request and monotonic() < good_until:
            return token
        now = int(time())
        claims = {**plan.claims, "iat": now, "exp": now + plan.lifetime_seconds, "jti": str(uuid4())}
        token = signed_token(plan.key, claims, key_id=plan.key_id)
        margin = min(_LONGEST_MARGIN_SECONDS, plan.lifetime_seconds / 10)
        self._made = (monotonic() + plan.lifetime_seconds - margin, token)
        return token


@dataclass(frozen=True, slots=True, kw_only=True)
class SignaturePlan:
    """What is signed, how, and where the signature goes; `string` and `value` as `template_parts` gives them."""

    secret: bytes
    algorithm: str
    encoding: Literal["hex", "base64"]
    string: Sequence[str]
    header: str
    value: Sequence[str]
    timestamp_header: str | None
    timestamp_format: TimestampFormat
    key_header: str | None


class HmacSignature:
    """A signature of each request by a shared secret."""

    def __init__(self, plan: SignaturePlan) -> None:
        self._plan = plan

    def prepare(self, deadline: float) -> None:
        """Nothing is needed."""

    def exchange(self, send: Send, request: Request, _deadline: float) -> Answer:
        """Send with a signature over what is sent."""
        plan = self._plan
        key = request.header(plan.key_header) if plan.key_header else ""
        one = _Signing(request=request, timestamp=timestamp(time(), plan.timestamp_format), key=key)
        content = b"".join([_PARTS[part](one) if odd % 2 else part.encode() for odd, part in enumerate(plan.string)])
        code = hmac.digest(plan.secret, content, plan.algorithm)
        signature = code.hex() if plan.encoding == "hex" else b64encode(code).decode()
        known = {"signature": signature, "timestamp": one.timestamp}
        value = "".join([known[part] if odd % 2 else part for odd, part in enumerate(plan.value)])
        stamp = {plan.timestamp_header: one.timestamp} if plan.timestamp_header else {}
        return send({**stamp, plan.header: value})


def timestamp(now: float, form: TimestampFormat) -> str:
    """Seconds or milliseconds since 1970, or `2026-01-31T12:00:00Z` (RFC 3339)."""
    if form == "iso":
        return datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(int(now * 1000) if form == "milliseconds" else int(now))
