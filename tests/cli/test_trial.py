"""Destinations tried before they go live: previews, interpretations, tests, checks and descriptions."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from app.cli.stack import sandbox_environment
from app.embedded.address import Address
from app.sandbox.process import Running, running
from tests.cli.conftest import EXAMPLE, LEAD, Run
from tests.connectors.fault_server import FaultServer, answer, closed_port, hang
from tests.connectors.fault_server import running as server_running
from tests.connectors.token_endpoint import SECRET as TOKEN_SECRET
from tests.connectors.token_endpoint import buying

SECRET = "kept-s3cret"
KEEN: Mapping[str, Any] = {
    "type": "http",
    "settings": {
        "url": "https://${env:KEEN_HOST}/leads?campaign=7&key=${env:KEEN_KEY}",
        "auth": {"basic": {"username": "ann", "password": "${env:KEEN_PASSWORD}"}},
        "headers": {"X-Partner": "${file:/run/secrets/partner}", "X-Plain": "a"},
    },
    "mapping": {"email": "{{ lead.email }}", "access_token": "{{ lead.first_name }}", "test": "{{ delivery.test }}"},
    "response": {"search": {"path": "ok", "term": "true"}, "reason": "why", "price": "pays", "reference": "id"},
}


@pytest.fixture(scope="module")
def process() -> Iterator[Running]:
    with running() as found:
        yield found


@pytest.fixture
def sandbox(process: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    """A sandbox of the module's own, with what the example configuration wants to know of it."""
    requests.delete(f"{process.url}/api/receipts", timeout=5).raise_for_status()
    for target in ("buyer", "hubspot", "salesforce", "smtp", "subscriber"):
        requests.delete(f"{process.url}/api/faults/{target}", timeout=5).raise_for_status()
    place = Address(host=process.host, port=process.port, host_setting="", port_setting="")
    for name, value in sandbox_environment(place, process.smtp_port).items():
        monkeypatch.setenv(name, value)
    return process


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path, KEEN)


def written(folder: Path, destination: Mapping[str, Any]) -> Path:
    path = folder / "keen.yaml"
    path.write_text(yaml.safe_dump({"network": {"allow": ["127.0.0.1"]}, **destination}))
    return path


def example(name: str) -> Path:
    return EXAMPLE / "destinations" / f"{name}.yaml"


def test_a_preview_is_the_exact_request_and_needs_neither_stack_nor_secrets(
    lonely: Run, file: Path, lead_file: Path
) -> None:
    found = lonely("preview", file, lead_file)
    assert (found.code, found.err) == (0, "")
    assert list(found.json) == ["method", "url", "headers", "body"]
    assert found.json["method"] == "POST"
    assert found.json["url"] == "https://${env:KEEN_HOST}/leads?campaign=7&key=${env:KEEN_KEY}"
    headers = found.json["headers"]
    assert (headers["Authorization"], headers["X-Partner"]) == ("***", "${file:/run/secrets/partner}")
    assert (headers["X-Plain"], headers["Content-Type"]) == ("a", "application/json")
    assert json.loads(found.json["body"]) == {"email": "ada@example.com", "access_token": "***", "test": False}


