"""The filters of templates, one function each, named as in Liquid (https://shopify.github.io/liquid/) where it has one.

A filter takes the value and its arguments, never changes them, and treats null as empty. What it cannot do it says with a
`DataFault` that names the filter and not the value. Results are bounded: no filter makes more than 1 MB of text.
"""

import base64
import hashlib
import html
import inspect
import json as json_library
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from app.errors import DataFault
from app.templates.arithmetic import divided_by, minus, plus, round_, times, to_number, to_whole
from app.templates.layout import check_date, check_phone, date, phone
from app.templates.text import to_plain, to_text

Filter = Callable[..., Any]

_MAX_TEXT = 1_000_000
_NOT_DIGIT = re.compile(r"[^0-9]+")


def downcase(value: Any) -> str:
    """Lower case."""
    return to_text(value).lower()


def upcase(value: Any) -> str:
    """Upper case."""
    return to_text(value).upper()


def capitalize(value: Any) -> str:
    """First letter in upper case, the rest in lower."""
    return to_text(value).capitalize()


def strip(value: Any) -> str:
    """Without white space at both ends."""
    return to_text(value).strip()


def escape(value: Any) -> str:
    """With `&`, `<`, `>` and quotes as HTML and XML want them."""
    return html.escape(to_text(value))


def default(value: Any, instead: Any = "") -> Any:
    """The other value where there is none, or false."""
    return instead if value is None or value is False or value == "" or value in ([], {}) else value


def replace(value: Any, old: Any, new: Any = "") -> str:
    """With every `old` replaced by `new`."""
    text, search, put = to_text(value), to_text(old), to_text(new)
    _bound("replace", len(text) + text.count(search) * len(put))
    return text.replace(search, put)


def remove(value: Any, unwanted: Any) -> str:
    """Without every occurrence of a text."""
    return replace(value, unwanted)


def slice_(value: Any, start: Any, length: Any = 1) -> Any:
    """A part: from `start` (negative counts from the end), `length` characters or items."""
    items = value if isinstance(value, list) else to_text(value)
    begin, count = to_whole("slice", start), to_whole("slice", length)
    if begin < 0:
        begin += len(items)
    return items[begin : begin + count] if begin >= 0 and count > 0 else items[:0]


def first(value: Any) -> Any:
    """The first item of a list or character of a text."""
    items = value if isinstance(value, list) else to_text(value)
    return items[0] if items else None


def last(value: Any) -> Any:
    """The last item of a list or character of a text."""
    items = value if isinstance(value, list) else to_text(value)
    return items[-1] if items else None


def split(value: Any, separator: Any) -> list[str]:
    """A list: the text cut at each separator (an empty one cuts between characters)."""
    text, mark = to_text(value), to_text(separator)
    if not text:
        return []
    return text.split(mark) if mark else list(text)


def join(value: Any, separator: Any = " ") -> str:
    """The items of a list as one text."""
    if not isinstance(value, list):
        return to_text(value)
    items, mark = [to_text(item) for item in value], to_text(separator)
    _bound("join", sum(map(len, items)) + len(mark) * len(items))
    return mark.join(items)


def size(value: Any) -> int:
    """Number of characters or items."""
    return len(value) if isinstance(value, str | list | Mapping) else 0


def append(value: Any, more: Any) -> str:
    """With a text behind."""
    text, tail = to_text(value), to_text(more)
    _bound("append", len(text) + len(tail))
    return text + tail


def prepend(value: Any, more: Any) -> str:
    """With a text in front."""
    return append(more, value)


def truncate(value: Any, length: Any = 50, ellipsis: Any = "...") -> str:
    """At most `length` characters, the ellipsis among them."""
    text, most, mark = to_text(value), to_whole("truncate", length), to_text(ellipsis)
    return text if len(text) <= most else text[: max(0, most - len(mark))] + mark


def digits(value: Any) -> str:
    """Nothing but the digits 0 to 9."""
    return _NOT_DIGIT.sub("", to_text(value))


def to_string(value: Any) -> str:
    """Any value as text."""
    return to_text(value)


def md5(value: Any) -> str:
    """MD5 of the UTF-8 text, in hexadecimal."""
    return hashlib.md5(to_text(value).encode(), usedforsecurity=False).hexdigest()


def sha1(value: Any) -> str:
    """SHA-1 of the UTF-8 text, in hexadecimal."""
    return hashlib.sha1(to_text(value).encode(), usedforsecurity=False).hexdigest()


def sha256(value: Any) -> str:
    """SHA-256 of the UTF-8 text, in hexadecimal."""
    return hashlib.sha256(to_text(value).encode()).hexdigest()


def base64_encode(value: Any) -> str:
    """Base64 of the UTF-8 text."""
    return base64.b64encode(to_text(value).encode()).decode()


def urlencode(value: Any) -> str:
    """Percent-encoded UTF-8, a space as `%20` (RFC 3986)."""
    return quote(to_text(value), safe="")


def json(value: Any) -> str:
    """The value as JSON."""
    return json_library.dumps(to_plain(value), ensure_ascii=False, separators=(",", ":"), default=to_plain)


_TEXT = (
    downcase,
    upcase,
    capitalize,
    strip,
    escape,
    replace,
    remove,
    append,
    prepend,
    truncate,
    digits,
    split,
    urlencode,
)
_OTHER = (default, first, last, join, size, date, phone, plus, minus, times, divided_by, to_number, to_string, json)
_DIGESTS = (md5, sha1, sha256, base64_encode)

FILTERS: Mapping[str, Filter] = {
    **{filter_.__name__: filter_ for filter_ in (*_TEXT, *_OTHER, *_DIGESTS)},
    "slice": slice_,
    "round": round_,
}
"""Name in a template -> filter."""

_LITERAL_CHECKS: Mapping[str, Callable[..., None]] = {"date": check_date, "phone": check_phone}


def complain_of_arguments(name: str, arguments: int) -> str | None:
    """What is wrong with calling a known filter with so many arguments, if anything."""
    parameters = list(inspect.signature(FILTERS[name]).parameters.values())[1:]
    least = sum(parameter.default is inspect.Parameter.empty for parameter in parameters)
    if least <= arguments <= len(parameters):
        return None
    wanted = str(least) if least == len(parameters) else f"{least} to {len(parameters)}"
    return f"filter '{name}' takes {wanted} argument{'' if wanted == '1' else 's'}, not {arguments}"


def complain_of_literals(name: str, arguments: Sequence[Any]) -> str | None:
    """What is wrong with a known filter's arguments, when all are literals and can be known wrong before any lead."""
    try:
        if arguments and (check := _LITERAL_CHECKS.get(name)):
            check(*arguments)
    except DataFault as fault:
        return fault.reason
    return None


def _bound(name: str, length: int) -> None:
    if length > _MAX_TEXT:
        raise DataFault(f"filter '{name}' would make more than {_MAX_TEXT} characters")
