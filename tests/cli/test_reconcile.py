"""`leadrelay reconcile`: gaps told, repairs, one lead in words, and the file of a destination; bad files and options."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.ledger import Database
from app.model import Fault, Outcome, Result, State
from tests.cli.conftest import BURIED, DELIVERED, Run, finish

LOST = Outcome(result=Result.ERROR, fault=Fault.TRANSIENT, reason="no answer [yet]", ambiguous=True)


@pytest.fixture
def ledger(configured: Run, sent: dict[str, Any], database: Database) -> Run:
    """Runs a command on a ledger with one lead: delivered to `buyer`, dead for `welcome`, ready for the rest."""
    finish(database, "buyer", LOST, State.READY)
    with database.transaction() as connection:
        connection.execute(b"update deliveries set due_at = now() where destination = 'buyer'")
    finish(database, "buyer", DELIVERED, State.DELIVERED)
    finish(database, "welcome", BURIED, State.DEAD)
    return configured


def execute(database: Database, statement: str) -> None:
    with database.transaction() as connection:
        connection.execute(statement.encode())


def delivery(database: Database, destination: str) -> str:
    return str(database.fetch("select id from deliveries where destination = %s", (destination,))[0][0])


def test_a_lead_is_told_in_words(ledger: Run, sent: dict[str, Any], database: Database) -> None:
    found = ledger("reconcile", sent["id"])
    assert found.code == 0
    assert found.out.startswith("accepted 4 = delivered 1 + ")
    assert f"buyer  delivered  {delivery(database, 'buyer')}" in found.out
    assert (
        "the destination took it; after 2 attempts; 1 answer was lost: the destination may have it all the same"
        in found.out
    )
    assert "was given up: a dead letter; after 1 attempt; the last said error (mailbox [unavailable])" in found.out
    assert "waits to be sent, due at " in found.out
    told = ledger("reconcile", sent["id"], "--json").json
    assert [(one["destination"], one["attempts"]) for one in told["deliveries"] if one["state"] == "dead"] == [
        ("welcome", 1)
    ]


def test_a_lead_that_is_not_there_is_said(ledger: Run) -> None:
    found = ledger("reconcile", "01a2080e-17e9-71cf-91e9-9fc674dc0340")
    assert (found.code, found.out) == (1, "")
    assert "there is no lead 01a2080e" in found.err


def test_gaps_are_told_with_their_remedy_and_repaired_where_that_is_safe(ledger: Run, database: Database) -> None:
    execute(database, "update deliveries set attempts = 9 where destination = 'buyer'")
    execute(database, "delete from deliveries where destination = 'hubspot'")
    found = ledger("reconcile")
    assert found.code == 1
    assert "attempt-counter  1\n" in found.out
    assert "--repair: the counter becomes the highest number on record" in found.out
    assert "--repair: does not mend this: a lead does not say where its deliveries go" in found.out
    assert f"{delivery(database, 'buyer')}  counts 9 attempts" in found.out
    rehearsed = ledger("reconcile", "--repair", "--dry-run")
    assert (rehearsed.code, "would mend  " in rehearsed.out) == (1, True)
    assert database.fetch("select from audit where action = 'delivery.repair'") == []
    repaired = ledger("reconcile", "--repair", "--json")
    assert repaired.code == 1, "one gap is left for a person"
    assert repaired.json["counts"] == {"missing-delivery": 1}
    [mended] = repaired.json["repairs"]
    assert (mended["kind"], mended["subject"]) == ("attempt-counter", delivery(database, "buyer"))
    [(actor,)] = database.fetch("select actor from audit where action = 'delivery.repair'")
    assert actor.startswith("cli")
    assert ledger("reconcile", "--repair").err.startswith("0 gaps mended\n")


def test_many_gaps_of_a_kind_are_counted_and_some_are_shown(ledger: Run, database: Database) -> None:
    execute(
        database,
        "insert into attempts (delivery_id, number, started_at, duration_ms, result, ambiguous, worker, config_version)"
        " select gen_random_uuid(), 1, now(), 1, 'error', false, 'w', 1 from generate_series(1, 1100)",
    )
    found = ledger("reconcile")
    assert "stray-attempts  1,100\n" in found.out
    assert "and 1,080 more; --json lists 1,000" in found.out
    assert len(ledger("reconcile", "--json").json["gaps"]) == 1000


def test_the_sandboxs_receipts_are_compared(ledger: Run, database: Database, tmp_path: Path) -> None:
    buyer, welcome = delivery(database, "buyer"), delivery(database, "welcome")
    file = tmp_path / "receipts.ndjson"
    line = {"target": "buyer", "key": buyer, "digest": "00", "at": "2026-11-23T11:10:58.000+00:00", "repeat": False}
    file.write_text(f"{json.dumps(line)}\n{json.dumps(line | {'repeat': True})}\n")
    found = ledger("reconcile", "--against", file, "--destination", "buyer")
    assert (found.code, found.out) == (0, "buyer names 1 key in 2 lines: 1 matched\n"), found.err
    file.write_text(json.dumps(line | {"key": f"<{welcome.upper()}@mail.example>"}))
    dead = ledger("reconcile", "--against", file, "--destination", "welcome")
    assert dead.code == 1
    assert f"{welcome}  lead " in dead.out
    assert "leadrelay dlq discard DELIVERY --note 'found there'" in dead.out
    assert dead.err == "error: the ledger and welcome do not agree\n"


def test_what_is_missing_there_is_listed_with_its_lead_and_written_to_the_report(
    ledger: Run, sent: dict[str, Any], database: Database, tmp_path: Path
) -> None:
    buyer = delivery(database, "buyer")
    report = tmp_path / "report.ndjson"
    lines = "\n".join(
        [
            "id,note",
            f"{delivery(database, 'welcome')},",
            "ada@example.com,x",
            '01a2080e-17e9-71cf-91e9-9fc674dc0340,"a',
            "b,c,d",
        ]
    )
    arguments = ("--destination", "buyer", "--key", "id", "--format", "csv", "--report", report)
    found = ledger("reconcile", "--against", "-", *arguments, stdin=lines)
    assert found.code == 1
    assert f"{buyer}  lead {sent['id']}  delivered\n" in found.out
    assert "line 3: has no key of ours in the field 'id'" in found.out
    assert "ada@example.com" not in found.out + found.err + report.read_text()
    written = [json.loads(line) for line in report.read_text().splitlines()]
    assert [one["line"] for one in written if one["finding"] == "unreadable"] == [3, 4, 5]
    assert [(one["delivery"], one["lead"]) for one in written if one["finding"] == "missing"] == [(buyer, sent["id"])]
    told = ledger("reconcile", "--against", "-", *arguments[:-2], "--until", "2020-01-01", "--json", stdin=lines).json
    counts = {name: told[name] for name in ("agrees", "lines", "keys", "matched", "missing", "elsewhere", "unreadable")}
    assert counts == {
        "agrees": False, "lines": 4, "keys": 1, "matched": 0, "missing": 0, "elsewhere": 1, "unreadable": 3
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (
            ("--against", "-", "--format", "csv", "--destination", "buyer"),
            "id,a\n1,2\n",
            "there is no column 'key' among id, a",
        ),
        (
            ("--against", "-", "--format", "ndjson", "--destination", "buyer"),
            '{"id": 1}\n[\n',
            "no line has a key in the field",
        ),
        (("--against", "-", "--destination", "buyer"), "", "say --format csv or --format ndjson"),
        (("--against", "-", "--format", "csv"), "", "--against needs --destination NAME"),
        (
            ("--against", "-", "--format", "csv", "--destination", "buyer", "--repair"),
            "",
            "leave LEAD and --repair out",
        ),
        (("--against", "/nowhere.csv", "--destination", "buyer"), "", "cannot be read"),
        (("--destination", "buyer"), "", "--destination belongs to --against FILE"),
        (("--dry-run",), "", "--dry-run belongs to --repair"),
    ],
)
def test_what_cannot_be_compared_is_refused(configured: Run, arguments: tuple[str, ...], stdin: str, said: str) -> None:
    found = configured("reconcile", *arguments, stdin=stdin)
    assert (found.code, found.out) == (2, "")
    assert said in found.err


def test_an_unknown_destination_is_refused(configured: Run) -> None:
    found = configured("reconcile", "--against", "-", "--format", "csv", "--destination", "buyr")
    assert found.code == 1
    assert 'did you mean "buyer"?' in found.err
