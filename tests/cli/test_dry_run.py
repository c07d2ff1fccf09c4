"""A WSDL at an address, which a preview and an interpretation need: how it is fetched, and all that leaves for it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.test_trial import written
from tests.connectors import soap_wsdl
from tests.connectors.fault_server import FaultServer, answer, closed_port, hang, running
from tests.connectors.soap_wsdl import library

ANSWER = {"status": 200, "headers": {"Content-Type": "text/xml"}, "body": soap_wsdl.ACCEPTED.decode()}
LEAD = json.dumps({"email": "ada@example.com"})
PASSWORD = "pw-8812af"
USER = {"username": "leads", "password": "${env:DRY_PASSWORD}"}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """Has the WSDL, in two parts, and refuses all else."""
    with running(answer(404)) as found:
        documents = {
            "/leads?wsdl": soap_wsdl.importing("xsd/types.xsd", url=f"{found.url}/leads").encode(),
            "/xsd/types.xsd": soap_wsdl.schema().encode(),
        }
        found.behaviour = library(documents, then=answer(404))
        yield found


def soap(wsdl: str, **more: Any) -> dict[str, Any]:
    """A destination with every kind of credentials that a SOAP one may have."""
    settings = {
        "wsdl": wsdl,
        "operation": "SubmitLead",
        "auth": {"basic": USER},
        "security": {"username": USER},
        "headers": {"X-Partner-Key": "${env:DRY_PASSWORD}"},
    }
    mapping = {"lead.email": "{{ lead.email }}", "lead.seen": None}
    return {"type": "soap", "settings": settings, "mapping": mapping, **more}


def preview(lonely: Run, file: Path, *options: str) -> Any:
    ran = lonely("preview", file, "-", *options, stdin=LEAD)
    assert ran.code == 0, ran.err
    return ran.json


@pytest.mark.parametrize("command", ["preview", "reveal", "interpret"])
def test_a_wsdl_is_fetched_without_credentials_and_nothing_else_is_sent(
    lonely: Run, server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    file = written(tmp_path, soap(f"{server.url}/leads?wsdl"))
    if command == "reveal":
        monkeypatch.setenv("DRY_PASSWORD", PASSWORD)
        assert f">{PASSWORD}<" not in preview(lonely, file, "--reveal")["body"], "it is a digest"
    elif command == "preview":
        shown = preview(lonely, file)
        assert shown["url"] == f"{server.url}/leads"
        assert shown["headers"]["Authorization"] == "***"
        assert ">ada@example.com<" in shown["body"]
    else:
        ran = lonely("interpret", file, "-", stdin=json.dumps(ANSWER))
        assert (ran.code, ran.json["outcome"]) == (0, "success")
    asked = [(one.method, one.target) for one in server.received]
    assert asked == [("GET", "/leads?wsdl"), ("GET", "/xsd/types.xsd")]
    for one in server.received:
        assert set(one.headers) <= {"host", "user-agent", "accept", "accept-encoding"}
        assert one.body == b""


@pytest.mark.parametrize("whole", [True, False], ids=["a reference", "references in it"])
def test_the_proxy_is_kept_to_without_its_credentials(
    lonely: Run, server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, whole: bool
) -> None:
    home = f"http://127.0.0.1:{closed_port()}"
    documents = {
        f"{home}/leads?wsdl": soap_wsdl.wsdl(f"{home}/leads").encode(),
    }
    server.behaviour = library(documents, then=answer(404))
    proxy = f"leads:{'${env:DRY_PROXY}'}@127.0.0.1:{server.port}"
    if whole:
        monkeypatch.setenv("DRY_PROXY", f"http://leads:{PASSWORD}@127.0.0.1:{server.port}")
        proxy = "${env:DRY_PROXY}"
    network = {"allow": ["127.0.0.1"], "proxy": proxy if whole else f"http://{proxy}"}
    file = written(tmp_path, soap(f"{home}/leads?wsdl", network=network))
    assert preview(lonely, file)["url"] == f"{home}/leads"
    [request] = server.received
    assert request.target == f"{home}/leads?wsdl"
    assert "proxy-authorization" not in request.headers
    assert "authorization" not in request.headers


def test_a_proxy_that_is_not_known_is_not_gone_around(lonely: Run, server: FaultServer, tmp_path: Path) -> None:
    network = {"allow": ["127.0.0.1"], "proxy": "${env:DRY_PROXY}"}
    file = written(tmp_path, soap(f"{server.url}/leads?wsdl", network=network))
    ran = lonely("preview", file, "-", stdin=LEAD)
    assert ran.code == 1
    assert "${env:DRY_PROXY}: there is no such environment variable" in ran.err
    assert server.received == []


def test_what_the_guard_refuses_is_not_fetched(lonely: Run, server: FaultServer, tmp_path: Path) -> None:
    file = written(tmp_path, soap(f"{server.url}/leads?wsdl", network={}))
    for command, given in (("preview", LEAD), ("interpret", json.dumps(ANSWER))):
        ran = lonely(command, file, "-", stdin=given)
        assert ran.code == 1
        assert "network.allow" in ran.err
    assert server.received == []


@pytest.mark.parametrize("wsdl", ["/leads?wsdl&key=${env:DRY_PASSWORD}", "/${env:DRY_PASSWORD}"])
def test_an_address_with_a_reference_is_fetched_only_where_secrets_are_revealed(
    lonely: Run, server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wsdl: str
) -> None:
    monkeypatch.setenv("DRY_PASSWORD", PASSWORD)
    server.behaviour = answer(200, soap_wsdl.wsdl(f"{server.url}/leads").encode(), content_type="text/xml")
    file = written(tmp_path, soap(f"{server.url}{wsdl}"))
    for command, given in (("preview", LEAD), ("interpret", json.dumps(ANSWER))):
        ran = lonely(command, file, "-", stdin=given)
        assert ran.code == 1
        assert f"{server.url}{wsdl} is not fetched" in ran.err
        assert "Name a file" in ran.err
    assert server.received == []
    assert preview(lonely, file, "--reveal")["url"] == f"{server.url}/leads"
    assert [one.target for one in server.received] == [wsdl.replace("${env:DRY_PASSWORD}", PASSWORD)]


def test_a_wsdl_that_cannot_be_had_is_no_verdict_on_an_answer(lonely: Run, server: FaultServer, tmp_path: Path) -> None:
    file = written(tmp_path, soap(f"{server.url}/elsewhere"))
    ran = lonely("interpret", file, "-", stdin=json.dumps(ANSWER))
    assert (ran.code, ran.out) == (1, "")
    assert "the WSDL cannot be fetched: HTTP 404" in ran.err
    server.behaviour = hang
    file = written(tmp_path, soap(f"{server.url}/elsewhere", limits={"timeout_seconds": 0.5}))
    ran = lonely("interpret", file, "-", stdin=json.dumps(ANSWER))
    assert (ran.code, ran.out) == (1, "")
    assert "the WSDL cannot be fetched" in ran.err


def test_a_wsdl_from_a_file_is_not_asked_for(lonely: Run, server: FaultServer, tmp_path: Path) -> None:
    (tmp_path / "leads.wsdl").write_text(soap_wsdl.wsdl(f"{server.url}/leads"))
    network = {"proxy": "${env:DRY_PROXY}", "ca": "/not/here.pem"}
    file = written(tmp_path, soap("leads.wsdl", network=network))
    assert preview(lonely, file)["url"] == f"{server.url}/leads"
    assert server.received == []
