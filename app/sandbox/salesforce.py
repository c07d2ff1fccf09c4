"""Stand-in for Salesforce's REST API as far as delivering Leads needs it. Not Salesforce: a small server after its documents.

Source: Salesforce "REST API Developer Guide" (Insert or Update (Upsert) a Record Using an External ID; Status Codes and
Error Responses; Limit Info Header; Duplicate Rule Header). State in memory only.
"""

from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from app.sandbox.door import answer_json, mark_taken, retry_headers
from app.sandbox.faults import Faults, Refusal, SalesforcePlan
from app.sandbox.receipts import Receipts
from app.sandbox.salesforce_login import Login, refuse_login
from app.sandbox.salesforce_object import ID_PREFIX, LEAD, Refused, find_field
from app.sandbox.salesforce_org import Org

DAILY_LIMIT = 100_000
VERSIONS = range(31, 69)
RETURNS_CREATED = 46
"""First API version whose upsert answers an update with 200 and `created`; before it, 204 without a body."""

_LEAD = "/data/v{version}/sobjects/Lead"
_NO_CONTENT = 204
_ERRORS = {
    "UNKNOWN_EXCEPTION": (500, "An unexpected error occurred."),
    "SERVER_UNAVAILABLE": (503, "The server is temporarily unavailable. Try again later."),
    "REQUEST_LIMIT_EXCEEDED": (403, "TotalRequests Limit exceeded."),
    "UNABLE_TO_LOCK_ROW": (400, "unable to obtain exclusive access to this record"),
    "INVALID_SESSION_ID": (401, "Session expired or invalid"),
    "NOT_FOUND": (404, "The requested resource does not exist"),
}
_CODE_OF_STATUS = {status: code for code, (status, _) in _ERRORS.items()}


