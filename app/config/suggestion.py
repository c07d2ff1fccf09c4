"""The remedy of a misspelt name, said the same way everywhere. Knows nothing of what the names are."""

from collections.abc import Iterable
from difflib import get_close_matches

_MOST = 60
_NEAREST = 5


def suggest(name: str, known: Iterable[str]) -> str:
    """'did you mean "x"?' for the closest known name, else the list of those there are, or of many the nearest few."""
    names = sorted(known)
    close = get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    if close:
        return f'did you mean "{close[0]}"?'
    if len(names) > _MOST:
        return f"nearest of {len(names)} are: {', '.join(get_close_matches(name.lower(), names, n=_NEAREST, cutoff=0))}"
    return f"known are: {', '.join(names)}" if names else "none is known here"
