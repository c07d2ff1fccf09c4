"""Signed webhooks against a real API and ledger; signatures are made by others' code: standardwebhooks, OpenSSL, hmac."""

import hashlib
import hmac
import http.client
import json
import os
import re
import subprocess
from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
import requests
import standardwebhooks

from app.api import hooking
from app.config.schema import Document
from app.ledger import query, version
from tests.api.harness import LEAD, Api, running, wait_until
from tests.house.tree import ROOT

SECRETS = {name: "whsec_" + b64encode(name.encode().ljust(32, b".")).decode() for name in ("new", "old", "other")}
SHARED = "a vendor's own secret"
CRM = {"name": "crm", "type": "http", "mapping": {"email": "{{ lead.email }}"}, "settings": {"url": "http://crm.test/"}}


def hook(*names: str, **more: Any) -> dict[str, Any]:
    return {"secrets": [f"${{env:HOOK_{name.upper()}}}" for name in names], **more}


VENDOR = hook("shared", scheme="hmac", header="X-Vendor-Signature", value="sha256={{ signature }}")
SOURCES = {
    "shop": {"secrets": ["${env:SHOP_WEBHOOK_SECRET}"]},
    "web": hook("new", "old"),
    "other": hook("other"),
    "vendor": VENDOR,
    "timed": hook(
        "shared",
        scheme="hmac",
        value="t={{ timestamp }},v1={{ signature }}",
        string="{{ timestamp }}.{{ body }}",
        tolerance_seconds=60,
    ),
    "absent": hook("absent"),
    "short": hook("short"),
    "calls": hook("other", takes="feedback", destination="crm"),
    "agency": hook("other", takes="feedback", destination="crm"),
}


@pytest.fixture(scope="module")
def private_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("keys") / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", found], check=True)
    return found


@pytest.fixture(scope="module")
def api(module_database_url: str, tmp_path_factory: pytest.TempPathFactory, private_key: Path) -> Iterator[Api]:
    shown = subprocess.run(
        ["openssl", "pkey", "-in", private_key, "-pubout", "-outform", "DER"], check=True, capture_output=True
    )
    public = "whpk_" + b64encode(shown.stdout[-32:]).decode()
    sources = [{"name": name, "hook": found} for name, found in SOURCES.items()]
    document = {
        "sources": [
            *sources,
            {"name": "asymmetric", "hook": {"secrets": [public]}},
            {"name": "plain", "fields": {"email": {"required": True}}},
        ],
        "destinations": [CRM, {**CRM, "name": "second"}],
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, secret in SECRETS.items():
            patch.setenv(f"HOOK_{name.upper()}", secret)
        patch.setenv("HOOK_SHARED", SHARED)
        patch.setenv("SHOP_WEBHOOK_SECRET", SECRETS["new"])
        patch.setenv("HOOK_SHORT", "whsec_c2hvcnQ=")
        with running(
            module_database_url, tmp_path_factory.mktemp("home"), Document.model_validate(document), max_body_bytes=4096
        ) as found:
            yield found


def signed(
    body: bytes, name: str = "new", *, key: str | None = None, age_seconds: float = 0, text: str | None = None
) -> dict[str, str]:
    """The headers as the Standard Webhooks library makes them."""
    key = key or f"msg_{uuid4()}"
    when = datetime.now(UTC) - timedelta(seconds=age_seconds)
    code = standardwebhooks.Webhook(SECRETS[name]).sign(key, when, body.decode() if text is None else text)
    return {"webhook-id": key, "webhook-timestamp": str(int(when.timestamp())), "webhook-signature": code}


def send(
    api: Api, body: bytes, headers: Mapping[str, str], source: str = "web", content_type: str = "application/json"
) -> requests.Response:
    path = f"{api.url}/v1/hooks/{source}"
    return requests.post(path, data=body, headers={"Content-Type": content_type, **headers}, timeout=10)


def vendor(body: bytes, secret: str = SHARED) -> dict[str, str]:
    return {"X-Vendor-Signature": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def body_of(lead: Mapping[str, Any] = LEAD) -> bytes:
    return json.dumps(lead).encode()


def fields(api: Api, answer: requests.Response) -> Mapping[str, Any]:
    assert answer.status_code == 202, answer.text
    ((lead, _),) = query.leads(api.database, [UUID(answer.json()["id"])])
    return lead.fields


def leads(api: Api) -> int:
    return int(api.database.fetch("select count(*) from leads")[0][0])


def refusal(answer: requests.Response) -> str:
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (401, "/docs#bad-signature")
    assert answer.headers["WWW-Authenticate"] == 'Webhook realm="leadrelay"'
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "whsec" not in answer.text
    detail: str = problem["detail"]
    return detail


@pytest.mark.parametrize("secret", ["new", "old"])
def test_a_signed_webhook_is_a_lead_without_any_key(api: Api, secret: str) -> None:
    body = body_of()
    answer = send(api, body, signed(body, secret))
    assert fields(api, answer) == LEAD
    found = answer.json()
    assert answer.headers["Location"] == f"/v1/leads/{found['id']}"
    assert (found["source"], found["repeated"], [one["destination"] for one in found["deliveries"]]) == (
        "web",
        False,
        ["crm", "second"],
    )


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"email=ada%40example.com&first_name=Ada", "application/x-www-form-urlencoded"),
        (b"<lead><email>ada@example.com</email><first_name>Ada</first_name></lead>", "application/xml"),
    ],
)
def test_bodies_are_read_as_those_of_leads_are(api: Api, body: bytes, content_type: str) -> None:
    assert fields(api, send(api, body, signed(body), content_type=content_type)) == LEAD


