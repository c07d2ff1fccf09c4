"""Which destinations a lead goes to. Pure: conditions are compiled already, nothing is stored here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import DataFault

NOT_MET = "the destination's condition was not met"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One enabled destination of a source: its condition, if it can be known now, and the steps it comes after."""

    destination: str
    condition: Callable[[Mapping[str, Any]], bool] | None
    after: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The decision for one destination.

    `skipped` holds the reason when the lead does not go there, `waits_for` the steps that must have ended first.
    """

    destination: str
    skipped: str | None = None
    waits_for: tuple[str, ...] = ()


def route(routes: Sequence[Route], context: Mapping[str, Any]) -> list[Routing]:
    """Every destination of the source, each routed or skipped; a condition that cannot be evaluated skips, saying so.

    `routes` stand in the order of their steps.
    """
    optional = {one.destination for one in routes if one.optional}
    made: dict[str, Routing] = {}
    for one in routes:
        skipped = _barred(one, made, optional) or _unmet(one, context)
        waits_for = tuple(name for name in one.after if name in made and made[name].skipped is None)
        made[one.destination] = Routing(
            destination=one.destination, skipped=skipped, waits_for=() if skipped else waits_for
        )
    return list(made.values())


def _barred(route: Route, made: Mapping[str, Routing], optional: set[str]) -> str | None:
    """Why a step before it keeps it from being sent, as is known already."""
    for name in route.after:
        if name not in made:
            return f"step {name} is disabled"
        if made[name].skipped is not None and name not in optional:
            return f"step {name} is skipped: {made[name].skipped}"
    return None


def _unmet(route: Route, context: Mapping[str, Any]) -> str | None:
    if route.condition is None:
        return None
    try:
        return None if route.condition(context) else NOT_MET
    except DataFault as fault:
        return fault.reason
