"""What an accepted lead is promised: a delivery for each destination it is routed to, or the reason why there is nothing to send.

Pure; the same for a producer's leads and for our own events.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from uuid_utils.compat import uuid7

from app.ledger.acceptance import Routed
from app.model import State
from app.routing import Route, route


def promised(routes: Sequence[Route], seen: Mapping[str, Any]) -> list[Routed]:
    """The deliveries of a lead that looks so to conditions."""
    routings = route(routes, seen)
    ids = {routing.destination: uuid7() for routing in routings}
    return [
        Routed(
            id=ids[routing.destination],
            destination=routing.destination,
            state=State.READY if routing.skipped is None else State.SKIPPED,
            reason=routing.skipped,
            waits_for=[ids[name] for name in routing.waits_for],
        )
        for routing in routings
    ]