def test_what_is_nested_stays_nested(api: Api) -> None:
    body = body_of({"type": "lead.created", "data": {"email": "ada@example.com", "tags": ["a", "b"]}})
    assert fields(api, send(api, body, signed(body)))["data"] == {"email": "ada@example.com", "tags": ["a", "b"]}


def test_sent_again_and_signed_anew_it_is_the_same_lead(api: Api) -> None:
    body, key = body_of(), f"msg_{uuid4()}"
    first = send(api, body, signed(body, key=key, age_seconds=60))
    again = send(api, body, signed(body, "old", key=key))
    assert again.json() == {**first.json(), "repeated": True}
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
    other = body_of({"email": "grace@example.com"})
    reused = send(api, other, signed(other, key=key))
    assert (reused.status_code, reused.json()["type"]) == (422, "/docs#key-reused")


def test_captured_and_sent_again_as_it_is_it_makes_no_second_lead(api: Api) -> None:
    body = body_of()
    headers = signed(body)
    first = send(api, body, headers).json()["id"]
    before = leads(api)
    assert {send(api, body, headers).json()["id"] for _ in range(5)} == {first}
    assert leads(api) == before


def test_what_is_not_signed_by_the_source_is_refused_and_leaves_nothing(api: Api) -> None:
    body = body_of()
    good = signed(body)
    before = leads(api)
    attempts: list[tuple[bytes, Mapping[str, str], str]] = [
        (body, {}, "webhook-id is missing"),
        (body, signed(body, "other"), "no signature"),
        (body_of({"email": "eve@example.com"}), good, "no signature"),
        (body + b" ", good, "no signature"),
        (b"", good, "no signature"),
        (body, {**good, "webhook-id": "msg_other"}, "no signature"),
        (body, {**good, "webhook-timestamp": str(int(good["webhook-timestamp"]) + 1)}, "no signature"),
        (body, {**good, "webhook-signature": "v1,"}, "no signature"),
        (body, {**good, "webhook-signature": "v1a," + good["webhook-signature"][3:]}, "no signature"),
        (body, {**good, "webhook-signature": good["webhook-signature"][3:]}, "can be read"),
        (body, {**good, "webhook-timestamp": "yesterday"}, "cannot be read"),
        (body, {**good, "webhook-timestamp": "9" * 30}, "cannot be read"),
        (body, signed(body, age_seconds=320), "too old"),
        (body, signed(body, age_seconds=-320), "in the future"),
        (body, {name: value for name, value in good.items() if name != "webhook-signature"}, "is missing"),
    ]
    for sent, headers, said in attempts:
        detail = refusal(send(api, sent, headers))
        assert said in detail
        assert good["webhook-signature"][3:] not in detail
    assert leads(api) == before
    assert send(api, body, good).status_code == 202, "the good one is still good"


def test_an_api_key_does_not_stand_in_for_a_signature(api: Api) -> None:
    answer = api.post("/v1/hooks/web", json=LEAD)
    assert "is missing" in refusal(answer)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_comes_twice_is_refused(api: Api, name: str) -> None:
    body = body_of()
    headers = signed(body)
    place = urlsplit(api.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)
    connection.putrequest("POST", "/v1/hooks/web")
    for one, value in [*headers.items(), (name, headers[name])]:
        connection.putheader(one, value)
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    assert (answer.status, "more than once" in answer.read().decode()) == (401, True)
    connection.close()


