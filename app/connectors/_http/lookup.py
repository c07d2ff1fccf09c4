"""The settings of look-ups, which is what a GET is: answers that come in pages, and answers that are kept.

What can be wrong with them is found here, when the configuration is applied.
"""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from app.connectors._http.value import ParameterName, Settings


class PagesSettings(Settings):
    """How a long answer comes in pages, which are asked for one after the other and joined."""

    kind: Literal["page", "offset", "cursor", "link"] = Field(examples=["cursor"])
    """What the next page is asked for by: its number, how many items came before it, a mark that the page before holds, or
    the address that the page before names."""
    parameter: ParameterName | None = Field(None, examples=["after"])
    """Query parameter that asks for it; the kind's name if not set."""
    start: int | None = Field(None, ge=0, examples=[0])
    """Number of the first page (1 if not set), or offset of the first item (0)."""
    size: int | None = Field(None, ge=1, examples=[100])
    """How many items a whole page has: a shorter one is the last. If not set, an empty one is."""
    items: str = Field("", examples=["data.contacts"])
    """Dotted path of the list of items in a page; the page itself if not set."""
    following: str | None = Field(None, alias="next", min_length=1, examples=["paging.next.after"])
    """Dotted path, in a page, of the mark or address of the next; addresses are in the Link header (RFC 8288) if not set."""
    most: int = Field(10, ge=1, le=100, examples=[3])
    """Most pages that are asked for; what comes after them is left out."""

    @field_validator("items", "following")
    @classmethod
    def _dotted(cls, path: str | None) -> str | None:
        if path and not all(segment and segment != "*" for segment in path.split(".")):
            raise ValueError("not a path of names and numbers joined by dots")
        return path

    @model_validator(mode="after")
    def _what_the_kind_takes(self) -> "PagesSettings":
        taken = {
            "page": {"parameter", "start", "size"},
            "offset": {"parameter", "start", "size"},
            "cursor": {"parameter", "following"},
            "link": {"following"},
        }
        for name, shown in (("parameter",) * 2, ("start",) * 2, ("size",) * 2, ("following", "next")):
            if getattr(self, name) is not None and name not in taken[self.kind]:
                raise ValueError(f"{shown} says nothing for kind {self.kind}: remove it")
        if self.kind == "cursor" and self.following is None:
            raise ValueError("kind cursor needs next: where a page holds the mark of the one after it")
        return self


class CacheSettings(Settings):
    """How long answers are kept, so that equal look-ups need not be asked again."""

    ttl_seconds: int = Field(ge=1, le=86_400, examples=[300])
    """How long at most; what the destination says in Cache-Control and Expires may be shorter."""
    entries: int = Field(1000, ge=1, le=10_000, examples=[200])
    """Most answers that one process keeps; those used longest ago go first."""
