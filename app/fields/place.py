"""States, provinces and postal codes.

Codes of the United States Postal Service (https://pe.usps.com/text/pub28/28apb.htm) and Canada Post; the patterns of
British postcodes follow BS 7666 as the Royal Mail prints them. Whether a code is in use is not asked.
"""

import re
from collections.abc import Mapping

from app.fields.text import Unreadable

_NAMES = """
AL Alabama|AK Alaska|AZ Arizona|AR Arkansas|CA California|CO Colorado|CT Connecticut|DE Delaware
DC District of Columbia|FL Florida|GA Georgia|HI Hawaii|ID Idaho|IL Illinois|IN Indiana|IA Iowa|KS Kansas|KY Kentucky
LA Louisiana|ME Maine|MD Maryland|MA Massachusetts|MI Michigan|MN Minnesota|MS Mississippi|MO Missouri|MT Montana
NE Nebraska|NV Nevada|NH New Hampshire|NJ New Jersey|NM New Mexico|NY New York|NC North Carolina|ND North Dakota
OH Ohio|OK Oklahoma|OR Oregon|PA Pennsylvania|RI Rhode Island|SC South Carolina|SD South Dakota|TN Tennessee|TX Texas
UT Utah|VT Vermont|VA Virginia|WA Washington|WV West Virginia|WI Wisconsin|WY Wyoming
AS American Samoa|GU Guam|MP Northern Mariana Islands|PR Puerto Rico|VI Virgin Islands|VI US Virgin Islands
DC Washington DC|AA Armed Forces Americas|AE Armed Forces Europe|AP Armed Forces Pacific
AB Alberta|BC British Columbia|MB Manitoba|NB New Brunswick|NL Newfoundland and Labrador|NL Newfoundland
NS Nova Scotia|NT Northwest Territories|NU Nunavut|ON Ontario|PE Prince Edward Island|QC Quebec|QC Québec
SK Saskatchewan|YT Yukon|YT Yukon Territory
"""
_NORTH_AMERICA = frozenset({"US", "CA"})
_NOT_A_LETTER = re.compile(r"[^a-zà-ÿ]+")
_MAX_ELSEWHERE = 100

_US = re.compile(r"([0-9]{5})(?:[ -]?([0-9]{4}))?")
_CA = re.compile(r"([ABCEGHJ-NPRSTVXY][0-9][ABCEGHJ-NPRSTV-Z])[ -]?([0-9][ABCEGHJ-NPRSTV-Z][0-9])")
_GB = re.compile(
    r"([A-PR-UWYZ](?:[0-9]{1,2}|[A-HK-Y][0-9]{1,2}|[0-9][A-HJKPSTUW]|[A-HK-Y][0-9][A-Z])|GIR) ?([0-9][A-Z]{2})"
)
_ELSEWHERE = re.compile(r"[A-Z0-9](?:[A-Z0-9 -]{0,10}[A-Z0-9])?")


def _known_states() -> Mapping[str, str]:
    pairs = [entry.split(" ", 1) for line in _NAMES.split("\n") for entry in line.split("|") if entry]
    known = {code.lower(): code for code, _ in pairs}
    return known | {_NOT_A_LETTER.sub("", name.lower()): code for code, name in pairs}


_STATES = _known_states()


def read_state(text: str, region: str) -> str:
    """The two-letter code of a state, territory or province of the US and Canada, elsewhere the text itself.

    Names and codes are known in any case and punctuation ("N.Y.", "new york"). Raises `Unreadable`.
    """
    if region not in _NORTH_AMERICA:
        if len(text) > _MAX_ELSEWHERE:
            raise Unreadable("is too long for a state or province")
        return text
    code = _STATES.get(text.lower()) or _STATES.get(_NOT_A_LETTER.sub("", text.lower()))
    if code is None:
        raise Unreadable("is not a US state or a Canadian province")
    return code


def read_postal_code(text: str, region: str) -> str:
    """A postal code in its country's usual form ("12345-6789", "K1A 0B1", "SW1A 1AA"); raises `Unreadable`.

    Countries other than US, CA and GB: up to 12 letters, digits, spaces and hyphens.
    """
    text = text.upper()
    match region:
        case "US":
            found, separator = _US.fullmatch(text), "-"
        case "CA":
            found, separator = _CA.fullmatch(text), " "
        case "GB":
            found, separator = _GB.fullmatch(text), " "
        case _:
            found, separator = _ELSEWHERE.fullmatch(text), ""
    if found is None:
        raise Unreadable(f"is not a postal code of region {region}")
    return separator.join(part for part in found.groups() if part) if separator else text