def test_an_id_may_hold_any_printable_character_and_nothing_else(api: Api) -> None:
    body = body_of()
    place = f"{api.url}/v1/hooks/web"
    for key, status in (("evt-☕-é", 202), ("x" * 255, 202), ("x" * 256, 422), ("a\x85b", 422)):
        headers: dict[str, str | bytes] = {**signed(body, key=key), "webhook-id": key.encode()}
        answer = requests.post(place, data=body, headers={"Content-Type": "application/json", **headers}, timeout=10)
        assert answer.status_code == status, key
    assert answer.json()["errors"][0]["field"] == "webhook-id"


def test_a_source_without_a_hook_is_no_other_than_one_that_is_not_there(api: Api) -> None:
    body = body_of()
    answers = [send(api, body, signed(body), source) for source in ("plain", "nobody", "%00", "web%2Fx")]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.json()["detail"] for answer in answers[:3]}) == 1
    assert requests.get(f"{api.url}/v1/hooks/web", timeout=10).status_code == 405


def test_a_secret_that_cannot_be_read_is_named_and_asked_for_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooking, "TRY_AGAIN_SECONDS", 0.0)
    body = body_of()
    answer = send(api, body, signed(body), "absent")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert "${env:HOOK_ABSENT}" in answer.json()["detail"]
    unfit = send(api, body, signed(body), "short")
    assert (unfit.status_code, "c2hvcnQ" in unfit.text) == (503, False)
    monkeypatch.setenv("HOOK_ABSENT", SECRETS["new"])
    assert send(api, body, signed(body), "absent").status_code == 202


def test_a_changed_configuration_changes_the_secret(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    body = body_of()
    assert send(api, body, signed(body, "other"), "other").status_code == 202
    document = version.read(api.database).document
    [other] = [one for one in document["sources"] if one["name"] == "other"]
    other["hook"]["secrets"] = ["${env:HOOK_NEW}"]
    version.write(api.database, document, changed=[], actor="test")
    wait_until(lambda: send(api, body, signed(body), "other").status_code == 202, "the new secret is used")
    refusal(send(api, body, signed(body, "other"), "other"))


def test_a_public_key_verifies_what_openssl_signed(api: Api, private_key: Path, tmp_path: Path) -> None:
    body = body_of()
    stamp = str(int(datetime.now(UTC).timestamp()))

    def sign(content: bytes) -> dict[str, str]:
        (tmp_path / "content").write_bytes(b"evt_1." + stamp.encode() + b"." + content)
        code = subprocess.run(
            ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", private_key, "-in", tmp_path / "content"],
            check=True,
            capture_output=True,
        ).stdout
        return {
            "webhook-id": "evt_1",
            "webhook-timestamp": stamp,
            "webhook-signature": "v1a," + b64encode(code).decode(),
        }

    assert send(api, body, sign(body), "asymmetric").status_code == 202
    refusal(send(api, body, sign(body + b" "), "asymmetric"))
    refusal(send(api, body, {**sign(body), "webhook-signature": "v1a,AAAA"}, "asymmetric"))
    misnamed = sign(body)["webhook-signature"].replace("v1a,", "v1,")
    refusal(send(api, body, {**sign(body), "webhook-signature": misnamed}, "asymmetric"))


def test_the_example_of_the_docs_makes_a_lead(api: Api) -> None:
    page = (ROOT / "docs/hooks.md").read_text(encoding="utf-8")
    [example] = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example],
        env={**os.environ, "API": api.url},
        check=True,
        capture_output=True,
    )
    assert json.loads(ran.stdout)["source"] == "shop", ran.stdout


def test_a_vendors_own_header_without_an_id_is_known_again_by_its_body(api: Api) -> None:
    body = body_of({"email": f"{uuid4()}@example.com"})
    first = send(api, body, vendor(body), "vendor")
    again = send(api, body, vendor(body), "vendor")
    assert (again.json()["id"], again.json()["repeated"]) == (first.json()["id"], True)
    spaced = body + b"\n"
    assert send(api, spaced, vendor(spaced), "vendor").json()["id"] != first.json()["id"]
    for headers in ({}, vendor(b"x"), vendor(body, "another secret"), {"X-Vendor-Signature": "sha256="}):
        refusal(send(api, body, headers, "vendor"))


