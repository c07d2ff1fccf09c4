"""Steps and fallbacks as people see them: what waits for what, who took over, and previews of later steps."""

import json
from pathlib import Path

import pytest
import yaml

from app.ledger import Database
from tests.cli.conftest import LEAD, Run
from tests.ledger.conftest import BROKEN
from tests.ledger.relay import Relay

URL = {"type": "http", "settings": {"url": "http://127.0.0.1/"}}
CRM = {
    **URL,
    "after": ["verify", "geo"],
    "when": "steps.verify.score > 50",
    "mapping": {"score": "{{ steps.verify.score }}"},
}


@pytest.fixture
def chained(leadrelay: Run, relay: Relay) -> Run:
    relay.configure({"verify": {"retry": {"attempts": 1}, "fallback": "spare"}, "spare": {}, "geo": {}, "crm": CRM})
    return leadrelay


def test_a_delivery_that_waits_for_a_step_says_so_and_shows_no_due_time(chained: Run, relay: Relay) -> None:
    lead = relay.accept().lead_id
    shown = chained("show", lead)
    assert "waits for geo, verify" in shown.out
    assert "9999" not in shown.out
    [crm] = [one for one in chained("show", lead, "--json").json["deliveries"] if one["destination"] == "crm"]
    assert (crm["due_at"], crm["waits_for"], crm["origin"]) == (None, ["geo", "verify"], None)
    relay.run("geo")
    assert "waits for verify" in chained("show", lead).out
    relay.run("verify")
    assert "waits for" not in chained("show", lead).out
    crm = next(one for one in chained("show", lead, "--json").json["deliveries"] if one["destination"] == "crm")
    assert crm["waits_for"] == []


def test_a_delivery_that_fell_back_says_from_whom_and_where_each_attempt_went(
    chained: Run, relay: Relay, database: Database
) -> None:
    relay.answers["verify"] = BROKEN
    lead = relay.accept().lead_id
    relay.run("verify", "spare")
    shown = chained("show", lead).out
    assert "took over from verify" in shown
    assert "#1  verify  error" in shown
    assert "#2  spare  success" in shown
    [spare] = [one for one in chained("show", lead, "--json").json["deliveries"] if one["destination"] == "spare"]
    assert (spare["origin"], [one["destination"] for one in spare["timeline"]]) == ("verify", ["verify", "spare"])
    database.fetch("update attempts set destination = null returning 1")  # of a release that knew no fallback
    assert chained("show", lead).code == 0
    assert chained("reconcile").code == 0


@pytest.mark.parametrize("from_file", [True, False])
def test_a_preview_of_a_later_step_takes_what_the_earlier_ones_say(
    chained: Run, tmp_path: Path, *, from_file: bool
) -> None:
    file, said = tmp_path / "crm.yaml", tmp_path / "steps.json"
    file.write_text(yaml.safe_dump(CRM))
    said.write_text(json.dumps({"verify": {"score": 72}}))
    what = file if from_file else "crm"
    full = chained("preview", what, "-", "--steps", said, stdin=json.dumps(LEAD))
    assert (json.loads(full.json["body"]), "skipped" in full.err) == ({"score": 72}, False)
    bare = chained("preview", what, "-", stdin=json.dumps(LEAD))
    assert "would be skipped: the destination's condition was not met" in bare.err
    assert "what geo, verify will say is taken as nothing" in bare.err
