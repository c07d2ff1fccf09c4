"""A destination that just recovered is given its window step by step, lest the backlog knock it over again. Pure."""

import math


def ramp(window: int, *, least: int, since_seconds: float, ramp_seconds: float) -> int:
    """How many may be under way, `since_seconds` after the circuit closed.

    It grows from `least` to `window` within `ramp_seconds`, doubling in equal times, as slow start does (RFC 5681).
    """
    passed = max(0.0, since_seconds)
    if passed >= ramp_seconds or least >= window:
        return window
    least = max(1, least)
    return min(window, round(least * math.pow(window / least, passed / ramp_seconds)))
