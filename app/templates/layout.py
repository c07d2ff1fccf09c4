"""The filters that lay out dates and phone numbers. Knows nothing of where the value comes from."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import phonenumbers

from app.errors import DataFault
from app.templates.text import to_text

_DIRECTIVE = re.compile(r"%(-?)(.?)", re.DOTALL)
_NORTH_AMERICAN = re.compile(r"\+1[2-9][0-9]{9}")
_DIRECTIVES = frozenset("aAbBcdDeFHIjmMpSTyYzZ%")


def date(value: Any, layout: Any) -> str:
    """A date or time laid out with strftime's directives; `%-d` and the like drop leading zeros. Times are UTC."""
    if value is None or value == "":
        return ""
    check_date(layout)
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(to_text(value))
    except ValueError:
        raise DataFault("filter 'date' needs an ISO date or time") from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return _DIRECTIVE.sub(lambda found: _directive(moment, *found.groups()), to_text(layout))


def check_date(layout: Any) -> None:
    """Raises `DataFault` for a directive that `date` does not have."""
    for found in _DIRECTIVE.finditer(to_text(layout)):
        if found.group(2) not in _DIRECTIVES or not found.group(2):
            raise DataFault(f"filter 'date' has no directive {found.group()!r}")


def phone(value: Any, style: Any = "national") -> str:
    """An E.164 number in another form: national, international, e164, digits, area_code, exchange, line or country_code.

    `digits` are those of the national number; exchange and line (of +1 numbers) are its next three and last four.
    """
    if value is None or value == "":
        return ""
    check_phone(style)
    return _PHONE_STYLES[to_text(style)](_number(to_text(value)))


def check_phone(style: Any) -> None:
    """Raises `DataFault` for a style that `phone` does not have."""
    if to_text(style) not in _PHONE_STYLES:
        raise DataFault(f"filter 'phone' has the styles {', '.join(_PHONE_STYLES)}")


def _number(text: str) -> phonenumbers.PhoneNumber:
    if _NORTH_AMERICAN.fullmatch(text):
        return phonenumbers.PhoneNumber(country_code=1, national_number=int(text[2:]))  # a parse saved: 10 us
    try:
        return phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        raise DataFault("filter 'phone' needs a valid phone number") from None


def _directive(moment: datetime, bare: str, letter: str) -> str:
    if letter == "%":
        return "%"
    if letter == "Y":
        return f"{moment.year:04d}"  # strftime does not pad years on every platform
    text = moment.strftime(f"%{letter}")
    return (text.lstrip("0 ") or "0") if bare else text


def _area_code(number: phonenumbers.PhoneNumber) -> str:
    national = phonenumbers.national_significant_number(number)
    length = 3 if number.country_code == 1 else phonenumbers.length_of_geographical_area_code(number)
    return national[:length]


def _styled(form: int) -> Callable[[phonenumbers.PhoneNumber], str]:
    return lambda number: phonenumbers.format_number(number, form)


_PHONE_STYLES: Mapping[str, Callable[[phonenumbers.PhoneNumber], str]] = {
    "national": _styled(phonenumbers.PhoneNumberFormat.NATIONAL),
    "international": _styled(phonenumbers.PhoneNumberFormat.INTERNATIONAL),
    "e164": _styled(phonenumbers.PhoneNumberFormat.E164),
    "digits": phonenumbers.national_significant_number,
    "area_code": _area_code,
    "exchange": lambda number: phonenumbers.national_significant_number(number)[3:6],
    "line": lambda number: phonenumbers.national_significant_number(number)[6:],
    "country_code": lambda number: str(number.country_code),
}
