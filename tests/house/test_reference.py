"""The generated pages: current, complete, and noticed when they are not."""

import subprocess
import sys

import pytest
from pydantic import BaseModel

from app import connectors
from app.cli.main import COMMANDS
from app.cli.reference import __main__ as reference
from app.cli.reference.shape import settings as settings_of
from app.config.schema import DestinationConfig, SourceConfig
from app.model import TRANSITIONS, State
from app.settings import Settings
from app.telemetry import Event
from tests.house.tree import ROOT

MODELS: list[type[BaseModel]] = [
    Settings,
    SourceConfig,
    DestinationConfig,
    *(connectors.load(name).Settings for name in connectors.types()),
]


def _page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_generated_pages_are_current() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "app.cli.reference", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_stale_and_left_over_pages_are_named() -> None:
    wanted = dict(reference.pages())
    wanted["docs/reference/settings.md"] += "another setting\n"
    del wanted["docs/reference/cli.md"]
    assert reference.stale(wanted) == ["docs/reference/cli.md", "docs/reference/settings.md"]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_setting_says_what_it_is(model: type[BaseModel]) -> None:
    rows = list(settings_of(model.model_json_schema()))
    assert rows
    assert not [name for name, _, _, text in rows if len(text) < 5]


@pytest.mark.parametrize("name", connectors.types())
def test_every_setting_of_a_connector_is_on_its_page(name: str) -> None:
    page = _page(f"connectors/{name}.md")
    rows = list(settings_of(connectors.load(name).Settings.model_json_schema()))
    assert not [setting for setting, *_ in rows if f"| `{setting}` |" not in page]


def test_every_setting_of_an_installation_is_documented() -> None:
    page = _page("reference/settings.md")
    assert not [name for name in Settings.model_fields if f"`LEADRELAY_{name.upper()}`" not in page]


def test_every_command_is_documented() -> None:
    page = _page("reference/cli.md")
    assert not [name for name in COMMANDS if f"### leadrelay {name}" not in page]


def test_every_log_event_is_documented() -> None:
    page = _page("reference/events.md")
    assert not [event for event in Event if f"`{event}`" not in page]


def test_states_in_the_architecture_are_those_of_the_code() -> None:
    table = _page("architecture.md").partition("<!-- states:begin -->")[2].partition("<!-- states:end -->")[0]
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.strip().splitlines()[2:]]
    told = {State(row[0]): frozenset(State(name) for name in row[2].split(", ")) for row in rows}
    assert told == TRANSITIONS
