"""What Salesforce's error codes mean for a delivery, as data.

Sources: SOAP API Developer Guide, "Core Data Types Used in API Calls" (ExceptionCode and StatusCode, which the REST API
answers as `errorCode`); REST API Developer Guide, "Status Codes and Error Responses". A code that stands nowhere here
is judged by its HTTP status.
"""

from collections.abc import Mapping
from typing import Any

import requests

from app.connectors import _vendor
from app.errors import DeliveryFault
from app.model import Fault, Outcome, Result

CODES: Mapping[str, Fault | Result] = {
    # Passes by itself.
    "CONCURRENT_REQUESTS_LIMIT_EXCEEDED": Fault.TRANSIENT,
    "QUERY_TIMEOUT": Fault.TRANSIENT,
    "REQUEST_LIMIT_EXCEEDED": Fault.TRANSIENT,
    "REQUEST_RUNNING_TOO_LONG": Fault.TRANSIENT,
    "SERVER_UNAVAILABLE": Fault.TRANSIENT,
    "UNABLE_TO_LOCK_ROW": Fault.TRANSIENT,
    "UNKNOWN_EXCEPTION": Fault.TRANSIENT,
    # A person has to mend the org, our rights in it, or the mapping.
    "API_CURRENTLY_DISABLED": Fault.CONFIGURATION,
    "API_DISABLED_FOR_ORG": Fault.CONFIGURATION,
    "CLIENT_NOT_ACCESSIBLE_FOR_USER": Fault.CONFIGURATION,
    "FUNCTIONALITY_NOT_ENABLED": Fault.CONFIGURATION,
    "INSUFFICIENT_ACCESS": Fault.CONFIGURATION,
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": Fault.CONFIGURATION,
    "INSUFFICIENT_ACCESS_OR_READONLY": Fault.CONFIGURATION,
    "INVALID_AUTH_HEADER": Fault.CONFIGURATION,
    "INVALID_FIELD": Fault.CONFIGURATION,
    "INVALID_FIELD_FOR_INSERT_UPDATE": Fault.CONFIGURATION,
    "INVALID_OPERATION_WITH_EXPIRED_PASSWORD": Fault.CONFIGURATION,
    "INVALID_SESSION_ID": Fault.CONFIGURATION,
    "INVALID_TYPE": Fault.CONFIGURATION,
    "METHOD_NOT_ALLOWED": Fault.CONFIGURATION,
    "NOT_FOUND": Fault.CONFIGURATION,
    "ORG_LOCKED": Fault.CONFIGURATION,
    "STORAGE_LIMIT_EXCEEDED": Fault.CONFIGURATION,
    "UNSUPPORTED_API_VERSION": Fault.CONFIGURATION,
    # This lead cannot be stored as it is.
    "CANNOT_EXECUTE_FLOW_TRIGGER": Fault.DATA,
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": Fault.DATA,
    "ENTITY_IS_DELETED": Fault.DATA,
    "FIELD_FILTER_VALIDATION_EXCEPTION": Fault.DATA,
    "FIELD_INTEGRITY_EXCEPTION": Fault.DATA,
    "INVALID_CROSS_REFERENCE_KEY": Fault.DATA,
    "INVALID_EMAIL_ADDRESS": Fault.DATA,
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": Fault.DATA,
    "INVALID_TYPE_ON_FIELD_IN_RECORD": Fault.DATA,
    "JSON_PARSER_ERROR": Fault.DATA,
    "MALFORMED_ID": Fault.DATA,
    "NUMBER_OUTSIDE_VALID_RANGE": Fault.DATA,
    "REQUIRED_FIELD_MISSING": Fault.DATA,
    "STRING_TOO_LONG": Fault.DATA,
    # The org's own rules turned the lead down.
    "CANNOT_UPDATE_CONVERTED_LEAD": Result.FAILURE,
    "DUPLICATES_DETECTED": Result.FAILURE,
    "DUPLICATE_VALUE": Result.FAILURE,
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": Result.FAILURE,
}
DAILY_LIMIT_WAIT_SECONDS = 900.0
"""The daily limit counts a rolling 24 hours: room comes back bit by bit, so looking again each quarter hour is enough."""
_MULTIPLE_CHOICES = 300
_SIGN_ON_PASSES = frozenset({"server_error", "temporarily_unavailable", "unknown_error"})


def refusal(
    response: requests.Response, external_id_field: str, transcript: Mapping[str, Any] | None
) -> Outcome | DeliveryFault:
    """A negative answer: an outcome for a business rejection, else the fault to raise."""
    code, message, error = _first(response)
    if response.status_code == _MULTIPLE_CHOICES:
        return _vendor.fault(Fault.DATA, "several records have this external id", transcript=transcript)
    means = CODES.get(code) or _by_status(response.status_code)
    if code == "DUPLICATE_VALUE" and external_id_field.lower() in message.lower():
        means = Fault.TRANSIENT  # two upserts of one new external id at the same time: the next one finds the record
    if isinstance(means, Result):
        reason = f"{code}: {_vendor.words(message)}"
        return Outcome(result=means, reason=reason, captured=_duplicates(error), transcript=transcript)
    wait = _vendor.retry_after(response)
    if wait is None and code == "REQUEST_LIMIT_EXCEEDED" and message.startswith("TotalRequests"):
        wait = DAILY_LIMIT_WAIT_SECONDS
    return _vendor.fault(means, _reason(response, means), transcript=transcript, retry_after=wait)


def sign_on_refusal(response: requests.Response) -> DeliveryFault:
    """The fault of a token request that was refused (RFC 6749, 5.2; Salesforce Help, "OAuth 2.0 Authorization Errors")."""
    try:
        code = str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        code = ""
    passes = response.status_code in {408, 429} or response.status_code >= 500 or code in _SIGN_ON_PASSES  # noqa: PLR2004  # RFC 9110
    return _vendor.fault(
        Fault.TRANSIENT if passes else Fault.CONFIGURATION,
        f"sign-on refused: HTTP {response.status_code} {code}".strip(),
        retry_after=_vendor.retry_after(response),
    )


def _first(response: requests.Response) -> tuple[str, str, Mapping[str, Any]]:
    """Code, message and all of the first error: `[{"message", "errorCode", "fields"}]`."""
    try:
        error = response.json()[0]
        return str(error["errorCode"]), str(error.get("message", "")), error
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return "", "", {}


def _by_status(status: int) -> Fault:
    if status >= 500 or status in {408, 429}:  # noqa: PLR2004  # RFC 9110, 15.6
        return Fault.TRANSIENT
    return Fault.CONFIGURATION if status < 400 or status in {401, 403, 404, 405} else Fault.PERMANENT  # noqa: PLR2004  # as above


def _reason(response: requests.Response, fault: Fault) -> str:
    code, message, error = _first(response)
    if not code:
        return f"HTTP {response.status_code}"
    # A data fault's message repeats the lead's value; the names of the fields tell as much.
    told = ", ".join(map(str, error.get("fields") or [])) if fault is Fault.DATA else _vendor.words(message)
    return f"{code}: {told}" if told else code


def _duplicates(error: Mapping[str, Any]) -> dict[str, Any] | None:
    """Ids of the records a duplicate rule found (REST API Developer Guide, "Duplicate Rule Header")."""
    found = error.get("duplicateResult")
    if not isinstance(found, Mapping):
        return None
    ids = [
        record["record"]["Id"] for result in found.get("matchResults", []) for record in result.get("matchRecords", [])
    ]
    return {"duplicates": ids} if ids else None
