"""/metrics for Prometheus, read from the ledger at scrape time: right whichever process answers, and after any restart.

| metric | type | labels | tells |
|---|---|---|---|
| `leadrelay_leads_accepted_total` | counter | source | leads accepted; events are leads of the source `events` |
| `leadrelay_submissions_repeated_total` | counter | | submissions whose idempotency key was used before |
| `leadrelay_hook_refusals_total` | counter | source, reason | webhooks refused: signature missing, malformed, stale, mismatch |
| `leadrelay_feedback_total` | counter | destination, type | conversions and returns that were reported |
| `leadrelay_feedback_value_total` | counter | destination, type, currency | what they were worth, as reported |
| `leadrelay_attempts_total` | counter | destination, result, fault | attempts made, by what came of them |
| `leadrelay_attempt_duration_seconds` | histogram | destination | how long the destination took to answer |
| `leadrelay_deliveries` | gauge | destination, state | deliveries that are ready, queued, delivering, held or dead |
| `leadrelay_oldest_due_seconds` | gauge | destination | how long the oldest due delivery has waited |
| `leadrelay_circuit_open` | gauge | destination | 1 while errors or a configuration fault keep it shut |
| `leadrelay_circuit_openings` | gauge | destination | how often its circuit opened since it was closed last |
| `leadrelay_rejections_in_row` | gauge | destination | rejections since its last success, where a run of them is watched |
| `leadrelay_destination_paused` | gauge | destination | 1 while an operator, or a run of rejections, keeps it shut |
| `leadrelay_destination_held_back` | gauge | destination, by | 1 per kind: pause, circuit, retry-after, quota, schedule, volume |

Labels are names from the configuration, never values of a lead.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app.catalog import Catalog
from app.holding import Hold, holding_back
from app.ledger import Database, feedback, query, refusal, rollup
from app.ledger.query import DestinationView
from app.ledger.rollup import BUCKETS, Figures
from app.model import WAITING, State

KEPT_SECONDS = 1.0
LIVE = (*sorted(WAITING), State.HELD, State.DEAD)


class Metrics(Collector):
    """The ledger's figures as metric families; keeps a page for a second, so that scrapers cannot load the ledger."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._lock = threading.Lock()
        self._page = b""
        self._made_at = float("-inf")

    def page(self) -> bytes:
        """The text Prometheus reads; raises `Unavailable`."""
        with self._lock:
            if monotonic() - self._made_at >= KEPT_SECONDS:
                self._page = generate_latest(self._registry)
                self._made_at = monotonic()
            return self._page

    def describe(self) -> list[Metric]:
        """Nothing: names are known only from the ledger, and registering must not ask it."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every metric family."""
        figures = rollup.figures(self._database)
        views = query.destinations(self._database)
        yield from _intake(figures)
        yield _refusals(refusal.totals(self._database))
        yield from _feedback(feedback.figures(self._database))
        yield from _attempts(figures)
        yield from _destinations(views)
        configs = [step.config for step in self._catalog.current.steps.values()]
        yield _held_back(holding_back(self._database, configs, views, now=datetime.now(UTC)))


def _intake(figures: Figures) -> Iterator[Metric]:
    accepted = CounterMetricFamily("leadrelay_leads_accepted", "Leads accepted, by source.", labels=["source"])
    for source, leads in sorted(figures.accepted.items()):
        accepted.add_metric([source], leads)
    yield accepted
    yield CounterMetricFamily(
        "leadrelay_submissions_repeated",
        "Submissions whose idempotency key was used before.",
        value=figures.repeated,
    )


def _refusals(counts: refusal.Counts) -> Metric:
    refused = CounterMetricFamily(
        "leadrelay_hook_refusals", "Webhooks that were refused, by reason.", labels=["source", "reason"]
    )
    for cell, count in sorted(counts.items()):
        refused.add_metric(cell, count)
    return refused


def _feedback(figures: Sequence[feedback.Figure]) -> Iterator[Metric]:
    reported = CounterMetricFamily(
        "leadrelay_feedback", "Conversions and returns that were reported.", labels=["destination", "type"]
    )
    value = CounterMetricFamily(
        "leadrelay_feedback_value", "What they were worth.", labels=["destination", "type", "currency"]
    )
    totals: defaultdict[tuple[str, str], int] = defaultdict(int)
    for figure in figures:
        totals[figure.destination, figure.type] += figure.count
        if figure.currency:
            value.add_metric([figure.destination, figure.type, figure.currency], float(figure.value))
    for cell, count in sorted(totals.items()):
        reported.add_metric(cell, count)
    yield from (reported, value)


def _attempts(figures: Figures) -> Iterator[Metric]:
    labels = ["destination", "result", "fault"]
    attempts = CounterMetricFamily("leadrelay_attempts", "Attempts made, by what came of them.", labels=labels)
    totals: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS) + 1))
    seconds: defaultdict[str, float] = defaultdict(float)
    for destination, result, fault, bucket, count, total_ms in figures.attempts:
        totals[destination, result, fault] += count
        counts[destination][bucket] += count
        seconds[destination] += total_ms / 1000
    for cell, count in sorted(totals.items()):
        attempts.add_metric(cell, count)
    yield attempts
    durations = HistogramMetricFamily(
        "leadrelay_attempt_duration_seconds", "How long destinations took to answer.", labels=["destination"]
    )
    bounds = [*(str(bound / 1000) for bound in BUCKETS), "+Inf"]
    for destination, found in sorted(counts.items()):
        running = [sum(found[: place + 1]) for place in range(len(found))]
        durations.add_metric([destination], list(zip(bounds, running, strict=True)), seconds[destination])
    yield durations


def _destinations(views: dict[str, DestinationView]) -> Iterator[Metric]:
    live = GaugeMetricFamily(
        "leadrelay_deliveries", "Deliveries that have not ended, and dead ones.", labels=["destination", "state"]
    )
    oldest = GaugeMetricFamily(
        "leadrelay_oldest_due_seconds", "How long the oldest due delivery has waited.", labels=["destination"]
    )
    circuit = GaugeMetricFamily(
        "leadrelay_circuit_open",
        "1 while errors or a configuration fault keep a destination shut.",
        labels=["destination"],
    )
    paused = GaugeMetricFamily(
        "leadrelay_destination_paused",
        "1 while an operator, or a run of rejections, keeps a destination shut.",
        labels=["destination"],
    )
    openings = GaugeMetricFamily(
        "leadrelay_circuit_openings", "How often a circuit opened since it was closed last.", labels=["destination"]
    )
    rejections = GaugeMetricFamily(
        "leadrelay_rejections_in_row", "Rejections since the last success, where watched.", labels=["destination"]
    )
    for name, view in sorted(views.items()):
        for state in LIVE:
            live.add_metric([name, state.value], view.counts.get(state.value, 0))
        oldest.add_metric([name], view.oldest_seconds)
        circuit.add_metric([name], float(view.circuit != "closed"))
        openings.add_metric([name], view.openings)
        rejections.add_metric([name], view.rejections_in_row)
        paused.add_metric([name], float(view.paused))
    yield from (live, oldest, circuit, openings, rejections, paused)


def _held_back(holds: Mapping[str, Sequence[Hold]]) -> Metric:
    found = GaugeMetricFamily(
        "leadrelay_destination_held_back",
        "1 while this keeps a destination from getting anything.",
        labels=["destination", "by"],
    )
    for name, kinds in sorted((name, {hold.by for hold in one}) for name, one in holds.items()):
        for kind in sorted(kinds):
            found.add_metric([name, kind], 1.0)
    return found
