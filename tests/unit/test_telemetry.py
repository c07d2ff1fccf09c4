"""What leaves a process: one JSON object per line, and defects to Sentry, neither with anybody's data."""

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from app import telemetry
from app.telemetry import Event

TREE = Path(__file__).parents[2]
PROGRAM = """
import logging, sys
from app import telemetry
from app.settings import Settings
telemetry.configure(Settings(sentry_dsn=sys.argv[1] or None), part="test")
telemetry.emit(telemetry.Event.RECORDED, destination="buyer", count=3)
logging.getLogger("some.library").error("refused for ann@example.com with token=sesame")
def fail(email):
    raise ValueError(f"bad address {email}, password=sesame")
try:
    fail("ann@example.com")
except ValueError as error:
    telemetry.report(telemetry.Event.CONNECTOR_DEFECT, error, destination="buyer")
import sentry_sdk
sentry_sdk.flush(5)
"""


class Sentry(BaseHTTPRequestHandler):
    """Keeps what it is sent."""

    envelopes: list[str] = []  # noqa: RUF012  # one server per test process

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.envelopes.append(
            (gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body).decode()
        )
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sentry() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Sentry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://key@127.0.0.1:{server.server_port}/1"
    server.shutdown()
    server.server_close()


def run(dsn: str) -> list[dict[str, object]]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, dsn], cwd=TREE, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_every_log_line_is_one_json_object_without_personal_data_or_secrets() -> None:
    lines = run("")
    assert lines[0]["event"] == Event.RECORDED.value
    assert lines[0]["part"] == "test"
    assert lines[0]["count"] == 3
    assert lines[2]["error"] == "ValueError"
    text = json.dumps(lines)
    assert "ann@" not in text
    assert "sesame" not in text


def test_a_defect_reaches_sentry_without_personal_data_secrets_or_local_variables(sentry: str) -> None:
    run(sentry)
    text = "\n".join(Sentry.envelopes)
    assert "ValueError" in text
    assert "connector.defect" in text or "fail" in text
    assert "ann@" not in text
    assert "sesame" not in text
    assert '"vars"' not in text


def test_every_event_is_explained_in_the_table() -> None:
    assert telemetry.__doc__ is not None
    for event in Event:
        assert f"`{event.value}`" in telemetry.__doc__, event


def test_a_command_that_configures_nothing_logs_to_standard_error_without_personal_data() -> None:
    program = (
        "import logging; from app.telemetry import Event, emit; "
        "emit(Event.CONNECTOR_DEFECT, level=logging.ERROR, place='ann@example.com')"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == ""
    assert "connector.defect" in ran.stderr
    assert "ann@" not in ran.stderr
