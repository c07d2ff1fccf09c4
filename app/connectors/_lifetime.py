"""What a destination says of its interface's end: Deprecation (RFC 9745) and Sunset (RFC 8594)."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MOMENT = re.compile(r"@(-?\d{1,12})")


def notice(headers: Mapping[str, str]) -> str | None:
    """The days, for people: "deprecated since 2026-01-31, shut down on 2027-01-31"; None where nothing is said.

    `headers` has lower-cased names. What cannot be read as a date is told without one.
    """
    said = []
    if "deprecation" in headers:
        day = _day(headers["deprecation"])
        said.append(f"deprecated since {day}" if day else "deprecated")
    if "sunset" in headers:
        day = _day(headers["sunset"])
        said.append(f"shut down on {day}" if day else "to be shut down")
    return ", ".join(said) or None


def _day(value: str) -> str | None:
    try:
        found = _MOMENT.fullmatch(value)
        # Drafts of RFC 9745 had HTTP dates.
        moment = datetime.fromtimestamp(int(found[1]), UTC) if found else parsedate_to_datetime(value)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.date().isoformat()
