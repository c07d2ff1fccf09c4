"""What headers say of a rate limit, in every form, and how much that leaves under way."""

from datetime import UTC, datetime
from email.utils import format_datetime
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.connectors._quota import QUOTA_HEADERS, quota_of
from app.flow.quota import REMEMBERED_SECONDS, allowed
from app.flow.volume import UNBOUNDED

DATE = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
EPOCH = int(DATE.timestamp())


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        # draft-ietf-httpapi-ratelimit-headers-08 to 11
        ({"ratelimit": '"default";r=50;t=30'}, (50, 30, None)),
        ({"ratelimit": '"default";r=50;t=30', "ratelimit-policy": '"default";q=100;w=60'}, (50, 30, 100)),
        ({"ratelimit": '"default";r=50', "ratelimit-policy": '"default";q=100;w=60'}, (50, 60, 100)),
        ({"ratelimit": "default; r=50; t=30"}, (50, 30, None)),
        ({"ratelimit": '"a, b;c";r=5;t=9;pk=:QUFB:', "ratelimit-policy": '"a, b;c";q=7;w=10;pk=:QUFB:'}, (5, 9, 7)),
        ({"ratelimit": '"second";r=9;t=1, "day";r=3;t=7200'}, (3, 7200, None)),
        ({"ratelimit": '"second";r=0;t=1, "day";r=0;t=7200'}, (0, 7200, None)),
        (
            {"ratelimit": '"n";r=9;t=5, "b";r=1;t=5', "ratelimit-policy": '"n";q=10;w=5, "b";q=99;qu="content-bytes"'},
            (9, 5, 10),
        ),
        # draft 07
        ({"ratelimit": "limit=100, remaining=50, reset=5", "ratelimit-policy": "100;w=60"}, (50, 5, 100)),
        # drafts up to 06, and what was there before them
        ({"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "50", "ratelimit-reset": "5"}, (50, 5, 100)),
        ({"x-ratelimit-limit": "60", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "17"}, (0, 17, 60)),
        ({"x-ratelimit-remaining": "3", "x-ratelimit-reset": str(EPOCH + 90)}, (3, 90, None)),
        ({"x-ratelimit-remaining": "3", "x-ratelimit-reset": f"{EPOCH + 90}500"}, (3, 90.5, None)),
        ({"x-rate-limit-remaining": "3", "x-rate-limit-reset": str(EPOCH + 90), "x-rate-limit-limit": "15"}, (3, 90, 15)),
        ({"x-ratelimit-remaining": "3", "x-ratelimit-reset": "2026-11-23T12:00:30Z"}, (3, 30, None)),
        ({"x-ratelimit-remaining": "3", "x-ratelimit-reset": "Mon, 23 Nov 2026 12:00:30 GMT"}, (3, 30, None)),
        ({"x-ratelimit-remaining": "1", "x-ratelimit-reset": "1.25"}, (1, 1.25, None)),
        ({"x-ratelimit-remaining": "1", "x-ratelimit-reset-after": "2.5", "x-ratelimit-reset": "9"}, (1, 2.5, None)),
        ({"x-ratelimit-remaining": "0", "retry-after": "8"}, (0, 8, None)),
        ({"x-ratelimit-remaining": "9, 2", "x-ratelimit-reset": "1, 3600", "x-ratelimit-limit": "10, 500"}, (2, 3600, 500)),
        ({"x-ratelimit-remaining": "9, 2", "x-ratelimit-reset": "60"}, (2, 60, None)),
        # whole seconds are told, and some round down
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0"}, (0, 1, None)),
        ({"ratelimit": '"default";r=0;t=0'}, (0, 1, None)),
        # HubSpot: the interval's length
        (
            {
                "x-hubspot-ratelimit-remaining": "7",
                "x-hubspot-ratelimit-max": "190",
                "x-hubspot-ratelimit-interval-milliseconds": "10000",
                "x-hubspot-ratelimit-daily-remaining": "1",
            },
            (7, 10, 190),
        ),
        # both forms: the least that is left
        ({"ratelimit": '"d";r=50;t=30', "x-ratelimit-remaining": "4", "x-ratelimit-reset": "5"}, (4, 5, None)),
        # beyond all measure
        ({"ratelimit": f'"d";r={10**14};t=5', "ratelimit-policy": '"d";q=0'}, (2**31 - 1, 5, 1)),
    ],
)  # fmt: skip
def test_every_form_is_read(headers: dict[str, str], expected: tuple[int, float, int | None]) -> None:
    assert not QUOTA_HEADERS.isdisjoint(headers)
    before = monotonic()
    quota = quota_of({"date": format_datetime(DATE, usegmt=True), **headers})
    assert quota is not None
    assert (quota.remaining, quota.reset_seconds, quota.limit) == (expected[0], pytest.approx(expected[1]), expected[2])
    assert before <= quota.told_at <= monotonic()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sforce-limit-info": "api-usage=18/5000"},
        {"x-ratelimit-limit": "60", "x-ratelimit-reset": "17"},
        {"x-ratelimit-remaining": "5"},
        {"x-ratelimit-remaining": "-1", "x-ratelimit-reset": "17"},
        {"x-ratelimit-remaining": "many", "x-ratelimit-reset": "17"},
        {"x-ratelimit-remaining": "5", "x-ratelimit-reset": "soon"},
        {"x-ratelimit-remaining": "5", "x-ratelimit-reset": "-4"},
        {"x-ratelimit-remaining": "5", "x-ratelimit-reset": str(EPOCH - 1)},
        {"x-ratelimit-remaining": "1, 2, 3", "x-ratelimit-reset": "1, 2"},
        {"ratelimit": '"default";r=5'},
        {"ratelimit": '"default";t=5'},
        {"ratelimit": '"default";r=5;t=1764000000x'},
        {"ratelimit": ""},
        {"ratelimit": '"default"1;r=5;t=x'},
        {"ratelimit": '"default";t="3"7;r="5"5'},
        {"x-hubspot-ratelimit-remaining": "7"},
    ],
)
def test_what_cannot_be_read_says_nothing(headers: dict[str, str]) -> None:
    assert quota_of({"date": format_datetime(DATE, usegmt=True), **headers}) is None


