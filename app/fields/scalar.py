"""E-mail addresses, dates, numbers, yes and no, IP addresses and URLs.

Each reader takes clean, non-empty text (`app.fields.text`) and returns a JSON value, or raises `Unreadable` with a
complaint that does not quote what it was given.
"""

import re
from datetime import date
from ipaddress import ip_address

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES

from app.fields.text import Unreadable

# Addresses this accepts are exactly as email-validator returns them but for the domain's case (20 us saved); all others
# are asked of email-validator itself. "--" may begin an IDNA label.
_PLAIN_EMAIL = re.compile(
    r"(?=[^@]{1,64}@)([A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*)@"
    r"((?!.*--)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+([A-Za-z]{2,63}))"
)
_MAX_EMAIL = 254
_SPECIAL_TLDS = frozenset(name.rpartition(".")[2] for name in SPECIAL_USE_DOMAIN_NAMES)

_TRUE = frozenset({"true", "t", "yes", "y", "1", "on", "checked"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "off", "unchecked"})

_NUMBER = re.compile(
    r"([+-]?)[$£€]?((?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]+)?|\.[0-9]+)((?:[eE][+-]?[0-9]{1,3})?)"
)
_MAX_NUMBER_CHARACTERS = 40
_EXACT_DIGITS = 15  # what an IEEE 754 double keeps of any decimal
_INT64 = 2**63

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_YMD = re.compile(r"([0-9]{4})([-/.]?)([0-9]{1,2})\2([0-9]{1,2})(?:[T ][0-9:.,]*(?:Z|[+-][0-9:]{2,6})?)?")
_NUMERIC = re.compile(r"([0-9]{1,2})([-/. ])([0-9]{1,2})\2([0-9]{4})(?:[T ][0-9: ]*(?:[AaPp][Mm])?)?")
_DAY_FIRST = re.compile(r"([0-9]{1,2})(?:st|nd|rd|th)?[ -]+([A-Za-z]{3,9})\.?,?[ -]+([0-9]{4})")
_MONTH_FIRST = re.compile(r"([A-Za-z]{3,9})\.? +([0-9]{1,2})(?:st|nd|rd|th)?,? +([0-9]{4})")
_FULL_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "sept",
]

_URL = re.compile(
    r"https?://(?:[^\s/?#@]+@)?(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]\\]{1,253})(?::[0-9]{1,5})?(?:[/?#]\S*)?",
    re.IGNORECASE,
)
_MAX_URL = 8192


def read_email(text: str) -> str:
    """An address with its domain in lower case, as RFC 5321 allows it; no DNS is asked."""
    if len(text) > _MAX_EMAIL:
        raise Unreadable("is not an e-mail address")
    plain = _PLAIN_EMAIL.fullmatch(text)
    if plain is not None:
        local, domain, tld = plain.groups()
        if local.lower() not in CASE_INSENSITIVE_MAILBOX_NAMES and tld.lower() not in _SPECIAL_TLDS:
            return f"{local}@{domain.lower()}"
    try:
        return validate_email(text, check_deliverability=False).normalized
    except EmailNotValidError:
        raise Unreadable("is not an e-mail address") from None


def read_boolean(text: str) -> bool:
    """True or false, in the words forms use."""
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise Unreadable("is neither yes nor no")


def read_number(text: str) -> int | float:
    """A number: digits with or without thousands commas, a decimal point, an exponent, a leading $, £ or €.

    Whole numbers within 64 bits stay whole; decimals of more than 15 digits are refused, as they would change.
    """
    found = _NUMBER.fullmatch(text) if len(text) <= _MAX_NUMBER_CHARACTERS else None
    if found is None:
        raise Unreadable("is not a number")
    sign, digits, exponent = found.groups()
    digits = digits.replace(",", "")
    if not exponent and "." not in digits:
        whole = int(sign + digits)
        if not -_INT64 <= whole < _INT64:
            raise Unreadable("is too large a number")
        return whole
    if len(digits.replace(".", "").strip("0")) > _EXACT_DIGITS:
        raise Unreadable("has more digits than a number keeps")
    value = float(sign + digits + exponent)
    if value in (float("inf"), float("-inf")):
        raise Unreadable("is too large a number")
    return value


def read_date(text: str, region: str) -> str:
    """An ISO date. Numbers alone are read month first in the US, day first elsewhere, unless only one order exists.

    Times after a date are dropped. The year has four digits: a two-digit one would be a guess.
    """
    if found := _YMD.fullmatch(text):
        year, _, month, day = found.groups()
        if found.group(2) or len(month) + len(day) == 4:  # noqa: PLR2004  # yyyymmdd
            return _iso(int(year), int(month), int(day))
    elif found := _NUMERIC.fullmatch(text):
        first, separator, second = int(found.group(1)), found.group(2), int(found.group(3))
        month_first = region == "US" and separator != "."
        if max(first, second) > 12:  # noqa: PLR2004  # only the smaller can be the month
            month_first = second > first
        return _iso(int(found.group(4)), *((first, second) if month_first else (second, first)))
    elif found := _DAY_FIRST.fullmatch(text):
        return _iso(int(found.group(3)), _month(found.group(2)), int(found.group(1)))
    elif found := _MONTH_FIRST.fullmatch(text):
        return _iso(int(found.group(3)), _month(found.group(1)), int(found.group(2)))
    raise Unreadable("is not a date with a four-digit year")


def read_ip(text: str) -> str:
    """An IPv4 or IPv6 address in its canonical form, without zone."""
    try:
        address = ip_address(text)
    except ValueError:
        raise Unreadable("is not an IP address") from None
    if "%" in text:
        raise Unreadable("is not an IP address")
    return str(address)


def read_url(text: str) -> str:
    """An http or https URL, as given."""
    if len(text) > _MAX_URL or _URL.fullmatch(text) is None:
        raise Unreadable("is not an http or https URL")
    return text


def _month(name: str) -> int:
    name = name.lower()
    if name not in _MONTHS and name not in _FULL_MONTHS:
        raise Unreadable("is not a date with a four-digit year")
    return _MONTHS.index(name[:3]) + 1


def _iso(year: int, month: int, day: int) -> str:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        raise Unreadable("is not a day of the calendar") from None
