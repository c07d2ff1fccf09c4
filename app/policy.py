"""What an outcome means for a delivery: the next state. Pure; the table is in docs/architecture.md.

| outcome | next state |
|---|---|
| success | delivered |
| failure | rejected, or the fallback's |
| error, transient | ready after a back-off or its Retry-After, until attempts or age run out; then the fallback's, else dead |
| error, permanent or data | the fallback's, else dead |
| skipped (its rules are not met, known only now) | skipped |
| error, configuration | held; the destination's circuit opens |
| ambiguous under `on_ambiguous: hold` | held |

A system fault never gets here: it is our own, and no attempt is recorded. A transient error of a probe costs its delivery no
attempt: it was sent to try the destination.
"""

import random
import re
from hashlib import blake2b

from app.config.flow import FallbackConfig
from app.config.schema import RetryConfig
from app.model import Fault, Next, Outcome, Result, State

_FINAL_STATES = {Result.SUCCESS: State.DELIVERED, Result.FAILURE: State.REJECTED, Result.SKIPPED: State.SKIPPED}
_VARIABLE_PARTS = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}|\b(?=\w*\d)[\w-]{6,}\b|\d+|'[^']*'|\"[^\"]*\"|\S+@\S+", re.IGNORECASE
)


def next_state(
    outcome: Outcome,
    *,
    tries: int,
    age_seconds: float,
    retry: RetryConfig,
    destination: str,
    fallback: FallbackConfig | None = None,
    probe: bool = False,
    chance: float | None = None,
) -> Next:
    """What becomes of a delivery. `tries` includes this attempt; `chance` in [0, 1) sets the jitter, random if not given."""
    found = _own_state(outcome, tries, age_seconds, retry, destination, probe=probe, chance=chance)
    if fallback is None or found.state.value not in fallback.on:
        return found
    return Next(state=State.READY, fingerprint=found.fingerprint, fallback=fallback.destination)


def _own_state(
    outcome: Outcome,
    tries: int,
    age_seconds: float,
    retry: RetryConfig,
    destination: str,
    *,
    probe: bool,
    chance: float | None,
) -> Next:
    if outcome.result is not Result.ERROR:
        return Next(state=_FINAL_STATES[outcome.result])
    mark = fingerprint(destination, outcome)
    if outcome.fault is Fault.CONFIGURATION or (outcome.ambiguous and retry.on_ambiguous == "hold"):
        return Next(state=State.HELD, fingerprint=mark)
    if outcome.fault is Fault.TRANSIENT and tries - probe < retry.attempts:
        wait = backoff(tries, outcome.retry_after, retry, random.random() if chance is None else chance)  # noqa: S311  # jitter, no secret
        if age_seconds + wait <= retry.deadline_seconds:
            return Next(state=State.READY, due_in_seconds=wait, fingerprint=mark, free=probe)
    return Next(state=State.DEAD, fingerprint=mark)


def backoff(tries: int, retry_after: float | None, retry: RetryConfig, chance: float) -> float:
    """Seconds until the next attempt: doubling, or what the destination asked for, clamped, plus jitter on top.

    A destination that asks for no wait at all would see all attempts within moments: it gets `base_seconds`.
    """
    doubling = retry.base_seconds * 2.0 ** min(tries - 1, 30)
    wait = min(doubling if retry_after is None else max(retry_after, retry.base_seconds), retry.max_seconds)
    return wait * (1.0 + retry.jitter * chance)


def fingerprint(destination: str, outcome: Outcome) -> str:
    """Groups troubles of one kind: destination, fault and the reason without its numbers, ids, quotes and addresses."""
    reason = _VARIABLE_PARTS.sub("?", outcome.reason or "")
    text = f"{destination}\0{outcome.fault}\0{reason}"
    return blake2b(text.encode("utf-8", "replace"), digest_size=6).hexdigest()
