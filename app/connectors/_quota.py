"""What a destination says is left of its rate limit, in the many forms that headers of this kind have.

RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers, 07 to 11), the three headers of its earlier drafts, those
with X- and X-Rate-Limit-, and HubSpot's. Pure: headers in, a quota out. What cannot be read says nothing.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import zip_longest
from time import monotonic
from typing import NamedTuple

from app.model import Quota

_STRUCTURED = "ratelimit"
_HUBSPOT = "x-hubspot-ratelimit-"  # "API usage guidelines and limits": the interval's length is told, not its end
_PREFIXES = ("ratelimit-", "x-ratelimit-", "x-rate-limit-")
QUOTA_HEADERS = frozenset({_STRUCTURED, *(f"{prefix}remaining" for prefix in (*_PREFIXES, _HUBSPOT))})
"""Where none of these is, nothing is said."""

_LONGEST_VALUE = 1000
_MOST = 2**31 - 1
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_COUNT = re.compile(r"\d{1,15}")
_SECONDS = re.compile(r"\d{1,15}(?:\.\d{1,9})?")
_AFTER_1973 = 100_000_000.0
"""Seconds from here on are an instant, those before a duration: nobody's limit lasts for three years."""
_IN_MILLISECONDS = 100_000_000_000.0
_SHORTEST_SECONDS = 1.0
"""What a reset of 0 stands for: whole seconds are told, and some round down."""


class _Limit(NamedTuple):
    remaining: int
    reset_seconds: float
    limit: int | None


def quota_of(headers: Mapping[str, str]) -> Quota | None:
    """What an answer just received tells; of several limits, the one with the least left. `headers` has lower-cased names."""
    told = [limit for limit in _limits(headers) if limit.reset_seconds > 0]
    if not told:
        return None
    least = min(told, key=lambda limit: (limit.remaining, -limit.reset_seconds))
    return Quota(
        remaining=min(least.remaining, _MOST),
        reset_seconds=max(least.reset_seconds, _SHORTEST_SECONDS),
        limit=None if least.limit is None else min(max(least.limit, 1), _MOST),
        told_at=monotonic(),
    )


def _limits(headers: Mapping[str, str]) -> Iterator[_Limit]:
    if _STRUCTURED in headers:
        yield from _structured(headers[_STRUCTURED], headers.get("ratelimit-policy", ""))
    for prefix in _PREFIXES:
        if f"{prefix}remaining" in headers:
            yield from _plain(headers, prefix)
    if f"{_HUBSPOT}remaining" in headers:
        remaining, limit = (_count(headers.get(f"{_HUBSPOT}{name}", "")) for name in ("remaining", "max"))
        milliseconds = _count(headers.get(f"{_HUBSPOT}interval-milliseconds", ""))
        if remaining is not None and milliseconds is not None:
            yield _Limit(remaining, milliseconds / 1000, limit)


def _structured(text: str, policies: str) -> Iterator[_Limit]:
    """`"name";r=50;t=30` for each policy; in draft 07 one of all, `limit=100, remaining=50, reset=5`."""
    items = _items(text)
    flat = {name: value for item, _ in items for name, _, value in [item.partition("=")]}
    if "remaining" in flat:
        yield from _joined(flat["remaining"], flat.get("reset", ""), flat.get("limit", ""))
    known = dict(_items(policies))
    for name, said in items:
        policy = known.get(name, {})
        if policy.get("qu", "requests") == "requests" and "r" in said:
            yield from _joined(said["r"], said.get("t") or policy.get("w", ""), policy.get("q", ""))


def _plain(headers: Mapping[str, str], prefix: str) -> Iterator[_Limit]:
    """Remaining and Reset beside each other; several limits stand in lists, or share one reset."""
    reset = headers.get(f"{prefix}reset-after") or headers.get(f"{prefix}reset") or headers.get("retry-after") or ""
    now = _moment(headers.get("date", "")) or datetime.now(UTC)
    limits = [name for name, _ in _items(headers.get(f"{prefix}limit", ""))]
    counts = [part.strip() for part in headers[f"{prefix}remaining"][:_LONGEST_VALUE].split(",")]
    resets = [reset]
    if "," in reset and _moment(reset) is None:
        resets = [part.strip() for part in reset[:_LONGEST_VALUE].split(",")]
    if len(resets) == 1:
        resets *= len(counts)
    if len(resets) == len(counts):
        for remaining, one, limit in zip_longest(counts, resets, limits[: len(counts)], fillvalue=""):
            yield from _joined(remaining, one, limit, now=now)


def _joined(remaining: str, reset: str, limit: str, *, now: datetime | None = None) -> Iterator[_Limit]:
    count, seconds = _count(remaining), _seconds(reset, now)
    if count is not None and seconds is not None:
        yield _Limit(count, seconds, _count(limit))


def _items(text: str) -> list[tuple[str, dict[str, str]]]:
    """A list of structured items with their parameters (RFC 9651, 3.1), read leniently."""
    names: list[str] = []

    def stand_in(found: re.Match[str]) -> str:
        names.append(found[1])
        return f"\0{len(names) - 1}\0"

    def bare(part: str) -> str:
        found = re.fullmatch(r"\0(\d+)\0", part.strip())
        return names[int(found[1])] if found else part.strip()

    found = []
    for member in _QUOTED.sub(stand_in, text[:_LONGEST_VALUE].replace("\0", "")).split(","):
        name, *parameters = member.split(";")
        pairs = (parameter.partition("=") for parameter in parameters)
        found.append((bare(name), {key.strip(): bare(value) for key, _, value in pairs}))
    return found


def _count(text: str) -> int | None:
    return int(text) if _COUNT.fullmatch(text) else None


def _seconds(text: str, now: datetime | None) -> float | None:
    """Seconds from now: given as such, or as an instant in seconds or milliseconds since 1970, in ISO 8601 or as HTTP date.

    A `now` of None takes durations only. An instant that has passed gives a negative number.
    """
    if _SECONDS.fullmatch(text):
        value = float(text)
        if now is None or value < _AFTER_1973:
            return max(value, _SHORTEST_SECONDS)
        return value / (1000 if value >= _IN_MILLISECONDS else 1) - now.timestamp()
    moment = _moment(text) if now is not None else None
    return None if moment is None or now is None else (moment - now).total_seconds()


def _moment(text: str) -> datetime | None:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
        except (ValueError, OverflowError):
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
