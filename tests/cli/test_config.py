"""The configuration from files to the running version and back."""

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import EXAMPLE, Run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    shutil.copytree(EXAMPLE, path)
    return path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_example_is_valid_with_nothing_running(lonely: Run) -> None:
    found = lonely("config", "validate", EXAMPLE)
    assert found.code == 0
    assert "1 source, 5 destinations" in found.err
    assert lonely("config", "validate", EXAMPLE, "--json").json["destinations"] == [
        "buyer",
        "hubspot",
        "partner",
        "salesforce",
        "welcome",
    ]


def test_a_mistake_is_told_with_file_line_field_and_remedy(lonely: Run, folder: Path) -> None:
    file = folder / "destinations" / "buyer.yaml"
    edit(file, "retry:", "retri:")
    found = lonely("config", "validate", folder)
    line = file.read_text().split("retri:")[0].count("\n") + 1
    assert found.code == 1
    assert found.err == f'error: {file}:{line}: retri: is not a known setting (did you mean "retry"?)\n'
    told = lonely("config", "validate", folder, "--json")
    assert (told.code, told.json["complaints"][0]["line"]) == (1, line)


def test_a_folder_with_mistakes_changes_nothing(configured: Run, folder: Path) -> None:
    edit(folder / "destinations" / "buyer.yaml", "type: http", "type: htp")
    assert configured("config", "apply", folder).code == 1
    assert len(configured("config", "history", "--json").json) == 1


def test_a_change_is_shown_applied_and_rolled_back(configured: Run, folder: Path) -> None:
    assert "nothing differs" in configured("config", "diff", EXAMPLE).err
    edit(folder / "destinations" / "buyer.yaml", "campaign: autumn", "campaign: winter")
    shown = configured("config", "diff", folder)
    assert "~ destination buyer changed" in shown.out
    assert [line.strip() for line in shown.out.splitlines() if "campaign" in line] == [
        "-  campaign: autumn",
        "+  campaign: winter",
    ]
    assert "version 2 is running" in configured("config", "apply", folder, "--note", "winter").err
    assert "nothing differs" in configured("config", "apply", folder).err
    assert configured("config", "rollback", "1").code == 0
    assert "nothing differs" in configured("config", "diff", EXAMPLE).err
    history = configured("config", "history", "--json").json
    assert [(one["version"], one["note"]) for one in history] == [(3, "roll back to version 1"), (2, "winter"), (1, "")]


def test_a_version_that_never_was_cannot_be_rolled_back_to(configured: Run) -> None:
    found = configured("config", "rollback", "9")
    assert found.code == 1
    assert "no configuration version 9" in found.err


def test_the_schemas_know_every_connector_type(lonely: Run) -> None:
    schema = lonely("config", "schema").json
    assert schema["destination"]["properties"]["type"]["enum"] == [
        "email",
        "graphql",
        "http",
        "hubspot",
        "salesforce",
        "soap",
        "webhook",
    ]
