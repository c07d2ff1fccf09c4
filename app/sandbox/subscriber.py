"""Stand-in for a subscriber of webhooks: believes what is signed as Standard Webhooks 1.0 has it, and keeps it.

By the specification (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md, Signature scheme) and not by the
product's own code: it is a witness of the signature too. HMAC-SHA256 only; what is CloudEvents is signed alike.
"""

import hmac
import time
from base64 import b64decode, b64encode
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.sandbox.door import answer_json, find_header, mark_taken, read_body, retry_headers
from app.sandbox.faults import Faults, Refusal
from app.sandbox.memory import Recent
from app.sandbox.receipts import ENTRIES, Receipts

PATH = "/subscriber/webhooks"
SECRET = "whsec_bGVhZHJlbGF5LXNhbmRib3gtc3Vic2NyaWJlcg=="  # noqa: S105  # published, like all that the sandbox knows
TOLERANCE_SECONDS = 300

_KEY = b64decode(SECRET.removeprefix("whsec_"))
_LONGEST_TIMESTAMP = 12


class Subscriber:
    """POST takes a webhook: 204, or 422 where a plan turns it down; a repeated `webhook-id` gets its first answer again."""

    def __init__(self, faults: Faults, receipts: Receipts) -> None:
        self._faults = faults
        self._receipts = receipts
        self._answers: Recent[str, str] = Recent(ENTRIES)

    def forget(self) -> None:
        """Start anew."""
        self._answers.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"] != PATH:
            answer = _complain(404, "There is only " + PATH)
        elif scope["method"] != "POST":
            answer = _complain(405, "Use POST", {"Allow": "POST"})
        else:
            body = await read_body(receive)
            answer = _complain(413, "The body is larger than 1 MiB") if body is None else self._post(scope, body)
        await answer(scope, receive, send)

    def _post(self, scope: Scope, body: bytes) -> Response:
        key = find_header(scope, b"webhook-id") or ""
        wrong = _disbelief(scope, key, body)
        if wrong is not None:
            return _complain(401, wrong)
        if not _is_event(body):
            return _complain(400, "The body is no JSON object with a type")
        reason = self._answers.get(key)
        if reason is None:
            reason = self._faults.rejection("subscriber") or ""
            self._answers[key] = reason
        self._receipts.take("subscriber", key=key, body=body, rejected=reason or None)
        mark_taken(scope)
        return _complain(422, reason) if reason else Response(status_code=204)


def refuse(_path: str, refusal: Refusal) -> Response:
    """The subscriber's answer to a request it turns away."""
    if refusal.kind == "unauthorized":
        return _complain(401, "No signature is right")
    if refusal.kind == "rate_limit":
        return _complain(refusal.status or 429, "Too many requests", retry_headers(refusal))
    return _complain(refusal.status or 500, "The sandbox was asked to fail")


def _disbelief(scope: Scope, key: str, body: bytes) -> str | None:
    """Why it is not shown who sent this; None if it is."""
    timestamp = find_header(scope, b"webhook-timestamp") or ""
    signatures = find_header(scope, b"webhook-signature") or ""
    if not (key and timestamp and signatures):
        return "webhook-id, webhook-timestamp and webhook-signature are needed"
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _LONGEST_TIMESTAMP):
        return "webhook-timestamp is no number of seconds since 1970"
    if abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return f"webhook-timestamp is more than {TOLERANCE_SECONDS} seconds from now"
    code = hmac.digest(_KEY, f"{key}.{timestamp}.".encode("latin-1") + body, "sha256")
    expected = b"v1," + b64encode(code)
    # Others, such as those by a secret that is going out of use or of another kind, may stand beside it.
    found = [hmac.compare_digest(expected, one.encode("latin-1")) for one in signatures.split(" ")]
    return None if any(found) else "No signature is right"


def _is_event(body: bytes) -> bool:
    try:
        event: Any = msgspec.json.decode(body)
    except ValueError:
        return False
    return isinstance(event, dict) and isinstance(event.get("type"), str)


def _complain(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    return answer_json({"error": reason}, status, headers)
