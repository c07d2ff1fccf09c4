"""Stages to play on, which scenarios run, and how to play a failed one again."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
import requests

from app.ledger import Database
from app.sandbox.process import Running
from tests.chaos.eavesdropper import overheard
from tests.chaos.generator import plan
from tests.chaos.stage import CONNECTIONS, Stage
from tests.tasks.conftest import FAST, sandbox

__all__ = ["sandbox"]

DAILY_SEED = 1
DAILY_SECONDS = 170.0
"""What `make test` spends on scenarios, in the seconds they say they take; `make chaos` (CHAOS_SEED is set) plays all."""
SEED = int(os.environ.get("CHAOS_SEED") or DAILY_SEED)

Build = Callable[..., Stage]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "scenario(seconds, daily=None): a scenario, and about how long it takes; daily: always or never in `make test`",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    scenarios = [(item, mark) for item in items if (mark := item.get_closest_marker("scenario"))]
    if os.environ.get("CHAOS_SEED") or len(scenarios) < 3:  # asked for by name
        return
    random.Random(DAILY_SEED).shuffle(scenarios)
    scenarios.sort(key=lambda one: not one[1].kwargs.get("daily", False))
    left, dropped = DAILY_SECONDS, []
    for item, mark in scenarios:
        seconds = mark.kwargs["seconds"]
        if seconds > left or mark.kwargs.get("daily") is False:
            dropped.append(item)
        else:
            left -= seconds
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if item not in dropped]


def pytest_report_header() -> str:
    return f"CHAOS_SEED={SEED}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed and item.get_closest_marker("scenario"):
        again = f"CHAOS_SEED={SEED} .venv/bin/python -m pytest '{item.nodeid}'"
        report.sections.append(("play it again", again))
    return report


@contextmanager
def staged(
    request: pytest.FixtureRequest,
    sandbox: Running,
    folder: Path,
    *,
    database_url: str,
    broker_url: str,
    through: dict[str, str] | None = None,
    **settings: str,
) -> Iterator[Stage]:
    """A stage on these servers; `through` has workers use other addresses for them, such as a proxy's."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LEADRELAY_", "CHAOS_"))}
    addresses = {"LEADRELAY_DATABASE_URL": database_url, "LEADRELAY_BROKER_URL": broker_url} | (through or {})
    environment = {
        **clean,
        **{f"LEADRELAY_{name}": value for name, value in {**FAST, **settings}.items()},
        **addresses,
        "LEADRELAY_HOME": str(folder / "home"),
        "BUYER_KEY": "sandbox-buyer-key",
    }
    requests.delete(f"{sandbox.url}/api/receipts", timeout=5).raise_for_status()
    database = Database(database_url, size=CONNECTIONS)
    log = folder / "workers.txt"
    log.touch()
    is_redis = broker_url.startswith("redis")
    with ExitStack() as stack:
        if is_redis:
            stack.enter_context(overheard(broker_url, folder / "broker.txt"))
        found = Stage(
            database=database,
            environment=environment,
            broker=redis.Redis.from_url(broker_url) if is_redis else redis.Redis(),
            sandbox=sandbox,
            log=log,
            folder=folder,
            plan=plan(SEED, request.node.name),
            direct_database_url=database_url,
            direct_broker_url=broker_url,
        )
        found.faults()
        try:
            yield found
        finally:
            found.stop()
            found.broker.close()
            database.close()


@pytest.fixture
def build(request: pytest.FixtureRequest, sandbox: Running, tmp_path: Path) -> Iterator[Build]:
    """Makes a stage on servers of the scenario's choice."""
    with ExitStack() as stack:

        def make(**wanted: object) -> Stage:
            folder = tmp_path / "evidence"
            folder.mkdir()
            return stack.enter_context(staged(request, sandbox, folder, **wanted))  # type: ignore[arg-type]

        yield make


@pytest.fixture
def stage(database_url: str, broker_url: str, build: Build) -> Stage:
    """A stage on the session's PostgreSQL and the module's Valkey."""
    with redis.Redis.from_url(broker_url) as broker:
        broker.flushall()
    return build(database_url=database_url, broker_url=broker_url)
