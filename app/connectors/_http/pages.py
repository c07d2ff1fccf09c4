"""A look-up whose answer comes in pages: the pages after the first are asked for, and all are joined into one answer.

It may not know what an answer means beyond whether it is a 2xx.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from app.connectors._http.lookup import PagesSettings
from app.connectors._http.redirect import Walk, target_of
from app.connectors._link import next_link
from app.connectors._parsing import Parsed, parse
from app.connectors._transport import BODY_CAP_BYTES, Answer
from app.errors import ConfigurationFault, TransientFault


@dataclass(slots=True, kw_only=True)
class _Gathering:
    """What has come so far: the last page and its items, and the items of all."""

    start: str
    answer: Answer
    page: Parsed
    items: list[Any]
    url: str
    joined: list[Any]
    asked: int = 1
    home: bool = True
    bytes_left: int = BODY_CAP_BYTES
    ms: float = 0.0
    seen: set[str] = field(default_factory=set)


class Pages:
    """How one destination's pages are asked for; threads share it."""

    def __init__(self, settings: PagesSettings) -> None:
        self._settings = settings
        self._items = settings.items.split(".") if settings.items else []
        self._next = settings.following.split(".") if settings.following else []
        self._parameter = quote(settings.parameter or settings.kind, safe="")
        self._start = settings.start if settings.start is not None else int(settings.kind == "page")

    def gather(self, first: Answer, walk: Walk, told: dict[str, Any], *, deadline: float) -> Answer:
        """All pages as one answer with the headers of the last; a page that is no 2xx is the answer itself.

        `first` is the page that `walk` starts from; how far it went is written into `told`. Raises `ConfigurationFault` for
        pages in a circle, a next page at what is no web address, items that are no list, and more in all than one body may
        have, `TransientFault` for a page that is no JSON, and whatever sending raises.
        """
        page = parse(first.body, first.headers.get("content-type", ""), format="json")
        items = self._items_of(page)
        told["asked"] = 1
        if items is None:  # no page, whatever it is: the rules speak of it
            return first
        url = walk.request.whole_address(walk.item, walk.content)
        so_far = _Gathering(start=url, url=url, answer=first, page=page, items=items, joined=list(items))
        so_far.bytes_left -= len(first.body)
        while url := self._following(so_far):
            if so_far.asked == self._settings.most:
                told["more"] = True
                break
            self._ask(url, so_far, walk, told, deadline=deadline)
            if not 200 <= so_far.answer.status < 300:  # noqa: PLR2004  # RFC 9110, 15.3
                return so_far.answer
        told["items"] = len(so_far.joined)
        return first if so_far.asked == 1 else self._as_one(page.value, so_far, first)

    def _ask(self, url: str, so_far: _Gathering, walk: Walk, told: dict[str, Any], *, deadline: float) -> None:
        number, before = so_far.asked + 1, so_far.answer
        if url == so_far.start or url in so_far.seen:
            raise ConfigurationFault(f"page {number - 1} says that a page before it comes next; correct pages")
        so_far.seen.add(url)
        so_far.home = so_far.home and walk.is_home(url)
        told["asked"] = so_far.asked = number
        told.setdefault("addresses", []).append(walk.request.masked(url))
        asked = walk.request.with_key(url) if so_far.home else url
        answer = walk.ask("GET", asked, deadline, home=so_far.home, body_cap_bytes=max(1, so_far.bytes_left))
        so_far.answer, so_far.url = answer, url
        so_far.ms += answer.ms
        if not 200 <= answer.status < 300:  # noqa: PLR2004  # as above
            return
        if answer.truncated:
            raise ConfigurationFault(
                f"{number} pages are longer than {BODY_CAP_BYTES} bytes together: lower pages.most"
            )
        so_far.bytes_left -= len(answer.body)
        so_far.page = parse(answer.body, answer.headers.get("content-type", ""), format="json")
        if so_far.page.kind != "json":
            raise TransientFault(f"page {number} is not JSON")
        so_far.items = self._items_of(so_far.page) or []
        if so_far.items and answer.body == before.body and self._settings.kind in {"page", "offset"}:
            raise ConfigurationFault(f"page {number} is page {number - 1} again; correct pages.kind or pages.parameter")
        so_far.joined += so_far.items

    def _following(self, so_far: _Gathering) -> str:
        """The address of the next page, "" after the last."""
        kind = self._settings.kind
        if kind in {"page", "offset"}:
            if len(so_far.items) < (self._settings.size or 1):
                return ""
            passed = so_far.asked if kind == "page" else len(so_far.joined)
            return _with(so_far.start, self._parameter, str(self._start + passed))
        header = so_far.answer.headers.get("link", "")
        named = _at(so_far.page.value, self._next) if self._next else next_link(header)
        if named is None or named is False or named == "":
            return ""
        if not isinstance(named, str | int):
            raise ConfigurationFault(f"pages.next: at {self._settings.following} is neither a text nor a number")
        if kind == "cursor":
            return _with(so_far.start, self._parameter, str(named))
        return target_of(so_far.url, str(named), said="the next page leads")

    def _items_of(self, page: Parsed) -> list[Any] | None:
        """The page's items, None if there is nothing where they would be."""
        if page.kind != "json":
            return None
        found = _at(page.value, self._items)
        if found is None or isinstance(found, list):
            return found
        if self._items:
            raise ConfigurationFault(f"pages.items: at {self._settings.items} is no list")
        raise ConfigurationFault("a page is no list; set pages.items to where its items are")

    def _as_one(self, document: Any, so_far: _Gathering, first: Answer) -> Answer:
        """The first page with the items of all in the place of its own."""
        if self._items:
            *path, last = self._items
            holder = _at(document, path)
            holder[int(last) if isinstance(holder, list) else last] = so_far.joined
        else:
            document = so_far.joined
        headers = {**so_far.answer.headers, "content-type": "application/json"}
        return replace(so_far.answer, body=msgspec.json.encode(document), headers=headers, ms=first.ms + so_far.ms)


def _at(value: Any, path: list[str]) -> Any:
    """What stands there, None if nothing does."""
    for segment in path:
        if isinstance(value, dict):
            value = value.get(segment)
        elif isinstance(value, list) and segment.isdecimal() and int(segment) < len(value):
            value = value[int(segment)]
        else:
            return None
    return value


def _with(url: str, parameter: str, value: str) -> str:
    """The address with this query parameter, in place of one of that name."""
    start, _, query = url.partition("?")
    parameters = [*_others(query, parameter), f"{parameter}={quote(value, safe='')}"]
    return f"{start}?{'&'.join(parameters)}"


def _others(query: str, parameter: str) -> Iterator[str]:
    name = unquote(parameter)
    return (part for part in query.split("&") if part and unquote(part.partition("=")[0].replace("+", " ")) != name)
