"""From an HTTP answer to an outcome: status first, then the destination's response rules.

The rules are LeadConduit's (search, reason, price, reference, capture), compiled once per destination; a mistake in
them is found when the configuration is applied. Pure: it may not know connections, requests or what comes next.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

import regex

from app.config.schema import Extract, ExtractConfig, ResponseConfig, SearchConfig
from app.connectors._found import REASON_LENGTH, REFERENCE_LENGTH, kept, lines
from app.connectors._parsing import Format, Parsed, Path, TooLong, as_text, parse
from app.connectors._price import PRICE_LENGTH, read_price
from app.connectors._schema import AnswerSchema
from app.errors import InvalidTemplate
from app.model import Fault, Outcome, Result

REGEX_SECONDS = 0.5
"""Longest one regular expression may take on an answer: some patterns need ages for what a hostile one sends."""
_REGEX = re.compile(r"/(.+)/([a-z]*)", re.DOTALL)
# JavaScript's flags, as LeadConduit's terms have them; g, u and y change nothing about whether a match is found.
_FLAGS = {"i": regex.IGNORECASE, "m": regex.MULTILINE, "s": regex.DOTALL, "g": 0, "u": 0, "y": 0}
_TRANSIENT = frozenset({408, 425, 429})
_CREDENTIALS = frozenset({401, 403})
_INVERSE = {Result.SUCCESS: Result.FAILURE, Result.FAILURE: Result.SUCCESS, Result.ERROR: Result.SUCCESS}

Find = Callable[[Parsed], Sequence[Any]]


class Interpreter(Protocol):
    """What makes an outcome of an answer; see `ResponseRules.interpret`."""

    def interpret(  # told there
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        transcript: Mapping[str, Any] | None = None,
        *,
        truncated: bool = False,
    ) -> Outcome: ...


class ResponseRules:
    """The response rules of one destination; raises `InvalidTemplate` naming the rule that cannot be compiled.

    Without rules any 2xx is a success and other answers mean what their status means.
    """

    def __init__(self, config: ResponseConfig | None) -> None:
        rules = config or ResponseConfig()
        self._schema = AnswerSchema(rules.answer_schema) if rules.answer_schema is not None else None
        self._format: Format = rules.format
        self._search = _Search(rules.search, self._format) if rules.search and rules.search.term else None
        self._reason = _finder("reason", rules.reason, self._format)
        self._default_reason = rules.default_reason
        self._price = _finder("price", rules.price, self._format)
        self._fallback_price = rules.fallback_price
        self._reference = _finder("reference", rules.reference, self._format)
        self._capture = {
            name: _finder(f"capture.{name}", extract, self._format) for name, extract in rules.capture.items()
        }

    def interpret(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        transcript: Mapping[str, Any] | None = None,
        *,
        truncated: bool = False,
    ) -> Outcome:
        """What an answer means. `headers` has lower-cased names, `body` is decompressed.

        5xx, 408, 425 and 429 are transient errors (`retry_after` from Retry-After, RFC 9110, 10.2.3), 401 and 403 and
        redirects configuration errors; none of their bodies is read. Other 4xx are failures unless the search matches
        and says otherwise: a rule's inverse speaks of 2xx only. Of a `truncated` body that it does not match nothing is
        known: the destination may have taken the lead. Nor of a 2xx that does not fit its schema, or that is no document
        which the search's path could be applied to.
        """
        if status in _TRANSIENT or status >= 500:  # noqa: PLR2004  # the classes of RFC 9110, 15
            retry_after = seconds_of(headers.get("retry-after"))
            return _error(Fault.TRANSIENT, f"HTTP {status}", transcript, retry_after=retry_after)
        if status in _CREDENTIALS:
            return _error(Fault.CONFIGURATION, f"HTTP {status}: the credentials were refused", transcript)
        if 300 <= status < 400:  # noqa: PLR2004  # as above
            reason = f"HTTP {status}: redirected{elsewhere(headers.get('location'))}; correct the address"
            return _error(Fault.CONFIGURATION, reason, transcript)
        content_type = headers.get("content-type", "")
        parsed = parse(body, content_type, format=self._format)
        try:
            return self._read(status, parsed, content_type, transcript, truncated=truncated)
        except TimeoutError as error:
            rule = "path" if isinstance(error, TooLong) else "regular expression"
            reason = f"a {rule} of the response rules takes too long on this answer; write it simpler"
            return _error(Fault.TRANSIENT, reason, transcript, ambiguous=status < 300)  # noqa: PLR2004  # as above

    def _read(
        self, status: int, parsed: Parsed, content_type: str, transcript: Mapping[str, Any] | None, *, truncated: bool
    ) -> Outcome:
        if truncated and status < 300 and self._search and not self._search.matches(parsed):  # noqa: PLR2004  # as above
            reason = "the answer is too long, and what decides is not in the part that was read"
            return _error(Fault.TRANSIENT, reason, transcript, ambiguous=True)
        if self._schema is not None and status < 300 and (wrong := self._schema.complaint(parsed)):  # noqa: PLR2004  # as above
            return _error(Fault.TRANSIENT, f"the answer does not fit its schema: {wrong}", transcript, ambiguous=True)
        if self._search and status < 300 and (wrong := self._search.complaint(parsed, content_type)):  # noqa: PLR2004  # as above
            return _error(Fault.TRANSIENT, wrong, transcript, ambiguous=True)
        return self._ruled(status, parsed, transcript)

    def _ruled(self, status: int, parsed: Parsed, transcript: Mapping[str, Any] | None) -> Outcome:
        refused = status >= 400  # noqa: PLR2004  # as above
        matched = self._search.matches(parsed) if self._search else None
        if self._search is None:
            result = Result.FAILURE if refused else Result.SUCCESS
        elif matched:
            result = self._search.on_match
        else:
            result = Result.FAILURE if refused else _INVERSE[self._search.on_match]
        captured = {
            name: value for name, find in self._capture.items() if find and (value := kept(find(parsed))) is not None
        }
        document = parsed.document()
        if document is not None:
            captured.setdefault("document", document)
        return Outcome(
            result=result,
            # The destination answered, but not usably; LeadConduit's errors are tried again too.
            fault=Fault.TRANSIENT if result is Result.ERROR else None,
            reason=self._reason_of(parsed, f"HTTP {status}" if refused else None),
            reference=next(_lines(self._reference, parsed, REFERENCE_LENGTH), None),
            price=self._price_of(parsed),
            captured=captured or None,
            transcript=transcript,
        )

    def _reason_of(self, parsed: Parsed, otherwise: str | None) -> str | None:
        found = ", ".join(sorted(_lines(self._reason, parsed, REASON_LENGTH)))
        reason = found or self._default_reason or otherwise
        return reason[:REASON_LENGTH] if reason else None

    def _price_of(self, parsed: Parsed) -> Decimal | None:
        for text in _lines(self._price, parsed, PRICE_LENGTH + 1):
            price = read_price(text)
            if price is not None:
                return price
        return self._fallback_price


class _Search:
    """Whether the term stands in what the path finds, or anywhere in the body without a path."""

    def __init__(self, config: SearchConfig, format: Format) -> None:  # noqa: A002  # the word of the configuration
        self.on_match = Result(config.on_match)
        self._path = _path("search.path", config.path, format) if config.path else None
        self._contains = _term(config.term)

    def matches(self, parsed: Parsed) -> bool:
        if self._path is None:
            return self._contains(parsed.text)
        return any(self._contains(as_text(value)) for value in self._path.values(parsed))

    def complaint(self, parsed: Parsed, content_type: str) -> str | None:
        """Why the body is none that says whether it matches, if so."""
        wrong = self._path.complaint(parsed, content_type) if self._path is not None else None
        return f"{wrong} that search.path could be applied to" if wrong else None


def _term(term: str) -> Callable[[str], bool]:
    written = _REGEX.fullmatch(term)
    if written:
        pattern = _regex("search.term", term)
        return lambda text: pattern.search(text, timeout=REGEX_SECONDS, concurrent=True) is not None
    folded = term.casefold()
    return lambda text: folded in text.casefold()


def _finder(rule: str, extract: Extract | None, format: Format) -> Find | None:  # noqa: A002  # as above
    if extract is None:
        return None
    if isinstance(extract, ExtractConfig) and extract.regex is not None:
        pattern = _regex(f"{rule}.regex", extract.regex)
        group = 1 if pattern.groups else 0
        return lambda parsed: [
            match[group] for match in pattern.finditer(parsed.text, timeout=REGEX_SECONDS, concurrent=True)
        ]
    text = extract if isinstance(extract, str) else extract.path
    return _path(rule, text or "", format).values


def _path(rule: str, text: str, format: Format) -> Path:  # noqa: A002  # as above
    try:
        return Path(text, format=format)
    except InvalidTemplate as error:
        raise InvalidTemplate(f"{rule}: {error}") from None


def _regex(rule: str, text: str) -> regex.Pattern[str]:
    """A pattern as it stands, or /pattern/flags."""
    written = _REGEX.fullmatch(text)
    pattern, letters = (written[1], written[2]) if written else (text, "")
    flags = 0
    for letter in letters:
        if letter not in _FLAGS:
            raise InvalidTemplate(f"{rule}: {text!r} has the unknown flag {letter!r}")
        flags |= _FLAGS[letter]
    try:
        return regex.compile(pattern, flags)
    except regex.error as error:
        raise InvalidTemplate(f"{rule}: {text!r} is not a regular expression: {error}") from None


def _lines(find: Find | None, parsed: Parsed, most: int) -> Iterator[str]:
    return iter(()) if find is None else lines(find(parsed), most)


def _error(
    fault: Fault,
    reason: str,
    transcript: Mapping[str, Any] | None,
    *,
    retry_after: float | None = None,
    ambiguous: bool = False,
) -> Outcome:
    return Outcome(
        result=Result.ERROR,
        fault=fault,
        reason=reason,
        retry_after=retry_after,
        ambiguous=ambiguous,
        transcript=transcript,
    )


def seconds_of(retry_after: str | None) -> float | None:
    """Seconds of a Retry-After header, given as a number or as an HTTP date."""
    if not retry_after:
        return None
    if re.fullmatch(r"\d{1,9}", retry_after):
        return float(retry_after)
    try:
        instant = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if instant.tzinfo is None:  # "-0000" means UTC of unknown place (RFC 5322, 3.3)
        instant = instant.replace(tzinfo=UTC)
    return max(0.0, (instant - datetime.now(UTC)).total_seconds())


def elsewhere(location: str | None) -> str:
    """Where a redirect points, by host only: its path and query may hold anything."""
    try:
        host = urlsplit(location or "").hostname
    except ValueError:
        host = None
    return f" to {host[:100]}" if host else ""