class Salesforce:
    """One org with Leads and nothing else; `app` is its ASGI application."""

    def __init__(self, faults: Faults, receipts: Receipts) -> None:
        self.login = Login()
        self._faults = faults
        self._receipts = receipts
        self._org = Org()
        self._calls = 0
        routes = [
            Route("/oauth2/token", self.login.answer, methods=["POST"]),
            Route("/data", _show_versions, methods=["GET"]),
            Route("/data/v{version}/limits", self._show_limits, methods=["GET"]),
            Route(_LEAD + "/describe", self._describe, methods=["GET"]),
            Route(_LEAD, self._create, methods=["POST"]),
            Route(_LEAD + "/{value}", self._show, methods=["GET"]),
            Route(_LEAD + "/{field}/{value:path}", self._show, methods=["GET"]),
            Route(_LEAD + "/{field}/{value:path}", self._upsert, methods=["PATCH"]),
        ]
        self.app = Starlette(
            routes=[Mount("/salesforce/services", routes=routes), Mount("/services", routes=routes)],
            exception_handlers={Refused: _answer_refused, 404: _answer_not_found, 405: _answer_not_allowed},
        )

    def forget(self) -> None:
        """Lose all records; access tokens stay good."""
        self._org.forget()

    async def _show_limits(self, request: Request) -> Response:
        self._admit(request)
        left = {"Max": DAILY_LIMIT, "Remaining": max(0, DAILY_LIMIT - self._calls)}
        return self._answer({"DailyApiRequests": left})

    async def _describe(self, request: Request) -> Response:
        self._admit(request)
        about = {"name": "Lead", "label": "Lead", "keyPrefix": ID_PREFIX, "createable": True, "updateable": True}
        return self._answer({**about, "fields": [field.describe() for field in LEAD.values()]})

    async def _show(self, request: Request) -> Response:
        version = self._admit(request)
        found = self._org.find(*_external_id(request))
        if not found:
            raise make_error("NOT_FOUND")
        if len(found) > 1:
            return self._answer([_url(version, record_id) for record_id in found], 300)
        attributes = {"type": "Lead", "url": _url(version, found[0])}
        return self._answer({"attributes": attributes, **self._org.record(found[0])})

    async def _create(self, request: Request) -> Response:
        self._admit(request)
        values = await _read_values(request)
        record_id = self._take(request, values, key=request.headers.get("idempotency-key"), matches=[], external={})
        return self._answer({"id": record_id, "success": True, "errors": []}, 201)

    async def _upsert(self, request: Request) -> Response:
        version = self._admit(request)
        field, value = _external_id(request)
        values = await _read_values(request)
        matches = self._org.find(field, value)
        key = request.headers.get("idempotency-key") or value
        record_id = self._take(request, values, key=key, matches=matches, external={field: value})
        if record_id is None:
            return self._answer([_url(version, match) for match in matches], 300)
        if matches and version < RETURNS_CREATED:
            return Response(None, _NO_CONTENT, self._limit_info())
        created = {"created": not matches} if version >= RETURNS_CREATED else {}
        return self._answer({"id": record_id, "success": True, "errors": [], **created}, 200 if matches else 201)

    def _take(
        self, request: Request, values: dict[str, Any], *, key: str | None, matches: list[str], external: dict[str, str]
    ) -> str | None:
        """Store a lead and write it down; returns its id, or None if several records match. Raises `Refused`."""
        mark_taken(request.scope)
        body = msgspec.json.encode({**external, **values})
        others = self._org.find_same_email(values)
        duplicate = bool(matches or others)
        if len(matches) > 1:
            self._receipts.take("salesforce", key=key, body=body, rejected="MULTIPLE_CHOICES", duplicate=duplicate)
            return None
        record_id = matches[0] if matches else None
        try:
            self._check_business(request, others if record_id is None else [])
            self._org.check(values, record_id=record_id, external=external)
        except Refused as refused:
            self._receipts.take("salesforce", key=key, body=body, rejected=refused.code, duplicate=duplicate)
            raise
        self._receipts.take("salesforce", key=key, body=body, duplicate=duplicate)
        return self._org.save(values, record_id=record_id, external=external)

    def _check_business(self, request: Request, others: list[str]) -> None:
        if reason := self._faults.rejection("salesforce"):
            raise Refused(400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", reason)
        plan = self._faults.plan("salesforce")
        assert isinstance(plan, SalesforcePlan)
        allowed = "allowsave=true" in request.headers.get("sforce-duplicate-rule-header", "").lower().replace(" ", "")
        if plan.duplicate_rule and others and not allowed:
            raise _make_duplicate_error(others)

    def _admit(self, request: Request) -> int:
        """Check session and API version and count the call; returns the version."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme not in {"Bearer", "OAuth"}:
            raise Refused(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
        if not self.login.knows(token):
            raise make_error("INVALID_SESSION_ID")
        number, _, minor = str(request.path_params["version"]).partition(".")
        if minor != "0" or not number.isdecimal() or int(number) not in VERSIONS:
            raise make_error("NOT_FOUND")
        self._calls += 1
        return int(number)

    def _limit_info(self) -> dict[str, str]:
        return {"Sforce-Limit-Info": f"api-usage={self._calls}/{DAILY_LIMIT}"}

    def _answer(self, content: Any, status: int = 200) -> Response:
        return answer_json(content, status, self._limit_info())


def make_error(code: str, status: int | None = None) -> Refused:
    """One of Salesforce's general errors, with its usual status unless another is given."""
    usual, message = _ERRORS[code]
    return Refused(status or usual, code, message)


def refuse(path: str, refusal: Refusal) -> Response | None:
    """Salesforce's answer to a request it turns away."""
    if path.endswith("/oauth2/token"):
        return refuse_login(refusal)
    if refusal.kind == "unauthorized":
        return _render(make_error("INVALID_SESSION_ID"))
    if refusal.kind == "rate_limit":
        return _render(make_error("REQUEST_LIMIT_EXCEEDED", refusal.status), retry_headers(refusal))
    if refusal.code is not None:
        return _render(make_error(refusal.code))
    return _render(make_error(_CODE_OF_STATUS.get(refusal.status or 500, "UNKNOWN_EXCEPTION"), refusal.status))


async def _show_versions(_request: Request) -> Response:
    found = [{"label": f"API {n}", "url": f"/services/data/v{n}.0", "version": f"{n}.0"} for n in VERSIONS]
    return answer_json(found)


async def _read_values(request: Request) -> dict[str, Any]:
    try:
        values = msgspec.json.decode(await request.body(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, "JSON_PARSER_ERROR", str(error)) from error
    values.pop("attributes", None)
    return values


def _external_id(request: Request) -> tuple[str, str]:
    field, value = request.path_params.get("field", "Id"), request.path_params["value"]
    if field == "Id" or (field.endswith("__c") and find_field(field)):
        return field, value
    raise Refused(404, "NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {field}")


def _url(version: int, record_id: str) -> str:
    return f"/services/data/v{version}.0/sobjects/Lead/{record_id}"


def _make_duplicate_error(others: list[str]) -> Refused:
    records = [
        {"matchConfidence": 100.0, "record": {"attributes": {"type": "Lead"}, "Id": record_id}} for record_id in others
    ]
    match = {"entityType": "Lead", "errors": [], "matchRecords": records, "size": len(records), "success": True}
    message = "Use one of these records?"
    result = {
        "allowSave": True,
        "duplicateRule": "Standard_Lead_Duplicate_Rule",
        "duplicateRuleEntityType": "Lead",
        "errorMessage": message,
        "matchResults": [match],
    }
    return Refused(400, "DUPLICATES_DETECTED", message, duplicateResult=result)


def _render(refused: Refused, headers: dict[str, str] | None = None) -> Response:
    error = {"message": str(refused), "errorCode": refused.code, **refused.extra}
    if refused.fields:
        error["fields"] = list(refused.fields)
    return answer_json([error], refused.status, headers)


async def _answer_refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _render(error)


async def _answer_not_found(_request: Request, _error: Exception) -> Response:
    return _render(make_error("NOT_FOUND"))


async def _answer_not_allowed(request: Request, _error: Exception) -> Response:
    return _render(Refused(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{request.method}' not allowed."))
