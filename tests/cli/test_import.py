"""Many leads through the command line."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import psycopg
import pytest

from app.cli.main import run
from app.ledger import Database
from app.settings import settings
from tests.cli.conftest import Run

HEADER = "id,email,last_name"


def rows(count: int) -> list[str]:
    return [HEADER, *(f"{number},u{number}@example.com,Name{number}" for number in range(1, count + 1))]


def counted(database: Database) -> int:
    return int(database.fetch("select count(*) from leads")[0][0])


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_refused_lines_are_reported_by_number_and_the_rest_is_taken(
    configured: Run, tmp_path: Path, database: Database
) -> None:
    lines = rows(1200)
    lines[5], lines[700], lines[900] = "5,nobody,Name5", "700,u700@example.com", '901,"u901@example.com,Name901'
    found = configured("import", write(tmp_path / "leads.csv", lines), "--source", "web")
    assert found.code == 1
    report = [json.loads(line) for line in found.out.splitlines()]
    assert sorted(one["line"] for one in report) == [6, 701, 901]
    assert counted(database) == 1197
    assert "1,197 leads accepted, 3 lines refused" in found.err
    assert "u900" not in found.out, "a report holds no values"


def test_an_import_run_again_makes_no_second_lead(configured: Run, tmp_path: Path, database: Database) -> None:
    file = write(tmp_path / "leads.csv", rows(600))
    assert configured("import", file, "--source", "web", "--key-field", "id").code == 0
    again = configured("import", file, "--source", "web", "--key-field", "id")
    assert (again.code, again.out) == (0, "")
    assert "600 leads accepted (600 of them known before)" in again.err
    assert counted(database) == 600


def test_a_line_without_its_key_is_refused(configured: Run, tmp_path: Path) -> None:
    lines = [HEADER, ",a@example.com,A", "2,b@example.com,B"]
    found = configured("import", write(tmp_path / "leads.csv", lines), "--source", "web", "--key-field", "id")
    assert found.code == 1
    [refused] = [json.loads(line) for line in found.out.splitlines()]
    assert (refused["line"], refused["problem"]["errors"][0]["field"]) == (2, "id")


def test_ndjson_comes_from_a_pipe_and_the_report_goes_to_a_file(configured: Run, tmp_path: Path) -> None:
    lines = ['{"email": "a@example.com", "last_name": "A"}', "", '{"email":', "[]"]
    report = tmp_path / "report.ndjson"
    arguments = ["import", "-", "--source", "web", "--format", "ndjson", "--report", report]
    found = configured(*arguments, stdin="\n".join(lines))
    assert (found.code, found.out) == (1, "")
    assert [json.loads(line)["line"] for line in report.read_text().splitlines()] == [3, 4]


def test_an_unknown_source_is_said_once(configured: Run, tmp_path: Path) -> None:
    found = configured("import", write(tmp_path / "leads.csv", rows(50)), "--source", "nope")
    assert (found.code, found.out, found.err.count("\n")) == (1, "", 1)
    assert "known sources: web" in found.err


def test_a_header_that_cannot_be_used_is_refused(configured: Run, tmp_path: Path) -> None:
    found = configured("import", write(tmp_path / "leads.csv", ["email,email", "a,b"]), "--source", "web")
    assert found.code == 1
    assert "twice" in found.err


def test_a_ledger_lost_in_mid_import_is_told_with_how_to_go_on(
    configured: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    database_server: str,
    database_url: str,
) -> None:
    assert configured("reconcile").code == 0
    name = urlsplit(database_url).path.removeprefix("/")
    lines = "\n".join(rows(1500)).encode()
    middle = lines.index(b"u700@")
    left: list[bytes | None] = [lines[:middle], None, lines[middle:]]

    def read(_count: int) -> bytes:
        if left and left[0] is None:
            left.pop(0)
            with psycopg.connect(database_server, autocommit=True) as connection:
                connection.execute(f"alter database {name} allow_connections false".encode())
                connection.execute(
                    b"select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,)
                )
        return (left.pop(0) or b"") if left else b""

    try:
        settings.cache_clear()
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=SimpleNamespace(read=read), isatty=lambda: False))
        code = run(["import", "-", "--source", "web", "--format", "csv", "--key-field", "id"])
    finally:
        with psycopg.connect(database_server, autocommit=True) as connection:
            connection.execute(f"alter database {name} allow_connections true".encode())
    assert code == 3
    assert "broken off after 500 accepted leads; run the same command again" in capsys.readouterr().err
    left[:] = [lines]
    assert run(["import", "-", "--source", "web", "--format", "csv", "--key-field", "id"]) == 0
    assert "1,500 leads accepted (500 of them known before)" in capsys.readouterr().err
