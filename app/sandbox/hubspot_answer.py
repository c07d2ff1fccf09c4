"""How the HubSpot stand-in answers: who is let in, and HubSpot's bodies for errors.

Knows HTTP and HubSpot's documents ("Error handling", "API usage guidelines and limits"), nothing of contacts.
"""

from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from app.sandbox.door import answer_json, retry_headers
from app.sandbox.faults import Refusal

TOKEN = "pat-na1-sandbox"  # noqa: S105  # published on purpose: it opens nothing but the sandbox
READ_ONLY_TOKEN = "pat-na1-sandbox-read-only"  # noqa: S105  # likewise
TEN_SECONDLY_LIMIT = 190
DAILY_LIMIT = 625_000

_CATEGORY_OF_STATUS = {400: "VALIDATION_ERROR", 404: "OBJECT_NOT_FOUND", 409: "CONFLICT"}


class Problem(Exception):
    """A request HubSpot answers with an error."""

    def __init__(self, status: int, category: str, message: str, **extra: Any) -> None:
        self.status = status
        self.category = category
        self.extra = extra
        super().__init__(message)


def admit(request: Request, *, write: bool = False) -> None:
    """Check the private app's token and its scopes; raises `Problem` 401 or 403."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or token not in {TOKEN, READ_ONLY_TOKEN}:
        raise make_unauthorized()
    if write and token != TOKEN:
        raise _make_forbidden()


def make_unauthorized() -> Problem:
    """The error for credentials that are missing, wrong or revoked."""
    message = (
        "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more "
        "details at https://developers.hubspot.com/docs/methods/auth/oauth-overview"
    )
    return Problem(401, "INVALID_AUTHENTICATION", message)


def answer(content: Any, status: int = 200) -> Response:
    """A JSON answer with HubSpot's rate-limit headers; the stand-in's limits never run out by themselves."""
    return answer_json(content, status, _limit_headers(TEN_SECONDLY_LIMIT - 1))


def render(problem: Problem) -> Response:
    """The answer for a problem."""
    body = {
        "status": "error",
        "message": str(problem),
        "correlationId": str(uuid4()),
        "category": problem.category,
        **problem.extra,
    }
    return answer(body, problem.status)


def refuse(_path: str, refusal: Refusal) -> Response:
    """HubSpot's answer to a request it turns away."""
    if refusal.kind == "unauthorized":
        return render(make_unauthorized())
    if refusal.kind == "rate_limit":
        return _answer_rate_limit(refusal)
    status = refusal.status or 500
    if status in {401, 403}:
        return render(make_unauthorized() if status == 401 else _make_forbidden())  # noqa: PLR2004  # Unauthorized
    return render(Problem(status, _CATEGORY_OF_STATUS.get(status, "INTERNAL_ERROR"), "There was a problem."))


async def answer_problem(_request: Request, error: Exception) -> Response:
    """Starlette's handler for `Problem`."""
    assert isinstance(error, Problem)
    return render(error)


async def answer_not_found(_request: Request, _error: Exception) -> Response:
    """Starlette's handler for an unknown path."""
    return render(Problem(404, "OBJECT_NOT_FOUND", "resource not found"))


async def answer_not_allowed(_request: Request, _error: Exception) -> Response:
    """Starlette's handler for a method a path does not have."""
    return render(Problem(405, "METHOD_NOT_ALLOWED", "HTTP 405 Method Not Allowed"))


def _make_forbidden() -> Problem:
    message = "This app hasn't been granted all required scopes to make this call."
    missing = {"requiredGranularScopes": ["crm.objects.contacts.write"]}
    detail = {"message": "One or more of the following scopes are required.", "context": missing}
    return Problem(403, "MISSING_SCOPES", message, errors=[detail])


def _answer_rate_limit(refusal: Refusal) -> Response:
    body = {
        "status": "error",
        "message": "You have reached your ten_secondly_rolling limit.",
        "errorType": "RATE_LIMIT",
        "correlationId": str(uuid4()),
        "policyName": "TEN_SECONDLY_ROLLING",
    }
    return answer_json(body, refusal.status or 429, {**_limit_headers(0), **retry_headers(refusal)})


def _limit_headers(remaining: int) -> dict[str, str]:
    return {
        "X-HubSpot-RateLimit-Daily": str(DAILY_LIMIT),
        "X-HubSpot-RateLimit-Daily-Remaining": str(DAILY_LIMIT - 1),
        "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
        "X-HubSpot-RateLimit-Max": str(TEN_SECONDLY_LIMIT),
        "X-HubSpot-RateLimit-Remaining": str(remaining),
    }
