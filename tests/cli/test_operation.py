"""What operators do: destinations, dead letters, the equation, keys."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.ledger import Database, gate, key, query
from app.model import State
from tests.cli.conftest import BURIED, DELIVERED, EXAMPLE, REFUSED, Run, finish


def states(database: Database, destination: str) -> set[str]:
    return {
        row[0] for row in database.fetch("select state::text from deliveries where destination = %s", (destination,))
    }


@pytest.fixture
def troubled(configured: Run, sent: Mapping[str, Any], database: Database) -> Run:
    """Dead at welcome and salesforce, held at hubspot, waiting at buyer."""
    assert sent
    finish(database, "welcome", BURIED, State.DEAD)
    finish(database, "salesforce", BURIED, State.DEAD)
    finish(database, "hubspot", REFUSED, State.HELD)
    return configured


def test_destinations_show_work_trouble_and_circuits(troubled: Run) -> None:
    rows = {row["name"]: row for row in troubled("destinations", "--json").json}
    assert (rows["buyer"]["waiting"], rows["welcome"]["dead"], rows["hubspot"]["held"]) == (1, 1, 1)
    assert (rows["hubspot"]["circuit"], rows["hubspot"]["reason"]) == ("open", "401 from the destination")
    assert rows["hubspot"]["holding_back"] == [{"by": "circuit", "detail": "circuit open: 401 from the destination"}]
    assert rows["buyer"]["holding_back"] == []
    assert "circuit open: 401 from the destination" in troubled("destinations").out


def test_a_paused_destination_shows_it_until_it_is_resumed(troubled: Run) -> None:
    assert troubled("pause", "buyer").code == 0
    assert "paused" in troubled("destinations").out
    assert troubled("resume", "buyer").code == 0
    assert "paused" not in troubled("destinations").out
    assert troubled("resume", "hubspot").code == 0
    assert "open" not in troubled("destinations").out, "resuming closes the circuit"


def test_the_end_of_an_interface_is_shown(troubled: Run, database: Database) -> None:
    with database.transaction() as connection:
        gate.keep_notice(connection, "buyer", "shut down on 2027-01-31")
    rows = {row["name"]: row["notice"] for row in troubled("destinations", "--json").json}
    assert (rows["buyer"], rows["hubspot"]) == ("shut down on 2027-01-31", None)
    assert "shut down on 2027-01-31" in troubled("destinations").out


def test_an_unknown_destination_cannot_be_paused(troubled: Run) -> None:
    found = troubled("pause", "byer")
    assert found.code == 1
    assert 'did you mean "buyer"?' in found.err


def test_dead_letters_are_listed_by_kind(troubled: Run) -> None:
    groups = troubled("dlq", "list", "--json").json
    assert {(one["destination"], one["count"], one["fingerprint"]) for one in groups} == {
        ("welcome", 1, "mark-welcome"),
        ("salesforce", 1, "mark-salesforce"),
    }
    assert "mailbox [unavailable]" in troubled("dlq", "list", "--destination", "welcome").out
    assert [one["destination"] for one in troubled("dlq", "list", "--held", "--json").json] == ["hubspot"]


def test_a_dead_letter_is_shown_with_its_attempts(troubled: Run, database: Database) -> None:
    [[delivery]] = database.fetch("select id from deliveries where destination = 'welcome'")
    found = troubled("dlq", "show", delivery)
    assert "mailbox [unavailable]" in found.out
    assert "mark-welcome" in found.out
    assert troubled("dlq", "show", delivery, "--json").json["state"] == "dead"


@pytest.mark.parametrize(
    ("choice", "moved"),
    [
        (["--all"], {"welcome", "salesforce"}),
        (["--destination", "welcome"], {"welcome"}),
        (["--fingerprint", "mark-salesforce"], {"salesforce"}),
        (["--held", "--all"], {"hubspot"}),
        (["--destination", "buyer"], set()),
    ],
)
def test_a_replay_moves_what_was_chosen_and_nothing_else(
    troubled: Run, database: Database, choice: list[str], moved: set[str]
) -> None:
    assert troubled("dlq", "replay", *choice, "--dry-run").code == 0
    assert states(database, "welcome") == {"dead"}, "a dry run moves nothing"
    assert troubled("dlq", "replay", *choice, "--yes", "--note", "mended").code == 0
    ready = {name for name in ("welcome", "salesforce", "hubspot") if states(database, name) == {"ready"}}
    assert ready == moved
    audited = database.fetch("select actor, detail->>'note' from audit where action = 'delivery.replay'")
    assert len(audited) == len(moved)
    assert all(row[0].startswith("cli:") and row[1] == "mended" for row in audited)


def test_a_replay_without_a_terminal_needs_yes(troubled: Run, database: Database) -> None:
    found = troubled("dlq", "replay", "--all")
    assert found.code == 2
    assert "add --yes" in found.err
    assert states(database, "welcome") == {"dead"}


def test_a_thousand_dead_letters_are_replayed_in_groups(configured: Run, database: Database) -> None:
    lines = "\n".join(f'{{"email": "u{n}@example.com", "last_name": "N"}}' for n in range(1100))
    assert configured("import", "-", "-s", "web", "--format", "ndjson", stdin=lines).code == 0
    finish(database, "welcome", BURIED, State.DEAD)
    found = configured("dlq", "replay", "--destination", "welcome", "--yes")
    assert "1,100 deliveries replayed" in found.err
    assert states(database, "welcome") == {"ready"}


def test_a_delivery_under_way_is_not_replayed_and_says_why(troubled: Run, database: Database) -> None:
    [[waiting]] = database.fetch("select id from deliveries where destination = 'buyer'")
    [[dead]] = database.fetch("select id from deliveries where destination = 'welcome'")
    missing = "01a2080e-17e9-71cf-91e9-9fc674dc0340"
    found = troubled("dlq", "replay", waiting, dead, missing, "--yes")
    assert found.code == 1
    assert f"delivery {waiting} is ready: it cannot be replayed" in found.err
    assert f"there is no delivery {missing}" in found.err
    assert states(database, "welcome") == {"ready"}


def test_discarded_dead_letters_are_cancelled(troubled: Run, database: Database) -> None:
    assert troubled("dlq", "discard", "--destination", "welcome", "--yes").code == 0
    assert states(database, "welcome") == {"cancelled"}
    assert troubled("reconcile", "--json").json["cancelled"] == 1


def test_reconcile_prints_the_equation(troubled: Run) -> None:
    found = troubled("reconcile")
    assert found.code == 0
    assert found.out == (
        "accepted 4 = delivered 0 + rejected 0 + skipped 0 + waiting 1 + held 1 + dead 2 + cancelled 0\n"
    )


def test_reconcile_finds_a_lost_delivery(troubled: Run, database: Database) -> None:
    finish(database, "buyer", DELIVERED, State.DELIVERED)
    with database.transaction() as connection:
        connection.execute(b"delete from deliveries where destination = 'buyer'")
    found = troubled("reconcile")
    assert found.code == 1
    assert "is missing" in found.out
    assert found.err.startswith("error: the equation does not hold: 1 gap")
    assert troubled("reconcile", "--json").json["holds"] is False


def test_a_key_is_shown_once_and_works_until_it_is_revoked(configured: Run, database: Database) -> None:
    made = configured("key", "create", "shop", "--scope", "submit", "--scope", "read", "--source", "web")
    secret = made.out.strip()
    found = key.find(database, secret)
    assert found is not None
    assert (found.name, sorted(found.scopes), found.source) == ("shop", ["read", "submit"], "web")
    listed = configured("key", "list")
    assert "shop" in listed.out
    assert secret not in listed.out + listed.err
    assert configured("key", "revoke", "shop").code == 0
    assert key.find(database, secret) is None
    assert configured("key", "revoke", "shop").code == 1


def test_a_key_for_a_source_that_does_not_exist_is_not_made(configured: Run) -> None:
    found = configured("key", "create", "shop", "--scope", "submit", "--source", "wbe")
    assert (found.code, found.out) == (1, "")
    assert "known are: web" in found.err or 'did you mean "web"' in found.err


def test_many_replays_go_behind_fresh_leads_and_a_single_one_keeps_its_class(troubled: Run, database: Database) -> None:
    classes = "select distinct priority from deliveries where destination = %s"
    [[single]] = database.fetch("select id from deliveries where destination = 'welcome'")
    assert troubled("dlq", "replay", single, "--yes").code == 0
    assert database.fetch(classes, ("welcome",)) == [(0,)]
    assert troubled("dlq", "replay", "--fingerprint", "mark-salesforce", "--yes").code == 0
    assert database.fetch(classes, ("salesforce",)) == [(1,)]


def test_what_is_done_on_the_command_line_is_told_to_subscribers(
    troubled: Run, database: Database, tmp_path: Path
) -> None:
    folder = tmp_path / "config"
    shutil.copytree(EXAMPLE, folder)
    (folder / "destinations" / "hook.yaml").write_text(
        "type: webhook\nevents: ['*']\nsettings: {url: https://partner.example.com/, secrets: ['${env:HOOK}']}\n"
    )
    assert troubled("config", "apply", folder).code == 0
    assert troubled("dlq", "discard", "--destination", "welcome", "--yes").code == 0
    assert troubled("resume", "hubspot").code == 0
    found = query.leads(database, [one.lead_id for one in query.deliveries(database, source="events")])
    assert {(lead.fields["type"], lead.fields["destination"]) for lead, _ in found} == {
        ("delivery.cancelled", "welcome"),
        ("destination.circuit_closed", "hubspot"),
    }
    event = json.dumps({"type": "delivery.dead", "destination": "crm"})
    assert "webhook-signature" in troubled("preview", "hook", "-", stdin=event).json["headers"]
    assert 'did you mean "delivery.dead"?' in troubled("preview", "hook", "-", stdin='{"type": "delivery.ded"}').err
