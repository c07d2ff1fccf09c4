"""Prices as people write them, read as exact numbers.

A price that could be meant in two ways is none: nobody notices a wrong one. The rule is written down in
docs/connectors/http.md, "Prices". It may not know answers or where the text was found.
"""

from decimal import Decimal
from typing import Final

import regex

_MOST: Final = 10**12
PRICE_LENGTH: Final = 1000
"""A longer text is no price."""
_MOST_DIGITS: Final = 40
_SPACES: Final = " \u00a0\u2009\u202f'\u2019"
"""What else than comma and point stands between groups of thousands: spaces of several widths, apostrophes."""

_NUMBER = regex.compile(rf"[.,]?\d(?:[\d.,]|[{_SPACES}](?=\d{{3}}(?!\d)))*(?:(?<=\d)[eE][+-]?\d+(?!\w))?")
_GROUPED = regex.compile(
    rf"(?P<whole>[1-9]\d{{0,2}}(?P<by>[{_SPACES}])\d{{3}}(?:(?P=by)\d{{3}})*)(?:[.,](?P<part>\d+))?"
)
_COMMA_GROUPS = regex.compile(
    # Of three, or as in India: 1,00,000
    r"(?P<whole>[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d?(?:,\d{2})+,\d{3})(?:\.(?P<part>\d+))?"
)
_POINT_GROUPS = regex.compile(
    r"(?P<whole>[1-9]\d{0,2}(?:\.\d{3})+),(?P<part>\d+)|(?P<whole>[1-9]\d{0,2}(?:\.\d{3}){2,})"
)
_POINT = regex.compile(r"(?P<whole>\d*)\.(?P<part>\d+)")
_COMMA = regex.compile(
    r"(?P<whole>\d*),(?P<part>\d{1,2}|\d{4,})|(?P<whole>0+|[1-9]\d{3,}),(?P<part>\d{3})"  # three digits may be thousands
)
_PLAIN = regex.compile(r"(?P<whole>\d+)")
_SCIENTIFIC = regex.compile(r"(\d+(?:\.\d+)?)[eE]([+-]?\d{1,3})")

_DASH = regex.compile(r"(?<!\p{L})[-\u2212\u2013\u2014]|[-\u2212\u2013\u2014](?!\p{L})")
_MINUS = regex.compile(r"(?:.*[\s\p{Sc}])?[-\u2212]|[-\u2212]\s*\p{L}{0,3}\s*\p{Sc}?\s*", regex.DOTALL)
_OPENED = regex.compile(r"\(\s*[\p{Sc}\p{L}]{0,3}\s*$")
_CLOSED = regex.compile(r"\s*[\p{Sc}\p{L}]{0,3}\s*\)")
_OTHER_UNIT = regex.compile(r"\s?(?:[%\u2030\u00a2]|[kKmM]\b)|\s*[-\u2212\u2013\u2014]\s*$|[-\u2212\u2013\u2014]")


def read_price(text: str) -> Decimal | None:
    """The one number in a text such as "$1,234.50", "1.234,50 EUR" or "12,50"; None for none, several or a doubtful one."""
    if len(text) > PRICE_LENGTH or text[:1] in {"{", "["}:  # a JSON object is no price, whatever stands in it
        return None
    numbers = _NUMBER.finditer(text)
    found = next(numbers, None)
    if found is None or next(numbers, None) is not None:
        return None
    written, before, after = found[0].rstrip(".,"), text[: found.start()], text[found.end() :]
    is_whole = len(written) < len(found[0])  # "50.-" is 50, "12.50." the end of a sentence
    is_loss = _OPENED.search(before) and _CLOSED.match(after)  # "(5.00)", to an accountant
    if len(written) > _MOST_DIGITS or is_loss or (not is_whole and _OTHER_UNIT.match(after)):
        return None
    sign = _sign(before, written)
    number = _number(written)
    if sign is None or number is None or abs(number) >= _MOST:
        return None
    return sign * number


def _number(written: str) -> Decimal | None:
    if scientific := _SCIENTIFIC.fullmatch(written):
        return Decimal(format(Decimal(scientific[1]).scaleb(int(scientific[2])), "f"))
    for form in (_PLAIN, _POINT, _COMMA_GROUPS, _POINT_GROUPS, _COMMA, _GROUPED):
        if match := form.fullmatch(written):
            parts = match.groupdict()
            whole = regex.sub(r"\D", "", parts["whole"]) or "0"
            return Decimal(f"{whole}.{parts['part']}" if parts.get("part") else whole)
    return None


def _sign(before: str, written: str) -> int | None:
    """1, or -1 where a minus belongs to the number; None where that is in doubt, as in "Rs.500" and "A - 5"."""
    if written[0] in ".," and before[-1:].isalpha():
        return None
    if not _DASH.search(before):
        return 1
    return -1 if len(_DASH.findall(before)) == 1 and _MINUS.fullmatch(before) else None
