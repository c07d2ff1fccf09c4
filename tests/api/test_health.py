"""Health, metrics, the document, and the end of a process."""

import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from app.api.problem import Kind
from app.api.server import listen
from app.errors import Unavailable
from app.ledger import Database, key, migrate, revision, version
from app.ledger.key import create
from app.model import Fault, Outcome, Result, State
from app.settings import Settings
from app.telemetry import Event
from tests.api.harness import DOCUMENT, LEAD, Api, finish, running, serving, wait_until


def figures(api: Api) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = requests.get(f"{api.url}/metrics", timeout=10)
    assert answer.headers["Content-Type"].startswith("text/plain")
    names = re.findall(r"# TYPE (\w+)", answer.text)
    assert len(names) == len(set(names))
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_are_what_the_ledger_says(api: Api) -> None:
    twice = {"Idempotency-Key": "metrics"}
    leads = [api.submit(), api.submit(headers=twice), api.submit(headers=twice), api.submit()]
    ids = [lead["deliveries"][0]["id"] for lead in leads]
    finish(api.database, ids[:1], Outcome(result=Result.SUCCESS), State.DELIVERED)
    finish(api.database, ids[1:2], Outcome(result=Result.ERROR, fault=Fault.DATA, reason="no e-mail"), State.DEAD)
    crm = ("destination", "crm")

    def settled() -> bool:
        found = figures(api)
        return found.get(("leadrelay_leads_accepted_total", frozenset({("source", "web")}))) == 3.0

    wait_until(settled, "a page made after the last lead")
    found = figures(api)
    assert found["leadrelay_submissions_repeated_total", frozenset()] == 1
    success = frozenset({crm, ("result", "success"), ("fault", "")})
    assert found["leadrelay_attempts_total", success] == 1
    assert found["leadrelay_attempts_total", frozenset({crm, ("result", "error"), ("fault", "data")})] == 1
    assert found["leadrelay_attempt_duration_seconds_bucket", frozenset({crm, ("le", "0.01")})] == 0
    assert found["leadrelay_attempt_duration_seconds_bucket", frozenset({crm, ("le", "0.025")})] == 2
    assert found["leadrelay_attempt_duration_seconds_bucket", frozenset({crm, ("le", "+Inf")})] == 2
    assert found["leadrelay_attempt_duration_seconds_sum", frozenset({crm})] == pytest.approx(0.024)
    assert found["leadrelay_deliveries", frozenset({crm, ("state", "dead")})] == 1
    assert found["leadrelay_deliveries", frozenset({crm, ("state", "held")})] == 0
    assert found["leadrelay_oldest_due_seconds", frozenset({crm})] >= 0
    assert found["leadrelay_circuit_open", frozenset({crm})] == 0


def test_what_holds_a_destination_back_is_told_by_api_and_metrics(api: Api) -> None:
    held = ("leadrelay_destination_held_back", frozenset({("destination", "crm"), ("by", "pause")}))
    assert held not in figures(api)
    paused = api.post("/v1/destinations/crm/pause").json()
    assert paused["holding_back"] == [{"by": "pause", "detail": "paused"}]
    assert paused["notice"] is None
    assert {one["name"]: one["holding_back"] for one in api.get("/v1/destinations").json()}["crm"]
    wait_until(lambda: figures(api).get(held) == 1, "a page made after the pause")
    found = figures(api)
    assert found["leadrelay_circuit_openings", frozenset({("destination", "crm")})] == 0
    assert found["leadrelay_rejections_in_row", frozenset({("destination", "crm")})] == 0


def test_documentation_stands_on_its_own(api: Api) -> None:
    page = requests.get(f"{api.url}/docs", timeout=10)
    assert page.headers["Content-Type"].startswith("text/html")
    assert "<script" not in page.text
    assert not re.search(r"(src|href)=\"(https?:)?//", page.text)
    document = requests.get(f"{api.url}/openapi.json", timeout=10).json()
    for path in document["paths"]:
        assert path in page.text
    for kind in Kind:
        assert f'id="{kind.slug}"' in page.text
    for name in re.findall(r'href="#(\w+)"', page.text):
        assert f'id="{name}"' in page.text


def test_health_is_open_and_told(api: Api) -> None:
    assert requests.get(f"{api.url}/livez", timeout=10).json() == {"status": "alive"}
    assert requests.get(f"{api.url}/readyz", timeout=10).json() == {
        "status": "ready",
        "config_version": 1,
        "broker": "none",
    }


@pytest.mark.parametrize("broker", ["redis://127.0.0.1:1/0", "sentinel://127.0.0.1:1;sentinel://127.0.0.1:2"])
def test_a_broker_out_of_reach_is_told_and_fails_nothing(database_url: str, tmp_path: Path, broker: str) -> None:
    with running(database_url, tmp_path, broker_url=broker) as api:
        ready = requests.get(f"{api.url}/readyz", timeout=10)
        assert (ready.status_code, ready.json()["broker"]) == (200, "unreachable")
        api.submit()


