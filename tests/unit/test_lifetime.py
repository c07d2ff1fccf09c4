"""What a destination says of its interface's end."""

import pytest

from app.connectors._lifetime import notice


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, None),
        ({"deprecation": "@1769817600"}, "deprecated since 2026-01-31"),
        ({"sunset": "Sun, 31 Jan 2027 23:59:59 GMT"}, "shut down on 2027-01-31"),
        (
            {"deprecation": "@1769817600", "sunset": "Sun, 31 Jan 2027 23:59:59 GMT"},
            "deprecated since 2026-01-31, shut down on 2027-01-31",
        ),
        ({"deprecation": "Sat, 31 Jan 2026 00:00:00 GMT"}, "deprecated since 2026-01-31"),
        ({"deprecation": "true"}, "deprecated"),
        ({"deprecation": "@999999999999"}, "deprecated"),
        ({"sunset": "ann@example.com"}, "to be shut down"),
    ],
)
def test_days_are_told_where_they_can_be_read(headers: dict[str, str], told: str | None) -> None:
    assert notice(headers) == told
