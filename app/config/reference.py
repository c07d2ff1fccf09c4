"""What sources and destinations say of each other: routes, steps that come after others, fallbacks, who takes events.

Finds names that do not exist and circles, and puts steps into an order in which each comes after those it waits for.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from app.config.schema import DestinationConfig, Document, SourceConfig
from app.config.suggestion import suggest
from app.model import EVENTS

Mistake = tuple[str, str, str, str, str | None]
"""(source | destination, name, field, what is wrong, remedy)."""


def mistakes(document: Document, known: Collection[str]) -> Iterator[Mistake]:
    """Everything wrong between the parts; `known` holds the names of all destinations, also of those not readable."""
    steps = {one.name: one for one in document.destinations}
    for destination in document.destinations:
        yield from _of_steps(destination, steps, known)
        yield from _of_fallback(destination, steps, known)
        yield from _of_events(destination, steps)
    for source in document.sources:
        if source.name == EVENTS:
            yield "source", EVENTS, "name", "is the source that our own events come from", "give it another name"
        yield from _of_routes(source, steps, known)
        yield from _of_hook(source, known)


def routed(source: SourceConfig, destinations: Sequence[DestinationConfig]) -> list[str]:
    """Names of the destinations a source's leads go to, steps before those that come after them.

    `all` leaves out those that only take over from others: they would get each lead twice.
    """
    return in_order(_all(destinations) if source.destinations == "all" else source.destinations, destinations)


def in_order(names: Sequence[str], destinations: Sequence[DestinationConfig]) -> list[str]:
    """The names, each after all that it comes after; otherwise as they stand."""
    steps = {one.name: one for one in destinations}
    found: list[str] = []

    def place(name: str) -> None:
        if name in found or name not in names:
            return
        for before in steps[name].after:
            place(before)
        found.append(name)

    for name in names:
        place(name)
    return found


def subscribed(destinations: Sequence[DestinationConfig]) -> list[DestinationConfig]:
    """Those that are told of events; those that only take over from others get none twice."""
    return [one for one in _first(destinations) if one.events is not None]


def _all(destinations: Sequence[DestinationConfig]) -> list[str]:
    return [one.name for one in _first(destinations) if one.events is None]


def _first(destinations: Sequence[DestinationConfig]) -> list[DestinationConfig]:
    standing_by = {one.fallback.destination for one in destinations if one.fallback is not None}
    return [one for one in destinations if one.name not in standing_by]


def ancestors(name: str, steps: Mapping[str, DestinationConfig]) -> frozenset[str]:
    """Every step that a destination comes after, directly or not."""
    found: set[str] = set()
    waiting = list(steps[name].after)
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += steps[one].after if one in steps else []
    return frozenset(found)


def _of_steps(
    destination: DestinationConfig, steps: Mapping[str, DestinationConfig], known: Collection[str]
) -> Iterator[Mistake]:
    for place, name in enumerate(destination.after):
        field = f"after.{place}"
        if name not in known:
            yield "destination", destination.name, field, f"there is no step '{name}'", suggest(name, known)
        elif name in destination.after[:place]:
            yield "destination", destination.name, field, f"'{name}' stands twice", "remove one"
        elif circle := _circle(destination.name, name, {one: step.after for one, step in steps.items()}):
            detail = f"steps wait for each other in a circle: {circle}"
            yield "destination", destination.name, field, detail, "take one of them out of `after`"


def _of_fallback(
    destination: DestinationConfig, steps: Mapping[str, DestinationConfig], known: Collection[str]
) -> Iterator[Mistake]:
    if destination.fallback is None:
        return
    name, field = destination.fallback.destination, "fallback.destination"
    following = {one: [step.fallback.destination] for one, step in steps.items() if step.fallback is not None}
    if name not in known:
        yield "destination", destination.name, field, f"there is no destination '{name}'", suggest(name, known)
    elif circle := _circle(destination.name, name, following):
        detail = f"a lead would go round in a circle: {circle}"
        yield "destination", destination.name, field, detail, "let the last one have no fallback"
    elif (age := destination.fallback.age_seconds) and age >= destination.retry.deadline_seconds:
        detail = f"comes after the deadline (retry.deadline_seconds {destination.retry.deadline_seconds:g}): never"
        yield "destination", destination.name, "fallback.age_seconds", detail, "make it shorter than the deadline"
    elif steps.get(name) is not None and steps[name].after:
        detail = f"'{name}' comes after other steps and cannot take a lead over"
        yield "destination", destination.name, field, detail, "name a destination without `after`"


def _of_events(destination: DestinationConfig, steps: Mapping[str, DestinationConfig]) -> Iterator[Mistake]:
    """Leads go to destinations of leads, events to those of events; nothing leads from the ones to the others."""
    kind, name = "destination", destination.name
    if destination.events is not None and destination.after:
        yield kind, name, "after", "an event comes after no steps", "take `after` out, or `events`"
    for place, before in enumerate(destination.after):
        if before in steps and steps[before].events is not None:
            yield (
                kind,
                name,
                f"after.{place}",
                f"'{before}' takes events, no leads: nothing comes after it",
                "take it out",
            )
    other = steps.get(destination.fallback.destination) if destination.fallback else None
    if other is not None and (other.events is None) != (destination.events is None):
        takes = "leads, no events" if other.events is None else "events, no leads"
        remedy = "name one that takes events too" if other.events is None else "name one without `events`"
        yield kind, name, "fallback.destination", f"'{other.name}' takes {takes}", remedy


def _circle(begin: str, name: str, following: Mapping[str, Sequence[str]]) -> str | None:
    """The way from `begin` over `name` back to `begin`, if there is one."""
    ways, seen = [[begin, name]], {name}
    while ways:
        way = ways.pop()
        if way[-1] == begin:
            return " -> ".join(way)
        for one in following.get(way[-1], ()):
            if one == begin or one not in seen:
                seen.add(one)
                ways.append([*way, one])
    return None


def _of_routes(
    source: SourceConfig, steps: Mapping[str, DestinationConfig], known: Collection[str]
) -> Iterator[Mistake]:
    if source.destinations == "all":
        yield from _of_all(source, steps)
        return
    wanted = source.destinations
    for place, name in enumerate(wanted):
        field = f"destinations.{place}"
        if name not in known:
            yield "source", source.name, field, f"there is no destination '{name}'", suggest(name, known)
        elif name in wanted[:place]:
            yield "source", source.name, field, f"'{name}' stands twice", "remove one"
        elif name in steps and steps[name].events is not None:
            yield "source", source.name, field, f"'{name}' takes events, no leads", f"take {name} out of destinations"
        elif name in steps:
            yield from _of_route(source, steps[name], field, wanted, steps)


def _of_hook(source: SourceConfig, known: Collection[str]) -> Iterator[Mistake]:
    name = source.hook.destination if source.hook else None
    if name is not None and name not in known:
        yield "source", source.name, "hook.destination", f"there is no destination '{name}'", suggest(name, known)


def _of_all(source: SourceConfig, steps: Mapping[str, DestinationConfig]) -> Iterator[Mistake]:
    wanted = _all(list(steps.values()))
    for name in wanted:
        for before in steps[name].after:
            if before in steps and before not in wanted and steps[before].events is None:
                detail = f"'{name}' comes after '{before}', which only takes over from others"
                yield "source", source.name, "destinations", detail, "list the destinations, or end that fallback"


def _of_route(
    source: SourceConfig,
    destination: DestinationConfig,
    field: str,
    wanted: Sequence[str],
    steps: Mapping[str, DestinationConfig],
) -> Iterator[Mistake]:
    for before in destination.after:
        if before not in wanted and (before not in steps or steps[before].events is None):
            detail = f"'{destination.name}' comes after '{before}', which this source's leads do not go to"
            yield "source", source.name, field, detail, f"add {before} to destinations"
    for fallback in _fallbacks(destination, steps):
        if fallback in wanted:
            detail = f"'{destination.name}' falls back to '{fallback}', which gets these leads anyway: it would have them twice"
            yield "source", source.name, field, detail, f"take {fallback} out of destinations, or out of the fallback"


def _fallbacks(destination: DestinationConfig, steps: Mapping[str, DestinationConfig]) -> list[str]:
    """Where its leads may end up, one after the other."""
    found: list[str] = []
    one: DestinationConfig | None = destination
    while one is not None and one.fallback is not None and one.fallback.destination not in found:
        found.append(one.fallback.destination)
        one = steps.get(one.fallback.destination)
    return found
