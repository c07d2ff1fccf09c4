"""What we sign ourselves for each request: JSON Web Tokens, and HMAC signatures over a request's own parts (RFC 2104).

It may not know settings or connections.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic, time
from typing import Any
from uuid import uuid4

from app.connectors._authentication import Request, Send
from app.connectors._jws import SigningKey, signed_token
from app.connectors._transport import Answer
from app.signature import Encoding, TimestampFormat, content, sign, timestamp, written

_LONGEST_MARGIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signing:
    """Our request as something that can be signed."""

    request: Request
    stamp: str
    key_text: str

    @property
    def method(self) -> bytes:
        return self.request.method.encode()

    @property
    def path(self) -> bytes:
        return self.request.target.partition("?")[0].encode()

    @property
    def query(self) -> bytes:
        return self.request.target.partition("?")[2].encode()

    @property
    def host(self) -> bytes:
        return self.request.header("host").encode()

    @property
    def timestamp(self) -> bytes:
        return self.stamp.encode()

    @property
    def body(self) -> bytes:
        return self.request.body

    @property
    def key(self) -> bytes:
        return self.key_text.encode()


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
    encoding: Encoding
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
        one = _Signing(request=request, stamp=timestamp(time(), plan.timestamp_format), key_text=key)
        code = sign(plan.secret, content(plan.string, one), plan.algorithm)
        known = {"signature": written(code, plan.encoding), "timestamp": one.stamp}
        value = "".join([known[part] if odd % 2 else part for odd, part in enumerate(plan.value)])
        stamp = {plan.timestamp_header: one.stamp} if plan.timestamp_header else {}
        return send({**stamp, plan.header: value})
