"""Stand-in for a lead buyer's HTTP endpoint: takes a lead, says accepted or rejected.

There is no one vendor behind it: it answers like the buyers LeadConduit posts to (outcome, reason, lead id, price). It is
plain ASGI without a framework, because demos and benchmarks measure through it. State in memory only.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl
from xml.etree.ElementTree import ParseError

import msgspec
from defusedxml.ElementTree import fromstring
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.sandbox.door import answer_json, find_header, mark_taken, read_body, retry_headers
from app.sandbox.faults import BuyerPlan, Faults, Refusal
from app.sandbox.memory import Recent
from app.sandbox.receipts import ENTRIES, Receipts

PATH = "/buyer/leads"
API_KEY = "sandbox-buyer-key"
PRICE = 12.5

_JSON_TYPE = re.compile(r"application/(json|[\w.+-]+\+json)|text/json")
_XML_TYPE = re.compile(r"(application|text)/(xml|[\w.+-]+\+xml)")


class Buyer:
    """POST takes a lead, GET tells that the key is good; both want `X-API-Key`.

    A repeated `Idempotency-Key` gets the first answer again, marked `Idempotent-Replayed: true`.
    """

    def __init__(self, faults: Faults, receipts: Receipts) -> None:
        self._faults = faults
        self._receipts = receipts
        self._answers: Recent[str, bytes] = Recent(ENTRIES)
        self._emails: Recent[str, bool] = Recent(ENTRIES)
        self._leads = 0

    def forget(self) -> None:
        """Start anew."""
        self._answers.clear()
        self._emails.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"] != PATH:
            await _complain(404, "There is only " + PATH)(scope, receive, send)
        elif find_header(scope, b"x-api-key") != API_KEY:
            await _complain(401, "The X-API-Key header is missing or wrong")(scope, receive, send)
        elif scope["method"] == "POST":
            await self._post(scope, receive, send)
        elif scope["method"] == "GET":
            await answer_json({"status": "ready"})(scope, receive, send)
        else:
            await _complain(405, "Use GET or POST", {"Allow": "GET, POST"})(scope, receive, send)

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        if body is None:
            await _complain(413, "The body is larger than 1 MiB")(scope, receive, send)
            return
        reader = _reader(find_header(scope, b"content-type") or "application/json")
        if reader is None:
            await _complain(415, "Send JSON, XML or a form")(scope, receive, send)
            return
        try:
            lead = reader(body)
        except (ValueError, ParseError) as error:
            await _complain(400, f"The body cannot be read: {error}")(scope, receive, send)
            return
        key = find_header(scope, b"idempotency-key")
        mark_taken(scope)
        first = None if key is None else self._answers.get(key)
        if first is None:
            headers, answer = _FRESH, self._judge(key, lead, body)
        else:
            headers, answer = _REPLAYED, first
            self._receipts.take("buyer", key=key, body=body)
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": answer})

    def _judge(self, key: str | None, lead: dict[str, Any], body: bytes) -> bytes:
        email = str(lead.get("email") or "").strip().lower()
        duplicate = bool(email) and email in self._emails
        reason = self._faults.rejection("buyer") or self._unwanted(lead, duplicate=duplicate)
        self._receipts.take("buyer", key=key, body=body, rejected=reason, duplicate=duplicate)
        if email:
            self._emails[email] = True
        self._leads += 1
        answer = msgspec.json.encode(
            {
                "outcome": "accepted" if reason is None else "rejected",
                "reason": reason,
                "lead_id": f"buyer-{self._leads:08d}",
                "price": PRICE if reason is None else 0,
            }
        )
        if key is not None:
            self._answers[key] = answer
        return answer

    def _unwanted(self, lead: dict[str, Any], *, duplicate: bool) -> str | None:
        plan = self._faults.plan("buyer")
        assert isinstance(plan, BuyerPlan)
        if duplicate and plan.reject_duplicates:
            return "duplicate"
        if plan.reject_states and str(lead.get("state")).upper() in {state.upper() for state in plan.reject_states}:
            return "state not wanted"
        return None


_FRESH = [(b"content-type", b"application/json")]
_REPLAYED = [*_FRESH, (b"idempotent-replayed", b"true")]


def refuse(_path: str, refusal: Refusal) -> Response:
    """The buyer's answer to a request it turns away."""
    if refusal.kind == "unauthorized":
        return _complain(401, "The X-API-Key header is missing or wrong")
    if refusal.kind == "rate_limit":
        return _complain(refusal.status or 429, "Too many requests", retry_headers(refusal))
    return _complain(refusal.status or 500, "The sandbox was asked to fail")


def _complain(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    return answer_json({"outcome": "error", "reason": reason}, status, headers)


def _reader(content_type: str) -> Callable[[bytes], dict[str, Any]] | None:
    """What reads a body of this type into top-level fields with names in lower case."""
    kind = content_type.partition(";")[0].strip().lower()
    if _JSON_TYPE.fullmatch(kind):
        return _read_json
    if _XML_TYPE.fullmatch(kind):
        return _read_xml
    return _read_form if kind == "application/x-www-form-urlencoded" else None


def _read_json(body: bytes) -> dict[str, Any]:
    lead = msgspec.json.decode(body)
    if not isinstance(lead, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004  # a malformed body, not a programming error
    return {name.lower(): value for name, value in lead.items()}


def _read_xml(body: bytes) -> dict[str, Any]:
    elements = fromstring(body).iter()
    return {element.tag.rpartition("}")[2].lower(): element.text or "" for element in elements if not len(element)}


def _read_form(body: bytes) -> dict[str, Any]:
    lead = {name.lower(): value for name, value in parse_qsl(body.decode(), keep_blank_values=True)}
    if body and not lead:
        raise ValueError("it is no form")
    return lead
