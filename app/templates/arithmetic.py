"""The filters that reckon, in decimals, so that 0.1 and 0.2 are 0.3. Knows nothing of where the value comes from.

Null and empty text stay empty. Every number stays below 2^63: what a JSON reader takes.
"""

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from app.errors import DataFault
from app.templates.text import to_text

_MAX_CHARACTERS = 40
_LIMIT = 2**63
_LEAST_EXPONENT = -30
_MOST_PLACES = 15  # what a double keeps


def round_(value: Any, places: Any = 0) -> int | float | str:
    """A number rounded half up, to 0 to 15 decimal places."""
    to = to_whole("round", places)
    if not 0 <= to <= _MOST_PLACES:
        raise DataFault(f"filter 'round' takes 0 to {_MOST_PLACES} decimal places")
    if _is_empty(value):
        return ""
    try:
        rounded = _decimal("round", value).quantize(Decimal(1).scaleb(-to), ROUND_HALF_UP)
    except InvalidOperation:
        raise DataFault("filter 'round' got too large a number") from None
    return _number("round", rounded)


def plus(value: Any, other: Any) -> int | float | str:
    """The sum."""
    addend = _decimal("plus", other)
    return "" if _is_empty(value) else _number("plus", _decimal("plus", value) + addend)


def minus(value: Any, other: Any) -> int | float | str:
    """The difference."""
    subtrahend = _decimal("minus", other)
    return "" if _is_empty(value) else _number("minus", _decimal("minus", value) - subtrahend)


def times(value: Any, other: Any) -> int | float | str:
    """The product."""
    factor = _decimal("times", other)
    return "" if _is_empty(value) else _number("times", _decimal("times", value) * factor)


def divided_by(value: Any, other: Any) -> int | float | str:
    """The quotient, with decimals where there are any."""
    divisor = _decimal("divided_by", other)
    if not divisor:
        raise DataFault("filter 'divided_by' cannot divide by zero")
    return "" if _is_empty(value) else _number("divided_by", _decimal("divided_by", value) / divisor)


def to_number(value: Any) -> int | float | str:
    """Text as a number, thousands commas allowed."""
    return "" if _is_empty(value) else _number("to_number", _decimal("to_number", value))


def to_whole(name: str, value: Any) -> int:
    """An argument of the filter `name` as a whole number; raises `DataFault`."""
    number = _decimal(name, value)
    if number != number.to_integral_value():
        raise DataFault(f"filter '{name}' needs a whole number")
    return int(number)


def _is_empty(value: Any) -> bool:
    return value is None or value == ""


def _decimal(name: str, value: Any) -> Decimal:
    text = to_text(value).replace(",", "").strip()
    try:
        number = Decimal(text) if len(text) <= _MAX_CHARACTERS else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite():
        raise DataFault(f"filter '{name}' needs a number")
    if abs(number) >= _LIMIT or (number and number.adjusted() <= _LEAST_EXPONENT):
        raise DataFault(f"filter '{name}' got too large or too small a number")
    return number or Decimal(0)


def _number(name: str, value: Decimal) -> int | float:
    if abs(value) >= _LIMIT:
        raise DataFault(f"filter '{name}' made too large a number")
    return int(value) if value == value.to_integral_value() else float(value)
