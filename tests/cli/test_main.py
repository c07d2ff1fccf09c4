"""The entry: help, exit codes, and how errors are said."""

import subprocess
import sys
from inspect import cleandoc

import pytest

from app.cli import reconciliation
from app.cli.main import COMMANDS, load
from tests.cli.conftest import EXAMPLE, TREE, Run
from tests.conftest import OUTDATED

MISSING_ID = "01a2080e-17e9-71cf-91e9-9fc674dc0340"


def test_help_lists_every_command_and_imports_none_of_them() -> None:
    program = (
        "import sys; from app.cli.main import run; assert run(['--help']) == 0; "
        "heavy = {'pydantic', 'psycopg', 'celery', 'app.ledger'} & set(sys.modules); assert not heavy, heavy"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=TREE, check=False, timeout=60
    )
    assert found.returncode == 0, found.stderr
    assert all(f" {name} " in found.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_the_help_is_the_first_line_of_the_commands_own_help(name: str) -> None:
    assert cleandoc(load(name).help).split("\n")[0] == COMMANDS[name].help


def test_no_arguments_show_the_help(lonely: Run) -> None:
    assert "Usage" in lonely().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["nosuch"],
        ["show", "abc"],
        ["show"],
        ["send", "nosuch.json", "--source", "web"],
        ["send", ".", "--source", "web"],
        ["import", "nosuch.csv", "--source", "web"],
        ["import", "-", "--source", "web"],
        ["dlq", "replay"],
        ["dlq", "replay", MISSING_ID, "--all"],
        ["key", "create", "x", "--scope", "nosuch"],
        ["preview", "crm.yaml", "nosuch.json"],
        ["interpret", "crm.yaml", "nosuch.json"],
        ["check"],
        ["config", "rollback", "zero"],
        ["demo", "--leads", "0"],
    ],
)
def test_wrong_usage_is_one_line_and_exits_with_2(lonely: Run, arguments: list[str]) -> None:
    found = lonely(*arguments)
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith("error: ")
    assert found.err.count("\n") == 1
    assert "--help`" in found.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", MISSING_ID],
        ["tail"],
        ["destinations"],
        ["pause", "crm"],
        ["check", "crm"],
        ["describe", "crm"],
        ["dlq", "list"],
        ["dlq", "show", MISSING_ID],
        ["dlq", "replay", "--all", "--yes"],
        ["reconcile"],
        ["config", "diff", EXAMPLE],
        ["config", "apply", EXAMPLE],
        ["config", "history"],
        ["key", "list"],
        ["migrate"],
        ["worker"],
        ["api"],
    ],
)
@pytest.mark.parametrize("database_url", [None, "postgresql://someone:hidden@127.0.0.1:1/nowhere"])
def test_without_a_ledger_one_line_says_so_and_the_code_is_3(
    lonely: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], database_url: str | None
) -> None:
    if database_url is not None:
        if arguments in (["worker"], ["api"]):
            return  # a part waits for its ledger
        monkeypatch.setenv("LEADRELAY_DATABASE_URL", database_url)
    found = lonely(*arguments)
    assert (found.code, found.out) == (3, "")
    assert found.err.startswith("error: no ")
    assert "leadrelay up" in found.err
    assert found.err.count("\n") == 1
    assert "hidden" not in found.err


@pytest.mark.parametrize("arguments", [["destinations"], ["config", "apply", EXAMPLE], ["reconcile"], ["key", "list"]])
def test_a_ledger_without_tables_asks_for_migrate(
    lonely: Run, database_server: str, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("LEADRELAY_DATABASE_URL", database_server)
    found = lonely(*arguments)
    assert (found.code, found.out) == (3, "")
    assert found.err == "error: the ledger has no tables yet: run `leadrelay migrate`\n"


@pytest.mark.parametrize(
    "arguments",
    [["destinations"], ["reconcile"], ["send", "-", "-s", "web"], ["import", "-", "-s", "web", "--format", "csv"]],
)
def test_older_tables_are_said_in_one_line_and_migrate_mends_it(
    lonely: Run, outdated_database_url: str, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("LEADRELAY_DATABASE_URL", outdated_database_url)
    found = lonely(*arguments, stdin="{}")
    assert (found.code, found.out) == (3, "")
    assert found.err.startswith(f"error: the ledger's tables are at {OUTDATED} and this release needs ")
    assert found.err.endswith(": run `leadrelay migrate`\n")
    assert found.err.count("\n") == 1
    assert lonely("migrate").code == 0
    assert lonely("destinations").code == 0


def test_a_bad_setting_is_named(lonely: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADRELAY_API_PORT", "many")
    found = lonely("destinations")
    assert found.code == 1
    assert found.err.startswith("error: LEADRELAY_API_PORT: ")


def test_a_database_address_that_is_none_is_said_to_be_none(lonely: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADRELAY_DATABASE_URL", "localhost")
    found = lonely("destinations")
    assert found.code == 1
    assert "LEADRELAY_DATABASE_URL: is not the address of a PostgreSQL" in found.err


def test_a_defect_is_told_by_its_place_without_a_traceback(leadrelay: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_of: object, **_how: object) -> None:
        raise ZeroDivisionError("ada@example.com")

    monkeypatch.setattr(reconciliation, "balance", broken)
    found = leadrelay("reconcile")
    assert found.code == 1
    assert found.err.startswith("error: a defect of leadrelay: ZeroDivisionError at ")
    assert "ada@" not in found.err
    monkeypatch.setenv("LEADRELAY_LOG_LEVEL", "debug")
    with pytest.raises(ZeroDivisionError):
        leadrelay("reconcile")


@pytest.mark.parametrize(("reader", "read"), [("head -1", "{\n"), ("true", "")])
def test_a_reader_that_has_enough_is_no_error(reader: str, read: str) -> None:
    found = subprocess.run(
        f"{sys.executable} -m app.cli.main config schema | {reader}; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        cwd=TREE,
        check=False,
        timeout=60,
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, read, "")
