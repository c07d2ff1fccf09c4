"""POST /v1/hooks/{source}: webhooks, signed by a secret that their source shares instead of sent with an API key.

Nothing is taken before the signature was held against the raw body; from then on a lead goes the way of POST /v1/leads.
"""

from time import time

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app.api import feedback
from app.api.body import reader
from app.api.parameter import read_parameters
from app.api.problem import Kind, Problem
from app.api.service import Service
from app.api.submission import refuse_encoded, send_receipt
from app.api.verification import Unproven, Webhook
from app.api.wire import JSON, encode, headers_of, read_body, send_answer
from app.config.hook import HookConfig
from app.errors import Conflict, NotFound, Unavailable
from app.intake import Submission

ROUTE = "POST /v1/hooks/{source}"
PARAMETERS = frozenset({"test", "priority"})


class HookDoor:
    """The route as an ASGI application."""

    def __init__(self, app: FastAPI) -> None:
        self._state = app.state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one webhook and answer; raises `Problem`, `InvalidLead`, `NotFound`, `Unavailable`."""
        service: Service = self._state.service
        name = scope["path_params"]["source"]
        config = _hook(service, name)
        headers = headers_of(scope)
        parameters = read_parameters(scope["query_string"], PARAMETERS)
        raw, key = await _proven(service, name, config, scope, receive)
        refuse_encoded(headers.get("content-encoding"))
        content_type = headers.get("content-type", "")
        if config.takes == "feedback":
            given = feedback.entries(raw, content_type)
            found = await feedback.take(service, given, actor=f"hook:{name}", destination=config.destination)
            await send_answer(send, found.status, encode(found.document), [JSON])
            return
        submission = Submission(
            source=name,
            fields=reader(content_type)(raw),
            key=key,
            test=parameters.test,
            priority=parameters.priority,
        )
        try:
            receipt = await service.grouping.accept(submission)
        except Conflict:
            raise Problem(Kind.KEY_REUSED, "this webhook's id was used before with another body") from None
        await send_receipt(send, name, receipt)


async def _proven(service: Service, name: str, config: HookConfig, scope: Scope, receive: Receive) -> tuple[bytes, str]:
    """Body and idempotency key of a webhook that its source has signed; others are counted."""
    verifier = await service.hooks.verifier(name, config)
    webhook = Webhook(
        method=scope["method"].encode(),
        path=scope["raw_path"],
        query=scope["query_string"],
        headers=scope["headers"],
    )
    try:
        statement = verifier.read(webhook, time())
        raw = await read_body(receive, headers_of(scope), service.settings.max_body_bytes)
        return raw, verifier.prove(statement, raw)
    except Unproven as refused:
        service.hooks.refuse(name, refused.reason)
        raise


def _hook(service: Service, name: str) -> HookConfig:
    """The hook of a source; raises `NotFound`, with the same words for a source that has none, or `Unavailable`."""
    if service.catalog.current.version == 0:  # this process has only just started
        raise Unavailable("no configuration is in use yet; try again in a moment")
    source = service.catalog.current.sources.get(name)
    if source is None or source.config.hook is None:
        raise NotFound("no webhooks are taken here")
    return source.config.hook
