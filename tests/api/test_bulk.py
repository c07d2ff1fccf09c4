"""POST /v1/leads/bulk against a real ledger."""

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from app.errors import Unavailable
from app.intake import Answer, Intake, Submission
from tests.api.harness import LEAD, Api

NDJSON = "application/x-ndjson"
PATH = "/v1/leads/bulk?source=web"


def lines(answer: requests.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == NDJSON
    return [json.loads(line) for line in answer.text.splitlines()]


def test_each_line_is_answered_and_a_bad_one_stops_nothing(api: Api) -> None:
    body = b'{"email": "a@b.co"}\n\n{"email": 3\n{"first_name": "x"}\n' + b'"' * 2000 + b'\n{"email": "c@d.co"}'
    taken, malformed, incomplete, long, last = lines(api.send_raw(body, NDJSON, PATH))
    assert (taken["line"], taken["status"]) == (1, "accepted")
    assert (malformed["line"], malformed["status"], malformed["problem"]["status"]) == (3, "rejected", 400)
    assert incomplete["problem"]["errors"] == [{"field": "email", "detail": "is required"}]
    assert (long["line"], long["problem"]["status"]) == (5, 413)
    assert (last["line"], last["status"]) == (6, "accepted")
    assert api.get(f"/v1/leads/{last['id']}").json()["fields"] == {"email": "c@d.co"}


def test_csv_is_taken_by_its_header(api: Api) -> None:
    body = 'email,first_name\r\nada@example.com,"Ada, Countess"\r\ngrace@example.com\r\nalan@example.com,\r\n'
    first, short, last = lines(api.send_raw(body.encode(), "text/csv; charset=utf-8", PATH))
    assert api.get(f"/v1/leads/{first['id']}").json()["fields"]["first_name"] == "Ada, Countess"
    assert (short["line"], short["status"]) == (3, "rejected")
    assert api.get(f"/v1/leads/{last['id']}").json()["fields"] == {"email": "alan@example.com"}


def test_a_key_field_makes_repeats_harmless(api: Api) -> None:
    path = f"{PATH}&key_field=ref"
    body = b'{"email": "a@b.co", "ref": 1}\n{"email": "a@b.co", "ref": 1}\n{"email": "z@b.co", "ref": 1}\n{"email": "a@b.co"}'
    first, repeated, other, missing = lines(api.send_raw(body, NDJSON, path))
    assert (repeated["id"], repeated["repeated"]) == (first["id"], True)
    assert other["problem"]["type"] == "/docs#key-reused"
    assert missing["problem"]["errors"][0]["field"] == "ref"
    assert [line.get("id") for line in lines(api.send_raw(body, NDJSON, path))[:2]] == [first["id"], first["id"]]


def test_many_lines_are_all_taken_once_and_in_order(api: Api) -> None:
    count = 2345
    before = accepted(api)
    body = b"".join(b'{"email": "n%d@example.com"}\n' % number for number in range(count))
    found = lines(api.send_raw(body, NDJSON, PATH))
    assert [line["line"] for line in found] == list(range(1, count + 1))
    assert len({line["id"] for line in found}) == count
    assert accepted(api) == before + count


def accepted(api: Api) -> int:
    return int(api.database.fetch("select count(*) from leads")[0][0])


def test_answers_come_while_the_body_is_still_on_its_way(api: Api) -> None:
    answered = threading.Event()
    lead = json.dumps(LEAD).encode() + b"\n"

    def body() -> Iterator[bytes]:
        yield lead * 1500
        assert answered.wait(10), "no answer before the end of the body"
        yield lead

    def watch() -> None:
        while accepted(api) < 1000:
            pass
        answered.set()

    threading.Thread(target=watch, daemon=True).start()
    answer = api.post(PATH, data=body(), headers={"Content-Type": NDJSON})
    assert len(lines(answer)) == 1501


def test_a_client_that_reads_nothing_before_it_has_sent_all_is_served(api: Api) -> None:
    count = 30_000  # more than sockets hold, both ways
    place = urlsplit(api.url)
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.keys['all']}\r\nContent-Type: {NDJSON}\r\n"
    body = (b"x" * 900 + b"\n") * count
    with socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        wire.settimeout(20)
        wire.connect((place.hostname, place.port))
        wire.sendall(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        wire.sendall(body)
        answer = b"".join(iter(lambda: wire.recv(1 << 20), b""))
    assert answer.count(b'"rejected"') == count


@pytest.mark.parametrize(
    ("path", "content_type", "body", "status"),
    [
        ("/v1/leads/bulk?source=wbe", NDJSON, b"{}", 422),
        ("/v1/leads/bulk?source=web&wait=5", NDJSON, b"{}", 422),
        (PATH, "application/json", b"[]", 415),
        (PATH, "text/csv; charset=latin-1", b"a\n", 415),
        (PATH, "text/csv", b"email,email\na@b.co,c@d.co\n", 400),
    ],
)
def test_a_body_that_cannot_begin_is_a_problem(
    api: Api, path: str, content_type: str, body: bytes, status: int
) -> None:
    answer = api.send_raw(body, content_type, path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")


def test_an_empty_body_is_answered_with_nothing(api: Api) -> None:
    assert lines(api.send_raw(b"", NDJSON, PATH)) == []


def test_a_ledger_lost_on_the_way_stops_the_body_where_it_was(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Intake.accept
    groups: list[int] = []

    def accept(self: Intake, submissions: Sequence[Submission]) -> list[Answer]:
        groups.append(len(submissions))
        if len(groups) > 1:
            raise Unavailable("the ledger is away")
        return taken(self, submissions)

    monkeypatch.setattr(Intake, "accept", accept)
    *accepted_lines, last = lines(api.send_raw(b'{"email": "a@b.co"}\n' * 1700, NDJSON, PATH))
    assert [line["line"] for line in accepted_lines] == list(range(1, 501))
    assert (last["line"], last["status"], last["problem"]["status"]) == (501, "stopped", 503)
    at_once = api.send_raw(b'{"email": "a@b.co"}\n', NDJSON, PATH)
    assert (at_once.status_code, at_once.json()["type"]) == (503, "/docs#unavailable")
