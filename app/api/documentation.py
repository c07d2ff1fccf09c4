"""The OpenAPI document, completed by the routes FastAPI does not know.

Written by hand because those routes are bare ASGI; a test holds it against what they really take.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import HTMLResponse

from app.api.page import render
from app.api.parameter import MOST_WAIT_SECONDS
from app.api.problem import MEDIA_TYPE
from app.api.view import ProblemDocument, Submitted
from app.feedback import FeedbackEntry
from app.model import Priority

_EXAMPLE = {"email": "ada@example.com", "phone_1": "+1 512 555 0100", "first_name": "Ada", "postal_code": "78701"}
_SECURITY = [{"bearer": ["submit"]}, {"header": ["submit"]}]
_POLICY = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


def add(app: FastAPI) -> None:
    """Give an application its whole OpenAPI document at /openapi.json and a page of it at /docs."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    async def docs(_request: Request) -> HTMLResponse:
        return HTMLResponse(render(document()), headers=_POLICY)

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way (how-to/extending-openapi)
    app.add_route("/docs", docs, include_in_schema=False)


def _document(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    schemas = found["components"]["schemas"]
    for model in (Submitted, ProblemDocument, FeedbackEntry):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    ours = {"/v1/leads": _submission(), "/v1/leads/bulk": _bulk(), "/v1/hooks/{source}": _hook()}
    found["paths"] = {path: {"post": operation} for path, operation in ours.items()} | found["paths"]
    found["components"]["securitySchemes"]["signature"] = {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": "A signature as the source's `hook` wants it.",
    }
    for path in found["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _problem()
    return found


def _submission() -> dict[str, Any]:
    taken = {"application/json": {"schema": {"$ref": "#/components/schemas/Submitted"}}}
    return {
        "tags": ["leads"],
        "summary": "Submit one lead",
        "description": (
            "Answered after the lead is safely in the ledger. The same Idempotency-Key with the same body gives the same "
            "lead again (header `Idempotent-Replayed: true`), with another body 422."
        ),
        "operationId": "submit_lead",
        "security": _SECURITY,
        "parameters": [
            *_common(),
            _parameter(
                "wait",
                "query",
                f"Seconds to wait for the outcomes, above 0 and at most {MOST_WAIT_SECONDS:g}.",
                {"type": "number", "exclusiveMinimum": 0, "maximum": MOST_WAIT_SECONDS},
            ),
            _parameter(
                "Idempotency-Key",
                "header",
                "Your own id of this lead: sent again, the lead is not taken twice.",
                {"type": "string", "minLength": 1, "maxLength": 255},
            ),
        ],
        "requestBody": {"required": True, "content": _lead_bodies()},
        "responses": {
            "202": {"description": "Accepted; `Location` is where its timeline is.", "content": taken},
            "200": {"description": "With `wait`: every delivery has ended; outcomes inside.", "content": taken},
        },
    }


def _lead_bodies() -> dict[str, Any]:
    fields = {"type": "object", "additionalProperties": True}
    form = {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}
    xml = "<lead><email>ada@example.com</email><first_name>Ada</first_name></lead>"
    return {
        "application/json": {"schema": fields, "example": _EXAMPLE},
        "application/x-www-form-urlencoded": form,
        "multipart/form-data": form,
        "application/xml": {"schema": {"type": "string"}, "example": xml},
    }


def _bulk() -> dict[str, Any]:
    lines = (
        '{"line": 1, "status": "accepted", "id": "0199..."}\n'
        '{"line": 2, "status": "rejected", "problem": {"status": 422, "detail": "email: is required"}}\n'
    )
    ndjson = '{"email": "ada@example.com"}\n{"email": "grace@example.com"}\n'
    return {
        "tags": ["leads"],
        "summary": "Submit many leads, a line each",
        "description": (
            "Streamed both ways: one answer line for each lead, written while the body still comes in. A bad line never "
            "stops the rest. Status `stopped` on the last line: the ledger went out of reach; send the lines that have no "
            "answer again."
        ),
        "operationId": "submit_leads",
        "security": _SECURITY,
        "parameters": [
            *_common(),
            _parameter("key_field", "query", "Field whose value is each lead's idempotency key.", {"type": "string"}),
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/x-ndjson": {"schema": {"type": "string"}, "example": ndjson},
                "text/csv": {"schema": {"type": "string"}, "example": "email,first_name\nada@example.com,Ada\n"},
            },
        },
        "responses": {
            "200": {
                "description": "One line for each lead.",
                "content": {"application/x-ndjson": {"schema": {"type": "string"}, "example": lines}},
            }
        },
    }


def _hook() -> dict[str, Any]:
    taken = {"application/json": {"schema": {"$ref": "#/components/schemas/Submitted"}}}
    return {
        "tags": ["leads"],
        "summary": "Take a signed webhook",
        "description": (
            "For senders that sign instead of sending an API key: Standard Webhooks, or a vendor's own HMAC header, as the "
            "source's `hook` says. The webhook's id is the idempotency key. A source whose hook takes feedback answers as "
            "/v1/feedback does."
        ),
        "operationId": "take_webhook",
        "security": [{"signature": []}],
        "parameters": [
            _parameter("source", "path", "The source.", {"type": "string"}, required=True),
            *_common()[2:],
        ],
        "requestBody": {"required": True, "content": _lead_bodies()},
        "responses": {
            "202": {"description": "Accepted; `Location` is where its timeline is.", "content": taken},
            "401": {
                "description": "Not shown to be from the source: no signature, a wrong one, or an old one.",
                "content": _problem()["content"],
            },
        },
    }


def _common() -> list[dict[str, Any]]:
    source = "Who submits; not needed with a key that is bound to a source."
    return [
        _parameter("source", "query", source, {"type": "string"}),
        _parameter("X-Leadrelay-Source", "header", "The source, instead of the parameter.", {"type": "string"}),
        _parameter("test", "query", "true marks a lead sent to try things out.", {"type": "boolean"}),
        _parameter(
            "priority",
            "query",
            "Where both wait, most of a destination goes to fresh leads; the source's own if not given.",
            {"type": "string", "enum": list(Priority)},
        ),
    ]


def _parameter(
    name: str, place: str, description: str, schema: dict[str, Any], *, required: bool = False
) -> dict[str, Any]:
    return {"name": name, "in": place, "required": required, "description": description, "schema": schema}


def _problem() -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    return {"description": "A problem (RFC 9457).", "content": {MEDIA_TYPE: {"schema": schema}}}
