"""The judge: whether the promise was kept, from the evidence of one scenario alone.

It imports nothing of the product. Which transitions are declared it reads from the table in docs/architecture.md, the page
the promise stands on. `python -m tests.chaos.checker FOLDER` judges a folder that a failed scenario left.
"""

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import quantiles

from tests.chaos.evidence import Evidence, Export, Row, read

ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"
ENDED = {"delivered", "rejected", "skipped", "cancelled", "dead"}
REPAIR_SECONDS = 5.0
SLOWDOWN, SLACK_SECONDS = 1.5, 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A rule that was broken, by which lead, delivery or destination, and how."""

    rule: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.subject}: {self.detail}"


Found = Iterator[tuple[str, str]]


def check(evidence: Evidence) -> list[Violation]:
    """Every violation, by rule."""
    return [
        Violation(rule=name, subject=subject, detail=detail)
        for name, rule in RULES.items()
        for subject, detail in rule(evidence)
    ]


@cache
def declared() -> Mapping[str, frozenset[str]]:
    """Which state may follow which, as the architecture page says."""
    table = (
        ARCHITECTURE.read_text(encoding="utf-8").partition("<!-- states:begin -->")[2].partition("<!-- states:end")[0]
    )
    rows = re.findall(r"^\| (\w+) \| [^|]+ \| ([\w, ]+) \|$", table, re.MULTILINE)
    found = {state: frozenset(following.split(", ")) for state, following in rows if state != "state"}
    assert len(found) > 5, "the table of states is not where it was"
    return found


def accepted_is_accounted_for(evidence: Evidence) -> Found:
    """At every moment: every acknowledged delivery is there once, and every delivery belongs to a lead."""
    for export in evidence.exports:
        yield from _unaccounted(evidence, export)
    by_key: dict[str, set[str]] = defaultdict(set)
    for row in evidence.final.tables["submissions"]:
        by_key[row["key"]].add(row["lead"])
    for line in evidence.accepted:
        if by_key and by_key[line["key"]] != {line["lead"]}:
            yield line["lead"], "its key stands for another lead"
    if evidence.accepted and len(evidence.final.tables["leads"]) > len({line["key"] for line in evidence.accepted}):
        yield "leads", "more leads than were submitted"


def _unaccounted(evidence: Evidence, export: Export) -> Found:
    standing = {row["id"]: row for row in export.tables["deliveries"]}
    promised = {delivery: row["id"] for row in export.tables["leads"] for delivery in row["deliveries"]}
    for line in evidence.accepted[: export.acknowledged]:
        for delivery in line["deliveries"]:
            if delivery not in standing:
                yield delivery, f"acknowledged and not in the ledger at {export.at:.3f}"
            elif delivery not in promised:
                yield delivery, "its lead does not account for it"
    for delivery, lead in promised.items():
        if standing.get(delivery, {}).get("lead") != lead:
            yield delivery, f"promised by lead {lead}, which has it not"
    for delivery in standing.keys() - promised.keys():
        yield delivery, "no lead accounts for it"


def everything_ended(evidence: Evidence) -> Found:
    """At the end of a scenario nothing is live any more."""
    for row in evidence.final.tables["deliveries"]:
        if row["state"] not in ENDED:
            yield row["id"], f"still {row['state']}"


def delivered_was_received(evidence: Evidence) -> Found:
    """Whatever the ledger says is delivered, the destination says it received."""
    for export in evidence.exports:
        for row in export.tables["deliveries"]:
            if row["state"] == "delivered" and not evidence.receipts.get(row["id"]):
                yield row["id"], "delivered, and the destination never had it"


def repeats_are_explained(evidence: Evidence) -> Found:
    """A delivery is received once, and once more for each ambiguous attempt; repeats carry the same key and body."""
    ambiguous = Counter(row["delivery"] for row in evidence.final.tables["attempts"] if row["ambiguous"])
    known = {row["id"] for row in evidence.final.tables["deliveries"]}
    replays = Counter(row["subject"] for row in evidence.final.tables["audit"] if row["action"] == "delivery.replay")
    for key, receipts in evidence.receipts.items():
        if key not in known:
            yield key, "received under a key that is no delivery's id"
        elif len(receipts) > 1 + ambiguous[key] + replays[key]:
            yield key, f"received {len(receipts)} times with {ambiguous[key]} ambiguous attempts"
        if len({receipt["digest"] for receipt in receipts}) > 1:
            yield key, "a repeat had another body"


def ambiguity_is_explained(evidence: Evidence) -> Found:
    """Where no fault could lose an answer, no attempt is ambiguous."""
    if not any(fault.ambiguous for fault in evidence.faults):
        for row in evidence.final.tables["attempts"]:
            if row["ambiguous"]:
                yield row["delivery"], f"attempt {row['number']} is ambiguous and nothing was done that explains it"


def transitions_are_declared(evidence: Evidence) -> Found:
    """Only declared changes of state; a final one is left only by an audited replay."""
    replayed = {row["subject"] for row in evidence.final.tables["audit"] if row["action"] == "delivery.replay"}
    for row in _changes(evidence):
        old, new = row["old_state"], row["new_state"]
        if new not in declared().get(old, frozenset()):
            yield row["delivery"], f"{old} -> {new} is not declared"
        elif old in ENDED and new == "ready" and row["delivery"] not in replayed:
            yield row["delivery"], f"{old} -> {new} without an audited replay"
        claims = (old, new) == ("queued", "delivering")
        if row["new_token"] != row["old_token"] + claims:
            yield row["delivery"], f"{old} -> {new} moved the token from {row['old_token']} to {row['new_token']}"


def attempts_have_no_gaps(evidence: Evidence) -> Found:
    """Attempts are numbered 1, 2, 3 and counted by their delivery."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for row in evidence.final.tables["attempts"]:
        numbers[row["delivery"]].append(row["number"])
    for row in evidence.final.tables["deliveries"]:
        found = sorted(numbers.pop(row["id"], []))
        if found != list(range(1, row["attempts"] + 1)):
            yield row["id"], f"counts {row['attempts']} attempts and has {found}"
    yield from ((delivery, "attempts of no delivery") for delivery in numbers)


