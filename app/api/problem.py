"""Errors as the API tells them: RFC 9457 problem details, the only form an error has here.

The table of kinds is the whole vocabulary; the page at /docs explains each under the address its `type` gives. Knows
the product's exceptions, nothing of requests.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from app.errors import Complaint, Conflict, DeliveryFault, InvalidInput, LeadrelayError, NotFound, Unavailable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2


class Kind(Enum):
    """Kinds of problems: (name in the `type`, status, title)."""

    MALFORMED_BODY = ("malformed-body", 400, "The body cannot be read")
    UNAUTHENTICATED = ("unauthenticated", 401, "A valid API key is needed")
    BAD_SIGNATURE = ("bad-signature", 401, "It is not shown who sent this")
    FORBIDDEN = ("forbidden", 403, "The API key does not allow this")
    NOT_FOUND = ("not-found", 404, "There is no such thing")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "The method is not allowed here")
    CONFLICT = ("conflict", 409, "Its state does not allow this")
    TOO_LARGE = ("too-large", 413, "The body is too large")
    UNSUPPORTED_TYPE = ("unsupported-type", 415, "The body's type is not taken")
    INVALID_PARAMETER = ("invalid-parameter", 422, "A parameter is not valid")
    INVALID_LEAD = ("invalid-lead", 422, "The lead cannot be taken")
    INVALID_FEEDBACK = ("invalid-feedback", 422, "The feedback cannot be taken")
    KEY_REUSED = ("key-reused", 422, "The idempotency key stands for another body")
    DESTINATION_FAULT = ("destination-fault", 502, "The destination gave no usable answer")
    DEFECT = ("defect", 500, "leadrelay failed")
    UNAVAILABLE = ("unavailable", 503, "Out of service for the moment")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title


class Problem(LeadrelayError):
    """An error on its way to a client: what kind, what exactly, and one complaint for each field that is wrong."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        complaints: Sequence[Complaint] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.detail = detail
        self.complaints = tuple(complaints)
        self.headers = dict(headers or {})
        super().__init__(detail)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.kind.status

    def document(self) -> dict[str, Any]:
        """The problem as JSON (RFC 9457, 3.1), with `errors` as an extension."""
        found: dict[str, Any] = {
            "type": f"/docs#{self.kind.slug}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
        }
        if self.complaints:
            found["errors"] = [_error(complaint) for complaint in self.complaints]
        return found


def problem_of(error: Exception) -> Problem:
    """The problem an exception stands for; one that nobody raised on purpose is a defect, told without details."""
    match error:
        case Problem():
            return error
        case InvalidInput():
            return invalid(Kind.INVALID_LEAD, error.complaints)
        case Unavailable():
            return Problem(Kind.UNAVAILABLE, str(error), headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
        case DeliveryFault():
            return Problem(Kind.DESTINATION_FAULT, error.reason)
        case NotFound() | Conflict():
            return Problem(Kind.NOT_FOUND if isinstance(error, NotFound) else Kind.CONFLICT, str(error))
        case _:
            return Problem(Kind.DEFECT, "a defect of leadrelay; its log tells more")


def invalid(kind: Kind, complaints: Sequence[Complaint]) -> Problem:
    """A problem that is told by its complaints."""
    return Problem(kind, "; ".join(f"{one.field}: {one.detail}" for one in complaints), complaints=complaints)


def invalid_parameter(name: str, detail: str, remedy: str | None = None) -> Problem:
    """One query parameter or header is wrong."""
    return invalid(Kind.INVALID_PARAMETER, [Complaint(field=name, detail=detail, remedy=remedy)])


def malformed(detail: str, remedy: str | None = None, *, field: str = "body") -> Problem:
    """The body does not have the form its type promises."""
    return invalid(Kind.MALFORMED_BODY, [Complaint(field=field, detail=detail, remedy=remedy)])


def shown(name: str) -> str:
    """A field name a stranger made up, fit for a message: short and ASCII."""
    return name if name.isascii() and name.isprintable() and len(name) <= 40 else ascii(name[:40])[1:-1]  # noqa: PLR2004  # a width


def _error(complaint: Complaint) -> dict[str, str]:
    told = {"field": complaint.field, "detail": complaint.detail}
    return told if complaint.remedy is None else {**told, "remedy": complaint.remedy}
