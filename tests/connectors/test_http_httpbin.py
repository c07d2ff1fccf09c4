"""The HTTP connector against httpbin under gunicorn: a server that nobody wrote for these tests says what it received."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from time import monotonic, sleep
from typing import Any

import pytest
import requests

from app.config.schema import LimitsConfig, ResponseConfig
from app.connectors._http import cache
from app.connectors._http.connector import HttpConnector
from app.connectors._http.settings import HttpSettings
from app.errors import ConfigurationFault
from app.model import Fault, Item, Outcome, Result
from tests.connectors.fault_server import LOCAL, closed_port

LEAD = {"email": "ann.lee@example.com", "city": "Łódź"}
KEY = "0199c8e2-0000-7000-8000-000000000001"


@pytest.fixture(scope="module")
def httpbin() -> Iterator[str]:
    url = f"http://127.0.0.1:{(port := closed_port())}"
    command = [sys.executable, "-m", "gunicorn", "--threads", "4", "--bind", f"127.0.0.1:{port}", "httpbin:app"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ends = monotonic() + 20
        while not _answers(f"{url}/status/200"):
            assert server.poll() is None, "httpbin does not come up"
            assert monotonic() < ends, "httpbin does not answer"
            sleep(0.05)
        yield url
    finally:
        server.terminate()
        server.wait(10)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.RequestException:
        return False


def connector(url: str, response: Mapping[str, Any] | None = None, **settings: Any) -> HttpConnector:
    return HttpConnector(
        "httpbin",
        HttpSettings.model_validate({"url": url, **settings}),
        limits=LimitsConfig(concurrency=2, timeout_seconds=5),
        response=ResponseConfig.model_validate(response or {}),
        network=LOCAL,
    )


def deliver(url: str, response: Mapping[str, Any] | None = None, **settings: Any) -> Outcome:
    sender = connector(url, response, **settings)
    try:
        return sender.deliver(Item(payload=LEAD, key=KEY, attempt=1, deadline=monotonic() + 5))
    finally:
        sender.close()


def said(outcome: Outcome) -> Mapping[str, Any]:
    """What httpbin received, as it told."""
    assert (outcome.result, outcome.captured is None) == (Result.SUCCESS, False), outcome
    found: Mapping[str, Any] = (outcome.captured or {})["document"]
    return found


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_each_method_carries_the_lead_and_its_key(httpbin: str, method: str) -> None:
    found = said(deliver(f"{httpbin}/{method.lower()}?v=2", method=method, headers={"X-Campaign": "spring"}))
    assert (found["json"], found["args"]) == (LEAD, {"v": "2"})
    assert (found["headers"]["Idempotency-Key"], found["headers"]["X-Campaign"]) == (KEY, "spring")


def test_a_get_carries_it_in_the_query(httpbin: str) -> None:
    assert said(deliver(f"{httpbin}/get", method="GET", body="query"))["args"] == LEAD


@pytest.mark.parametrize("body", ["form", "multipart"])
def test_forms_are_read_as_forms(httpbin: str, body: str) -> None:
    auth = {"api_key": {"in": "body", "name": "partner.key", "value": "k3y"}}
    assert said(deliver(f"{httpbin}/post", body=body, auth=auth))["form"] == {**LEAD, "partner.key": "k3y"}


def test_a_file_is_received_as_one(httpbin: str) -> None:
    files = {"city": {"filename": "city.txt", "content_type": "text/plain", "encoding": "text"}}
    found = said(deliver(f"{httpbin}/post", body="multipart", files=files))
    assert (found["form"], found["files"]) == ({"email": LEAD["email"]}, {"city": LEAD["city"]})


@pytest.mark.parametrize(
    ("path", "auth"),
    [
        ("basic-auth/leads/hush", {"basic": {"username": "leads", "password": "hush"}}),
        ("bearer", {"bearer": {"token": "tok-1"}}),
        ("digest-auth/auth/leads/hush/MD5", {"digest": {"username": "leads", "password": "hush"}}),
        ("digest-auth/auth/leads/hush/SHA-256", {"digest": {"username": "leads", "password": "hush"}}),
    ],
)
def test_credentials_are_accepted_and_without_them_it_is_a_configuration_error(
    httpbin: str, path: str, auth: dict[str, Any]
) -> None:
    url = f"{httpbin}/{path}"
    assert said(deliver(url, method="GET", body="none", auth=auth))["authenticated"] is True
    assert deliver(url, method="GET", body="none").fault is Fault.CONFIGURATION


def test_wrong_passwords_are_a_configuration_error(httpbin: str) -> None:
    for kind in ("basic", "digest"):
        auth = {kind: {"username": "leads", "password": "wrong"}}
        path = "basic-auth/leads/hush" if kind == "basic" else "digest-auth/auth/leads/hush/MD5"
        assert deliver(f"{httpbin}/{path}", method="GET", body="none", auth=auth).fault is Fault.CONFIGURATION


@pytest.mark.parametrize(("path", "mark"), [("gzip", "gzipped"), ("deflate", "deflated"), ("brotli", "brotli")])
def test_compressed_answers_are_read(httpbin: str, path: str, mark: str) -> None:
    assert said(deliver(f"{httpbin}/{path}", method="GET", body="none"))[mark] is True


@pytest.mark.parametrize(
    ("status", "result", "fault"),
    [
        (200, Result.SUCCESS, None),
        (201, Result.SUCCESS, None),
        (204, Result.SUCCESS, None),
        (400, Result.FAILURE, None),
        (401, Result.ERROR, Fault.CONFIGURATION),
        (403, Result.ERROR, Fault.CONFIGURATION),
        (404, Result.FAILURE, None),
        (418, Result.FAILURE, None),
        (429, Result.ERROR, Fault.TRANSIENT),
        (500, Result.ERROR, Fault.TRANSIENT),
        (503, Result.ERROR, Fault.TRANSIENT),
    ],
)
def test_statuses_mean_what_the_page_says(httpbin: str, status: int, result: Result, fault: Fault | None) -> None:
    outcome = deliver(f"{httpbin}/status/{status}")
    assert (outcome.result, outcome.fault) == (result, fault)


def test_redirects_are_followed_as_far_as_they_may_be(httpbin: str) -> None:
    found = said(deliver(f"{httpbin}/redirect-to?url=%2Fpost&status_code=307", redirects=2))
    assert found["json"] == LEAD
    assert said(deliver(f"{httpbin}/relative-redirect/3", method="GET", body="none", redirects=3))["headers"]
    assert deliver(f"{httpbin}/redirect/1", method="GET", body="none").fault is Fault.CONFIGURATION
    with pytest.raises(ConfigurationFault, match="more than 2 times"):
        deliver(f"{httpbin}/absolute-redirect/3", method="GET", body="none", redirects=2)


def test_a_cookie_set_on_the_way_is_sent_back(httpbin: str) -> None:
    found = said(deliver(f"{httpbin}/cookies/set?sid=s-1", method="GET", body="none", redirects=1, cookies=True))
    assert found["cookies"] == {"sid": "s-1"}


def test_answers_of_other_kinds_are_read_by_their_rules(httpbin: str) -> None:
    xml = deliver(f"{httpbin}/xml", {"reference": "/slideshow/@author"}, method="GET", body="none")
    html = deliver(f"{httpbin}/html", {"reason": "h1"}, method="GET", body="none")
    assert (xml.reference, html.reason) == ("Yours Truly", "Herman Melville - Moby-Dick")


def test_a_kept_answer_is_revalidated_by_its_etag(httpbin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sender = connector(f"{httpbin}/etag/v1", method="GET", body="none", cache={"ttl_seconds": 1})
    outcomes = []
    for ahead in (0, 2):
        monkeypatch.setattr(cache, "monotonic", lambda ahead=ahead: monotonic() + ahead)
        outcomes.append(sender.deliver(Item(payload={}, key=KEY, attempt=1, deadline=monotonic() + 5)))
    sender.close()
    assert [outcome.result for outcome in outcomes] == [Result.SUCCESS] * 2
    assert "cached" in (outcomes[1].transcript or {}), "httpbin said 304"


def test_a_slow_answer_is_left_at_the_time_limit(httpbin: str) -> None:
    sender = connector(f"{httpbin}/delay/1", method="GET", body="none")
    begun = monotonic()
    sent = sender.deliver_many(
        [Item(payload={}, key=KEY, attempt=1, deadline=monotonic() + 0.3)], until=monotonic() + 1
    )
    sender.close()
    assert monotonic() - begun < 1.5
    assert getattr(sent[0].answer, "fault", None) is Fault.TRANSIENT