def test_beside_a_stack_its_secrets_are_found_as_its_ledger_is(
    lonely: Run, lead_file: Path, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = dict(sandbox_environment(Address(host="127.0.0.1", port=8100, host_setting="", port_setting=""), 8125))
    home = tmp_path / "home"
    home.mkdir()
    (home / "stack.json").write_text(json.dumps({"database_url": database_url, "environment": told}))
    assert lonely("config", "apply", EXAMPLE).code == 0
    found = lonely("preview", "buyer", lead_file, "--reveal")
    assert (found.code, found.json["url"].startswith("http://127.0.0.1:8100/")) == (0, True), found.err
    monkeypatch.setenv("SANDBOX_URL", "http://mine.example")
    assert lonely("preview", "buyer", lead_file, "--reveal").json["url"].startswith("http://mine.example/")
    monkeypatch.delenv("SANDBOX_URL")
    monkeypatch.setenv("LEADRELAY_DATABASE_URL", database_url)
    elsewhere = lonely("preview", "buyer", lead_file, "--reveal")
    assert (elsewhere.code, "${env:SANDBOX_" in elsewhere.err) == (1, True)


def test_a_revealed_preview_is_what_the_destination_then_receives(
    lonely: Run, tmp_path: Path, lead_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server_running(answer(200, b'{"ok": true}')) as server:
        settings = {**KEEN["settings"], "url": "${env:KEEN_URL}/leads?key=${env:KEEN_KEY}"}
        settings["headers"] = {"X-Plain": "a"}
        file = written(tmp_path, {**KEEN, "settings": settings})
        missing = lonely("preview", file, lead_file, "--reveal")
        assert missing.code == 1
        assert "${env:KEEN_PASSWORD}: there is no such environment variable" in missing.err
        for name, value in {"KEEN_URL": server.url, "KEEN_KEY": "k1", "KEEN_PASSWORD": SECRET}.items():
            monkeypatch.setenv(name, value)
        assert SECRET not in (masked := lonely("preview", file, lead_file).out)
        assert server.url not in masked
        found = lonely("preview", file, lead_file, "--reveal").json
        assert lonely("test", file, lead_file).code == 0
        [received] = server.received
        assert (found["method"], found["url"]) == (received.method, server.url + received.target)
        body = json.loads(found["body"])
        assert {**body, "test": True} == json.loads(received.body)
        sent = {name.lower(): value for name, value in found["headers"].items()}
        for one in ("idempotency-key", "content-length"):  # of another delivery, and of `true` instead of `false`
            assert sent.pop(one)
            assert received.headers[one]
        assert sent.items() <= received.headers.items()
        assert received.headers.keys() - sent.keys() == {"x-leadrelay-test", "idempotency-key", "content-length"}


@pytest.mark.parametrize(
    "url",
    [
        "${env:URL}",
        "${env:URL}/leads",
        "https://${env:HOST}:${env:PORT}/leads",
        "https://acme.example/${file:/run/secrets/path}?${env:QUERY}",
    ],
)
def test_an_address_is_shown_with_its_references(lonely: Run, tmp_path: Path, lead_file: Path, url: str) -> None:
    shown = lonely("preview", written(tmp_path, {"type": "http", "settings": {"url": url}}), lead_file)
    assert shown.code == 0, shown.err
    assert shown.json["url"].removesuffix("/") == url


def test_templates_in_address_and_headers_are_filled_and_a_compressed_body_can_be_read(
    lonely: Run, tmp_path: Path, lead_file: Path
) -> None:
    settings = {
        "url": "https://acme.example/{{ lead.first_name }}?k=${env:K}",
        "headers": {"X-Name": "{{ lead.last_name }} ${env:NAME}"},
        "compress": "gzip",
    }
    file = written(tmp_path, {"type": "http", "settings": settings, "mapping": {"email": "{{ lead.email }}"}})
    shown = lonely("preview", file, lead_file)
    assert shown.code == 0, shown.err
    assert shown.json["url"] == "https://acme.example/Ada?k=${env:K}"
    headers = shown.json["headers"]
    assert (headers["X-Name"], headers["Content-Encoding"]) == ("Lovelace ${env:NAME}", "gzip")
    assert shown.json["body"] == '{"email":"ada@example.com"}'


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ({"jwt": {"secret": "${file:/run/secrets/key.pem}"}}, "Authorization"),
        ({"hmac": {"secret": "${env:S}", "secret_encoding": "base64", "string": "{{ key }}"}}, "X-Signature"),
        (
            {"oauth2": {"token_url": "https://a.example/t", "client_id": "us", "client_secret": "${env:S}"}},
            "Authorization",
        ),
    ],
    ids=["jwt", "hmac", "oauth2"],
)
def test_credentials_that_are_made_for_each_request_are_shown_as_such(
    lonely: Run, tmp_path: Path, lead_file: Path, auth: Mapping[str, Any], header: str
) -> None:
    file = written(tmp_path, {"type": "http", "settings": {"url": "https://acme.example/leads", "auth": auth}})
    shown = lonely("preview", file, lead_file)
    assert shown.code == 0, shown.err
    assert shown.json["headers"][header] == "***"


@pytest.mark.parametrize("name", ["buyer", "salesforce", "hubspot"])
def test_every_example_that_speaks_http_is_previewed_as_a_request(lonely: Run, lead_file: Path, name: str) -> None:
    found = lonely("preview", example(name), lead_file)
    assert found.code == 0, found.err
    assert list(found.json) == ["method", "url", "headers", "body"]
    assert found.json["url"].startswith("${env:SANDBOX_URL}/")
    assert "ada@example.com" in found.json["body"]


