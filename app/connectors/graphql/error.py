"""What the entries of `errors` mean: GraphQL leaves their codes to the servers, and these are the servers' own.

Sources: Apollo Server (Error handling, Built-in error codes), Shopify (GraphQL Admin API, Status and error codes), GitHub
(`type` beside `message`; Rate limits for the GraphQL API), Hasura (`extensions.code` of the GraphQL engine), graphql-ruby
(camel-case validation codes), graphql-js and graphql-core, whose errors have no code. Pure.
"""

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from app.connectors._found import REASON_LENGTH
from app.model import Fault
from app.redaction import scrub


class Meaning(Enum):
    """What an error makes of the attempt; of several, the first named here counts."""

    CONFIGURATION = Fault.CONFIGURATION
    TRANSIENT = Fault.TRANSIENT
    PERMANENT = Fault.PERMANENT
    DATA = Fault.DATA
    REJECTED = None

    @property
    def fault(self) -> Fault | None:
        """None for a rejection, which is an answer."""
        found: Fault | None = self.value
        return found


CODES: Mapping[Meaning, frozenset[str]] = {
    Meaning.CONFIGURATION: frozenset(
        [
            "UNAUTHENTICATED",
            "UNAUTHORIZED",
            "FORBIDDEN",
            "ACCESS_DENIED",
            "INVALID_CREDENTIALS",
            "INVALID_TOKEN",
            "INSUFFICIENT_SCOPES",
            "AUTHENTICATION_ERROR",
            "AUTHENTICATION_FAILED",
            "AUTH_NOT_AUTHENTICATED",
            "AUTH_NOT_AUTHORIZED",
            "INVALID_JWT",
            "INVALID_HEADERS",
            "JWT_INVALID_CLAIMS",
            "SHOP_INACTIVE",
            "GRAPHQL_PARSE_FAILED",
            "PARSE_FAILED",
            "GRAPHQL_VALIDATION_FAILED",
            "VALIDATION_FAILED",
            "OPERATION_RESOLUTION_FAILURE",
            "BAD_REQUEST",
            "MAX_COST_EXCEEDED",
            "MAX_NODE_LIMIT_EXCEEDED",
            "MAX_RECURSIVE_SELECTIONS_EXCEEDED",
            "INTROSPECTION_DISABLED",
            "PERSISTED_QUERY_NOT_FOUND",
            "PERSISTED_QUERY_NOT_SUPPORTED",
            "PERSISTED_QUERY_REQUIRED",
            "UNDEFINED_FIELD",
            "UNDEFINED_TYPE",
            "ARGUMENT_NOT_ACCEPTED",
            "MISSING_REQUIRED_ARGUMENTS",
            "ARGUMENT_LITERALS_INCOMPATIBLE",
            "VARIABLE_MISMATCH",
            "VARIABLE_NOT_DEFINED",
            "VARIABLE_NOT_USED",
            "SELECTION_MISMATCH",
        ]
    ),
    Meaning.TRANSIENT: frozenset(
        [
            "THROTTLED",
            "RATE_LIMITED",
            "RATE_LIMIT",
            "RATE_LIMIT_EXCEEDED",
            "TOO_MANY_REQUESTS",
            "INTERNAL_SERVER_ERROR",
            "INTERNAL_ERROR",
            "SERVICE_UNAVAILABLE",
            "UNAVAILABLE",
            "TIMEOUT",
            "GATEWAY_TIMEOUT",
            "RESOURCE_LIMITS_EXCEEDED",
            "DOWNSTREAM_SERVICE_ERROR",
            "POSTGRES_ERROR",
            "UNEXPECTED",
            "CONCURRENT_MODIFICATION",
        ]
    ),
    Meaning.DATA: frozenset({"INVALID_VARIABLE", "DATA_EXCEPTION"}),
    Meaning.REJECTED: frozenset(
        [
            "UNPROCESSABLE",
            "UNPROCESSABLE_ENTITY",
            "CONFLICT",
            "DUPLICATE",
            "ALREADY_EXISTS",
            "CONSTRAINT_VIOLATION",
            "PERMISSION_ERROR",
        ]
    ),
}
# An input that is refused: a resolver that says so has looked at this lead; without one, the value was never taken.
_OF_INPUT = frozenset({"BAD_USER_INPUT", "INVALID_INPUT", "VALIDATION_ERROR", "INVALID", "NOT_FOUND"})

