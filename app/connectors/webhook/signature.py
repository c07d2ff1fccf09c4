"""Signatures of Standard Webhooks 1.0 (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md).

What is signed is the id, the time of the attempt and the body, as they are sent. Pure but for the clock; it may not know
settings or connections.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from time import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.connectors._authentication import Request, Send
from app.connectors._transport import Answer

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"

_SHORTEST_BYTES, _LONGEST_BYTES = 24, 64
_SEED_BYTES = 32

Sign = Callable[[bytes], str]
"""From what is signed to one entry of the header."""


def signer(secret: str) -> Sign:
    """What signs with a secret: `whsec_…` by HMAC-SHA256, `whsk_…` by Ed25519.

    Raises `ValueError`, which never repeats the secret.
    """
    prefix, _, text = secret.partition("_")
    for known, make in _KINDS.items():
        if prefix == known:
            try:
                key = b64decode(text, validate=True)
            except ValueError:
                raise ValueError(f"what comes after {prefix}_ is not base64") from None
            return make(key)
    raise ValueError("not a secret of Standard Webhooks: it begins with whsec_ (HMAC-SHA256) or whsk_ (Ed25519)")


def _symmetric(key: bytes) -> Sign:
    if not _SHORTEST_BYTES <= len(key) <= _LONGEST_BYTES:
        raise ValueError(f"a whsec_ secret holds {_SHORTEST_BYTES} to {_LONGEST_BYTES} bytes in base64")
    return lambda content: f"v1,{b64encode(hmac.digest(key, content, hashlib.sha256)).decode()}"


def _asymmetric(key: bytes) -> Sign:
    # Some tools write the public half behind the private one.
    if len(key) not in {_SEED_BYTES, 2 * _SEED_BYTES}:
        raise ValueError(f"a whsk_ secret holds the {_SEED_BYTES} bytes of an Ed25519 private key in base64")
    private = Ed25519PrivateKey.from_private_bytes(key[:_SEED_BYTES])
    if key[_SEED_BYTES:] not in {b"", private.public_key().public_bytes_raw()}:
        raise ValueError("the two halves of the whsk_ secret do not belong together")
    return lambda content: f"v1a,{b64encode(private.sign(content)).decode()}"


_KINDS: Mapping[str, Callable[[bytes], Sign]] = {"whsec": _symmetric, "whsk": _asymmetric}


class StandardWebhooks:
    """Signs each request with every secret, so that a receiver may go from one to the other at its own time."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._signers = [signer(secret) for secret in secrets]

    def prepare(self, deadline: float) -> None:
        """Nothing is needed."""

    def exchange(self, send: Send, request: Request, _deadline: float) -> Answer:
        """Send with the time and the signatures of this attempt."""
        stamp = str(int(time()))
        content = b".".join((request.header(ID).encode(), stamp.encode(), request.body))
        return send({TIMESTAMP: stamp, SIGNATURE: " ".join(sign(content) for sign in self._signers)})
