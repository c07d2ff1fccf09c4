"""A buyer with an OAuth 2.0 token endpoint of its own, which takes nothing on trust.

It verifies client authentication, grants, assertions and their signatures, rotates refresh tokens and refuses old ones, and
takes leads only under a token that it has given and that has not ended.
"""

import json
import socket
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic, time
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.connectors import fault_server
from tests.connectors.fault_server import Behaviour, FaultServer, Received, answer

SECRET = "s3cr+t/with:odd&signs"
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def number(text: str) -> int:
    """A number as keys and tokens write it (RFC 7518, 2)."""
    return int.from_bytes(urlsafe_b64decode(text + "=="), "big")


def verified(token: str, key: PublicKey) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a JWS in compact form; raises if the signature is wrong."""
    head, payload, signature = (part.encode() for part in token.split("."))
    raw = urlsafe_b64decode(signature + b"==")
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(raw, head + b"." + payload, padding.PKCS1v15(), hashes.SHA256())
    else:
        assert len(raw) == 64
        der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        key.verify(der, head + b"." + payload, ec.ECDSA(hashes.SHA256()))
    return json.loads(urlsafe_b64decode(head + b"==")), json.loads(urlsafe_b64decode(payload + b"=="))


@dataclass
class Buyer:
    """The whole of it: `/token` gives tokens, everything else takes leads."""

    server: FaultServer = field(default_factory=lambda: FaultServer(answer()))
    client_auth: str = "basic"
    lifetime: Any = 3600
    grace: float = 0
    """How much longer a token is good than it is said to be."""
    key: PublicKey | None = None
    refresh_token: str = "refresh-0"
    rotates: bool = True
    on_token: Behaviour | None = None
    """In place of the endpoint."""
    date: str | None = None
    """Its clock, told with refusals."""
    takes: bool = True
    """Whether leads are taken at all."""
    given: list[str] = field(default_factory=list)
    forms: list[Mapping[str, str]] = field(default_factory=list)
    leads: list[str] = field(default_factory=list)
    """Authorization of the leads that were taken."""
    refused: int = 0
    _ends: dict[str, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @property
    def token_url(self) -> str:
        return f"{self.server.url}/token"

    def auth(self, **more: Any) -> dict[str, Any]:
        """Settings that this buyer accepts."""
        found = {"token_url": self.token_url, "client_id": "relay", "client_secret": SECRET, **more}
        return {"oauth2": {name: value for name, value in found.items() if value is not None}}

    def revoke(self) -> None:
        """No token that was given is good any more."""
        self._ends.clear()

    def behave(self, connection: socket.socket, request: Received) -> bool:
        if request.target != "/token":
            return self._lead(request)(connection, request)
        if self.on_token is not None:
            return self.on_token(connection, request)
        with self._lock:
            return self._token(request)(connection, request)

    def _lead(self, request: Received) -> Behaviour:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if not self.takes or kind != "Bearer" or self._ends.get(token, 0) < monotonic():
            self.refused += 1
            return answer(401, b"{}", www_authenticate='Bearer error="invalid_token"')
        self.leads.append(token)
        return answer(200, b'{"outcome":"success"}')

    def _token(self, request: Received) -> Behaviour:
        form = {name: values[0] for name, values in parse_qs(request.body.decode(), strict_parsing=True).items()}
        self.forms.append(form)
        if request.headers["content-type"] != "application/x-www-form-urlencoded" or request.method != "POST":
            return refuse("invalid_request")
        if not self._knows(request, form):
            return refuse("invalid_client", status=401)
        given = {"token_type": "bearer", "expires_in": self.lifetime}
        match form["grant_type"]:
            case "client_credentials":
                pass
            case "refresh_token":
                if form["refresh_token"] != self.refresh_token:
                    return refuse("invalid_grant")
                if self.rotates:
                    given["refresh_token"] = self.refresh_token = f"refresh-{len(self.given) + 1}"
            case "urn:ietf:params:oauth:grant-type:jwt-bearer":
                if (why := self._assertion(form["assertion"])) is not None:
                    return refuse("invalid_grant", why, **({"date": self.date} if self.date else {}))
            case _:
                return refuse("unsupported_grant_type")
        token = f"token-{len(self.given) + 1}"
        self.given.append(token)
        self._ends[token] = monotonic() + self.grace + (3600 if self.lifetime is None else float(self.lifetime))
        return answer(200, json.dumps({**given, "access_token": token}).encode())

    def _knows(self, request: Received, form: Mapping[str, str]) -> bool:
        if form["grant_type"].endswith("jwt-bearer"):
            return True
        if self.client_auth == "body":
            return "authorization" not in request.headers and form.get("client_secret") == SECRET
        kind, _, pair = request.headers.get("authorization", "").partition(" ")
        name, _, secret = b64decode(pair).decode().partition(":")
        return (kind, unquote_plus(name), unquote_plus(secret)) == (
            "Basic",
            "relay",
            SECRET,
        ) and "client_secret" not in form

    def _assertion(self, token: str) -> str | None:
        assert self.key is not None
        try:
            header, claims = verified(token, self.key)
        except InvalidSignature:
            return "the signature is wrong"
        now = time()
        if header["alg"] != ("RS256" if isinstance(self.key, rsa.RSAPublicKey) else "ES256") or header["typ"] != "JWT":
            return "the algorithm is wrong"
        if (claims["iss"], claims["sub"], claims["aud"]) != ("relay", "ann", self.token_url):
            return "not who it should be"
        if not claims["iat"] - 1 <= now < claims["exp"] <= claims["iat"] + 3600:
            return "too late or too early"
        return None if claims["jti"] else "no id"


def refuse(error: str, description: str | None = None, *, status: int = 400, **headers: str) -> Behaviour:
    said = {"error": error} | ({"error_description": description} if description else {})
    return answer(status, json.dumps(said).encode(), **headers)


@contextmanager
def buying(**how: Any) -> Iterator[Buyer]:
    """A buyer for as long as the block lasts."""
    buyer = Buyer(**how)
    with fault_server.running(buyer.behave) as server:
        buyer.server = server
        yield buyer
