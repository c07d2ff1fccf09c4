"""The lead everybody sends, and the destination's mapping of it: eight fields, about 250 bytes as JSON."""

from typing import Any

FIELDS = ("first_name", "last_name", "email", "phone_1", "state", "postal_code", "age", "comments")
MAPPING = {name: f"{{{{ lead.{name} }}}}" for name in FIELDS}


def lead(number: int) -> dict[str, Any]:
    """A lead that differs from every other of its run."""
    return {
        "first_name": "Ada",
        "last_name": "Byron",
        "email": f"ada{number}@example.com",
        "phone_1": f"512555{number % 10_000:04}",
        "state": "TX",
        "postal_code": "78701",
        "age": "36",
        "comments": "asked for a quote for two cars and a house, best in the evening",
    }