def test_of_several_sentinels_one_that_answers_is_enough(database_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        broker = f"sentinel://127.0.0.1:1;sentinel://127.0.0.1:{listening.getsockname()[1]}/0"
        with running(database_url, tmp_path, broker_url=broker) as api:
            assert requests.get(f"{api.url}/readyz", timeout=10).json()["broker"] == "reachable"


def test_without_a_configuration_it_is_alive_and_not_ready(database_url: str, tmp_path: Path) -> None:
    with serving(Settings(database_url=database_url, home=tmp_path)) as (_, url):

        def detail() -> str:
            answer = requests.get(f"{url}/readyz", timeout=10)
            assert (answer.status_code, answer.json()["type"]) == (503, "/docs#unavailable")
            return str(answer.json()["detail"])

        wait_until(lambda: "config apply" in detail(), "it says what is missing")


@pytest.mark.parametrize("path", ["/v1/leads", "/v1/leads/bulk"])
def test_without_a_configuration_leads_are_not_refused_but_asked_to_come_again(
    database: Database, tmp_path: Path, path: str
) -> None:
    secret = create(database, name="shop", scopes=frozenset({"submit"}), source=None, actor="test")
    headers = {
        "X-API-Key": secret,
        "Content-Type": "application/x-ndjson" if path.endswith("bulk") else "application/json",
    }
    with serving(Settings(database_url=database.url, home=tmp_path)) as (_, url):
        answer = requests.post(
            f"{url}{path}?source=web", data=b'{"email": "ada@example.com"}', headers=headers, timeout=10
        )
        assert (answer.status_code, answer.json()["type"]) == (503, "/docs#unavailable")


def test_without_a_ledger_it_says_so_and_when_to_come_back(tmp_path: Path) -> None:
    settings = Settings(database_url="postgresql://nobody@127.0.0.1:1/none", home=tmp_path)
    with serving(settings) as (_, url), ThreadPoolExecutor(2) as threads:
        ready = threads.submit(requests.get, f"{url}/readyz", timeout=20)
        sent = threads.submit(
            requests.post, f"{url}/v1/leads?source=web", json=LEAD, headers={"X-API-Key": "lr_x"}, timeout=20
        )
        for answer in (ready.result(), sent.result()):
            assert (answer.status_code, answer.json()["type"]) == (503, "/docs#unavailable")
            assert int(answer.headers["Retry-After"]) > 0
        assert requests.get(f"{url}/livez", timeout=10).ok


def test_a_new_configuration_is_taken_up_while_it_runs(api: Api) -> None:
    document = version.read(api.database).document
    document["sources"].append({"name": "late"})
    version.write(api.database, document, changed=[], actor="test")
    wait_until(lambda: api.post("/v1/leads?source=late", json=LEAD).status_code == 202, "the new source is known", 5.0)


def test_an_api_that_starts_before_the_migration_waits_for_it(
    outdated_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[Event] = []
    monkeypatch.setattr(revision, "emit", lambda event, **_: logged.append(event))
    with serving(Settings(database_url=outdated_database_url, home=tmp_path)) as (_, url):

        def said(path: str, method: str = "GET") -> str:
            answer = requests.request(method, url + path, json=LEAD, headers={"X-API-Key": "lr_x"}, timeout=10)
            assert (answer.status_code, answer.json()["type"]) == (503, "/docs#unavailable")
            assert int(answer.headers["Retry-After"]) > 0
            return str(answer.json()["detail"])

        wait_until(lambda: "run `leadrelay migrate`" in said("/readyz"), "it says what it waits for")
        for path, method in (
            ("/v1/leads", "POST"),
            ("/v1/hooks/web", "POST"),
            ("/v1/destinations", "GET"),
            ("/metrics", "GET"),
        ):
            assert "run `leadrelay migrate`" in said(path, method)
        assert requests.get(f"{url}/livez", timeout=10).ok
        assert requests.get(f"{url}/docs", timeout=10).ok
        migrate(outdated_database_url)
        wait_until(lambda: "apply one with `leadrelay config apply`" in said("/readyz"), "it goes on")
        assert requests.get(f"{url}/metrics", timeout=10).ok
    assert logged == [Event.LEDGER_OUTDATED]


def test_an_api_of_the_release_before_goes_on_beside_newer_tables(database: Database, tmp_path: Path) -> None:
    database.fetch("update schema_version set version_num = '9999' returning 1")
    with running(database.url, tmp_path) as api:
        assert api.submit()["deliveries"]


PROGRAM = "from app.api.server import serve; from app.settings import settings; serve(settings())"


def test_a_terminated_process_answers_who_waits_and_ends_well(database_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    database = Database(database_url, size=2)
    version.write(database, DOCUMENT.model_dump(mode="json"), changed=[], actor="test")
    secret = key.create(database, name="k", scopes=frozenset({"submit"}), source="web", actor="test")
    names = {"DATABASE_URL": database_url, "API_PORT": str(port), "HOME": str(tmp_path)}
    environment = {**os.environ, **{f"LEADRELAY_{name}": value for name, value in names.items()}}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, cwd=Path(__file__).parents[2])
    try:
        wait_until(lambda: is_ready(port), "the process is ready", 30)
        url = f"http://127.0.0.1:{port}/v1/leads?wait=30"
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(requests.post, url, json=LEAD, headers={"X-API-Key": secret}, timeout=40)
            wait_until(lambda: database.fetch("select 1 from leads"), "the lead is in the ledger")
            began = monotonic()
            process.send_signal(signal.SIGTERM)
            assert waiting.result(10).status_code == 202
        assert process.wait(10) == 0
        assert monotonic() - began < 5
    finally:
        process.kill()
        process.wait()
        database.close()


def is_ready(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=2).ok
    except requests.ConnectionError:
        return False


def test_a_taken_port_is_said_with_the_setting_to_change() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(Unavailable, match="LEADRELAY_API_PORT"):
        listen("127.0.0.1", taken.getsockname()[1])
