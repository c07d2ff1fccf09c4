"""Pages that people write: what they tell the reader to type exists, their examples hold, their links lead somewhere."""

import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import connectors
from app.catalog import compile_document
from app.cli.main import COMMANDS, load
from app.config.embedding import embed
from app.config.schema import Document
from tests.house.tree import ROOT, pages

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
PAGES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()]
RUNBOOKS = [pytest.param(page, id=page.stem) for page in sorted((ROOT / "docs/operations").glob("*.md"))]


def _blocks(page: Path, *languages: str) -> Iterator[str]:
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in languages:
            yield re.sub(r"(?m)^   (?= *\S)", "", block) if block.startswith("   ") else block


def _typed(page: Path) -> Iterator[str]:
    """What the page tells the reader to type: console lines after `$`, and literals."""
    for block in _blocks(page, "console"):
        yield from re.findall(r"^\$ (.+)$", block.replace("\\\n", " "), re.MULTILINE)
    yield from INLINE.findall(FENCE.sub("", page.read_text(encoding="utf-8")))


def _calls(page: Path, program: str) -> Iterator[list[str]]:
    """The arguments of each call of a program."""
    for typed in _typed(page):
        for part in re.split(r" \| | && |; ", typed):
            if part == program or part.startswith(f"{program} "):
                yield shlex.split(part.partition(" #")[0])[1:]


def _wrong(arguments: list[str]) -> str | None:
    """What is wrong with a call of `leadrelay`."""
    name, *rest = arguments or ["--help"]
    if name.startswith("--"):
        return None
    if name not in COMMANDS:
        return f"there is no command {name}"
    command = load(name)
    inner = getattr(command, "commands", {})
    if inner and rest:
        if rest[0] not in inner:
            return f"there is no command {name} {rest[0]}"
        command = inner[rest[0]]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    return next((f"{name} has no {word}" for word in rest if re.match(r"--?[a-z]", word) and word not in known), None)


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_docs_exist(page: Path) -> None:
    assert not [(call, wrong) for call in _calls(page, "leadrelay") if (wrong := _wrong(call))]


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_in_the_docs_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert not [call for call in _calls(page, "make") if call and call[0] not in targets]


def test_a_wrong_call_would_be_noticed() -> None:
    assert [
        _wrong(shlex.split(call)) for call in ("sned x", "dlq replya", "send - --sauce web", "dlq list --held")
    ] == [
        "there is no command sned",
        "there is no command dlq replya",
        "send has no --sauce",
        None,
    ]


def test_the_readme_shows_the_ways_in() -> None:
    calls = [call[0] for call in _calls(ROOT / "README.md", "leadrelay") if call]
    assert {"send", "show", "preview", "config", "dlq", "api", "worker", "flower", "migrate"} <= set(calls)
    assert {call[0] for call in _calls(ROOT / "README.md", "make") if call} >= {"run", "demo"}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_file() or not target.is_relative_to(ROOT) or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert not broken


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them."""
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached_from_the_index() -> None:
    reached: set[Path] = set()
    ahead = [ROOT / "docs/index.md", ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = LINK.findall(page.read_text(encoding="utf-8"))
        targets = [(page.parent / link.partition("#")[0]).resolve() for link in links if "://" not in link]
        ahead += [target for target in targets if target.is_file()]
    assert not set(pages()) - reached


@pytest.mark.parametrize("page", RUNBOOKS)
def test_a_runbook_says_what_one_sees_what_it_means_and_what_to_do(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["What you see", "What it means", "What to do"]
    assert f"](operations/{page.name})" in (ROOT / "docs/operations.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", RUNBOOKS)
def test_events_metrics_and_settings_in_the_runbooks_exist(page: Path) -> None:
    known = "".join(
        (ROOT / "docs/reference" / name).read_text(encoding="utf-8")
        for name in ("events.md", "metrics.md", "settings.md", "config.md")
    )
    text = page.read_text(encoding="utf-8")
    dotted = re.compile(r"`([a-z]+\.[a-z_]+)`")
    families = {name.partition(".")[0] for name in dotted.findall(known)}
    named = [name for name in dotted.findall(text) if name.partition(".")[0] in families and name != "lead.json"]
    named += re.findall(r"\bleadrelay_[a-z_]+|\bLEADRELAY_[A-Z_]+", text)
    assert not [name for name in named if f"`{name}`" not in known]


@pytest.mark.parametrize("page", PAGES)
def test_examples_can_be_read(page: Path) -> None:
    for block in _blocks(page, "json"):
        for document in block.strip().splitlines() if block.startswith("{") and "}\n{" in block else [block]:
            json.loads(document)
    for block in _blocks(page, "yaml"):
        yaml.safe_load(block)


def test_python_in_the_readme_and_tutorial_compiles() -> None:
    blocks = [block for name in ("README.md", "docs/tutorial.md") for block in _blocks(ROOT / name, "python")]
    assert blocks
    for block in blocks:
        ast.parse(block)


def _destinations() -> Iterator[Any]:
    for page in pages():
        for number, block in enumerate(_blocks(page, "yaml")):
            found = yaml.safe_load(block)
            if isinstance(found, dict) and found.get("type") in connectors.types() and "settings" in found:
                if page.with_suffix("").is_dir():  # files that it names lie there
                    found = embed(found, page.with_suffix("") / "example.yaml", line=lambda _setting: None)
                yield pytest.param({"name": "example", **found}, id=f"{page.relative_to(ROOT)}-{number}")


@pytest.mark.parametrize("destination", list(_destinations()))
def test_destinations_in_the_docs_would_be_applied(destination: dict[str, Any]) -> None:
    assert compile_document(Document.model_validate({"destinations": [destination]}), 1).steps


def test_the_promise_is_given_in_the_same_words_everywhere() -> None:
    told = [
        " ".join(line[2:] for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if line.startswith("> "))
        for name in ("README.md", "docs/architecture.md")
    ]
    assert told[0] == told[1]
    assert "accepted = delivered + rejected + skipped + waiting + held + dead + cancelled" in told[0]
