"""What `up` and `demo` prepare, and Flower."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from app.cli.demo import _is_sandbox
from app.cli.sample import sample_leads
from app.cli.stack import introduce_sandbox, prepare, sandbox_environment
from app.config.base import SECRET_REFERENCE
from app.config.loading import load_folder
from app.embedded.home import open_home
from app.errors import InvalidConfig
from app.fields import FieldSpecs
from app.ledger import Database, key, version
from app.settings import Settings
from tests.cli.conftest import EXAMPLE, SANDBOX, TREE, Run
from tests.embedded.harness import free_ports, wait_until


@pytest.fixture
def stack_settings(tmp_path: Path, database_url: str) -> Settings:
    shutil.copytree(EXAMPLE, tmp_path / "config")
    home = open_home(tmp_path / "home")
    return Settings(home=home, config_dir=tmp_path / "config", database_url=database_url, broker_url="redis://x")


def test_every_reference_of_the_example_is_set_for_the_stack() -> None:
    texts = [path.read_text() for path in EXAMPLE.rglob("*.yaml")]
    code = "\n".join(re.sub(r"(^|\s)#.*", "", line) for text in texts for line in text.splitlines())
    used = {found[2] for found in SECRET_REFERENCE.finditer(code)}
    assert used == set(sandbox_environment(SANDBOX, 8125))


def test_what_is_set_already_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in sandbox_environment(SANDBOX, 8125):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SANDBOX_BUYER_KEY", "mine")
    told = introduce_sandbox(Settings(sandbox_port=9100))
    assert "SANDBOX_BUYER_KEY" not in told, "what a person set is written to no file"
    assert told["SANDBOX_URL"] == "http://127.0.0.1:9100"
    assert os.environ["SANDBOX_BUYER_KEY"] == "mine"
    assert os.environ["SANDBOX_URL"] == "http://127.0.0.1:9100"
    for name in sandbox_environment(SANDBOX, 8125):
        monkeypatch.delenv(name)


def test_the_first_key_is_the_same_at_every_start_and_another_after_it_was_revoked(
    stack_settings: Settings, database: Database
) -> None:
    first = prepare(stack_settings)
    assert first["source"] == "web"
    assert prepare(stack_settings) == first
    found = key.find(database, first["api_key"])
    assert found is not None
    assert found.scopes == set(key.SCOPES)
    key.revoke(database, found.name, actor="test")
    second = prepare(stack_settings)
    assert second["api_key"] != first["api_key"]
    assert key.find(database, second["api_key"]) is not None
    assert prepare(stack_settings) == second


def test_a_bad_folder_stops_the_first_start_and_is_only_told_at_a_later_one(
    stack_settings: Settings, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = stack_settings.config_dir / "destinations" / "zz.yaml"
    broken.write_text("type: nosuch\n")
    with pytest.raises(InvalidConfig):
        prepare(stack_settings)
    assert version.newest(database) == 0
    broken.unlink()
    prepare(stack_settings)
    broken.write_text("type: nosuch\n")
    assert prepare(stack_settings)["source"] == "web"
    assert "zz.yaml" in capsys.readouterr().err
    assert version.newest(database) == 1


def test_the_demo_knows_the_example_from_a_real_destination(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in sandbox_environment(SANDBOX, 8125).items():
        monkeypatch.setenv(name, value)
    document = load_folder(EXAMPLE).document
    assert all(_is_sandbox(one, Settings()) for one in document.destinations)
    buyer = next(one for one in document.destinations if one.name == "buyer")
    for url in ("https://buyer.example.com/leads", "http://127.0.0.1:9999/leads"):
        assert not _is_sandbox(buyer.model_copy(update={"settings": {"url": url}}), Settings())
        half = {**buyer.settings, "check_url": url}
        assert not _is_sandbox(buyer.model_copy(update={"settings": half}), Settings())
    welcome = next(one for one in document.destinations if one.name == "welcome")
    real = {**welcome.settings, "host": "smtp.example.com"}
    assert not _is_sandbox(welcome.model_copy(update={"settings": real}), Settings())
    assert not _is_sandbox(welcome.model_copy(update={"settings": {}}), Settings())


def test_sample_leads_are_valid_and_belong_to_nobody() -> None:
    [web] = load_folder(EXAMPLE).document.sources
    specs = FieldSpecs(web)
    found = [specs.read(lead) for lead in sample_leads(500, run="r", seed=1)]
    assert not any(one.invalid for one in found)
    assert len({one.fields["email"] for one in found}) == 500
    assert all(re.fullmatch(r"\S+@example\.(com|net|org)", one.fields["email"]) for one in found)
    assert all(re.fullmatch(r"\+1\d{3}55501\d\d", one.fields["phone_1"]) for one in found)
    assert any("do_not_sell" in one.fields for one in found)


def test_flower_refuses_to_start_without_a_password(lonely: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADRELAY_BROKER_URL", "redis://127.0.0.1:1")
    found = lonely("flower")
    assert found.code == 1
    assert "LEADRELAY_FLOWER_PASSWORD" in found.err


def test_flower_asks_for_its_password_lets_nobody_change_anything_and_stops_on_sigterm(broker_url: str) -> None:
    [port] = free_ports(1)
    environment = {
        **os.environ,
        "LEADRELAY_BROKER_URL": broker_url,
        "LEADRELAY_FLOWER_PORT": str(port),
        "LEADRELAY_FLOWER_PASSWORD": "a,b:c",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli.main", "flower"], env=environment, cwd=TREE, stderr=subprocess.PIPE
    )
    url = f"http://127.0.0.1:{port}"

    def serves() -> bool:
        try:
            return requests.get(f"{url}/healthcheck", timeout=2).ok
        except requests.ConnectionError:
            return False

    try:
        wait_until(serves, "Flower", 60)
        assert requests.get(f"{url}/workers", timeout=10).status_code == 401
        assert requests.get(f"{url}/workers", auth=("operator", "a"), timeout=10).status_code == 401
        assert requests.get(f"{url}/workers", auth=("operator", "a,b:c"), timeout=10).status_code == 200
        told = requests.post(f"{url}/api/worker/shutdown/x", auth=("operator", "a,b:c"), timeout=10)
        assert (told.status_code, told.text) == (403, "Read only mode is enabled")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
