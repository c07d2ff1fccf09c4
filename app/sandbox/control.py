"""The sandbox's own page and API: what arrived, and faults on and off. For people, tests and `leadrelay reconcile`."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Protocol

from fastapi import FastAPI, Query, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from pydantic import ValidationError

from app.sandbox.faults import Faults
from app.sandbox.receipts import TARGETS, Receipts, Target
from app.sandbox.salesforce_login import Login
from app.sandbox.smtp import MailSink

DESCRIPTION = """
**Stand-ins, not the vendors' software.** Small servers that follow the vendors' public documents as far as delivering leads
needs it, on this machine, in memory only. Nothing is passed on to anybody.

| stand-in | where |
|---|---|
| Salesforce REST | `POST /salesforce/services/oauth2/token`, `/salesforce/services/data/vXX.0/...` (also without `/salesforce`) |
| HubSpot CRM | `/hubspot/crm/v3/objects/contacts...`, `/hubspot/crm/objects/2026-09/contacts...` |
| lead buyer | `POST /buyer/leads`, `GET /buyer/leads` |
| mail server | the SMTP port |
| subscriber of webhooks | `POST /subscriber/webhooks` |

The operations below are the sandbox's own: what arrived, and faults on demand.
"""

_PAGE = Path(__file__).with_name("page.html")
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}
_CHUNK_LINES = 1_000


class Forgetful(Protocol):
    """A stand-in that can lose its records."""

    def forget(self) -> None:
        """Lose them."""


def control(
    faults: Faults, receipts: Receipts, mail: MailSink, login: Login, *, forgetful: Iterable[Forgetful]
) -> FastAPI:
    """The application for everything that is no stand-in."""
    app = FastAPI(title="leadrelay sandbox", version="1", description=DESCRIPTION, docs_url=None, redoc_url=None)
    _add_page(app, mail, login)
    _add_receipts(app, receipts, tuple(forgetful))
    _add_faults(app, faults)
    return app


def _add_page(app: FastAPI, mail: MailSink, login: Login) -> None:
    page = _PAGE.read_text(encoding="utf-8")

    @app.get("/", include_in_schema=False)
    async def show_page() -> HTMLResponse:
        return HTMLResponse(page, headers=_PAGE_HEADERS)

    @app.get("/healthz", summary="Whether the sandbox serves")
    async def show_health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/api/smtp/certificate.pem", summary="The certificate to trust for STARTTLS")
    async def show_certificate() -> PlainTextResponse:
        return PlainTextResponse(mail.certificate, media_type="application/x-pem-file")

    @app.delete("/api/salesforce/tokens", status_code=204, summary="Make all Salesforce access tokens invalid")
    async def revoke_tokens() -> Response:
        login.revoke()
        return Response(status_code=204)


def _add_receipts(app: FastAPI, receipts: Receipts, forgetful: tuple[Forgetful, ...]) -> None:
    @app.get("/api/summary", summary="Counts of every stand-in")
    async def show_summary() -> dict[str, dict[str, int]]:
        return {str(target): counts for target, counts in receipts.summary().items()}

    @app.get("/api/receipts", summary="The newest receipts with their bodies, newest first")
    async def list_receipts(
        target: Target | None = None,
        key: str | None = None,
        since: Annotated[datetime | None, Query(description="Not older than this (ISO 8601)")] = None,
        cursor: Annotated[int | None, Query(ge=1, description="`cursor` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    ) -> dict[str, Any]:
        oldest = since.timestamp() if since else None
        found = receipts.newest(target=target, key=key, since=oldest, before=cursor, limit=limit)
        following = found[-1].sequence if len(found) == limit else None
        return {"receipts": [receipt.document() for receipt in found], "cursor": following}

    @app.get("/api/receipts.ndjson", summary="Every receipt still known, oldest first, without bodies")
    async def stream_receipts(target: Target | None = None) -> StreamingResponse:
        return StreamingResponse(receipts.chunks(target, _CHUNK_LINES), media_type="application/x-ndjson")

    @app.delete("/api/receipts", status_code=204, summary="Forget all receipts, counts and stored records")
    async def clear_receipts() -> Response:
        receipts.clear()
        for stand_in in forgetful:
            stand_in.forget()
        return Response(status_code=204)


def _add_faults(app: FastAPI, faults: Faults) -> None:
    @app.get("/api/faults", summary="The plans in force")
    async def list_faults() -> dict[str, dict[str, Any]]:
        return {target: faults.plan(target).model_dump() for target in TARGETS}

    @app.put("/api/faults/{target}", summary="Put a plan in force; what is not named is off")
    async def set_faults(target: Target, wanted: dict[str, Any]) -> dict[str, Any]:
        try:
            return faults.set(target, wanted).model_dump()
        except ValidationError as error:
            errors = [
                {**one, "loc": ("body", *one["loc"])}
                for one in error.errors(include_url=False, include_context=False, include_input=False)
            ]
            raise RequestValidationError(errors) from error

    @app.delete("/api/faults/{target}", status_code=204, summary="Let a stand-in behave again")
    async def clear_faults(target: Target) -> Response:
        faults.clear(target)
        return Response(status_code=204)