def test_a_vendors_timestamp_has_its_own_tolerance(api: Api) -> None:
    body = body_of()
    now = int(datetime.now(UTC).timestamp())

    def headers(when: int) -> dict[str, str]:
        code = hmac.new(SHARED.encode(), f"{when}.".encode() + body, hashlib.sha256).hexdigest()
        return {"X-Signature": f"t={when},v1={code}"}

    assert send(api, body, headers(now - 30), "timed").status_code == 202
    assert "too old" in refusal(send(api, body, headers(now - 90), "timed"))
    moved = headers(now - 90)["X-Signature"].replace(str(now - 90), str(now))
    assert "no signature" in refusal(send(api, body, {"X-Signature": moved}, "timed"))


def test_a_huge_body_is_refused_before_and_while_it_comes(api: Api) -> None:
    body = b'{"a": "' + b"x" * 5000 + b'"}'
    told = send(api, body, signed(body))
    untold = requests.post(
        f"{api.url}/v1/hooks/web",
        data=iter([body[:3000], body[3000:]]),
        headers={"Content-Type": "application/json", **signed(body)},
        timeout=10,
    )
    assert [(one.status_code, one.json()["type"]) for one in (told, untold)] == [(413, "/docs#too-large")] * 2


def test_what_is_wrong_with_a_signed_body_is_told_as_for_leads(api: Api) -> None:
    for body, content_type, kind in (
        (b"{", "application/json", "malformed-body"),
        (b"[1]", "application/json", "malformed-body"),
        (b"{}", "text/plain", "unsupported-type"),
    ):
        assert send(api, body, signed(body), content_type=content_type).json()["type"] == f"/docs#{kind}"
    body = body_of()
    packed = send(api, body, {**signed(body), "Content-Encoding": "gzip"})
    assert packed.json()["type"] == "/docs#unsupported-type"
    wrong = requests.post(f"{api.url}/v1/hooks/web?tset=1", data=body, headers=signed(body), timeout=10)
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "tset")
    test = requests.post(
        f"{api.url}/v1/hooks/web?test=true",
        data=body,
        headers={**signed(body), "Content-Type": "application/json"},
        timeout=10,
    )
    assert api.get(f"/v1/leads/{test.json()['id']}").json()["test"] is True


def test_refusals_are_counted_by_source_and_reason(api: Api) -> None:
    def count(source: str, reason: str) -> float:
        page = requests.get(f"{api.url}/metrics", timeout=10).text
        name = f'leadrelay_hook_refusals_total{{reason="{reason}",source="{source}"}} '
        other = f'leadrelay_hook_refusals_total{{source="{source}",reason="{reason}"}} '
        found = [line.rpartition(" ")[2] for line in page.splitlines() if line.startswith((name, other))]
        return float(found[0]) if found else 0.0

    body = body_of()
    reasons = {
        "missing": {},
        "malformed": {**signed(body), "webhook-signature": "x"},
        "stale": signed(body, age_seconds=1000),
        "mismatch": signed(body, "other"),
    }
    before = {reason: count("web", reason) for reason in reasons}
    for headers in reasons.values():
        refusal(send(api, body, headers))
    refusal(send(api, body, {}, "vendor"))
    for reason in reasons:
        wait_until(lambda reason=reason: count("web", reason) > before[reason], f"{reason} is counted")


def test_hooks_of_two_sources_may_use_the_same_id_for_different_things(api: Api) -> None:
    for source in ("calls", "agency"):
        body = body_of()
        [delivery] = [
            one["id"] for one in send(api, body, signed(body)).json()["deliveries"] if one["destination"] == "crm"
        ]
        raw = json.dumps({"delivery_id": delivery, "type": "return", "id": "case-1"}).encode()
        assert [send(api, raw, signed(raw, "other"), source).status_code for _ in range(2)] == [201, 200]


def test_a_destination_that_calls_back_signed_reports_on_its_own_deliveries(api: Api) -> None:
    body = body_of()
    routed = {one["destination"]: one["id"] for one in send(api, body, signed(body)).json()["deliveries"]}

    def report(**entry: Any) -> requests.Response:
        raw = json.dumps(entry).encode()
        return send(api, raw, signed(raw, "other"), "calls")

    answer = report(delivery_id=routed["crm"], type="return", reason="wrong number")
    assert (answer.status_code, answer.json()["delivery_id"]) == (201, routed["crm"])
    [heard] = api.get(f"/v1/deliveries/{routed['crm']}").json()["feedback"]
    assert (heard["type"], heard["reason"], heard["actor"]) == ("return", "wrong number", "hook:calls")
    foreign = report(delivery_id=routed["second"], type="return")
    assert (foreign.status_code, foreign.json()["type"]) == (404, "/docs#not-found")
    named = report(destination="second", reference="r-1", type="return")
    assert named.status_code == 404
    refusal(send(api, b"{}", signed(b"{}"), "calls"))
