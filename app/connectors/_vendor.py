"""What connectors that speak to a vendor's HTTP API through the vendor's own client share.

Transcripts of a `requests` exchange, values as those APIs take them, and faults by name. It may not know any vendor.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests
from pydantic import SecretStr
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers

from app.config.base import SECRET_REFERENCE
from app.connectors.base import mask
from app.errors import ConfigurationFault, DataFault, DeliveryFault, PermanentFault, TransientFault
from app.model import Fault
from app.redaction import mask_secrets, mask_url, scrub

TRANSCRIPT_CHARS = 4000
REASON_CHARS = 200
_json = msgspec.json.Encoder(decimal_format="number")
_FAULTS: Mapping[Fault, type[DeliveryFault]] = {
    kind.fault: kind for kind in (TransientFault, PermanentFault, DataFault, ConfigurationFault)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to a vendor; `body` is what is sent, "" for none."""

    method: str
    url: str
    body: str = ""

    def transcript(self, response: requests.Response | None = None) -> dict[str, Any]:
        """The request and, where there is one, its answer: secrets masked, bodies capped."""
        shown: dict[str, Any] = {
            "request": {"method": self.method, "url": mask_url(self.url), "body": _capped(self.body)}
        }
        if response is not None:
            shown["response"] = {
                "status": response.status_code,
                "headers": mask(response.headers),
                "body": _capped(response.text),
            }
            shown["ms"] = round(response.elapsed.total_seconds() * 1000, 2)
        return shown


def fault(
    kind: Fault, reason: str, *, transcript: Mapping[str, Any] | None = None, retry_after: float | None = None
) -> DeliveryFault:
    """The exception of a fault, to raise."""
    return _FAULTS[kind](reason, transcript=transcript, retry_after=retry_after)


def answer(status: int, headers: Mapping[str, str], body: bytes) -> requests.Response:
    """An answer that somebody wrote down, as the vendor's would come."""
    response = requests.Response()
    response.status_code = status
    response.headers = CaseInsensitiveDict(headers)
    response.encoding = get_encoding_from_headers(response.headers)
    response.raw = BytesIO(body)
    return response


def is_success(response: requests.Response) -> bool:
    """Whether the status is a 2xx."""
    return 200 <= response.status_code < 300  # noqa: PLR2004  # RFC 9110, 15.3


def read_json(response: requests.Response, *, transcript: Mapping[str, Any] | None = None) -> Any:
    """The body of a 2xx; raises an ambiguous `TransientFault` if it is no JSON, as the vendor's own answers all are."""
    try:
        return msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        reason = f"HTTP {response.status_code} without a readable answer"
        raise TransientFault(reason, ambiguous=True, transcript=transcript) from None


def write_json(payload: Any) -> str:
    """A payload as JSON; raises `DataFault` for values JSON cannot hold."""
    try:
        return _json.encode(payload).decode()
    except (TypeError, ValueError, RecursionError):  # UnicodeEncodeError is a ValueError
        raise DataFault("a mapped value cannot be written as JSON") from None


def masked(body: str) -> str:
    """A JSON body without what stands under secret names."""
    return write_json(mask_secrets(msgspec.json.decode(body)))


def retry_after(response: requests.Response) -> float | None:
    """Seconds a destination asks to wait (RFC 9110, 10.2.3); the vendors here give a number, never a date."""
    given = response.headers.get("Retry-After", "")
    return float(given) if re.fullmatch(r"\d{1,9}", given) else None


def words(text: str) -> str:
    """A vendor's own words as part of a reason: without what looks personal, and not too many."""
    return " ".join(str(scrub(text)).split())[:REASON_CHARS]


def sendable(secret: SecretStr) -> SecretStr:
    """A validator for a secret that travels in a header: a stray line break would fail every lead."""
    if not (secret.get_secret_value().isascii() and secret.get_secret_value().isprintable()):
        raise ValueError("holds characters that headers cannot carry")
    return secret


def base_url(text: str) -> str:
    """A validator for the address of an API: http or https, a host, no slash at its end."""
    if SECRET_REFERENCE.search(text):  # looked at when its value is there
        return text
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("not an http or https address")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("an address without credentials, query and fragment is needed")
    return text.rstrip("/")


def _capped(text: str) -> str:
    return text[:TRANSCRIPT_CHARS] + ("…" if len(text) > TRANSCRIPT_CHARS else "")
