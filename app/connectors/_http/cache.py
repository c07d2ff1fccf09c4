"""Answers to a destination's look-ups, kept in this process for as long as they may be (RFC 9111).

A cache belongs to one connector, so to one destination with one set of credentials. It may not know how a look-up is asked.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any

from app.connectors._http.lookup import CacheSettings
from app.connectors._transport import Answer
from app.errors import TransientFault
from app.model import Outcome, Result

MOST_BYTES = 65_536
"""A longer answer is not kept."""
NOT_MODIFIED = 304
_OF_ONE = frozenset({"age", "date"})
_SAYING = ("cache-control", "expires", "etag", "last-modified", "vary", *sorted(_OF_ONE))
"""Headers that say for how long an answer may be kept, and how to ask for it again."""
_DIRECTIVE = re.compile(r'([a-z-]+)(?:\s*=\s*"?(\d{1,10})"?)?', re.IGNORECASE)
_FIELD = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,254}[\x21-\x7e])?")

Ask = Callable[[Mapping[str, str]], tuple[Outcome, Answer]]
"""Ask the destination, with these headers added; raises faults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """An answer, what its headers say of keeping it, when it came and until when it is fresh.

    `condition` asks whether it has changed since.
    """

    outcome: Outcome
    headers: Mapping[str, str]
    since: float
    until: float
    condition: Mapping[str, str]


class Cache:
    """What is kept for one connector; threads share it."""

    def __init__(self, settings: CacheSettings) -> None:
        self._settings = settings
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._asking: dict[Hashable, threading.Event] = {}
        self._lock = threading.Lock()

    def look_up(
        self, key: Hashable, ask: Ask, *, request: Callable[[], Mapping[str, Any]], deadline: float, conditional: bool
    ) -> Outcome:
        """The kept answer to this look-up, else what `ask` gives; equal ones at the same time ask once.

        `request` shows the request for a transcript, `conditional` tells whether it may be asked for changes only. Raises what
        `ask` raises, and `TransientFault` (unsent) when an equal look-up has no answer by `deadline`.
        """
        mine = threading.Event()
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and monotonic() < kept.until:
                self._kept.move_to_end(key)
                return _told(kept, request())
            others = self._asking.setdefault(key, mine)
        if others is not mine:
            if not others.wait(max(0.0, deadline - monotonic())):
                raise TransientFault("an equal look-up has had no answer yet", unsent=True)
            kept = self._kept.get(key)
            # What may not be kept may not be shared either.
            return _told(kept, request()) if kept is not None and monotonic() < kept.until else ask({})[0]
        try:
            return self._asked(key, ask, kept, request, conditional=conditional)
        finally:
            with self._lock:
                del self._asking[key]
            mine.set()

    def _asked(
        self,
        key: Hashable,
        ask: Ask,
        kept: _Kept | None,
        request: Callable[[], Mapping[str, Any]],
        *,
        conditional: bool,
    ) -> Outcome:
        condition = kept.condition if kept is not None else {}
        outcome, answer = ask(condition)
        if kept is None or not condition or answer.status != NOT_MODIFIED:
            said = {name: answer.headers[name] for name in _SAYING if name in answer.headers}
            bare = replace(outcome, quota=None)
            self._keep(key, bare, said if _may_be_kept(outcome, answer) else None, conditional=conditional)
            return outcome
        said = _updated(kept.headers, answer.headers)
        is_of_it = _is_of(kept.headers, answer.headers)
        self._keep(key, kept.outcome, said if is_of_it else None, conditional=conditional)
        # What was kept is the answer; what is left of the rate limit is said by the one that just came.
        return replace(_told(replace(kept, since=monotonic()), request()), quota=outcome.quota)

    def _keep(self, key: Hashable, outcome: Outcome, headers: Mapping[str, str] | None, *, conditional: bool) -> None:
        """Keep an answer in place of what was kept, if its headers allow it; with None only that is forgotten."""
        found = None
        if headers is not None and _is_storable(headers):
            now, condition = monotonic(), _condition(headers) if conditional else {}
            fresh = self._fresh_seconds(headers)
            if fresh > 0 or condition:
                found = _Kept(outcome=outcome, headers=headers, since=now, until=now + fresh, condition=condition)
        with self._lock:
            self._kept.pop(key, None)
            if found is not None:
                self._kept[key] = found
                while len(self._kept) > self._settings.entries:
                    self._kept.popitem(last=False)

    def _fresh_seconds(self, headers: Mapping[str, str]) -> float:
        """For how long it need not be asked again: the destination's word (RFC 9111, 4.2.1), at most ours."""
        said = _directives(headers.get("cache-control", ""))
        if "no-cache" in said:
            return 0.0
        told = said.get("max-age")
        if told is not None:
            age = headers.get("age", "")
            told -= int(age) if re.fullmatch(r"\d{1,9}", age) else 0
        elif "expires" in headers:
            told = _seconds_until(headers["expires"], headers.get("date"))
        ours = float(self._settings.ttl_seconds)
        return ours if told is None else max(0.0, min(ours, told))


