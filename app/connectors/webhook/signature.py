"""Signatures of Standard Webhooks 1.0 (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md).

What is signed is the id, the time of the attempt and the body, as they are sent. Pure but for the clock; it may not know
settings or connections.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from time import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.connectors._authentication import Request, Send
from app.connectors._transport import Answer
from app.signature import STANDARD_SECRET, sign, standard_secret

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"

_PRIVATE_KEY = "whsk_"
_LONGEST_SECRET_BYTES = 64
_SEED_BYTES = 32

Sign = Callable[[bytes], str]
"""From what is signed to one entry of the header."""


def signer(secret: str) -> Sign:
    """What signs with a secret: `whsec_…` by HMAC-SHA256, `whsk_…` by Ed25519.

    Raises `ValueError`, which never repeats the secret.
    """
    if secret.startswith(_PRIVATE_KEY):
        return _asymmetric(secret.removeprefix(_PRIVATE_KEY))
    if not secret.startswith(STANDARD_SECRET):
        raise ValueError(f"secret begins with neither {STANDARD_SECRET} (HMAC-SHA256) nor {_PRIVATE_KEY} (Ed25519)")
    key = standard_secret(secret)
    if len(key) > _LONGEST_SECRET_BYTES:
        raise ValueError(f"{STANDARD_SECRET} stands before {_LONGEST_SECRET_BYTES} bytes at most")
    return lambda content: f"v1,{b64encode(sign(key, content, 'sha256')).decode()}"


def _asymmetric(text: str) -> Sign:
    try:
        key = b64decode(text, validate=True)
    except ValueError:
        raise ValueError("secret is not written in base64 after its prefix") from None
    # Some tools write the public half behind the private one.
    if len(key) not in {_SEED_BYTES, 2 * _SEED_BYTES}:
        raise ValueError(f"{_PRIVATE_KEY} stands before a key of {_SEED_BYTES} bytes")
    private = Ed25519PrivateKey.from_private_bytes(key[:_SEED_BYTES])
    if key[_SEED_BYTES:] not in {b"", private.public_key().public_bytes_raw()}:
        raise ValueError("the two halves of the private key do not belong together")
    return lambda content: f"v1a,{b64encode(private.sign(content)).decode()}"


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
        return send({TIMESTAMP: stamp, SIGNATURE: " ".join(one(content) for one in self._signers)})
