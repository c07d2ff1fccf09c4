"""The settings of destinations that take several leads in one request, and what goes with them and what does not.

It may not know how leads are joined or answers parted: see `bulk`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from app.connectors._http.value import Settings
from app.connectors._parsing import Path
from app.errors import InvalidTemplate
from app.templates import is_template

Place = tuple[str | int, ...]


def _path(text: str) -> str:
    try:
        Path(text, format="json")
    except InvalidTemplate as invalid:
        raise ValueError(str(invalid)) from None
    return text


class BatchSettings(Settings):
    """Several leads in one request."""

    size: int = Field(ge=2, le=1000, examples=[100])
    """Most leads in one request. Nothing waits for company: a lead that is due alone goes alone."""
    property: str | None = Field(None, pattern=r"^[^.]+(\.[^.]+)*$", examples=["leads"])
    """Dotted property that holds the array; if not set, the body is the array."""
    results: Annotated[str, AfterValidator(_path)] | None = Field(None, examples=["results"])
    """Dotted path to an array in the answer with one element for each lead, in the order of the request; `*` if the answer is
    that array. The response rules read each element for its lead; if not set, they read the answer once, for all."""

    def complaints(
        self,
        *,
        body: str,
        json_array: bool,
        addresses: Iterable[tuple[Place, str]],
        tables: Mapping[Place, Mapping[str, Any]],
        adds_key: bool,
    ) -> Iterator[tuple[Place, str]]:
        """Which of the other settings do not go with a batch: place and complaint.

        `tables` are those of texts by name, `adds_key` tells that an API key goes into the body.
        """
        if body != "json":
            yield ("batch",), f"batch is for body: json; this one is {body}"
        if json_array:
            yield ("json_array",), "batch makes the array: remove json_array"
        if adds_key and self.property is None:
            remedy = "set batch.property, or put it in a header or the query"
            yield ("auth", "api_key", "in"), f"the body is an array, in which a key has no place: {remedy}"
        named = [((*table, name), str(text)) for table, texts in tables.items() for name, text in texts.items()]
        for place, text in [*addresses, *named]:
            if is_template(text):
                yield (
                    place,
                    "one request carries several leads, so with batch this takes no {{ }}: map the value instead",
                )
