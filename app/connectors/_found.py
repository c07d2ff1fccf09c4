"""What response rules found, made fit to be kept: bounded, without control characters.

An answer may hold 2 MB of anything where a record's id is looked for. It may not know rules or outcomes.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from app.connectors._parsing import DOCUMENT_BYTES, as_text

REASON_LENGTH = 200
REFERENCE_LENGTH = 1000
CAPTURE_CHARACTERS = DOCUMENT_BYTES
"""Of one capture: a longer text is cut, further values and longer objects are left out."""
_MOST_VALUES = 1000
_BREAK = re.compile(r"[\t\n\r\u0085\u2028\u2029]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def lines(values: Iterable[Any], most: int) -> Iterator[str]:
    """Found values as trimmed texts of one line, so many characters long at most; without blanks, a thousand at most."""
    for value in islice(values, _MOST_VALUES):
        if value is not None and (text := line(as_text(value), most)):
            yield text


def line(text: str, most: int) -> str:
    """A text in one line: control characters are removed, line breaks and tabs are spaces."""
    return _CONTROL.sub("", _BREAK.sub(" ", text.strip()[: most * 2])).strip()[:most].rstrip()


def kept(values: Iterable[Any]) -> Any:
    """Found values as captured: JSON values as they are, elements as text; one alone, several as a list.

    None for none, and for a single one that is empty.
    """
    found: list[Any] = []
    left = CAPTURE_CHARACTERS
    for value in islice(values, _MOST_VALUES):
        if isinstance(value, dict | list | int | float):  # a truth value is an int
            size = len(msgspec.json.encode(value))
            plain = _clean(value) if size <= left else None
        else:
            plain = clean(as_text(value)[:left])
            size = len(plain)
        if plain is not None:
            found.append(plain)
            left -= max(1, size)
        if left <= 0:
            break
    if len(found) == 1:
        return None if found[0] in ("", [], {}) else found[0]
    return found or None


def clean(text: str) -> str:
    """A text without control characters other than tabs and line breaks."""
    return text if text.isprintable() else _CONTROL.sub("", text)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(name): _clean(inner) for name, inner in value.items()}
    return [_clean(inner) for inner in value] if isinstance(value, list) else value