def _told(kept: _Kept, request: Mapping[str, Any]) -> Outcome:
    response = (kept.outcome.transcript or {}).get("response", {})
    age = {"age_seconds": round(monotonic() - kept.since, 1)}
    return replace(kept.outcome, transcript={"request": request, "cached": age, "response": response})


def _may_be_kept(outcome: Outcome, answer: Answer) -> bool:
    return (
        outcome.result in {Result.SUCCESS, Result.FAILURE}
        and 200 <= answer.status < 300  # noqa: PLR2004  # RFC 9110, 15.3
        and not answer.truncated
        and len(answer.body) <= MOST_BYTES
    )


def _is_storable(headers: Mapping[str, str]) -> bool:
    """Whether the destination lets an answer with these headers be kept (RFC 9111, 3 and 4.1)."""
    return "no-store" not in _directives(headers.get("cache-control", "")) and "*" not in headers.get("vary", "")


def _updated(kept: Mapping[str, str], news: Mapping[str, str]) -> dict[str, str]:
    """The headers of a kept answer, those of a 304 laid over them (RFC 9111, 3.2 and 4.3.4).

    Age and Date are of one message: without them the 304 was made just now (RFC 9110, 6.6.1).
    """
    return {
        name: news.get(name, kept.get(name, "")) for name in _SAYING if name in news or name in kept.keys() - _OF_ONE
    }


def _is_of(kept: Mapping[str, str], news: Mapping[str, str]) -> bool:
    """Whether a 304 is about the kept answer: another strong validator than its own updates nothing (RFC 9111, 4.3.4)."""
    tag = news.get("etag", kept.get("etag", ""))
    return tag == kept.get("etag", "") or tag.startswith("W/")


def _condition(headers: Mapping[str, str]) -> Mapping[str, str]:
    """What asks whether an answer with these headers has changed (RFC 9110, 13.1)."""
    for name, header in (("etag", "If-None-Match"), ("last-modified", "If-Modified-Since")):
        if _FIELD.fullmatch(headers.get(name, "")):
            return {header: headers[name]}
    return {}


def _directives(text: str) -> dict[str, float | None]:
    """Cache-Control by name, with the seconds where there are some."""
    return {found[1].lower(): float(found[2]) if found[2] else None for found in _DIRECTIVE.finditer(text[:1000])}


def _seconds_until(expires: str, date: str | None) -> float:
    """Seconds of an Expires header by the destination's own clock; one that cannot be read has passed (RFC 9111, 5.3)."""
    try:
        now = parsedate_to_datetime(date) if date else datetime.now(UTC)
        return (parsedate_to_datetime(expires) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):  # one with a time zone and one without cannot be compared
        return 0.0
