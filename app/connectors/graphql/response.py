"""From a GraphQL response to an outcome: HTTP first, then `errors`, then the response rules on `data`.

GraphQL over HTTP (6, Response) says which statuses go with which media type; what the codes in `errors` mean is no
standard, and docs/connectors/graphql.md has the table. It may not know documents, variables or requests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from app.config.schema import ResponseConfig
from app.connectors._found import REASON_LENGTH
from app.connectors._parsing import parse
from app.connectors._response import ResponseRules, seconds_of
from app.connectors.graphql.error import Meaning, has_known_code, meaning_of, reason_of, wait_of
from app.errors import InvalidTemplate
from app.model import Fault, Outcome, Result

_STATUSES = ResponseRules(None)
_JSON = {"content-type": "application/json"}
# Nobody who speaks GraphQL answers a well-formed request to the right address so (RFC 9110, 15.5).
_WRONG_ADDRESS = frozenset({404, 405, 406, 410, 415})
_TOO_LARGE = 413


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A well-formed response (GraphQL specification, 7.1); `data` is None where there is none."""

    data: Any
    errors: Sequence[Mapping[str, Any]]
    extensions: Mapping[str, Any]


class GraphqlRules:
    """Reads the answers of one destination; raises `InvalidTemplate` naming the rule that cannot be compiled."""

    def __init__(self, config: ResponseConfig | None) -> None:
        if config is not None and config.format not in {"auto", "json"}:
            raise InvalidTemplate("format: a GraphQL answer is JSON; leave it out")
        self._rules = ResponseRules(config)
        self._succeeds_on_match = bool(config and config.search and config.search.on_match == "success")

    def interpret(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        transcript: Mapping[str, Any] | None = None,
        *,
        truncated: bool = False,
    ) -> Outcome:
        """What an answer means; statuses that speak for themselves do so as for `ResponseRules.interpret`.

        A code in `errors` that is known speaks before them: a 403 can be a rate limit, a 500 a refused input.
        """
        told = _STATUSES.interpret(status, headers, b"", transcript)
        response = None if truncated else read_response(headers, body)
        if told.result is Result.ERROR and not (response and has_known_code(response.errors)):
            reason = reason_of(response.errors) if response and response.errors else None
            return replace(told, reason=f"{told.reason}: {reason}"[:REASON_LENGTH]) if reason else told
        if response is None:
            return _unreadable(status, transcript, truncated=truncated)
        if not response.errors:
            return self._ruled(response.data, transcript)
        return self._with_errors(response, headers, transcript)

    def _ruled(self, data: Any, transcript: Mapping[str, Any] | None) -> Outcome:
        return self._rules.interpret(200, _JSON, msgspec.json.encode(data), transcript)

    def _with_errors(
        self, response: Response, headers: Mapping[str, str], transcript: Mapping[str, Any] | None
    ) -> Outcome:
        meaning, reason = meaning_of(response.errors), reason_of(response.errors)
        ruled = None
        if _holds_something(response.data):
            ruled = self._ruled(response.data, transcript)
            # What was asked for stands there: the rest is missing, and sending again would do the same twice.
            if ruled.result is not Result.FAILURE or not self._succeeds_on_match:
                return replace(ruled, reason=ruled.reason or reason)
        wait = wait_of(response.errors, response.extensions, seconds_of(headers.get("retry-after")))
        return Outcome(
            result=Result.FAILURE if meaning is Meaning.REJECTED else Result.ERROR,
            fault=meaning.fault,
            reason=(ruled and ruled.reason) or reason,
            captured=ruled.captured if ruled else None,
            reference=ruled.reference if ruled else None,
            price=ruled.price if ruled else None,
            retry_after=wait if meaning.fault is Fault.TRANSIENT else None,
            transcript=transcript,
        )


def read_response(headers: Mapping[str, str], body: bytes) -> Response | None:
    """The response in a body, None where there is no well-formed one."""
    parsed = parse(body, headers.get("content-type", ""))
    value = parsed.value
    if parsed.kind != "json" or not isinstance(value, dict) or not ("data" in value or "errors" in value):
        return None
    errors, data, extensions = value.get("errors") or [], value.get("data"), value.get("extensions")
    if not isinstance(errors, list) or not all(isinstance(error, dict) for error in errors):
        return None
    if not isinstance(data, dict | None) or (data is None and not errors):
        return None
    return Response(data=data, errors=errors, extensions=extensions if isinstance(extensions, dict) else {})


def _holds_something(data: Any) -> bool:
    return data is not None and any(value is not None for value in data.values())


def _unreadable(status: int, transcript: Mapping[str, Any] | None, *, truncated: bool) -> Outcome:
    if status < 300:  # noqa: PLR2004  # the classes of RFC 9110, 15
        reason = "the answer is too long" if truncated else f"HTTP {status}, but the answer is no GraphQL response"
        fault, ambiguous = Fault.TRANSIENT, True
    elif status in _WRONG_ADDRESS:
        reason, fault, ambiguous = (
            f"HTTP {status}: no GraphQL endpoint there; correct the address",
            Fault.CONFIGURATION,
            False,
        )
    else:
        fault, ambiguous = Fault.DATA if status == _TOO_LARGE else Fault.PERMANENT, False
        reason = f"HTTP {status} without a GraphQL response"
    return Outcome(result=Result.ERROR, fault=fault, reason=reason, ambiguous=ambiguous, transcript=transcript)
