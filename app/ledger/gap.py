"""The kinds of gap a ledger can have: what each means, what to do about it, and whether a machine may mend it.

A gap is mended only where that can neither lose nor double a lead: a counter, a flag, a wake-up call. What a destination
may or may not have is for people to find out. Texts only; how gaps are found is in `balance`, how they are mended in
`repair`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Kind(StrEnum):
    """What is wrong."""

    MISSING_DELIVERY = "missing-delivery"
    DOUBLED_PROMISE = "doubled-promise"
    STRAY_DELIVERY = "stray-delivery"
    STRAY_ATTEMPTS = "stray-attempts"
    ATTEMPT_NUMBERS = "attempt-numbers"
    ATTEMPT_COUNTER = "attempt-counter"
    UNPROVEN_END = "unproven-end"
    UNRECORDED_SUCCESS = "unrecorded-success"
    UNEXPLAINED_HOLD = "unexplained-hold"
    FORGOTTEN_HOLD = "forgotten-hold"
    END_TIME = "end-time"
    MIRROR_FLAG = "mirror-flag"
    MISSING_LEASE = "missing-lease"
    LOST_MESSAGE = "lost-message"
    EXPIRED_LEASE = "expired-lease"
    ENDLESS_WAIT = "endless-wait"
    UNKNOWN_DESTINATION = "unknown-destination"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One thing that should not be: its kind, the delivery or lead it is about, and what is wrong with it."""

    kind: Kind
    subject: UUID
    lead_id: UUID | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a kind of gap means, what a person does, and what `reconcile --repair` does, or why it does nothing."""

    meaning: str
    remedy: str
    repairable: bool
    repair: str


_HISTORY = "history is not invented"
_UNKNOWN = "only the destination knows whether it has the lead"

EXPLANATIONS: Mapping[Kind, Explanation] = {
    Kind.MISSING_DELIVERY: Explanation(
        meaning="A lead was promised this delivery when it was accepted, and it is not in the ledger.",
        remedy="Something deleted it. Restore it from a backup; or see `leadrelay show LEAD` for the destinations that are "
        "left, ask the missing one for the key (the delivery's id), and send the lead again if it has not come.",
        repairable=False,
        repair=f"a lead does not say where its deliveries go, and {_UNKNOWN}",
    ),
    Kind.DOUBLED_PROMISE: Explanation(
        meaning="More than one promise was made of this delivery: it is counted more often than it exists.",
        remedy="Something changed `leads.deliveries`. Compare the leads with a backup.",
        repairable=False,
        repair="which of the promises was meant for another delivery cannot be told",
    ),
    Kind.STRAY_DELIVERY: Explanation(
        meaning="No lead was promised this delivery, or another lead than the one it belongs to.",
        remedy="Something deleted or changed its lead, without which it cannot be sent. Restore the lead from a backup; or, "
        "while it is held, dead or ready, `leadrelay dlq discard DELIVERY --note WHY`.",
        repairable=False,
        repair="its lead may still come back from a backup",
    ),
    Kind.STRAY_ATTEMPTS: Explanation(
        meaning="Attempts are on record of a delivery that exists neither in the ledger nor in any lead's promise.",
        remedy="Something deleted lead and delivery and left these. They show that it was sent. Nothing waits for them.",
        repairable=False,
        repair="they are the only witness of a deleted delivery",
    ),
    Kind.ATTEMPT_NUMBERS: Explanation(
        meaning="The attempts of a delivery are not numbered 1, 2, 3, ...: at least one is no longer on record.",
        remedy="Something deleted attempts. Restore them from a backup, or note the loss; delivery goes on undisturbed.",
        repairable=False,
        repair=_HISTORY,
    ),
    Kind.ATTEMPT_COUNTER: Explanation(
        meaning="A delivery counts other attempts than are on record; while it counts fewer, its next one cannot be written.",
        remedy="`leadrelay reconcile --repair`.",
        repairable=True,
        repair="the counter becomes the highest number on record",
    ),
    Kind.UNPROVEN_END: Explanation(
        meaning="A delivery is delivered or rejected, and its last attempt on record does not say so.",
        remedy="Ask the destination for the key (`leadrelay reconcile --against`). It has the lead: leave it and note that. "
        "It has not: `leadrelay dlq replay DELIVERY`.",
        repairable=False,
        repair=_UNKNOWN,
    ),
    Kind.UNRECORDED_SUCCESS: Explanation(
        meaning="The last attempt says that the destination took it, and yet the delivery is not delivered.",
        remedy="Do not replay it. Held, dead or ready: `leadrelay dlq discard DELIVERY --note 'found there'`. Otherwise it "
        "is sent again with the same key: tell the destination if it does not recognise that.",
        repairable=False,
        repair="somebody may have changed the state on purpose; nobody is on record for it",
    ),
    Kind.UNEXPLAINED_HOLD: Explanation(
        meaning="A delivery is held with neither fault nor reason: nothing will ever release it.",
        remedy="`leadrelay dlq show DELIVERY`, then `dlq replay` or `dlq discard` it.",
        repairable=False,
        repair="who held it may have had a reason; releasing it sends it",
    ),
    Kind.FORGOTTEN_HOLD: Explanation(
        meaning="A delivery is held until its destination's circuit closes, and the circuit is closed.",
        remedy="`leadrelay reconcile --repair`, or `leadrelay resume NAME`.",
        repairable=True,
        repair="it becomes ready, as when a circuit closes: it was refused for its destination's configuration only",
    ),
    Kind.END_TIME: Explanation(
        meaning="A delivery has ended and does not say when, or goes on and says when it ended.",
        remedy="`leadrelay reconcile --repair`.",
        repairable=True,
        repair="the time becomes that of its last attempt, or of its acceptance; or is removed",
    ),
    Kind.MIRROR_FLAG: Explanation(
        meaning="A delivery that is not dead is noted as shown among the broker's dead letters: should it die, it would not be.",
        remedy="`leadrelay reconcile --repair`.",
        repairable=True,
        repair="the note is removed",
    ),
    Kind.MISSING_LEASE: Explanation(
        meaning="A delivery is queued or being delivered for an unlimited time: the sweep will never take it back.",
        remedy="`leadrelay reconcile --repair`.",
        repairable=True,
        repair="its time is up now: the sweep records a lost answer, or queues it again",
    ),
    Kind.LOST_MESSAGE: Explanation(
        meaning="A delivery was queued more than 15 minutes ago and nobody has claimed it. The sweep would have.",
        remedy="Is a worker running, and does one lead? See stuck queue. `leadrelay reconcile --repair` does not wait for it.",
        repairable=True,
        repair="it becomes ready: it was not claimed, so it was not sent; a late message claims nothing",
    ),
    Kind.EXPIRED_LEASE: Explanation(
        meaning="A worker's time for a delivery ran out more than 15 minutes ago, and the sweep has not taken it back.",
        remedy="Start a worker: within seconds one leads, records that the answer was lost, and goes on as `on_ambiguous` says.",
        repairable=False,
        repair="it may have been sent; only the sweep knows what its destination wants then",
    ),
    Kind.ENDLESS_WAIT: Explanation(
        meaning="A delivery waits for its steps, and these ended more than 15 minutes ago or are not in the ledger.",
        remedy="Start a worker: its sweep lets it go or skips it. Where its steps are missing: "
        "`leadrelay dlq discard DELIVERY --note WHY`, and send the lead again.",
        repairable=False,
        repair="whether it may go without them is for the sweep to say, by the configuration",
    ),
    Kind.UNKNOWN_DESTINATION: Explanation(
        meaning="A delivery has been due for more than 15 minutes at a destination that the configuration does not have.",
        remedy="Start a worker: its dispatcher holds it. Then bring the destination back with `config apply`, or discard it.",
        repairable=False,
        repair="the dispatcher does it, under the configuration it runs",
    ),
}
