"""The sign-on of the Salesforce stand-in: access tokens for client credentials.

Source: Salesforce Help "OAuth 2.0 Client Credentials Flow for Server-to-Server Integration"; errors as in "OAuth 2.0
Authorization Errors". The JWT bearer grant is not offered. Tokens live until revoked; knows nothing of records.
"""

import base64
import binascii
import secrets
import time
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from app.sandbox.door import answer_json
from app.sandbox.faults import Refusal
from app.sandbox.memory import Recent

CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-client-secret"  # noqa: S105  # published on purpose: it opens nothing but the sandbox
ORG_ID = "00D5e000000SBOXEA0"

_TOKENS = 1_000


class Login:
    """The token endpoint and the tokens it gave."""

    def __init__(self) -> None:
        self._tokens: Recent[str, bool] = Recent(_TOKENS)

    def knows(self, token: str) -> bool:
        """Whether this access token is good."""
        return token in self._tokens

    def revoke(self) -> None:
        """Make every access token given so far invalid."""
        self._tokens.clear()

    async def answer(self, request: Request) -> Response:
        """POST /services/oauth2/token."""
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        client_id, client_secret = _read_basic(request) or (form.get("client_id"), form.get("client_secret"))
        if form.get("grant_type") != "client_credentials":
            return _answer_error("unsupported_grant_type", "grant type not supported")
        if client_id != CLIENT_ID:
            return _answer_error("invalid_client_id", "client identifier invalid")
        if client_secret != CLIENT_SECRET:
            return _answer_error("invalid_client", "invalid client credentials")
        return self._give(str(request.base_url).rstrip("/"))

    def _give(self, instance_url: str) -> Response:
        token = f"{ORG_ID[:15]}!{secrets.token_urlsafe(48)}"
        self._tokens[token] = True
        return answer_json(
            {
                "access_token": token,
                "signature": base64.b64encode(secrets.token_bytes(32)).decode(),
                "scope": "api",
                "instance_url": instance_url,
                "id": f"{instance_url}/id/{ORG_ID}/0055e000000SBOXAA2",
                "token_type": "Bearer",
                "issued_at": str(int(time.time() * 1000)),
            }
        )


def refuse_login(refusal: Refusal) -> Response | None:
    """The token endpoint's answer to a request it turns away; API limits do not count there."""
    if refusal.kind == "unauthorized":
        return _answer_error("invalid_client", "invalid client credentials")
    if refusal.kind == "rate_limit":
        return None
    return _answer_error("unknown_error", "retry your request", refusal.status or 500)


def _answer_error(error: str, description: str, status: int = 400) -> Response:
    return answer_json({"error": error, "error_description": description}, status)


def _read_basic(request: Request) -> tuple[str, str] | None:
    scheme, _, coded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, client_secret = base64.b64decode(coded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return client_id, client_secret
