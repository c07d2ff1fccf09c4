"""What `make new-connector` writes is in the house's style from its first line, and knows the whole contract."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import scaffold
from tests.connectors.contract import Stage
from tests.house.tree import ROOT

FIRST_PARTY = "lint.isort.known-first-party=['app', 'tests']"


@pytest.fixture(params=["acme_crm", "zoho"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A connector's name, and a folder with its three files and what rules them."""
    for path, text in scaffold.files(request.param).items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text(encoding="utf-8"), encoding="utf-8")
    for package in ("app", "app/connectors"):
        (tmp_path / package / "__init__.py").write_text('"""A package."""\n', encoding="utf-8")
    return request.param, tmp_path


@pytest.mark.parametrize("command", [["check", "--no-cache"], ["format", "--check", "--no-cache"]])
def test_a_new_connector_is_in_style(written: tuple[str, Path], command: list[str]) -> None:
    _, folder = written
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--config", FIRST_PARTY, "."],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_a_new_connectors_stage_has_every_verb_of_the_contract(written: tuple[str, Path]) -> None:
    name, folder = written
    tree = ast.parse((folder / f"tests/connectors/test_{name}.py").read_text(encoding="utf-8"))
    [stage] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name.endswith("Stage")]
    assert {node.name for node in stage.body if isinstance(node, ast.FunctionDef)} == Stage.__abstractmethods__


def test_a_new_connector_has_a_settings_class_and_a_connector(written: tuple[str, Path]) -> None:
    name, folder = written
    module = {"__name__": f"app.connectors.{name}"}
    exec((folder / f"app/connectors/{name}.py").read_text(encoding="utf-8"), module)
    connector = module["CONNECTOR"]
    assert isinstance(connector, type)
    assert connector.Settings.model_json_schema()["properties"].keys() == {"url", "token"}  # type: ignore[attr-defined]  # made just now


@pytest.mark.parametrize("name", ["http", "Acme", "2acme", "acme-crm", "base", "class", "_acme", ""])
def test_names_that_cannot_be_used_are_refused(name: str) -> None:
    assert scaffold.complaint(name)


def test_a_new_name_is_taken() -> None:
    assert scaffold.complaint("acme_crm") is None