def stale_tokens_write_nothing(evidence: Evidence) -> Found:
    """What a worker holds, only that worker ends, unless its lease ran out."""
    holder: dict[str, Row] = {}
    for row in _changes(evidence):
        held = holder.pop(row["delivery"], None)
        if row["new_state"] == "delivering":
            holder[row["delivery"]] = row
        if held is None or row["old_state"] != "delivering":
            continue
        if row["worker"] != held["worker"] and (held["new_lease"] is None or row["at"] < held["new_lease"]):
            yield (
                row["delivery"],
                f"held by {held['worker']} under a lease, and {row['worker']} made it {row['new_state']}",
            )


def recovery_begins_in_time(evidence: Evidence) -> Found:
    """A lease that ran out is swept within a sweep and 5 s; a lost wake-up is noticed within ten times its patience."""
    settings = evidence.settings
    margin = settings["tick_seconds"] + REPAIR_SECONDS
    patience = {"delivering": 0.0, "queued": 10 * settings["queued_seconds"]}
    waiting: dict[str, tuple[str, float]] = {}
    for row in [*_changes(evidence), *_standing(evidence)]:
        state, due = waiting.pop(row["delivery"], ("", 0.0))
        if state and row["at"] > (latest := _after_outages(evidence, due) + margin):
            yield row["delivery"], f"{row['at'] - latest:.1f} s too late out of {state}"
        if row["new_state"] in patience:
            lease = row["new_lease"] if row["new_lease"] is not None else row["at"]
            waiting[row["delivery"]] = (row["new_state"], lease + patience[row["new_state"]])


def _after_outages(evidence: Evidence, due: float) -> float:
    """`due`, or the end of the outage that it lies in."""
    for fault in sorted((one for one in evidence.faults if one.stops), key=lambda one: one.begin):
        if fault.begin - REPAIR_SECONDS <= due <= fault.end:
            due = fault.end
    return due


def wakeups_are_not_lost(evidence: Evidence) -> Found:
    """Where no fault could lose or hold up a message, none had to be sent again."""
    if not any(fault.delays or fault.stops for fault in evidence.faults):
        for row in _changes(evidence):
            if (row["old_state"], row["new_state"]) == ("queued", "ready"):
                yield row["delivery"], "was queued in vain, and nothing was done that explains it"


def healthy_stay_fast(evidence: Evidence) -> Found:
    """95 of 100 leads of a healthy destination end about as soon as before the others failed."""
    if {"baseline", "faulted"} <= evidence.stretches.keys():
        before, after = (_p95(evidence, evidence.stretches[name]) for name in ("baseline", "faulted"))
        if after > SLOWDOWN * before + SLACK_SECONDS:
            yield (
                evidence.stretches["faulted"]["destination"],
                f"p95 {after:.3f} s, and {before:.3f} s without the fault",
            )


def _p95(evidence: Evidence, stretch: Row) -> float:
    waits = [
        (row["ended_at"] or evidence.final.at) - row["accepted_at"]
        for row in evidence.final.tables["deliveries"]
        if row["destination"] == stretch["destination"] and stretch["begin"] <= row["accepted_at"] <= stretch["end"]
    ]
    return quantiles(waits, n=20)[-1] if len(waits) > 1 else 0.0


def nothing_personal_is_shown(evidence: Evidence) -> Found:
    """No lead's values in what the broker carried and in what was logged."""
    for name, text in evidence.texts.items():
        for secret in evidence.settings["secrets"]:
            if secret in text:
                yield name, f"shows {secret!r}"


RULES: Mapping[str, Callable[[Evidence], Found]] = {
    rule.__name__: rule
    for rule in (
        accepted_is_accounted_for,
        everything_ended,
        delivered_was_received,
        repeats_are_explained,
        ambiguity_is_explained,
        transitions_are_declared,
        attempts_have_no_gaps,
        stale_tokens_write_nothing,
        recovery_begins_in_time,
        wakeups_are_not_lost,
        healthy_stay_fast,
        nothing_personal_is_shown,
    )
}


def _changes(evidence: Evidence) -> list[Row]:
    rows = sorted(evidence.final.tables["transitions"], key=lambda row: row["number"])
    return [row for row in rows if row["old_state"] is not None]


def _standing(evidence: Evidence) -> Iterator[Row]:
    """How things stood at the end, as if each delivery had changed then."""
    for row in evidence.final.tables["deliveries"]:
        yield {"delivery": row["id"], "at": evidence.final.at, "new_state": None}


def main(folders: Sequence[str]) -> int:
    """Judge folders; 1 if any promise was broken."""
    found = [violation for folder in folders for violation in check(read(Path(folder)))]
    for violation in found:
        print(violation)  # noqa: T201  # a program for people
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
