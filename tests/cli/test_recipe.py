"""The pages of docs/recipes show what their files say, and what `preview` and `interpret` make of them."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import TREE, Run

RECIPES = TREE / "docs/recipes"
PAGES = [pytest.param(page, id=page.stem) for page in sorted(RECIPES.glob("*.md")) if page.stem != "index"]
UNSHOWN = {"Host", "User-Agent", "Accept", "Accept-Encoding", "Content-Length"}


def files(page: Path) -> Path:
    return page.with_suffix("")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def named(page: Path) -> list[str]:
    """Destinations in the order in which the page shows their files."""
    return re.findall(
        rf"^\[`([a-z-]+)\.yaml`\]\({page.stem}/\1\.yaml\):$", page.read_text(encoding="utf-8"), re.MULTILINE
    )


def rows(page: Path) -> list[list[str]]:
    """Answers and what they mean, as the page's table has them."""
    lines = re.findall(rf"^\| \[(\S+)\]\({page.stem}/\1\) \| (.*) \|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [
        [name, *(cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", rest))] for name, rest in lines
    ]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_every_destination_as_its_file_has_it(page: Path) -> None:
    shown = dict(zip(named(page), blocks(page, "yaml"), strict=True))
    assert shown == {file.stem: file.read_text(encoding="utf-8") for file in files(page).glob("*.yaml")}
    assert f"({page.name})" in (RECIPES / "index.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_what_a_preview_of_its_lead_shows(page: Path, lonely: Run) -> None:
    for destination, shown in zip(named(page), blocks(page, "http"), strict=True):
        steps = files(page) / f"{destination}.steps.json"
        said = ["--steps", steps] if steps.exists() else []
        found = lonely("preview", files(page) / f"{destination}.yaml", files(page) / "lead.json", *said)
        assert (found.code, found.err) == (0, "")
        head = [f"{name}: {value}" for name, value in found.json["headers"].items() if name not in UNSHOWN]
        request = "\n".join([f"{found.json['method']} {found.json['url']}", *head, "", found.json["body"]]).strip()
        assert re.fullmatch(".+".join(map(re.escape, shown.strip().split("…"))), request), request


@pytest.mark.parametrize("page", PAGES)
def test_a_page_tells_what_each_answer_means(page: Path, lonely: Run) -> None:
    answers = {file.name for file in files(page).glob("*.*.json") if not file.name.endswith(".steps.json")}
    assert {row[0] for row in rows(page)} == answers
    for name, outcome, *rest in rows(page):
        found = lonely("interpret", files(page) / f"{name.partition('.')[0]}.yaml", files(page) / name)
        assert found.code == 0, found.err
        verdict = {key: value or "" for key, value in found.json.items()}
        meant = ", ".join(filter(None, (verdict["outcome"], verdict["fault"])))
        assert [outcome, *rest] == [meant, verdict["reason"], verdict["price"], verdict["reference"]]


@pytest.mark.parametrize("page", PAGES)
def test_nothing_lies_beside_a_page_that_it_does_not_name(page: Path) -> None:
    known = {f"{destination}.steps.json" for destination in named(page)}
    known |= set(re.findall(rf"\]\({page.stem}/([\w.-]+)\)", page.read_text(encoding="utf-8")))
    assert {file.name for file in files(page).iterdir()} <= known
    assert json.loads((files(page) / "lead.json").read_text(encoding="utf-8"))
