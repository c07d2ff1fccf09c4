"""Signatures over requests by a shared secret: what is signed, how it is written, and the secrets themselves (RFC 2104).

What we sign for destinations and what senders of webhooks sign for us are two sides of the same thing, told in the same
settings. Pure; it may not know connections, settings or who asks.
"""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, Protocol

TimestampFormat = Literal["seconds", "milliseconds", "iso"]
Algorithm = Literal["sha256", "sha512", "sha1"]
Encoding = Literal["hex", "base64"]
SecretEncoding = Literal["text", "hex", "base64"]

STANDARD_SECRET = "whsec_"  # noqa: S105  # what secrets of Standard Webhooks begin with
STANDARD_PUBLIC_KEY = "whpk_"
_LEAST_SECRET_BYTES = 24  # Standard Webhooks: 24 to 64 bytes
_PUBLIC_KEY_BYTES = 32  # Ed25519 (RFC 8032)
_NAME = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_DIGITS = re.compile(r"[0-9]{1,15}")
_LONGEST_TIME = 40


class Signable(Protocol):
    """A request's own parts, as bytes on the wire; asked only for those that are signed."""

    @property
    def method(self) -> bytes:
        """GET, POST, ..."""

    @property
    def path(self) -> bytes:
        """Without the query."""

    @property
    def query(self) -> bytes:
        """Without the question mark."""

    @property
    def host(self) -> bytes:
        """The header."""

    @property
    def timestamp(self) -> bytes:
        """As it is sent."""

    @property
    def body(self) -> bytes:
        """As it is sent."""

    @property
    def key(self) -> bytes:
        """What is the same whenever it is sent again."""


_PARTS: Mapping[str, Callable[[Signable], bytes]] = {
    "method": lambda one: one.method,
    "path": lambda one: one.path,
    "query": lambda one: one.query,
    "host": lambda one: one.host,
    "timestamp": lambda one: one.timestamp,
    "body": lambda one: one.body,
    "body_sha256": lambda one: hashlib.sha256(one.body).hexdigest().encode(),
    "key": lambda one: one.key,
    "id": lambda one: one.key,
}
SIGNABLE = frozenset(_PARTS) - {"id"}
"""What a string that we sign may name."""
VERIFIABLE = frozenset(_PARTS) - {"key"}
"""What a string that others sign for us may name: their `id` is their key."""
STATED = frozenset({"signature", "timestamp"})
"""What a header may carry."""


def template_parts(text: str, known: frozenset[str]) -> list[str]:
    """A template cut into literals (even places) and names (odd ones); raises `ValueError` for an unknown name."""
    parts = _NAME.split(text)
    for name in parts[1::2]:
        if name not in known:
            raise ValueError(f"there is no {{{{ {name} }}}} here, only {', '.join(sorted(known))}")
    if any("{{" in literal or "}}" in literal for literal in parts[::2]):
        raise ValueError("{{ }} do not match")
    return parts


def value_parts(text: str) -> list[str]:
    """The template of a header that holds a signature, cut; raises `ValueError`."""
    parts = template_parts(text, STATED)
    if "signature" not in parts[1::2]:
        raise ValueError("the signature is missing: write {{ signature }}")
    return parts


def content(parts: Sequence[str], one: Signable) -> bytes:
    """What is signed of a request."""
    return b"".join([_PARTS[part](one) if odd % 2 else part.encode() for odd, part in enumerate(parts)])


def written(code: bytes, encoding: Encoding) -> str:
    """A signature as text."""
    return code.hex() if encoding == "hex" else b64encode(code).decode()


def read(text: bytes, encoding: Encoding) -> bytes | None:
    """A signature from its text; None if it is none, or could be written in another way."""
    try:
        found = b64decode(text, validate=True) if encoding == "base64" else bytes.fromhex(text.decode("ascii"))
    except ValueError:
        return None
    return found if written(found, encoding).encode() == (text if encoding == "base64" else text.lower()) else None


def secret_bytes(text: str, encoding: SecretEncoding) -> bytes:
    """A secret as bytes; raises `ValueError`."""
    try:
        match encoding:
            case "hex":
                return bytes.fromhex(text)
            case "base64":
                return b64decode(text, validate=True)
            case _:
                return text.encode()
    except ValueError:
        raise ValueError(f"secret is not written in {encoding}") from None


def standard_secret(text: str) -> bytes:
    """The bytes of a `whsec_` secret or a `whpk_` public key (standardwebhooks.com); raises `ValueError`."""
    public = text.startswith(STANDARD_PUBLIC_KEY)
    if not public and not text.startswith(STANDARD_SECRET):
        raise ValueError(f"secret begins with neither {STANDARD_SECRET} nor {STANDARD_PUBLIC_KEY}")
    plain = text.partition("_")[2].rstrip("=")
    try:
        found = b64decode(plain + "=" * (-len(plain) % 4), validate=True)  # some leave the padding out
    except ValueError:
        raise ValueError("secret is not written in base64 after its prefix") from None
    if public and len(found) != _PUBLIC_KEY_BYTES:
        raise ValueError(f"{STANDARD_PUBLIC_KEY} stands before a key of {_PUBLIC_KEY_BYTES} bytes")
    if not public and len(found) < _LEAST_SECRET_BYTES:
        raise ValueError(f"{STANDARD_SECRET} stands before {_LEAST_SECRET_BYTES} bytes at least")
    return found


def sign(secret: bytes, signed: bytes, algorithm: str) -> bytes:
    """The code that only who knows the secret can make."""
    return hmac.digest(secret, signed, algorithm)


def timestamp(now: float, form: TimestampFormat) -> str:
    """Seconds or milliseconds since 1970, or `2026-01-31T12:00:00Z` (RFC 3339)."""
    if form == "iso":
        return datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(int(now * 1000) if form == "milliseconds" else int(now))


def instant(text: str, form: TimestampFormat) -> float:
    """A timestamp as seconds since 1970; raises `ValueError`."""
    if form == "iso":
        found = datetime.fromisoformat(text) if len(text) <= _LONGEST_TIME else None
        if found is None or found.tzinfo is None:
            raise ValueError("not a time with its zone")
        return found.timestamp()
    if not _DIGITS.fullmatch(text):
        raise ValueError("not a whole number")
    return int(text) / (1000 if form == "milliseconds" else 1)
