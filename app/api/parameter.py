"""What comes with a submission beside its body: source, test flag, priority, idempotency key, how long to wait.

Unknown parameters are refused: a misspelt `test` would send a real lead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl

from app.api.access import refuse_foreign
from app.api.problem import Problem, invalid_parameter, shown
from app.ledger.key import Key
from app.model import Priority

MOST_WAIT_SECONDS = 30.0
SOURCE_HEADER = "x-leadrelay-source"
_TRUTH = {"true": True, "1": True, "": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The query of a submission; what was not given is None or False."""

    source: str | None = None
    test: bool = False
    priority: Priority | None = None
    wait_seconds: float | None = None
    key_field: str | None = None


@lru_cache(maxsize=256)
def read_parameters(query: bytes, allowed: frozenset[str]) -> Parameters:
    """The parameters of a query string; raises `Problem` (422) that names the one that is wrong."""
    given: dict[str, str] = {}
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=32)
    except ValueError:
        raise invalid_parameter("query", "is not a UTF-8 query string of at most 32 parameters") from None
    for name, value in pairs:
        if name not in allowed:
            known = ", ".join(sorted(allowed))
            raise invalid_parameter(shown(name), "is not a parameter here", f"known parameters: {known}")
        if name in given:
            raise invalid_parameter(name, "is given twice")
        given[name] = value
    return Parameters(
        source=given.get("source"),
        test=_truth("test", given["test"]) if "test" in given else False,
        priority=_priority(given["priority"]) if "priority" in given else None,
        wait_seconds=_wait(given["wait"]) if "wait" in given else None,
        key_field=given.get("key_field"),
    )


def choose_source(parameters: Parameters, headers: Mapping[str, str], key: Key) -> str:
    """The source a submission is for; raises `Problem` (422 when none or two are named, 403 for one not the key's)."""
    header = headers.get(SOURCE_HEADER)
    if parameters.source is not None and header is not None and parameters.source != header:
        raise invalid_parameter("source", "differs from the header X-Leadrelay-Source", "name the source once")
    named = parameters.source if parameters.source is not None else header
    if named is None:
        named = key.source
    if named is None:
        raise invalid_parameter(
            "source", "is missing", "add ?source=NAME or X-Leadrelay-Source, or use a key that is bound to a source"
        )
    refuse_foreign(key, named)
    return named


def _truth(name: str, value: str) -> bool:
    found = _TRUTH.get(value.lower())
    if found is None:
        raise invalid_parameter(name, "must be true or false")
    return found


def _priority(value: str) -> Priority:
    try:
        return Priority(value)
    except ValueError:
        raise invalid_parameter("priority", f"must be {' or '.join(Priority)}") from None


def _wait(value: str) -> float:
    problem: Problem = invalid_parameter("wait", f"must be seconds, above 0 and at most {MOST_WAIT_SECONDS:g}")
    try:
        seconds = float(value)
    except ValueError:
        raise problem from None
    if not 0 < seconds <= MOST_WAIT_SECONDS:  # NaN is refused here too
        raise problem
    return seconds
