"""What can be stored at all: clean text and bounded JSON values.

PostgreSQL takes neither NUL nor lone surrogates, and other control characters only ever come from broken forms, so
control characters are removed and surrogates refused here, before anything else sees the value.
"""

import json
import math
import re
from typing import Any

MAX_NAME_CHARACTERS = 128
MAX_FIELDS = 200
MAX_DEPTH = 8
MAX_VALUE_BYTES = 65_536

# C0 but tab, line feed and carriage return; DEL; C1.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_INT64 = 2**63


class Unstorable(ValueError):
    """A value no lead can hold; its text is a complaint that does not quote the value."""


class Unreadable(ValueError):
    """A value that cannot be read as its field's type; its text is a complaint that does not quote the value."""


def is_name(name: object) -> bool:
    """Whether a lead can have a field of this name: 1 to 128 printable characters."""
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARACTERS and name.isprintable()


def clean(text: str) -> str:
    """Text without control characters and outer white space; raises `Unstorable` for surrogates and more than 64 kB."""
    if not (text.isascii() and text.isprintable()):
        if _SURROGATE.search(text):
            raise Unstorable("has characters that are not valid Unicode")
        text = _CONTROL.sub("", text)
    text = text.strip()
    if len(text) * 4 > MAX_VALUE_BYTES and len(text.encode()) > MAX_VALUE_BYTES:
        raise Unstorable(f"is longer than {MAX_VALUE_BYTES} bytes")
    return text


def clean_value(value: Any) -> Any:
    """A JSON value with clean texts, 8 levels deep and 64 kB long at most; raises `Unstorable`.

    Whole numbers beyond 64 bits become text, digit for digit: no JSON number that size survives every reader.
    """
    if type(value) is str:
        return clean(value)
    cleaned = _clean_nested(value, MAX_DEPTH)
    if isinstance(cleaned, list | dict) and len(_json(cleaned).encode()) > MAX_VALUE_BYTES:
        raise Unstorable(f"is longer than {MAX_VALUE_BYTES} bytes")
    return cleaned


def as_text(value: Any) -> str:
    """The text a typed field is read from; raises `Unreadable` for lists and objects, `Unstorable` as `clean` does."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(clean_value(value))
    raise Unreadable("must be a single value, not a list or an object")


def raw_text(value: Any) -> str:
    """What is kept of a value that could not be read: its text, or its JSON."""
    return clean(value) if isinstance(value, str) else _json(clean_value(value))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _clean_nested(value: Any, depth: int) -> Any:
    if depth < 0:
        raise Unstorable(f"is nested more than {MAX_DEPTH} levels deep")
    match value:
        case None | bool():
            return value
        case str():
            return clean(value)
        case int():
            return value if -_INT64 <= value < _INT64 else _long_digits(value)
        case float():
            if not math.isfinite(value):
                raise Unstorable("is not a number that JSON has")
            return value
        case list():
            return [_clean_nested(item, depth - 1) for item in value]
        case dict():
            return {_key(key): _clean_nested(item, depth - 1) for key, item in value.items()}
        case _:
            raise Unstorable("is not a JSON value")


def _long_digits(value: int) -> str:
    # 4,300 digits is where Python itself stops; 14,000 bits stay below it.
    if value.bit_length() > 14_000:  # noqa: PLR2004  # said above
        raise Unstorable(f"is longer than {MAX_VALUE_BYTES} bytes")
    return str(value)


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise Unstorable("has a key that is not text")
    return clean(key)
