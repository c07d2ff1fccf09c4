"""Compose file, image, requirements and CI script, as far as they can be held to the code without a container engine."""

import os
import re
import subprocess
import tomllib
from fnmatch import fnmatch
from typing import Any

import pytest
import yaml

from app.cli.main import COMMANDS
from app.settings import Settings
from tests.house.tree import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
PARTS = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
SERVERS = ("postgres", "valkey", "rabbitmq")
LOCKS = ("setup.txt", "run.txt", "dev.txt")


def test_services_are_those_of_the_docs() -> None:
    assert set(PARTS) == {"migrate", "api", "worker", "flower"}
    assert set(SERVICES) - set(PARTS) == {*SERVERS, "mailpit"}
    assert {name for name, service in SERVICES.items() if "profiles" in service} == {"rabbitmq", "mailpit"}


def test_parts_run_commands_that_exist() -> None:
    entrypoint = " ".join(SERVICES["migrate"]["entrypoint"])
    called = [service["command"][0] for name, service in PARTS.items() if name != "migrate"]
    assert {*called, *re.findall(r"leadrelay ([a-z]+)", entrypoint)} <= COMMANDS.keys()


def test_environment_names_settings_that_exist() -> None:
    known = {f"LEADRELAY_{name.upper()}" for name in Settings.model_fields}
    given = {name for service in PARTS.values() for name in service["environment"]}
    assert given <= known
    assert set(re.findall(r"LEADRELAY_\w+(?==)", DOCKERFILE)) <= known


@pytest.mark.parametrize("name", SERVERS)
def test_servers_publish_nothing_and_have_no_way_out(name: str) -> None:
    assert "ports" not in SERVICES[name]
    assert SERVICES[name]["networks"] == ["servers"]
    assert COMPOSE["networks"]["servers"] == {"internal": True}


def test_what_is_published_is_published_to_this_host_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(re.match(r"\$\{\w+:-127\.0\.0\.1:\d+\}:\d+$", port) for port in ports)


def test_passwords_have_no_defaults() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    used = re.findall(r"\$\{(\w*PASSWORD)(:\?[^}]+)?", text)
    assert {name for name, _ in used} == {"POSTGRES_PASSWORD", "BROKER_PASSWORD", "LEADRELAY_FLOWER_PASSWORD"}
    assert all(refusal for _, refusal in used)


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"migrate"}))
def test_what_runs_on_is_restarted_and_asked_whether_it_is_well(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["healthcheck"]["test"]


@pytest.mark.parametrize("name", ["api", "worker", "flower", *SERVERS])
def test_what_holds_work_is_given_time_to_stop(name: str) -> None:
    assert int(SERVICES[name]["stop_grace_period"].rstrip("s")) >= 10


@pytest.mark.parametrize("name", sorted(PARTS))
def test_parts_have_no_privileges(name: str) -> None:
    part = PARTS[name]
    assert (part["read_only"], part["cap_drop"], part["security_opt"]) == (True, ["ALL"], ["no-new-privileges:true"])


def test_volumes_that_are_mounted_exist() -> None:
    mounted = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {name for name in mounted if name.isalnum()} == COMPOSE["volumes"].keys()


def test_the_image_runs_as_nobody_special_from_hashed_requirements() -> None:
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    assert DOCKERFILE.count("--require-hashes") == 2
    assert DOCKERFILE.count("FROM python:3.12-slim") == 2


def test_what_the_image_copies_exists_and_reaches_the_builder() -> None:
    allowed = [
        line[1:].rstrip("/")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    ]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = [source for line in copied for source in line.split()]
    assert {"app", "tasks", "workers", "requirements/run.txt"} <= set(sources)
    assert not [source for source in sources if not (ROOT / source).exists()]
    assert not [source for source in sources if not any(fnmatch(source, pattern) for pattern in allowed)]


@pytest.mark.parametrize("name", LOCKS)
def test_requirements_are_hashed_and_name_no_place_to_fetch_from(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    requirements = re.findall(r"^([\w.\[\]-]+)==.*((?:\\\n    --hash=sha256:[0-9a-f]{64} ?)+)", text, re.MULTILINE)
    assert len(requirements) == len(re.findall(r"^[\w.\[\]-]+==", text, re.MULTILINE)) > 2
    assert "://" not in text
    assert not re.findall(r"^-", text, re.MULTILINE)


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = {
        "run.txt": [
            *project["project"]["dependencies"],
            *(one for extra in project["project"]["optional-dependencies"].values() for one in extra),
        ],
        "dev.txt": project["dependency-groups"]["dev"],
    }
    for lock, wanted in groups.items():
        text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
        names = [re.split(r"[\[><= ]", one)[0].lower() for one in wanted]
        assert not [name for name in names if name != "leadrelay" and not re.search(rf"(?m)^{name}[=\[]", text)]


def test_the_ci_script_can_be_run() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
