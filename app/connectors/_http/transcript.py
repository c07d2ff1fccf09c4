"""An exchange as a transcript keeps it. It may not know what an answer means."""

from collections.abc import Mapping
from typing import Any

from app.connectors._http.request import SHOWN_BYTES
from app.connectors._parsing import readable
from app.connectors._transport import Answer
from app.connectors.base import mask


def begun(request: dict[str, Any], tried: Mapping[str, str]) -> dict[str, Any]:
    """A transcript's beginning: the request, and before it the endpoints that could not be reached in this attempt."""
    return {"tried": dict(tried), "request": request} if tried else {"request": request}


def shown(answer: Answer) -> dict[str, Any]:
    """The answer, its secrets masked, a long body cut."""
    body = readable(answer.body[:SHOWN_BYTES], answer.headers.get("content-type", ""))
    told = {"status": answer.status, "headers": mask(answer.headers), "body": body}
    if answer.truncated:
        told["truncated"] = True
    return told