def test_the_subscriber_of_the_example_is_told_by_webhooks_that_it_believes(lonely: Run, sandbox: Running) -> None:
    event = json.dumps({"type": "delivery.dead", "destination": "crm", "reason": "HTTP 422"})
    shown = lonely("preview", example("partner"), "-", stdin=event).json
    assert shown["headers"]["webhook-signature"] == "***"
    assert lonely("test", example("partner"), "-", stdin=event).json["outcome"] == "success"
    [told] = requests.get(f"{sandbox.url}/api/receipts?target=subscriber", timeout=5).json()["receipts"]
    assert json.loads(told["body"])["data"].items() >= json.loads(event).items()
    delivered = lonely("test", example("partner"), "-", stdin='{"type": "delivery.delivered"}')
    assert delivered.json["reason"] == "it is not told of delivery.delivered"


@pytest.mark.parametrize("name", ["buyer", "salesforce", "hubspot"])
def test_a_revealed_preview_has_the_address(lonely: Run, sandbox: Running, lead_file: Path, name: str) -> None:
    found = lonely("preview", example(name), lead_file, "--reveal").json
    assert found["url"].startswith(f"{sandbox.url}/")


def test_a_message_is_previewed_as_it_would_be_sent(lonely: Run, lead_file: Path) -> None:
    found = lonely("preview", example("welcome"), lead_file).json
    assert (found["sender"], found["recipients"]) == ("hello@example.com", ["ada@example.com"])
    assert found["server"] == "127.0.0.1:${env:SANDBOX_SMTP_PORT}"
    assert "Subject: Thank you, Ada\r\n" in found["message"]


def test_a_preview_says_why_a_lead_would_be_skipped(lonely: Run) -> None:
    lead = json.dumps({**LEAD, "do_not_sell": "yes", "phone_2": "many"})
    found = lonely("preview", example("buyer"), "-", stdin=lead)
    assert found.code == 0
    assert "note: this lead would be skipped: the destination's condition was not met" in found.err
    assert "note: phone_2 " in found.err
    assert json.loads(found.json["body"])["phones"] == [{"number": "+14155550132"}]


def test_a_preview_of_a_running_destination_reads_the_lead_as_its_source_does(configured: Run, lead_file: Path) -> None:
    assert configured("preview", "welcome", lead_file).json["recipients"] == ["ada@example.com"]
    refused = configured("preview", "welcome", "-", "--source", "web", stdin="{}")
    assert refused.code == 1
    assert "error: email: is required" in refused.err
    unknown = configured("preview", "welcom", lead_file)
    assert unknown.code == 1
    assert 'did you mean "welcome"?' in unknown.err


def test_a_mapping_that_fails_names_the_property(lonely: Run, tmp_path: Path, lead_file: Path) -> None:
    folder = tmp_path / "config"
    shutil.copytree(EXAMPLE, folder)
    file = folder / "destinations" / "buyer.yaml"
    text = file.read_text()
    assert "campaign: autumn" in text
    file.write_text(text.replace("campaign: autumn", 'campaign: "{{ lead.first_name | slice: 0, lead.last_name }}"'))
    found = lonely("preview", file, lead_file)
    assert (found.code, found.out) == (1, "")
    assert "property 'campaign'" in found.err


def test_a_destination_file_with_a_mistake_is_placed(lonely: Run, tmp_path: Path, lead_file: Path) -> None:
    file = tmp_path / "crm.yaml"
    file.write_text("type: http\nsettings:\n  url: nowhere\n")
    found = lonely("preview", file, lead_file)
    assert found.code == 1
    assert f"{file}:3: settings.url: " in found.err
    missing = lonely("preview", tmp_path / "none.yaml", lead_file)
    assert missing.code == 1
    assert "cannot be read" in missing.err


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {
                "status": 200,
                "headers": {"Content-Type": "application/json"},
                "body": '{"ok": true, "id": "r-1", "pays": "$2.50"}',
            },
            {"outcome": "success", "reason": None, "price": "2.50", "reference": "r-1", "fault": None},
        ),
        (
            {"status": 200, "body": {"ok": False, "why": "duplicate"}},
            {"outcome": "failure", "reason": "duplicate", "fault": None},
        ),
        (
            {"status": 503, "headers": {}, "body": ""},
            {"outcome": "error", "reason": "HTTP 503", "fault": "transient", "captured": None},
        ),
        ({"status": 401}, {"outcome": "error", "fault": "configuration"}),
    ],
)
def test_an_answer_is_interpreted_by_the_rules(
    lonely: Run, file: Path, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = lonely("interpret", file, "-", stdin=json.dumps(given))
    assert (found.code, found.err) == (0, "")
    assert set(found.json) == {"outcome", "reason", "price", "reference", "captured", "fault"}
    assert {name: found.json[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("salesforce", {"id": "00Q1", "created": True}, ("success", "00Q1", None)),
        ("hubspot", {"results": [{"id": "7", "new": False}]}, ("success", "7", None)),
        ("hubspot", "<html>", ("error", None, "transient")),
    ],
)
def test_a_vendors_answer_is_interpreted_as_the_connector_does(
    lonely: Run, name: str, body: Any, expected: tuple[str, str | None, str | None]
) -> None:
    found = lonely("interpret", example(name), "-", stdin=json.dumps({"status": 200, "body": body}))
    assert found.code == 0, found.err
    assert (found.json["outcome"], found.json["reference"], found.json["fault"]) == expected


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("{}", "status: is required"),
        ('{"status": 99}', "status: must be greater than or equal to 100"),
        ('{"status": 200, "boddy": ""}', 'boddy: is not a known setting (did you mean "body"?)'),
        ("[]", "must be a JSON object"),
        (r'{"status": 200, "body": "\ud800"}', "body: has characters that are not valid Unicode"),
        (r'{"status": 200, "body": [{"\udc00": 1}]}', "body: has characters that are not valid Unicode"),
        (r'{"status": 200, "headers": {"A": "\ud800"}}', "headers"),
        (
            '{"status": 200, "headers": {"Content-Type": "text/plain; charset=latin-1"}, "body": "\u0141"}',
            "body: has a character that its charset lacks",
        ),
    ],
)
def test_an_answer_that_is_none_is_refused(lonely: Run, file: Path, given: str, complaint: str) -> None:
    found = lonely("interpret", file, "-", stdin=given)
    assert (found.code, found.out) == (1, "")
    assert complaint in found.err


