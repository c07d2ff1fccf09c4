"""The command line in the test's own process, on a ledger of the test's own."""

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import run
from app.cli.stack import sandbox_environment
from app.embedded.address import Address
from app.ledger import Database, work
from app.model import Attempt, Fault, Next, Outcome, Result, State
from app.settings import settings
from tests.ledger.conftest import queued
from tests.ledger.relay import Relay, relaying

TREE = Path(__file__).parents[2]
EXAMPLE = TREE / "config"
LEAD = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace", "phone_1": "+1 415 555 0132"}
SANDBOX = Address(host="127.0.0.1", port=8100, host_setting="", port_setting="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def lonely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs a command where there is neither stack nor ledger."""
    for name in [name for name in os.environ if name.startswith(("LEADRELAY_", "SANDBOX_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LEADRELAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "160")

    def call(*arguments: object, stdin: str = "") -> Ran:
        settings.cache_clear()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        code = run([str(one) for one in arguments])
        out, err = capsys.readouterr()
        return Ran(code=code, out=out, err=err)

    yield call
    settings.cache_clear()


@pytest.fixture
def leadrelay(lonely: Run, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on an empty ledger."""
    monkeypatch.setenv("LEADRELAY_DATABASE_URL", database_url)
    return lonely


@pytest.fixture
def configured(leadrelay: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on a ledger with the example configuration applied."""
    for name, value in sandbox_environment(SANDBOX, 8125).items():
        monkeypatch.setenv(name, value)
    applied = leadrelay("config", "apply", EXAMPLE)
    assert applied.code == 0, applied.err
    return leadrelay


@pytest.fixture
def lead_file(tmp_path: Path) -> Path:
    path = tmp_path / "lead.json"
    path.write_text(json.dumps(LEAD))
    return path


@pytest.fixture
def sent(configured: Run, lead_file: Path) -> dict[str, Any]:
    """A lead that was accepted: the answer of `send`."""
    found: dict[str, Any] = configured("send", lead_file, "--source", "web", "--json").json
    return found


def finish(database: Database, destination: str, outcome: Outcome, state: State) -> None:
    """Queue, claim and record everything ready for a destination, as dispatcher and worker do."""
    ids = queued(database, destination, 10_000)
    attempts = [
        Attempt(
            delivery_id=claim.delivery_id,
            token=claim.token,
            outcome=outcome,
            started_at=datetime.now(UTC),
            duration_ms=12.0,
            next=Next(state=state, fingerprint=None if state is State.DELIVERED else f"mark-{destination}"),
        )
        for claim in work.claim(database, destination, ids, lease_seconds=30)
    ]
    assert work.record(database, destination, attempts, config_version=1).stale == 0


DELIVERED = Outcome(
    result=Result.SUCCESS,
    reference="r-1",
    captured={"score": 7},
    transcript={"request": {"method": "POST", "body": "one\ntwo"}},
)
BURIED = Outcome(result=Result.ERROR, fault=Fault.PERMANENT, reason="mailbox [unavailable]")
REFUSED = Outcome(result=Result.ERROR, fault=Fault.CONFIGURATION, reason="401 from the destination")


@pytest.fixture
def relay(database: Database) -> Iterator[Relay]:
    with relaying(database) as found:
        yield found
