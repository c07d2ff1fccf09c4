"""Stand-in for HubSpot's CRM API as far as delivering contacts needs it. Not HubSpot: a small server after its documents.

Sources: HubSpot developer docs "Contacts" and "Error handling" (multi-status errors). The same paths are served under
`/crm/v3/` and under a date version. State in memory only.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from app.sandbox.door import mark_taken
from app.sandbox.faults import Faults
from app.sandbox.hubspot_answer import Problem, admit, answer, answer_not_allowed, answer_not_found, answer_problem
from app.sandbox.hubspot_contact import PROPERTIES, Contact, Contacts, Invalid, check_properties, make_complaint
from app.sandbox.receipts import Receipts

T = TypeVar("T")

BATCH_LIMIT = 100

_BY_EMAIL = ("email", "EQ")


class Input(msgspec.Struct, rename="camel", kw_only=True):
    """One contact of a batch upsert as sent."""

    id: str
    properties: dict[str, Any]
    id_property: str = ""
    object_write_trace_id: str | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The properties with the e-mail that identifies the contact."""
        return {**self.properties, "email": self.id}


class Batch(msgspec.Struct, kw_only=True):
    """The body of a batch upsert."""

    inputs: list[Input]


class HubSpot:
    """One account with contacts and nothing else; `app` is its ASGI application."""

    def __init__(self, faults: Faults, receipts: Receipts) -> None:
        self._faults = faults
        self._receipts = receipts
        self._contacts = Contacts()
        routes: list[BaseRoute] = []
        for place in ("/crm/v3/{}/contacts", "/crm/{}/{{version}}/contacts"):
            objects = place.format("objects")
            routes += [
                Route(place.format("properties"), self._list_properties, methods=["GET"]),
                Route(objects + "/batch/upsert", self._upsert_batch, methods=["POST"]),
                Route(objects + "/search", self._search, methods=["POST"]),
                Route(objects, self._create, methods=["POST"]),
                Route(objects + "/{id}", self._update, methods=["PATCH"]),
                Route(objects + "/{id}", self._show, methods=["GET"]),
            ]
        self.app = Starlette(
            routes=[Mount("/hubspot", routes=routes)],
            exception_handlers={Problem: answer_problem, 404: answer_not_found, 405: answer_not_allowed},
        )

    def forget(self) -> None:
        """Lose all contacts."""
        self._contacts.forget()

    async def _list_properties(self, request: Request) -> Response:
        admit(request)
        return answer({"results": [item.document() for item in PROPERTIES.values()]})

    async def _show(self, request: Request) -> Response:
        admit(request)
        return answer(self._find(request).document())

    async def _search(self, request: Request) -> Response:
        admit(request)
        emails = _read_search(await _read(request, dict[str, Any]))
        found = [contact for email in emails if (contact := self._contacts.find(email))]
        return answer({"total": len(found), "results": [contact.document() for contact in found]})

    async def _create(self, request: Request) -> Response:
        admit(request, write=True)
        values = _read_properties(await _read(request, dict[str, Any]))
        known = self._contacts.find(str(values.get("email", "")))
        if known is None:
            self._check(request, values, duplicate=False)
            return answer(self._contacts.save(None, values).document(), 201)
        self._take(request, values, key=_header_key(request), rejected="CONFLICT", duplicate=True)
        raise Problem(409, "CONFLICT", f"Contact already exists. Existing ID: {known.id}")

    async def _update(self, request: Request) -> Response:
        admit(request, write=True)
        contact = self._find(request)
        values = _read_properties(await _read(request, dict[str, Any]))
        self._check(request, values, duplicate=True)
        return answer(self._contacts.save(contact, values).document())

    async def _upsert_batch(self, request: Request) -> Response:
        admit(request, write=True)
        inputs = (await _read(request, Batch)).inputs
        _check_batch(inputs)
        started = _now()
        complaints = [self._complain(each.values) for each in inputs]
        first = next((complaint for complaint in complaints if complaint), None)
        # Only traced inputs are answered one by one; otherwise one bad input fails the whole batch.
        whole = first is not None and not all(each.object_write_trace_id for each in inputs)
        results, errors = [], []
        for each, complaint in zip(inputs, complaints, strict=True):
            invalid = complaint or (first if whole else None)
            known = self._contacts.find(each.id)
            key = each.object_write_trace_id or (_header_key(request) if len(inputs) == 1 else None) or each.id
            self._take(request, each.values, key=key, rejected=_reason(invalid), duplicate=bool(known))
            if invalid is not None:
                errors.append(_make_batch_error(invalid, each))
            else:
                saved = self._contacts.save(known, each.values)
                results.append({**saved.document(), "new": known is None, **_trace(each)})
        if whole:
            raise Problem(400, "VALIDATION_ERROR", str(first))
        done = {"status": "COMPLETE", "results": results, "startedAt": started, "completedAt": _now()}
        return answer({**done, "numErrors": len(errors), "errors": errors} if errors else done, 207 if errors else 200)

    def _check(self, request: Request, values: Mapping[str, Any], *, duplicate: bool) -> None:
        """Write one contact down as received; raises `Problem` if HubSpot would not store it."""
        invalid = self._complain(values)
        self._take(request, values, key=_header_key(request), rejected=_reason(invalid), duplicate=duplicate)
        if invalid is not None:
            raise Problem(400, "VALIDATION_ERROR", str(invalid))

    def _complain(self, values: Mapping[str, Any]) -> Invalid | None:
        try:
            check_properties(values)
        except Invalid as invalid:
            return invalid
        reason = self._faults.rejection("hubspot")
        return None if reason is None else Invalid([make_complaint("email", "SANDBOX_REJECTION", reason)])

    def _take(
        self, request: Request, values: Mapping[str, Any], *, key: str | None, rejected: str | None, duplicate: bool
    ) -> None:
        mark_taken(request.scope)
        body = msgspec.json.encode(values)
        self._receipts.take("hubspot", key=key, body=body, rejected=rejected, duplicate=duplicate)

    def _find(self, request: Request) -> Contact:
        wanted = request.path_params["id"]
        by_email = request.query_params.get("idProperty") == "email"
        contact = self._contacts.find(wanted) if by_email else self._contacts.get(wanted)
        if contact is None:
            raise Problem(404, "OBJECT_NOT_FOUND", "Object not found.")
        return contact


