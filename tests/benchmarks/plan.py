"""What a rate of leads takes, from measured costs: `python -m tests.benchmarks.plan 10000 [DESTINATIONS OF A LEAD]`.

Reads build/bench.json and prints the table of docs/scaling.md. Costs are those of a lead that comes alone by POST, the
dearest way; a core is planned to be half busy, so that a peak of twice the rate still fits.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

BENCH = Path("build/bench.json")
BUSY = 0.5
"""Share of a core that is planned to be in use."""
GROUP = 65
"""Deliveries of one message where single POSTs come at such rates (docs/performance.md)."""
_DAY = 86_400
_END_TO_END, _DRAIN = "end to end, single POSTs / FastAPI + Celery + requests", "CPU per delivery, workers and servers"
_STORED, _LOGGED = "ledger per delivery, lead included", "WAL per delivery, lead included"


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """CPU in µs and bytes: of a lead in the API, of a delivery elsewhere."""

    api_us: float
    workers_us: float
    servers_us: float
    stored: float
    logged: float


def read(path: Path) -> Costs:
    """Costs of a run; raises `KeyError` for the figure that it lacks."""
    figures: Mapping[str, Mapping[str, Any]] = {one["name"]: one for one in json.loads(path.read_text())["figures"]}
    flow = figures[_END_TO_END]["details"]
    return Costs(
        api_us=flow["API µs"],
        workers_us=flow["workers µs"],
        servers_us=flow["servers µs"],
        stored=median(figures[_STORED]["ours"]),
        logged=median(figures[_LOGGED]["ours"]),
    )


def plan(costs: Costs, leads: float, destinations: float) -> list[tuple[str, str, str]]:
    """(part, how it is computed, how much) for so many leads a second, each to so many destinations."""
    sends = leads * destinations

    def cores(per_second: float, cost_us: float) -> tuple[str, str]:
        busy = per_second * cost_us / 1e6
        return f"{per_second:,.0f}/s x {cost_us:.0f} µs = {busy:.1f} cores busy", f"{ceil(busy / BUSY)}"

    logged = sends * costs.logged
    return [
        ("API processes", *cores(leads, costs.api_us)),
        ("worker processes", *cores(sends, costs.workers_us)),
        ("cores of PostgreSQL and Valkey", *cores(sends, costs.servers_us)),
        (
            "WAL",
            f"{sends:,.0f}/s x {costs.logged:,.0f} bytes",
            f"{logged / 1e6:.0f} MB/s, {logged * _DAY / 1e12:.1f} TB/day",
        ),
        ("ledger", f"{sends:,.0f}/s x {costs.stored:,.0f} bytes", f"{sends * costs.stored * _DAY / 1e12:.2f} TB/day"),
        ("messages of the broker", f"groups of {GROUP}", f"{sends / GROUP:,.0f}/s"),
    ]


def main() -> None:
    """Print the plan."""
    leads = float(sys.argv[1])
    destinations = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0  # the second argument
    lines = ["| part | computed | planned |", "|---|---|---|"]
    lines += [f"| {part} | {how} | {much} |" for part, how, much in plan(read(BENCH), leads, destinations)]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
