"""Single values in the forms XML Schema gives its built-in types (XML Schema part 2, 3), and back.

Leads hold texts where numbers and dates are meant, so a text that reads as the type is one. What does not fit is a
`ValueError` without the value. It may not know elements or messages.
"""

import math
import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from zeep.xsd.types import builtins

from app.connectors._http.scalar import to_text

Write = Callable[[Any], str]
Read = Callable[[str], Any]

_ZONE = r"(?:Z|[+-]\d\d:\d\d)?"
_DATE = re.compile(rf"-?\d{{4,}}-\d\d-\d\d{_ZONE}")
_DATE_TIME = re.compile(rf"\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?{_ZONE}")
_TIME = re.compile(rf"\d\d:\d\d(?::\d\d(?:\.\d+)?)?{_ZONE}")
_DURATION = re.compile(r"-?P(?=.)(?:\d+Y)?(?:\d+M)?(?:\d+D)?(?:T(?=.)(?:\d+H)?(?:\d+M)?(?:\d+(?:\.\d+)?S)?)?")
_WHOLE = re.compile(r"[+-]?\d{1,300}(?:\.0*)?")
_INTEGER = re.compile(r"[+-]?\d{1,18}")
# XML 1.0, 2.2: what no escape can write.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPECIAL = frozenset({"INF", "-INF", "NaN"})
_DAY_CHARACTERS = len("2026-01-31")


def _string(value: Any) -> str:
    text = to_text(value, "")
    if _NOT_XML.search(text):
        raise ValueError("holds a character that XML cannot carry")
    return text


def _boolean(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value).strip().lower()
    if isinstance(value, str | int) and text in {"true", "false", "1", "0"}:
        return {"1": "true", "0": "false"}.get(text, text)
    raise ValueError


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise ValueError  # noqa: TRY004  # all that is wrong with a value is one kind of fault
    try:
        found = Decimal(value.strip() if isinstance(value, str) else str(value))
    except InvalidOperation:
        raise ValueError from None
    if not found.is_finite() or abs(found.adjusted()) > 300:  # noqa: PLR2004  # nobody means such a number
        raise ValueError
    return found


def _decimal(value: Any) -> str:
    return f"{_number(value):f}"


def _double(value: Any) -> str:
    if isinstance(value, str) and value.strip() in _SPECIAL:
        return value.strip()
    found = _number(value)
    return str(value) if isinstance(value, float) else f"{found:f}"


def _integer(low: int | None, high: int | None) -> Write:
    def write(value: Any) -> str:
        if isinstance(value, str) and not _WHOLE.fullmatch(value.strip()):
            raise ValueError
        found = _number(value)
        if found != found.to_integral_value():
            raise ValueError
        whole = int(found)
        if (low is not None and whole < low) or (high is not None and whole > high):
            raise ValueError
        return str(whole)

    return write


def _date(value: Any) -> str:
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    text = _stripped(value)
    if _DATE_TIME.fullmatch(text):
        text = text[:_DAY_CHARACTERS]
    if not _DATE.fullmatch(text):
        raise ValueError
    date.fromisoformat(text[:_DAY_CHARACTERS])
    return text


def _date_time(value: Any) -> str:
    if isinstance(value, datetime):
        return _zulu(value.isoformat())
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00"
    text = _stripped(value)
    if _DATE.fullmatch(text):
        text = f"{text[:_DAY_CHARACTERS]}T00:00:00{text[_DAY_CHARACTERS:]}"
    if not _DATE_TIME.fullmatch(text):
        raise ValueError
    datetime.fromisoformat(text)
    return _whole_time(text.replace(" ", "T"), "T")


def _time(value: Any) -> str:
    if isinstance(value, time):
        return _zulu(value.isoformat())
    text = _stripped(value)
    if not _TIME.fullmatch(text):
        raise ValueError
    time.fromisoformat(text)
    return _whole_time(text, "")


