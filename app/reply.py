"""An answer that somebody gives to learn what it would mean, as it would come over the wire.

It may not know destinations or rules.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.errors import Complaint, InvalidInput
from app.media import Kind, encoded, media


class Answer(BaseModel):
    """What a destination answered, or might."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True, use_attribute_docstrings=True)

    status: int = Field(ge=100, le=599)
    """HTTP status."""
    headers: dict[str, str] = {}
    """Headers; the case of their names does not matter."""
    body: Any = ""
    """The body as text; anything else is taken as JSON."""

    @field_validator("headers", "body")
    @classmethod
    def _is_unicode(cls, value: Any) -> Any:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:  # half of a pair, as "\\ud800" is
            raise ValueError("has characters that are not valid Unicode") from None
        return value

    def parts(self, format: Kind | Literal["auto"]) -> tuple[Mapping[str, str], bytes]:  # noqa: A002  # the word of the configuration
        """The headers with lower-case names, and the body in the charset that they, or it itself, say.

        `format` is that of the response rules. Raises `InvalidInput` for a character that the charset lacks.
        """
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.body
        if not isinstance(body, str):
            headers.setdefault("content-type", "application/json")
            body = msgspec.json.encode(body).decode()
        kind, charset = media(headers.get("content-type", ""))
        try:
            return headers, encoded(body, kind if format == "auto" else format, charset)
        except UnicodeEncodeError:
            detail = "has a character that its charset lacks, by the headers or its own declaration"
            raise InvalidInput(
                [Complaint(field="body", detail=detail, remedy="name the right charset there")]
            ) from None