@pytest.mark.parametrize("kind", ["text/plain; charset=iso-8859-1", "application/json; charset=iso-8859-1"])
def test_a_body_given_as_text_is_that_text_whatever_its_charset(lonely: Run, tmp_path: Path, kind: str) -> None:
    file = written(tmp_path, {**KEEN, "response": {"search": {"term": "jos\u00e9"}}})
    given = {"status": 200, "headers": {"Content-Type": kind}, "body": '{"name": "Jos\u00e9"}'}
    assert lonely("interpret", file, "-", stdin=json.dumps(given)).json["outcome"] == "success"


@pytest.mark.parametrize(("most", "headers", "followed"), [(2, True, True), (2, False, False), (0, True, False)])
def test_a_redirect_that_a_send_would_follow_is_no_answer_yet(
    lonely: Run,
    tmp_path: Path,
    most: int,
    headers: bool,  # noqa: FBT001  # a test's parameters
    followed: bool,  # noqa: FBT001  # a test's parameters
) -> None:
    file = written(tmp_path, {**KEEN, "settings": {**KEEN["settings"], "redirects": most}})
    location = {"Location": "https://u:p@new.example/a?email=ann@x.co"} if headers else {}
    found = lonely("interpret", file, "-", stdin=json.dumps({"status": 302, "headers": location}))
    if not followed:
        assert (found.code, found.json["fault"]) == (0, "configuration")
        return
    assert (found.code, found.out) == (1, "")
    assert "HTTP 302: a send would follow this redirect to new.example; interpret the answer at its end" in found.err
    assert "email" not in found.err


def test_what_answers_no_http_cannot_be_interpreted(lonely: Run) -> None:
    found = lonely("interpret", example("welcome"), "-", stdin='{"status": 200}')
    assert found.code == 1
    assert "destinations of type email do not answer over HTTP" in found.err


def test_a_test_is_sent_marked_and_told_without_secrets(lonely: Run, sandbox: Running, lead_file: Path) -> None:
    found = lonely("test", example("buyer"), lead_file)
    assert found.code == 0, found.err
    said = found.json
    assert (said["outcome"], said["reference"], said["price"]) == ("success", "buyer-00000001", "12.5")
    assert said["ms"] > 0
    assert said["transcript"]["request"]["headers"]["X-Leadrelay-Test"] == "true"
    assert said["transcript"]["request"]["headers"]["X-API-Key"] == "***"
    assert said["transcript"]["response"]["status"] == 200
    assert "sandbox-buyer-key" not in found.out


def test_a_test_message_says_so_to_people(lonely: Run, sandbox: Running, lead_file: Path) -> None:
    found = lonely("test", example("welcome"), lead_file)
    assert found.code == 0, found.out
    assert "Subject: [TEST] Thank you, Ada" in found.json["transcript"]["request"]["message"]
    assert "X-Leadrelay-Test: true" in found.json["transcript"]["request"]["message"]