def _whole_time(text: str, mark: str) -> str:
    """With seconds, which XML Schema does not let one leave out."""
    start = text.index(mark) + len(mark)
    hours, rest = text[start : start + 5], text[start + 5 :]
    return f"{text[:start]}{hours}{rest if rest.startswith(':') else ':00' + rest}"


def _zulu(text: str) -> str:
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _stripped(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004  # as above
    return value.strip()


def _like(pattern: str) -> Write:
    compiled = re.compile(pattern)

    def write(value: Any) -> str:
        text = to_text(value, "").strip()
        if not compiled.fullmatch(text):
            raise ValueError
        return text

    return write


def _base64(value: Any) -> str:
    text = "".join(_stripped(value).split())
    try:
        b64decode(text, validate=True)
    except NotBase64:
        raise ValueError from None
    return text


def _as_it_is(text: str) -> Any:
    return text


def _read_boolean(text: str) -> Any:
    return {"true": True, "1": True, "false": False, "0": False}.get(text.strip(), text)


def _read_integer(text: str) -> Any:
    return int(text) if _INTEGER.fullmatch(text.strip()) else text


def _read_double(text: str) -> Any:
    try:
        found = float(text)
    except ValueError:
        return text
    return found if math.isfinite(found) else text


_FORMS: Mapping[type[Any], tuple[Write, Read]] = {
    builtins.Boolean: (_boolean, _read_boolean),
    builtins.UnsignedByte: (_integer(0, 2**8 - 1), _read_integer),
    builtins.UnsignedShort: (_integer(0, 2**16 - 1), _read_integer),
    builtins.UnsignedInt: (_integer(0, 2**32 - 1), _read_integer),
    builtins.UnsignedLong: (_integer(0, 2**64 - 1), _read_integer),
    builtins.PositiveInteger: (_integer(1, None), _read_integer),
    builtins.NonNegativeInteger: (_integer(0, None), _read_integer),
    builtins.NegativeInteger: (_integer(None, -1), _read_integer),
    builtins.NonPositiveInteger: (_integer(None, 0), _read_integer),
    builtins.Byte: (_integer(-(2**7), 2**7 - 1), _read_integer),
    builtins.Short: (_integer(-(2**15), 2**15 - 1), _read_integer),
    builtins.Int: (_integer(-(2**31), 2**31 - 1), _read_integer),
    builtins.Long: (_integer(-(2**63), 2**63 - 1), _read_integer),
    builtins.Integer: (_integer(None, None), _read_integer),
    # A decimal keeps its digits as text: a price of 12.50 is no binary fraction.
    builtins.Decimal: (_decimal, str.strip),
    builtins.Float: (_double, _read_double),
    builtins.Double: (_double, _read_double),
    builtins.DateTime: (_date_time, str.strip),
    builtins.Date: (_date, str.strip),
    builtins.Time: (_time, str.strip),
    builtins.Duration: (_like(_DURATION.pattern), str.strip),
    builtins.gYearMonth: (_like(rf"-?\d{{4,}}-\d\d{_ZONE}"), str.strip),
    builtins.gYear: (_like(rf"-?\d{{4,}}{_ZONE}"), str.strip),
    builtins.gMonthDay: (_like(rf"--\d\d-\d\d{_ZONE}"), str.strip),
    builtins.gMonth: (_like(rf"--\d\d{_ZONE}"), str.strip),
    builtins.gDay: (_like(rf"---\d\d{_ZONE}"), str.strip),
    builtins.Base64Binary: (_base64, _as_it_is),
    builtins.HexBinary: (_like(r"(?:[0-9A-Fa-f]{2})*"), str.strip),
}


def forms(kind: type[Any]) -> tuple[Write, Read]:
    """How values of a simple type, given by zeep's class of it, are written and read; anything else is text."""
    return next((_FORMS[one] for one in kind.__mro__ if one in _FORMS), (_string, _as_it_is))


__all__ = ["Read", "Write", "forms"]