_ORDER = tuple(Meaning)
_MEANINGS = {code: meaning for meaning, codes in CODES.items() for code in codes}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_VARIABLE = re.compile(r"variable [\"']?\$", re.IGNORECASE)
_VALUE = re.compile(r"(value:?\s+)(?=[\"'\[{\d.-]|true|false).*?(?= at [\"']|; |$)", re.DOTALL | re.IGNORECASE)
_STATUS = re.compile(r"[45][0-9][0-9]")
_LONGEST_WAIT = 86_400.0


def meaning_of(errors: Sequence[Mapping[str, Any]]) -> Meaning:
    """What the errors of a response mean together."""
    return min((_meaning(error) for error in errors), key=_ORDER.index)


def has_known_code(errors: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a code says what happened better than any status can."""
    codes = [_normal(error) for error in errors]
    return any(code in _MEANINGS or code in _OF_INPUT or _of_status(code) is not None for code in codes)


def reason_of(errors: Sequence[Mapping[str, Any]]) -> str:
    """The messages for people, with the codes before them, without what looks personal or repeats a value."""
    told = dict.fromkeys(_told(error) for error in errors[:20])
    return "; ".join(told)[:REASON_LENGTH]


def wait_of(errors: Sequence[Mapping[str, Any]], extensions: Mapping[str, Any], header: float | None) -> float | None:
    """Seconds the destination asks to wait: by Retry-After, in an error's extensions, or by Shopify's cost."""
    if header is not None:
        return header
    for error in errors:
        inside = _mapping(error.get("extensions"))
        for name in ("retryAfter", "retry_after", "retryAfterSeconds"):
            if (seconds := _number(inside.get(name))) is not None:
                return seconds
    cost = _mapping(extensions.get("cost"))
    bucket = _mapping(cost.get("throttleStatus"))
    needed, there = _number(cost.get("requestedQueryCost")), _number(bucket.get("currentlyAvailable"))
    rate = _number(bucket.get("restoreRate"))
    if needed is None or there is None or not rate:
        return None
    return min(max(0.0, (needed - there) / rate), _LONGEST_WAIT)


def _meaning(error: Mapping[str, Any]) -> Meaning:
    normal = _normal(error)
    known = _MEANINGS.get(normal) or _of_status(normal)
    if known is not None:
        return known
    resolved = bool(error.get("path"))  # only errors of execution have one (GraphQL specification, 7.1.6)
    if normal in _OF_INPUT:
        return Meaning.REJECTED if resolved else Meaning.DATA
    if normal:  # a condition the server has a name for will most likely be the same next time
        return Meaning.PERMANENT
    if resolved:
        return Meaning.TRANSIENT
    return Meaning.DATA if _VARIABLE.match(_message(error)) else Meaning.CONFIGURATION


def _normal(error: Mapping[str, Any]) -> str:
    return _HUMP.sub("_", _code(error)[:100]).replace("-", "_").replace(" ", "_").upper()


def _code(error: Mapping[str, Any]) -> str:
    """`extensions.code`, or `type` as GitHub has it, or `errorType` as AWS AppSync has it; "" for none."""
    for found in (_mapping(error.get("extensions")).get("code"), error.get("type"), error.get("errorType")):
        if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
            return str(found)
    return ""


def _message(error: Mapping[str, Any]) -> str:
    """What people are told (GraphQL specification, 7.1.6); what is no text says nothing."""
    message = error.get("message")
    return message if isinstance(message, str) else ""


def _of_status(code: str) -> Meaning | None:
    """What a code means that is a status of HTTP; None for any other."""
    if not _STATUS.fullmatch(code):
        return None
    if code in {"401", "403"}:
        return Meaning.CONFIGURATION
    return Meaning.TRANSIENT if code in {"408", "425", "429"} or code[0] == "5" else Meaning.REJECTED


def _told(error: Mapping[str, Any]) -> str:
    message = " ".join(_message(error).split())[:1000]
    if not error.get("path"):
        message = _VALUE.sub(r"\1***", message)  # servers repeat the value of a variable that they refuse
    code = _code(error)[:60]
    return str(scrub(f"{code}: {message}" if code and message else code or message or "an error without a message"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_WAIT:
        return None
    return float(value)