def test_an_instant_is_told_by_the_clock_that_told_it() -> None:
    """Ours may be wrong; without a Date there is only ours."""
    headers = {"x-ratelimit-remaining": "3", "x-ratelimit-reset": str(EPOCH + 90)}
    quota = quota_of({"date": format_datetime(DATE, usegmt=True), **headers})
    assert quota is not None
    assert quota.reset_seconds == 90
    ours = quota_of({"x-ratelimit-remaining": "3", "x-ratelimit-reset": str(int(datetime.now(UTC).timestamp()) + 50)})
    assert ours is not None
    assert 48 < ours.reset_seconds <= 50


NAMES = st.sampled_from(
    [
        *sorted(QUOTA_HEADERS), "ratelimit-policy", "ratelimit-limit", "ratelimit-reset", "x-ratelimit-reset",
        "x-ratelimit-limit", "x-rate-limit-reset", "x-ratelimit-reset-after", "retry-after", "date",
        "x-hubspot-ratelimit-max", "x-hubspot-ratelimit-interval-milliseconds",
    ]
)  # fmt: skip
PIECES = st.sampled_from(
    ['"a"', '"a"1', "a", ";", ",", "=", "r", "t", "q", "w", "qu", "\\", '"', " ", "0", "1", "60", "9" * 20, "-", ".", ":", "\0",
     "é", "1764000000", "1e5", "Mon, 23 Nov 2026 12:00:30 GMT", "2026-11-23T12:00:30Z", "9999-12-31T23:59:59-14:00"]
)  # fmt: skip


@given(headers=st.dictionaries(NAMES, st.lists(PIECES, max_size=12).map("".join), max_size=8))
def test_whatever_headers_say_the_quota_is_sound_or_none(headers: dict[str, str]) -> None:
    quota = quota_of(headers)
    if quota is not None:
        assert 0 <= quota.remaining < 2**31
        assert quota.reset_seconds >= 1
        assert quota.limit is None or 1 <= quota.limit < 2**31


@pytest.mark.parametrize("piece", ['"', "\\", '"a";', "a;", ",", ";r=1", '"\\'])
def test_long_values_cost_no_time(piece: str) -> None:
    begun = monotonic()
    quota_of(dict.fromkeys((*QUOTA_HEADERS, "x-ratelimit-reset", "ratelimit-policy"), piece * 40_000))
    assert monotonic() - begun < 0.5


@given(
    left=st.none() | st.integers(0, 10**6),
    limit=st.none() | st.integers(0, 10**6),
    reset_seconds=st.floats(-1e7, 1e7),
)
def test_what_may_be_under_way(left: int | None, limit: int | None, reset_seconds: float) -> None:
    found = allowed(left=left, limit=limit, reset_seconds=reset_seconds)
    if left is None:
        assert found == UNBOUNDED
    elif reset_seconds > 0:
        assert found == left
    else:
        assert found >= 1, "a limit that begins anew leaves something, or nothing is ever asked again"
        assert found == UNBOUNDED or (limit is not None and found == max(1, limit))
        assert found == UNBOUNDED or reset_seconds >= -REMEMBERED_SECONDS