@pytest.mark.parametrize("name", ["salesforce", "hubspot"])
def test_vendors_are_tested_checked_and_described(lonely: Run, sandbox: Running, lead_file: Path, name: str) -> None:
    assert lonely("test", example(name), lead_file).json["outcome"] == "success"
    checked = lonely("check", example(name))
    assert (checked.code, checked.json["ok"]) == (0, True)
    described = lonely("describe", example(name), "--json").json
    assert {"FirstName", "firstname"} & {one["name"] for one in described}
    assert "label" in lonely("describe", example(name)).out


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ({"reject_rate": 1, "reject_reason": "duplicate"}, ("failure", None)),
        ({"unauthorized": True}, ("error", "configuration")),
    ],
)
def test_the_exit_code_of_a_test_says_that_it_was_not_delivered(
    lonely: Run, sandbox: Running, lead_file: Path, plan: dict[str, Any], expected: tuple[str, str | None]
) -> None:
    requests.put(f"{sandbox.url}/api/faults/buyer", json=plan, timeout=5).raise_for_status()
    found = lonely("test", example("buyer"), lead_file)
    assert (found.code, (found.json["outcome"], found.json["fault"])) == (1, expected)


def test_a_lead_that_would_be_skipped_is_not_sent(lonely: Run, sandbox: Running) -> None:
    found = lonely("test", example("buyer"), "-", stdin=json.dumps({**LEAD, "do_not_sell": "yes"}))
    assert (found.code, found.json["outcome"], found.json["transcript"]) == (1, "skipped", None)
    assert requests.get(f"{sandbox.url}/api/summary", timeout=5).json()["buyer"]["received"] == 0


def test_a_test_without_its_secrets_names_them(lonely: Run, lead_file: Path) -> None:
    found = lonely("test", example("buyer"), lead_file)
    assert (found.code, found.json["fault"]) == (1, "configuration")
    assert "${env:SANDBOX_URL}" in found.json["reason"]


@pytest.mark.parametrize("command", ["test", "check"])
def test_a_destination_that_says_nothing_holds_nobody_longer_than_its_time(
    lonely: Run, tmp_path: Path, lead_file: Path, command: str
) -> None:
    with server_running(hang) as server:
        file = written(tmp_path, silent(server))
        found = lonely(command, file, *([lead_file] if command == "test" else []))
    assert (found.code, found.json["fault"]) == (1, "transient")
    assert 150 <= found.json["ms"] < 3000


def silent(server: FaultServer) -> dict[str, Any]:
    return {
        "type": "http",
        "settings": {"url": server.url, "check_url": server.url},
        "limits": {"timeout_seconds": 0.2},
    }


def test_a_check_sends_no_lead_and_says_what_is_wrong(lonely: Run, sandbox: Running, tmp_path: Path) -> None:
    assert lonely("check", example("buyer")).json["ok"] is True
    assert lonely("check", example("welcome")).json["ok"] is True
    assert "attachments.N.content" in lonely("describe", example("welcome")).out
    assert requests.get(f"{sandbox.url}/api/summary", timeout=5).json()["buyer"]["received"] == 0
    file = written(tmp_path, {"type": "http", "settings": {"url": f"http://127.0.0.1:{closed_port()}/"}})
    refused = lonely("check", file)
    assert (refused.code, refused.json["ok"], refused.json["fault"]) == (1, False, "transient")
    assert "connection refused" in refused.json["reason"]


def test_http_destinations_cannot_be_described(lonely: Run) -> None:
    found = lonely("describe", example("buyer"))
    assert (found.code, found.out) == (1, "")
    assert "destinations of type http do not tell what fields they have" in found.err


def test_a_try_of_a_running_destination_leaves_the_workers_their_token(
    leadrelay: Run, tmp_path: Path, lead_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with buying() as buyer:
        monkeypatch.setenv("KEEN_SECRET", TOKEN_SECRET)
        monkeypatch.setenv("KEEN_REFRESH", buyer.refresh_token)
        given = {
            "grant": "refresh_token",
            "client_secret": "${env:KEEN_SECRET}",
            "refresh_token": "${env:KEEN_REFRESH}",
        }
        settings = {"url": buyer.server.url, "check_url": buyer.server.url, "auth": buyer.auth(**given)}
        folder = tmp_path / "config"
        (folder / "destinations").mkdir(parents=True)
        written(folder / "destinations", {"type": "http", "settings": settings, "mapping": {"a": 1}})
        applied = leadrelay("config", "apply", folder)
        assert applied.code == 0, applied.err
        for command in (("test", "keen", lead_file), ("check", "keen"), ("test", "keen", lead_file)):
            assert leadrelay(*command).code == 0, command
        assert len(buyer.forms) == 1, "each refresh token is good for one renewal"
