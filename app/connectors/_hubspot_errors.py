"""What HubSpot's errors mean for a delivery, as data.

Sources: HubSpot developer docs, "Error handling" (statuses, body), "API usage guidelines and limits" (429 and its
policies), "Property validations" and the changelog (codes inside a VALIDATION_ERROR). An unknown code inside a
VALIDATION_ERROR is a matter of the lead's data.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import requests

from app.connectors import _vendor
from app.errors import DeliveryFault
from app.model import Fault, Outcome, Result

CODES: Mapping[str, Fault | Result] = {
    # The mapping names what the account does not have.
    "PROPERTY_DOESNT_EXIST": Fault.CONFIGURATION,
    "READ_ONLY_VALUE": Fault.CONFIGURATION,
    "MISSING_SCOPES": Fault.CONFIGURATION,
    # This lead cannot be stored as it is.
    "INVALID_BOOLEAN": Fault.DATA,
    "INVALID_DATE": Fault.DATA,
    "INVALID_EMAIL": Fault.DATA,
    "INVALID_INTEGER": Fault.DATA,
    "INVALID_LONG": Fault.DATA,
    "INVALID_OPTION": Fault.DATA,
    "LEADING_TRAILING_WHITESPACE": Fault.DATA,
    # Passes by itself; as categories of one record of a batch, where no status of its own tells.
    "CONFLICT": Fault.TRANSIENT,
    "RATE_LIMITS": Fault.TRANSIENT,
    # The account's own rule: another record has that value.
    "CONFLICTING_UNIQUE_VALUE": Result.FAILURE,
}
STATUSES: Mapping[int, Fault] = {
    401: Fault.CONFIGURATION,
    403: Fault.CONFIGURATION,
    404: Fault.CONFIGURATION,
    405: Fault.CONFIGURATION,
    408: Fault.TRANSIENT,
    409: Fault.TRANSIENT,  # two upserts of one new contact at the same time: the next one finds it
    414: Fault.DATA,
    423: Fault.TRANSIENT,
    429: Fault.TRANSIENT,
    477: Fault.TRANSIENT,  # the account moves to another data centre, with Retry-After
}
POLICY_WAIT_SECONDS: Mapping[str, float] = {"SECONDLY": 1.0, "TEN_SECONDLY_ROLLING": 10.0, "DAILY": 3600.0}
"""Waits after a 429 without Retry-After. The daily limit ends at midnight in the account's time zone, unknown here."""
LOCK_WAIT_SECONDS = 2.0
_NOT_UNIQUE = "non-unique"
_COMPLAINTS = re.compile(r"\[\{.*\}\]", re.DOTALL)


def refusal(
    response: requests.Response, error: Mapping[str, Any], transcript: Mapping[str, Any] | None = None
) -> Outcome | DeliveryFault:
    """An error, alone or one of a batch: an outcome for a business rejection, else the fault to raise."""
    message = str(error.get("message", ""))
    complaints = list(_complaints(error, message))
    codes = [code for code, _ in complaints] or [str(error.get("category"))]
    means = _meaning(response.status_code, codes, message)
    reason = _reason(response.status_code, error, complaints, message)
    if isinstance(means, Result):
        return Outcome(result=means, reason=reason, transcript=transcript)
    wait = _wait(response, error) if means is Fault.TRANSIENT else None
    return _vendor.fault(means, reason, transcript=transcript, retry_after=wait)


def read_error(response: requests.Response) -> Mapping[str, Any]:
    """The error a refusal's body holds; empty for a body that is none of HubSpot's."""
    try:
        body = response.json()
    except requests.JSONDecodeError:
        return {}
    return body if isinstance(body, Mapping) else {}


def _meaning(status: int, codes: list[str], message: str) -> Fault | Result:
    if status in STATUSES:
        return STATUSES[status]
    if status >= 500:  # noqa: PLR2004  # 502, 503, 504 and 521 to 524 are all said to pass
        return Fault.TRANSIENT
    found = [CODES.get(code, Fault.DATA) for code in codes]
    redirected = requests.codes.multiple_choices <= status < requests.codes.bad
    if redirected or Fault.CONFIGURATION in found or _NOT_UNIQUE in message:
        return Fault.CONFIGURATION  # every lead meets it
    return found[0]


def _complaints(error: Mapping[str, Any], message: str) -> Iterator[tuple[str, str]]:
    """Code and property of each complaint; HubSpot lists them under `errors`, or as JSON inside its message."""
    listed = error.get("errors")
    if not listed and (inside := _COMPLAINTS.search(message)):
        try:
            listed = json.loads(inside[0])
        except ValueError:
            listed = None
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, Mapping) and (code := one.get("code") or one.get("error")):
            context = one.get("context")
            named = context.get("propertyName") if isinstance(context, Mapping) else None
            name = named[0] if isinstance(named, list) and named else one.get("name") or one.get("in") or ""
            yield str(code), str(name)


def _reason(status: int, error: Mapping[str, Any], complaints: list[tuple[str, str]], message: str) -> str:
    title = str(error.get("category") or error.get("errorType") or f"HTTP {status}")
    if complaints:  # the message repeats the lead's values; codes and names tell as much
        told = ", ".join(f"{code} ({name})" if name else code for code, name in complaints)
        return f"{title}: {told}"[: _vendor.REASON_CHARS]
    return f"{title}: {_vendor.words(message)}" if message else title


def _wait(response: requests.Response, error: Mapping[str, Any]) -> float | None:
    given = _vendor.retry_after(response)
    if given is not None:
        return given
    if response.status_code == requests.codes.locked:
        return LOCK_WAIT_SECONDS
    return POLICY_WAIT_SECONDS.get(str(error.get("policyName", "")))
