"""One running sandbox per module, made to forget and behave before each test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from app.sandbox import Running, running

TARGETS = ("salesforce", "hubspot", "buyer", "smtp", "subscriber")
Count = Callable[[str], dict[str, int]]
Break = Callable[..., None]


@pytest.fixture(scope="module")
def process() -> Iterator[Running]:
    with running() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(process: Running) -> Running:
    requests.delete(f"{process.url}/api/receipts", timeout=5).raise_for_status()
    for target in TARGETS:
        requests.delete(f"{process.url}/api/faults/{target}", timeout=5).raise_for_status()
    return process


@pytest.fixture
def count(sandbox: Running) -> Count:
    """The counts of one stand-in."""

    def read(target: str) -> dict[str, int]:
        counts: dict[str, int] = requests.get(f"{sandbox.url}/api/summary", timeout=5).json()[target]
        return counts

    return read


@pytest.fixture
def wreck(sandbox: Running) -> Break:
    """Puts a plan of faults in force."""

    def put(target: str, **plan: Any) -> None:
        requests.put(f"{sandbox.url}/api/faults/{target}", json=plan, timeout=5).raise_for_status()

    return put
