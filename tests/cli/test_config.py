"""The configuration from files to the running version and back, and previews."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import EXAMPLE, LEAD, Run


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
    assert "1 source, 4 destinations" in found.err
    assert lonely("config", "validate", EXAMPLE, "--json").json["destinations"] == [
        "buyer",
        "hubspot",
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
    assert schema["destination"]["properties"]["type"]["enum"] == ["email", "http", "hubspot", "salesforce"]


@pytest.mark.parametrize("name", ["buyer", "welcome", "salesforce", "hubspot"])
def test_every_example_destination_renders_with_nothing_running(lonely: Run, lead_file: Path, name: str) -> None:
    found = lonely("preview", EXAMPLE / "destinations" / f"{name}.yaml", lead_file)
    assert found.code == 0, found.err
    assert (found.json["destination"], found.json["skipped"]) == (name, None)
    assert "ada@example.com" in json.dumps(found.json["payload"])


def test_a_preview_says_why_a_lead_would_be_skipped(lonely: Run) -> None:
    lead = json.dumps({**LEAD, "do_not_sell": "yes"})
    found = lonely("preview", EXAMPLE / "destinations" / "buyer.yaml", "-", stdin=lead)
    assert found.json["skipped"] == "the destination's condition was not met"
    assert found.json["payload"]["phones"] == [{"number": "+14155550132"}]


def test_a_preview_of_a_running_destination_reads_the_lead_as_its_source_does(configured: Run, lead_file: Path) -> None:
    assert configured("preview", "welcome", lead_file).json["payload"]["to"] == "ada@example.com"
    refused = configured("preview", "welcome", "-", "--source", "web", stdin="{}")
    assert refused.code == 1
    assert "error: email: is required" in refused.err
    unknown = configured("preview", "welcom", lead_file)
    assert unknown.code == 1
    assert 'did you mean "welcome"?' in unknown.err


def test_a_mapping_that_fails_names_the_property(lonely: Run, folder: Path, lead_file: Path) -> None:
    file = folder / "destinations" / "buyer.yaml"
    edit(file, "campaign: autumn", 'campaign: "{{ lead.first_name | slice: 0, lead.last_name }}"')
    found = lonely("preview", file, lead_file)
    assert (found.code, found.out) == (1, "")
    assert "property 'campaign'" in found.err


def test_a_destination_file_with_a_mistake_is_placed(lonely: Run, tmp_path: Path, lead_file: Path) -> None:
    file = tmp_path / "crm.yaml"
    file.write_text("type: http\nsettings:\n  url: nowhere\n")
    found = lonely("preview", file, lead_file)
    assert found.code == 1
    assert f"{file}:3: settings.url: " in found.err
    missing = lonely("preview", tmp_path / "none.yaml", lead_file)
    assert missing.code == 1
    assert "cannot be read" in missing.err
