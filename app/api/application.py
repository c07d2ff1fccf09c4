"""The API put together: the bare doors, the FastAPI routes, errors as problems, and what lives as long as they do."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from app.api import bulk, documentation, feedback, health, hook, operating, reading, submission, trial
from app.api.problem import MEDIA_TYPE, Kind, Problem, invalid, problem_of
from app.api.service import Service, stop
from app.api.wire import Answering, encode, marked
from app.errors import Complaint, LeadrelayError, Unavailable
from app.ledger import revision
from app.settings import Settings

_READING_THREADS = 4
_OF_THE_LEDGER = ("/v1/", "/readyz", "/metrics")
_BY_STATUS = {
    HTTPStatus.BAD_REQUEST: Kind.MALFORMED_BODY,
    HTTPStatus.NOT_FOUND: Kind.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: Kind.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Kind.TOO_LARGE,
}


class Application:
    """The ASGI application of one process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._app = FastAPI(
            title="leadrelay",
            version=version("leadrelay"),
            summary="Takes inbound leads and delivers each one to every destination it is routed to.",
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            lifespan=self._lifespan,
        )
        self._door = Answering(submission.SubmissionDoor(self._app), submission.ROUTE)
        self._app.add_exception_handler(LeadrelayError, _on_error)
        self._app.add_exception_handler(HTTPException, _on_http_error)
        self._app.add_exception_handler(RequestValidationError, _on_validation_error)
        self._app.add_exception_handler(Exception, _on_defect)
        self._app.router.routes += [
            Route("/v1/leads", self._door, methods=["POST"]),
            Route("/v1/leads/bulk", Answering(bulk.BulkDoor(self._app), bulk.ROUTE), methods=["POST"]),
            Route("/v1/hooks/{source}", Answering(hook.HookDoor(self._app), hook.ROUTE), methods=["POST"]),
        ]
        for part in (reading, operating, trial, feedback, health):
            self._app.include_router(part.router)
        documentation.add(self._app)
        self._framework = Answering(self._app)
        self._pending: str | None = "this process has only just started; try again in a moment"
        """Why the ledger cannot be used yet."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's one entry (asgi.readthedocs.io)."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        send = marked(send)
        if self._pending is not None and scope["path"].startswith(_OF_THE_LEDGER):
            await Answering(self._refuse)(scope, receive, send)
        elif scope["path"] == "/v1/leads" and scope["method"] == "POST":
            await self._door(scope, receive, send)  # past the framework: a fifth of a request's cost
        elif scope["path"] == "/v1/leads/bulk" or scope["path"].startswith("/v1/hooks/"):
            await self._framework(scope, receive, send)  # these count for themselves what comes in
        else:
            await self._framework(scope, _bounded(receive, self._settings.max_body_bytes), send)

    def release(self) -> None:
        """Answer requests that wait for outcomes now: the process is about to stop."""
        self._app.state.service.waiting.release()

    async def _refuse(self, _scope: Scope, _receive: Receive, _send: Send) -> None:
        raise Unavailable(self._pending or "")

    async def _follow(self, service: Service) -> None:
        """Wait for the ledger's tables, then take up one configuration after the other."""
        looks = revision.pending(self._settings.required_database_url, application_name="leadrelay-api")
        while why := await service.errands.run(lambda: next(looks, None)):
            self._pending = why
            await asyncio.sleep(revision.PAUSE_SECONDS)
        self._pending = None
        await service.follow_configuration()

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        service = Service.create(self._settings)
        app.state.service = service
        # Slow questions may not take every connection of the pool from those who submit.
        current_default_thread_limiter().total_tokens = min(_READING_THREADS, self._settings.database_pool)
        following = [
            asyncio.create_task(self._follow(service)),
            asyncio.create_task(service.hooks.bring_refusals()),
        ]
        gc.freeze()  # what is there now stays: nobody's request shall wait while it is looked through for garbage
        try:
            yield
        finally:
            for task in following:
                await stop(task)
            await service.close()


def create(settings: Settings) -> Application:
    """The API as an ASGI application; its lifespan opens and closes the ledger."""
    return Application(settings)


def _bounded(receive: Receive, most_bytes: int) -> Receive:
    """Bodies that the framework reads whole, counted while they come in."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most_bytes:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body may have {most_bytes} bytes here")
        return message

    return counted


async def _on_error(_request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem.kind is Kind.DEFECT:
        raise error
    return _response(problem)


async def _on_defect(_request: Request, error: Exception) -> Response:
    return _response(problem_of(error))  # Starlette raises it again, so that `Answering` logs it


async def _on_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = _BY_STATUS.get(HTTPStatus(error.status_code))
    if kind is None:
        raise error
    detail = {
        Kind.NOT_FOUND: "nothing answers at this address; /docs lists what does",
        Kind.METHOD_NOT_ALLOWED: "this address takes another method; /docs lists them",
    }.get(kind, str(error.detail))
    return _response(Problem(kind, detail, headers=error.headers))


async def _on_validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    complaints = [
        Complaint(field=".".join(str(part) for part in one["loc"][1:]) or str(one["loc"][0]), detail=one["msg"])
        for one in error.errors()
    ]
    malformed = any(one["type"] == "json_invalid" for one in error.errors())
    return _response(invalid(Kind.MALFORMED_BODY if malformed else Kind.INVALID_PARAMETER, complaints))


def _response(problem: Problem) -> Response:
    return Response(encode(problem.document()), problem.status, problem.headers, MEDIA_TYPE)
