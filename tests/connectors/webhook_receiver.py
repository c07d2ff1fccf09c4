"""A receiver of webhooks that believes no one: it verifies as receivers do, with code that is not ours.

HMAC-SHA256 by the `standardwebhooks` package, Ed25519 by OpenSSL as the specification describes it (spec/standard-webhooks.md,
Signature scheme).
"""

import base64
import json
from time import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from standardwebhooks import Webhook

from tests.connectors.fault_server import Received

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
NEXT_SECRET = "whsec_" + base64.b64encode(bytes(range(64))).decode()
_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(100, 132)))
PRIVATE_KEY = "whsk_" + base64.b64encode(_KEY.private_bytes_raw()).decode()
PUBLIC_KEY = "whpk_" + base64.b64encode(_KEY.public_key().public_bytes_raw()).decode()


def verified(received: Received, known: str = SECRET) -> Any:
    """The body of a request, which must be signed by the secret, or for the public key, that the receiver knows.

    Raises where no signature is right, or the time of the attempt is not now.
    """
    if not known.startswith("whpk_"):
        return Webhook(known).verify(received.body, dict(received.headers))
    assert abs(time() - int(received.headers["webhook-timestamp"])) < 300
    signed = f"{received.headers['webhook-id']}.{received.headers['webhook-timestamp']}.".encode() + received.body
    entries = [entry.split(",") for entry in received.headers["webhook-signature"].split(" ")]
    [signature] = [base64.b64decode(text) for version, text in entries if version == "v1a"]
    Ed25519PublicKey.from_public_bytes(base64.b64decode(known.removeprefix("whpk_"))).verify(signature, signed)
    return json.loads(received.body)
