"""Secrets and personal data never leave through here: logs, error reports, transcripts.

Secrets are known by the names they stand under, personal data by its looks. Plain functions on plain values, fit for
structlog and Sentry without importing either. It may not know what an event means; when in doubt, it masks.
"""

import re
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

MASK = "***"
_LEVELS = 12

_SECRET_NAME = re.compile(
    r"authori[sz]ation|cookie|passw|passphrase|pwd|secret|token|api[-_ ]?key|access[-_ ]?key|private[-_ ]?key|"
    r"credential|signature|session[-_ ]?id|dsn",
    re.IGNORECASE,
)
_USER_INFO = re.compile(r"(://)[^/@]*@")
_PERSONAL = (
    # Passwords of addresses and whatever stands in their query: leads travel in query strings.
    (re.compile(r"://[^\s/@:]*:[^\s/@]+@"), f"://{MASK}@"),
    (re.compile(r"(https?://[^\s?\"'<>]*)\?[^\s\"'<>]+"), rf"\1?{MASK}"),
    (re.compile(r"\b(bearer|basic|digest)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    (
        re.compile(
            r"\b([\w-]*(?:password|secret|token|api[-_]?key)[\"']?\s*[=:]\s*)(?:\"[^\"]*\"|'[^']*'|[^\s,;&\"']+)",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"[\w.!#$%&'+=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+"), "[email]"),
    # Not within a word, a dotted or dashed number: ids and timestamps stay readable.
    (
        re.compile(
            r"(?<![\w.:-])(?:\+\d[\d\s().-]{6,17}\d|\(\d{3}\)\s?\d{3}[\s.-]?\d{4}|(?:1[\s.-]?)?\d{3}[\s.-]?\d{3}[\s.-]?\d{4})"
            r"(?![\w:-]|\.\d)"
        ),
        "[phone]",
    ),
)


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Whether what stands under this name (a header, parameter or property) is a secret by its name."""
    return _SECRET_NAME.search(name) is not None


def scrub(value: Any) -> Any:
    """A copy without secrets and personal data: by name in mappings, by looks in texts, however deep.

    Numbers, truth values, dates and ids stay; bytes, and what is nested deeper than a dozen levels, become a mask.
    """
    return _scrubbed(value, _LEVELS)


def mask_secrets(payload: Any) -> Any:
    """The same JSON-like value with what stands under secret names masked; the very same object where nothing does."""
    return _masked(payload) if _holds_secret(payload) else payload


def mask_url(url: str) -> str:
    """An address fit for a transcript: its password and the values of secret query parameters are masked."""
    start, mark, query = url.partition("?")
    parameters = [
        f"{name}={MASK}" if equals and is_secret(unquote_plus(name)) else f"{name}{equals}{value}"
        for name, equals, value in (parameter.partition("=") for parameter in query.split("&"))
    ]
    return _USER_INFO.sub(rf"\1{MASK}@", start) + mark + "&".join(parameters)


def redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: the whole event scrubbed, just before it is rendered."""
    return {name: MASK if is_secret(name) else scrub(value) for name, value in event.items()}


def redact_sentry(event: dict[str, Any], _hint: dict[str, Any]) -> dict[str, Any]:
    """Sentry's `before_send`: no request bodies, users or local variables; the rest scrubbed.

    The event's shape is Sentry's (develop.sentry.dev, event payloads).
    """
    kept = {name: value for name, value in event.items() if name not in {"user", "server_name"}}
    request = kept.get("request")
    if isinstance(request, Mapping):
        kept["request"] = {name: request[name] for name in ("method", "url") if name in request}
    cleaned: dict[str, Any] = scrub(_without_variables(kept))
    return cleaned


def _holds_secret(value: Any) -> bool:
    # A plain loop: every delivery comes through here.
    if isinstance(value, dict):
        for name, inner in value.items():
            if is_secret(name) or (isinstance(inner, dict | list) and _holds_secret(inner)):
                return True
    elif isinstance(value, list):
        return any(_holds_secret(inner) for inner in value)
    return False


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: MASK if is_secret(name) else _masked(inner) for name, inner in value.items()}
    return [_masked(inner) for inner in value] if isinstance(value, list) else value


def _without_variables(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_variables(inner) for name, inner in value.items() if name != "vars"}
    return [_without_variables(inner) for inner in value] if isinstance(value, list) else value


def _scrubbed(value: Any, levels: int) -> Any:
    if isinstance(value, str):
        return _scrubbed_text(value)
    if isinstance(value, bytes | bytearray | memoryview) or levels == 0:
        return MASK
    if isinstance(value, Mapping):
        return {
            name: MASK if isinstance(name, str) and is_secret(name) else _scrubbed(inner, levels - 1)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_scrubbed(inner, levels - 1) for inner in value]
    return _scrubbed_text(str(value)) if isinstance(value, BaseException) else value


def _scrubbed_text(text: str) -> str:
    for pattern, replacement in _PERSONAL:
        text = pattern.sub(replacement, text)
    return text
