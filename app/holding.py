"""Why nothing goes to a destination, in words: what the ledger knows of it, and what its configuration says of now.

For people and dashboards. The dispatcher decides by the same figures and does not ask here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from app.config.schema import DestinationConfig
from app.flow.schedule import Schedule
from app.flow.volume import period_starts
from app.ledger import Database, rollup
from app.ledger.query import DestinationView

By = Literal["pause", "circuit", "retry-after", "quota", "schedule", "volume"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One thing that keeps a destination from being sent anything: what kind of thing, and a sentence for people."""

    by: By
    detail: str


def holding_back(
    database: Database, configs: Iterable[DestinationConfig], views: Mapping[str, DestinationView], *, now: datetime
) -> dict[str, list[Hold]]:
    """All that holds back each destination at `now` (aware); those that nothing holds back are left out."""
    found: dict[str, list[Hold]] = {name: list(_by_ledger(view, now)) for name, view in views.items()}
    configs = list(configs)
    for config in configs:
        if config.schedule is not None:
            found.setdefault(config.name, []).extend(_by_schedule(config, now))
    for name, hold in _by_volume(database, configs, now):
        found.setdefault(name, []).append(hold)
    return {name: holds for name, holds in found.items() if holds}


def _by_ledger(view: DestinationView, now: datetime) -> Iterator[Hold]:
    if view.paused:
        yield Hold(by="pause", detail=f"paused: {view.pause_reason}" if view.pause_reason else "paused")
    if view.circuit != "closed":
        yield Hold(by="circuit", detail=f"circuit {view.circuit}: {view.reason}")
    if view.not_before is not None and view.not_before > now:
        until = view.not_before.astimezone(UTC)
        yield Hold(by="retry-after", detail=f"asked to be left alone until {until:%Y-%m-%d %H:%M:%S} UTC (Retry-After)")
    if view.quota_left == 0 and view.quota_until is not None and view.quota_until > now:
        until = view.quota_until.astimezone(UTC)
        yield Hold(by="quota", detail=f"its rate limit leaves nothing until {until:%Y-%m-%d %H:%M:%S} UTC (RateLimit)")


def _by_schedule(config: DestinationConfig, now: datetime) -> Iterator[Hold]:
    assert config.schedule is not None
    opens = Schedule(config.schedule, config.time_zone).opens_at(now)
    if opens > now:
        there = opens.astimezone(ZoneInfo(config.time_zone))
        yield Hold(by="schedule", detail=f"closed until {there:%a %Y-%m-%d %H:%M} ({config.time_zone})")


def _by_volume(database: Database, configs: Sequence[DestinationConfig], now: datetime) -> Iterator[tuple[str, Hold]]:
    capped = {one.name: one for one in configs if one.limits.volume.daily or one.limits.volume.monthly}
    if not capped:
        return
    starts = {name: period_starts(now, config.time_zone) for name, config in capped.items()}
    for name, today, _ in rollup.succeeded_today(database, {name: day for name, (day, _) in starts.items()}):
        cap = capped[name].limits.volume
        if cap.daily is not None and today >= cap.daily:
            yield name, Hold(by="volume", detail=f"{today:,} of {cap.daily:,} leads delivered today")
        if cap.monthly is not None:
            day, month = starts[name]
            this_month = today + rollup.succeeded_between(database, name, month, day)
            if this_month >= cap.monthly:
                yield name, Hold(by="volume", detail=f"{this_month:,} of {cap.monthly:,} leads delivered this month")
