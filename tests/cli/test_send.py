"""One lead through the command line."""

import json
from pathlib import Path
from uuid import UUID

from app.ledger import Database, query
from app.model import State
from tests.cli.conftest import DELIVERED, LEAD, Run, finish

NAMES = {"buyer", "welcome", "salesforce", "hubspot"}


def test_send_prints_the_id_of_a_lead_that_is_in_the_ledger(
    configured: Run, lead_file: Path, database: Database
) -> None:
    found = configured("send", lead_file, "--source", "web")
    assert found.code == 0
    [(lead, deliveries)] = query.leads(database, [UUID(found.out.strip())])
    assert lead.fields["phone_1"] == "+14155550132"
    assert set(deliveries.values()) == NAMES
    assert "accepted for" in found.err


def test_a_lead_can_come_from_a_pipe(configured: Run) -> None:
    found = configured("send", "-", "--source", "web", "--json", stdin=json.dumps(LEAD))
    assert found.code == 0
    assert {one["destination"] for one in found.json["deliveries"]} == NAMES
    assert found.json["source"] == "web"


def test_the_same_key_gives_the_same_lead(configured: Run, lead_file: Path) -> None:
    first = configured("send", lead_file, "-s", "web", "--key", "k")
    again = configured("send", lead_file, "-s", "web", "--key", "k")
    assert first.out == again.out
    assert "accepted before" in again.err


def test_a_key_used_for_another_body_is_refused(configured: Run, lead_file: Path) -> None:
    configured("send", lead_file, "-s", "web", "--key", "k")
    found = configured("send", "-", "-s", "web", "--key", "k", stdin=json.dumps({**LEAD, "city": "Rome"}))
    assert (found.code, found.out) == (1, "")
    assert "Idempotency-Key was used before" in found.err


def test_every_wrong_field_has_its_line(configured: Run) -> None:
    found = configured("send", "-", "-s", "web", stdin='{"email": "nobody"}')
    assert found.code == 1
    assert found.err.splitlines() == ["error: email: is not an e-mail address", "error: last_name: is required"]


def test_an_unknown_source_names_the_known_ones(configured: Run, lead_file: Path) -> None:
    found = configured("send", lead_file, "-s", "wbe")
    assert found.code == 1
    assert "known sources: web" in found.err


def test_bad_json_is_placed(configured: Run) -> None:
    assert "line 2, column" in configured("send", "-", "-s", "web", stdin='{"email":\n}').err
    assert "must be a JSON object" in configured("send", "-", "-s", "web", stdin="[]").err
    assert "`leadrelay import`" in configured("send", "-", "-s", "web", stdin='{"email": "a@b.example"}\n{}').err


def test_a_body_beyond_the_cap_is_refused(configured: Run) -> None:
    found = configured("send", "-", "-s", "web", stdin=json.dumps({"comments": "x" * 1_100_000}))
    assert found.code == 2
    assert "LEADRELAY_MAX_BODY_BYTES" in found.err


def test_a_field_that_keeps_its_raw_text_is_noted(configured: Run) -> None:
    found = configured("send", "-", "-s", "web", stdin=json.dumps({**LEAD, "budget": "lots"}))
    assert found.code == 0
    assert "note: budget is not a number" in found.err


def test_waiting_in_vain_exits_with_1_and_shows_where_it_stands(configured: Run, lead_file: Path) -> None:
    found = configured("send", lead_file, "-s", "web", "--wait", "0.2")
    assert found.code == 1
    assert found.out.count("ready") == 4


def test_waiting_shows_the_outcomes(configured: Run, lead_file: Path, database: Database) -> None:
    configured("send", lead_file, "-s", "web", "--key", "k")
    for name in NAMES:
        finish(database, name, DELIVERED, State.DELIVERED)
    found = configured("send", lead_file, "-s", "web", "--key", "k", "--wait", "5", "--json")
    assert found.code == 0
    assert {one["state"] for one in found.json["deliveries"]} == {"delivered"}


def test_a_lead_and_a_file_of_leads_may_be_backfill(configured: Run, lead_file: Path, database: Database) -> None:
    assert configured("send", lead_file, "-s", "web", "--priority", "backfill").code == 0
    lines = json.dumps(LEAD)
    imported = configured("import", "-", "-s", "web", "--format", "ndjson", "--priority", "backfill", stdin=lines)
    assert imported.code == 0
    assert {view.priority for view in query.deliveries(database)} == {"backfill"}
    assert configured("send", lead_file, "-s", "web").code == 0
    assert {view.priority for view in query.deliveries(database)} == {"backfill", "fresh"}
    refused = configured("send", lead_file, "-s", "web", "--priority", "urgent")
    assert refused.code == 2
    assert "--priority" in refused.err
