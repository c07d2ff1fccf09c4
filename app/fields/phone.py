"""Phone numbers as E.164.

`phonenumbers` decides which numbers exist. Its parser costs 25 us, so the ordinary ways to write a North American number
are recognised by one pattern, and checked against phonenumbers' own number plan, compiled once: same answers, 1-2 us.
"""

import re
from functools import cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumberDesc, PhoneNumberFormat

from app.fields.text import Unreadable

_NANP_REGIONS = frozenset({"US", "CA"})
_NANP_CALLING_CODE = 1
_WRITTEN = re.compile(r"(?:\+?1[ .-]?)?\(?([2-9][0-9]{2})(?:\) ?|[ .-])?([2-9][0-9]{2})[ .-]?([0-9]{4})")
# Kinds of number, in phonenumbers' words.
_KINDS = (
    *("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost"),
    *("voip", "personal_number", "pager", "uan", "voicemail"),
)


def read_phone(text: str, region: str) -> str:
    """The E.164 form of a number that exists, written as in `region` unless it starts with +; raises `Unreadable`."""
    if region in _NANP_REGIONS:
        written = _WRITTEN.fullmatch(text)
        if written is not None and _nanp_plan().fullmatch(number := "".join(written.groups())):
            return f"+1{number}"
    try:
        parsed = phonenumbers.parse(text, region)
    except NumberParseException:
        raise Unreadable("is not a phone number") from None
    if not phonenumbers.is_valid_number(parsed):
        raise Unreadable("is not a phone number that exists")
    return phonenumbers.format_number(parsed, PhoneNumberFormat.E164)


@cache
def _nanp_plan() -> re.Pattern[str]:
    """Every valid ten-digit number of country code 1, as one pattern; the United States first, being the likeliest."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[_NANP_CALLING_CODE]
    plans = [_region_plan(PhoneMetadata.metadata_for_region(region)) for region in regions]
    return re.compile("|".join(dict.fromkeys(plan for plan in plans if plan)))


def _region_plan(metadata: PhoneMetadata | None) -> str:
    if metadata is None:
        return ""
    kinds: list[PhoneNumberDesc | None] = [getattr(metadata, kind) for kind in _KINDS]
    patterns = dict.fromkeys(kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern)
    return f"(?={metadata.leading_digits or ''})(?:{'|'.join(patterns)})"
