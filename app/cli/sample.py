"""Leads that look real and belong to nobody: reserved domains (RFC 2606) and telephone numbers kept for fiction (555-01xx).

Pure; the same seed gives the same leads.
"""

from collections.abc import Iterator
from random import Random
from typing import Any

_FIRST_NAMES = (
    "Ada Alan Anita Barbara Carlos Chen Dorothy Edsger Elena Fatima Frances Grace Hedy Ivan Jamal Joan Katherine Kwame "
    "Lars Lina Margaret Mei Nadia Niklaus Olga Pedro Radia Ravi Sofia Tim Yuki Zoe"
)
_LAST_NAMES = (
    "Abara Bauer Castillo Dubois Eriksen Fischer Garcia Haddad Ivanova Jensen Kim Larsson Moreau Nakamura Okafor Park "
    "Quinn Rossi Silva Tanaka Usman Vargas Weber Xu Yilmaz Zhang"
)
_PLACES = (
    ("New York", "NY", "10001", "212"),
    ("Los Angeles", "CA", "90012", "213"),
    ("Chicago", "IL", "60601", "312"),
    ("Houston", "TX", "77002", "713"),
    ("Phoenix", "AZ", "85004", "602"),
    ("Philadelphia", "PA", "19103", "215"),
    ("San Diego", "CA", "92101", "619"),
    ("Denver", "CO", "80202", "303"),
    ("Seattle", "WA", "98101", "206"),
    ("Boston", "MA", "02108", "617"),
    ("Atlanta", "GA", "30303", "404"),
    ("Portland", "OR", "97204", "503"),
)
_DOMAINS = ("example.com", "example.net", "example.org")
_COMMENTS = (
    "Please call in the evening.",
    "Looking to move in spring.",
    "I would like a written offer first.",
    "How soon could you start?",
    None,
)
_UNWILLING_SHARE = 0.04


def sample_leads(count: int, *, run: str, seed: int) -> Iterator[dict[str, Any]]:
    """So many leads; `run` goes into the e-mail addresses, so that two runs are about different people."""
    first_names, last_names = _FIRST_NAMES.split(), _LAST_NAMES.split()
    dice = Random(seed)  # noqa: S311  # made-up people, no secrets
    for number in range(1, count + 1):
        first, last = dice.choice(first_names), dice.choice(last_names)
        city, state, postal_code, area = dice.choice(_PLACES)
        lead = {
            "first_name": first,
            "last_name": last,
            "email": f"{first}.{last}.{run}.{number}@{dice.choice(_DOMAINS)}".lower(),
            "phone_1": f"({area}) 555-01{dice.randrange(100):02d}",
            "city": city,
            "state": state,
            "postal_code": postal_code,
            "budget": dice.randrange(2, 60) * 5000,
            "comments": dice.choice(_COMMENTS),
        }
        if dice.random() < _UNWILLING_SHARE:
            lead["do_not_sell"] = "yes"
        yield lead
