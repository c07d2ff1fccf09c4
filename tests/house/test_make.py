"""The Makefile: every target is listed with its line, can be planned, and calls modules that exist."""

import importlib.util
import re
import subprocess

import pytest

from tests.house.tree import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^([a-z-]+):.*?## (.+)$", MAKEFILE, re.MULTILINE)


def _make(*arguments: str) -> str:
    done = subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_make_alone_lists_every_target_in_groups() -> None:
    listed = _make()
    assert not [
        name for name, told in TARGETS if not re.search(rf"^  {name} +{re.escape(told)}$", listed, re.MULTILINE)
    ]
    assert re.findall(r"^[A-Z]\w+$", listed, re.MULTILINE) == re.findall(r"^##@ (.+)$", MAKEFILE, re.MULTILINE)


def test_every_target_is_documented_and_phony() -> None:
    named = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    [phony] = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert named == set(phony.split()) == {name for name, _ in TARGETS}


@pytest.mark.parametrize("name", [name for name, _ in TARGETS])
def test_every_target_can_be_planned(name: str) -> None:
    _make("--dry-run", name)


def test_modules_that_targets_run_exist() -> None:
    named = [name for name in re.findall(r"python -m ([\w.]+)", MAKEFILE) if name != "pip"]
    assert len(named) > 3
    assert not [name for name in named if importlib.util.find_spec(name) is None]