def _reason(invalid: Invalid | None) -> str | None:
    return None if invalid is None else invalid.reason


def _header_key(request: Request) -> str | None:
    return request.headers.get("idempotency-key")


async def _read(request: Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(400, "VALIDATION_ERROR", f"Invalid input JSON: {error}") from error


def _read_properties(body: dict[str, Any]) -> dict[str, Any]:
    properties = body.get("properties")
    if not isinstance(properties, dict) or not properties:
        raise Problem(400, "VALIDATION_ERROR", "The properties object is missing or empty")
    return properties


def _read_search(body: dict[str, Any]) -> list[str]:
    """The e-mails asked for: the only search the stand-in knows."""
    try:
        conditions = [condition for group in body["filterGroups"] for condition in group["filters"]]
        emails = [str(each["value"]) for each in conditions if (each["propertyName"], each["operator"]) == _BY_EMAIL]
    except (KeyError, TypeError) as error:
        raise Problem(400, "VALIDATION_ERROR", "The filterGroups are malformed") from error
    if not emails or len(emails) < len(conditions):
        raise Problem(400, "VALIDATION_ERROR", "The sandbox searches by email and the operator EQ only")
    return emails


def _check_batch(inputs: list[Input]) -> None:
    ids = [each.id.lower() for each in inputs]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    if not inputs or len(inputs) > BATCH_LIMIT:
        raise Problem(400, "VALIDATION_ERROR", f"A batch has 1 to {BATCH_LIMIT} inputs, this one {len(inputs)}")
    if any(each.id_property != "email" for each in inputs):
        raise Problem(400, "VALIDATION_ERROR", "The sandbox upserts by the idProperty email only")
    if twice:
        message = f"Duplicate IDs found in batch input: {twice}. IDs must be unique"
        raise Problem(400, "VALIDATION_ERROR", message)


def _make_batch_error(invalid: Invalid, each: Input) -> dict[str, Any]:
    context = {"id": [each.id], **{name: [value] for name, value in _trace(each).items()}}
    return {"status": "error", "category": "VALIDATION_ERROR", "message": str(invalid), "context": context}


def _trace(each: Input) -> dict[str, str]:
    return {"objectWriteTraceId": each.object_write_trace_id} if each.object_write_trace_id else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
