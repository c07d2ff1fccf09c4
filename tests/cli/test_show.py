"""Leads and their deliveries, looked at."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from app.ledger import Database
from app.model import State
from tests.cli.conftest import BURIED, DELIVERED, LEAD, TREE, Run, finish


def test_show_tells_fields_states_attempts_and_reasons(
    configured: Run, sent: Mapping[str, Any], database: Database
) -> None:
    finish(database, "buyer", DELIVERED, State.DELIVERED)
    finish(database, "welcome", BURIED, State.READY)
    finish(database, "welcome", BURIED, State.DEAD)
    found = configured("show", sent["id"])
    assert found.code == 0
    assert "+14155550132" in found.out
    assert "ref r-1" in found.out
    assert found.out.count("mailbox [unavailable]") == 2
    assert "#2  error (permanent)" in found.out
    assert "score 7" in found.out
    assert "body" not in found.out, "transcripts are shown on request"


def test_transcripts_are_shown_on_request_with_every_line_set_in(
    configured: Run, sent: Mapping[str, Any], database: Database
) -> None:
    finish(database, "buyer", DELIVERED, State.DELIVERED)
    assert "      body one\n        two\n" in configured("show", sent["id"], "--transcripts").out


def test_json_has_the_shape_of_the_api(configured: Run, sent: Mapping[str, Any], database: Database) -> None:
    finish(database, "buyer", DELIVERED, State.DELIVERED)
    lead = configured("show", sent["id"], "--json").json
    [buyer] = [one for one in lead["deliveries"] if one["destination"] == "buyer"]
    assert (buyer["state"], buyer["timeline"][0]["captured"]) == ("delivered", {"score": 7})
    assert "transcript" not in buyer["timeline"][0]


def test_feedback_is_reported_once_and_shown_below_the_attempts(
    configured: Run, sent: Mapping[str, Any], database: Database
) -> None:
    finish(database, "buyer", DELIVERED, State.DELIVERED)
    [delivery] = [one["id"] for one in sent["deliveries"] if one["destination"] == "buyer"]
    said = (
        "feedback",
        delivery,
        "--type",
        "return",
        "--reason",
        "Wrong [number]",
        "--value",
        "2.50",
        "--currency",
        "USD",
    )
    assert "return recorded" in configured(*said).err
    assert configured(*said, "--json").json["repeated"] is True
    shown = configured("show", sent["id"]).out
    assert "return  2.50 USD  Wrong [number]  cli" in shown
    assert shown.index("#1  success") < shown.index("Wrong [number]")
    assert "Wrong [number]" in configured("dlq", "show", delivery).out
    [buyer] = [one for one in configured("show", sent["id"], "--json").json["deliveries"] if one["id"] == delivery]
    assert [one["value"] for one in buyer["feedback"]] == ["2.50"]


def test_feedback_that_cannot_be_taken_says_why(configured: Run, sent: Mapping[str, Any]) -> None:
    nobody = configured("feedback", "01a2080e-17e9-71cf-91e9-9fc674dc0340", "--type", "return")
    assert (nobody.code, "there is no delivery" in nobody.err) == (1, True)
    delivery = sent["deliveries"][0]["id"]
    wrong = configured("feedback", delivery, "--type", "return", "--value", "2")
    assert (wrong.code, "value and currency belong together" in wrong.err) == (1, True)
    assert configured("feedback", delivery, "--type", "refund").code == 2


def test_an_unknown_lead_is_not_found(configured: Run) -> None:
    found = configured("show", "01a2080e-17e9-71cf-91e9-9fc674dc0340")
    assert (found.code, found.out) == (1, "")
    assert "there is no lead" in found.err


def test_tail_prints_deliveries_as_they_end_and_ctrl_c_ends_it(
    configured: Run, sent: Mapping[str, Any], database: Database
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli.main", "tail", "--destination", "buyer"],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        cwd=TREE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # a shell's background jobs ignore it
    )
    try:
        assert process.stderr is not None
        assert process.stdout is not None
        assert "waiting for deliveries" in process.stderr.readline()
        time.sleep(0.3)  # it looks from its own clock on, which began just before that line
        finish(database, "welcome", DELIVERED, State.DELIVERED)
        finish(database, "buyer", BURIED, State.DEAD)
        line = process.stdout.readline()
        assert "dead" in line
        assert sent["id"] in line
        assert "mailbox [unavailable]" in line
        later = configured("send", "-", "-s", "web", stdin=json.dumps({**LEAD, "city": "Rome"})).out.strip()
        finish(database, "buyer", DELIVERED, State.DELIVERED)
        assert later in process.stdout.readline(), "each delivery is told once"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stdout.read() == ""
    finally:
        process.kill()
        process.wait()
