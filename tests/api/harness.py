"""A real API on a free port in a thread of the test process, and the ledger behind it."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from uuid import UUID

import requests

from app.api.server import Server, listen
from app.config.schema import Document
from app.ledger import Database, key, version, work
from app.model import Attempt, Next, Outcome, State
from app.settings import Settings
from tests.ledger.conftest import queued

DOCUMENT = Document.model_validate(
    {
        "sources": [
            {"name": "web", "fields": {"email": {"required": True}}},
            {"name": "partner"},
            {"name": "nowhere", "destinations": []},
        ],
        "destinations": [
            {
                "name": "crm",
                "type": "http",
                "mapping": {"email": "{{ lead.email }}"},
                "settings": {"url": "http://crm.test/"},
            }
        ],
    }
)
LEAD = {"email": "ada@example.com", "first_name": "Ada"}


@dataclass(slots=True)
class Api:
    """Where it listens, its ledger, and a key for each purpose."""

    url: str
    database: Database
    keys: Mapping[str, str]
    session: requests.Session = field(default_factory=requests.Session)

    def call(self, method: str, path: str, *, who: str = "all", **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.keys[who]}", **more.pop("headers", {})}
        return self.session.request(method, self.url + path, headers=headers, timeout=30, **more)

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.call("GET", path, **more)

    def post(self, path: str, **more: Any) -> requests.Response:
        return self.call("POST", path, **more)

    def submit(self, lead: Mapping[str, Any] | None = None, query: str = "source=web", **more: Any) -> dict[str, Any]:
        answer = self.post(f"/v1/leads?{query}", json=LEAD if lead is None else lead, **more)
        assert answer.status_code in {200, 202}, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def send_raw(self, body: bytes, content_type: str, path: str = "/v1/leads?source=partner") -> requests.Response:
        return self.post(path, data=body, headers={"Content-Type": content_type})


def finish(database: Database, deliveries: Sequence[str], outcome: Outcome, state: State) -> None:
    """Queue, claim and record, as dispatcher and worker do."""
    wanted = [UUID(one) for one in deliveries]
    queued(database, "crm", 10_000)
    attempts = [
        Attempt(
            delivery_id=claim.delivery_id,
            token=claim.token,
            outcome=outcome,
            started_at=datetime.now(UTC),
            duration_ms=12.0,
            next=Next(state=state, fingerprint="f" * 12 if state is State.DEAD else None),
        )
        for claim in work.claim(database, "crm", wanted, lease_seconds=30)
    ]
    assert len(attempts) == len(wanted)
    assert work.record(database, "crm", attempts, config_version=1).stale == 0


@contextmanager
def serving(settings: Settings) -> Iterator[tuple[Server, str]]:
    """A server in a thread, and its address."""
    server = Server(settings)
    with listen("127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            requests.get(f"{url}/livez", timeout=10).raise_for_status()
            yield server, url
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive(), "the API did not stop"


@contextmanager
def running(database_url: str, home: Path, document: Document = DOCUMENT, **settings: Any) -> Iterator[Api]:
    """An API that is ready, over a ledger with a configuration applied and keys made."""
    database = Database(database_url, size=2)
    version.write(database, document.model_dump(mode="json"), changed=[], actor="test")
    scopes = {"all": list(key.SCOPES), **{name: [name] for name in key.SCOPES}}
    keys = {
        name: key.create(database, name=name, scopes=frozenset(found), source=None, actor="test")
        for name, found in scopes.items()
    }
    keys["partner"] = key.create(
        database, name="partner", scopes=frozenset(scopes["all"]), source="partner", actor="test"
    )
    with serving(Settings(database_url=database_url, home=home, **settings)) as (_, url):
        wait_until(lambda: requests.get(f"{url}/readyz", timeout=10).ok, "ready")
        yield Api(url, database, keys)
    database.close()


def wait_until(check: Any, what: str, within_seconds: float = 10.0) -> None:
    until = monotonic() + within_seconds
    while not check():
        assert monotonic() < until, f"not within {within_seconds} s: {what}"
        sleep(0.01)
