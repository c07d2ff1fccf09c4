"""Time, size, reuse of connections and TLS, for everything that speaks HTTP."""

import gzip
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from time import monotonic

import brotli
import pytest
import requests
import zstandard

from app.config.schema import LimitsConfig
from app.connectors import _connection
from app.connectors._transport import Answer, Origin, Session, exchange, session
from app.errors import ConfigurationFault, DataFault, TransientFault
from tests.connectors import fault_server
from tests.connectors.fault_server import LOCAL, Behaviour, FaultServer, Received, answer, raw

LIMITS = LimitsConfig(concurrency=2, timeout_seconds=2.0)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server.running(answer()) as running:
        yield running


@pytest.fixture
def through() -> Iterator[Session]:
    with session(LIMITS, LOCAL) as found:
        yield found


def post(through: Session, url: str, *, within_seconds: float = 2.0, cap: int = 2_000_000) -> Answer:
    request = requests.Request("POST", url, data=b"lead").prepare()
    return exchange(through, request, deadline=monotonic() + within_seconds, body_cap_bytes=cap)


@pytest.mark.parametrize(
    "behaviour", [fault_server.hang, fault_server.trickle, fault_server.trickle_headers], ids=lambda one: one.__name__
)
def test_answer_that_does_not_end_ends_at_the_deadline(
    server: FaultServer, through: Session, behaviour: Behaviour
) -> None:
    server.behaviour = behaviour
    begun = monotonic()
    with pytest.raises(TransientFault, match="time limit") as caught:
        post(through, server.url, within_seconds=0.4)
    assert 0.35 < monotonic() - begun < 0.8
    assert caught.value.ambiguous


def test_answer_that_stops_half_way_ends_at_the_deadline(server: FaultServer, through: Session) -> None:
    def begin_late(connection: socket.socket, request: Received) -> bool:
        server.stopping.wait(0.3)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        return fault_server.hang(connection, request)

    server.behaviour = begin_late
    begun = monotonic()
    with pytest.raises(TransientFault, match="time limit"):
        post(through, server.url, within_seconds=0.4)
    assert monotonic() - begun < 0.6


def test_reset_after_the_request_is_ambiguous(server: FaultServer, through: Session) -> None:
    server.behaviour = fault_server.reset
    with pytest.raises(TransientFault) as caught:
        post(through, server.url)
    assert caught.value.ambiguous


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000,
    ],
)
def test_broken_answer_is_ambiguous(server: FaultServer, through: Session, data: bytes) -> None:
    server.behaviour = raw(data, keep=False)
    with pytest.raises(TransientFault) as caught:
        post(through, server.url)
    assert caught.value.ambiguous


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.0 200 OK\nContent-Type: text/plain\n\nbare line feeds", b"bare line feeds"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and something behind", b"ok"),
        (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", b"ok"),
    ],
)
def test_sloppy_answer_is_read(server: FaultServer, through: Session, data: bytes, body: bytes) -> None:
    server.behaviour = raw(data, keep=False)
    answered = post(through, server.url)
    assert (answered.status, answered.body, answered.truncated) == (200, body, False)


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", gzip.compress(b"plain", mtime=0)),
        ("deflate", zlib.compress(b"plain")),
        ("br", brotli.compress(b"plain")),
        ("zstd", zstandard.ZstdCompressor().compress(b"plain")),
        ("deflate", zlib.compressobj(wbits=-15).compress(b"") + zlib.compress(b"plain")[2:-4]),
    ],
)
def test_compressed_body_is_read(server: FaultServer, through: Session, encoding: str, data: bytes) -> None:
    server.behaviour = answer(200, data, content_encoding=encoding)
    assert post(through, server.url).body == b"plain"


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("br", brotli.compress), ("zstd", zstandard.ZstdCompressor().compress)],
    ids=["gzip", "br", "zstd"],
)
def test_bomb_is_cut_at_the_cap(
    server: FaultServer, through: Session, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    server.behaviour = answer(200, compress(b"0" * 50_000_000), content_encoding=encoding)
    answered = post(through, server.url, cap=100_000)
    assert (len(answered.body), answered.truncated) == (100_000, True)


def test_endless_body_is_cut_at_the_cap(server: FaultServer, through: Session) -> None:
    server.behaviour = answer(200, b"0" * 5_000_000, content_length="50000000")
    answered = post(through, server.url, cap=100_000)
    assert (len(answered.body), answered.truncated) == (100_000, True)


def test_connection_is_used_again(server: FaultServer, through: Session) -> None:
    for _ in range(5):
        post(through, server.url)
    assert (server.connected, len(server.received)) == (1, 5)


def test_connection_the_server_closed_while_idle_costs_nothing(server: FaultServer, through: Session) -> None:
    server.behaviour = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", keep=False)
    for _ in range(5):
        assert post(through, server.url).status == 200
        assert server.until_open(lambda count: count == 0)


def test_old_idle_connection_is_not_used_again(
    server: FaultServer, through: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_connection, "IDLE_SECONDS", -1.0)
    post(through, server.url)
    post(through, server.url)
    assert server.connected == 2


def test_close_header_of_the_answer_is_obeyed(server: FaultServer, through: Session) -> None:
    server.behaviour = answer(connection="close")
    post(through, server.url)
    post(through, server.url)
    assert server.connected == 2


def together(through: Session, server: FaultServer, count: int) -> Callable[[], None]:
    """So many requests under way at once, each on a connection of its own; calling the result has them answered."""
    arrived, answered = threading.Semaphore(0), threading.Event()

    def wait(connection: socket.socket, request: Received) -> bool:
        arrived.release()
        return answered.wait(5) and answer()(connection, request)

    server.behaviour = wait
    threads = [threading.Thread(target=post, args=(through, server.url)) for _ in range(count)]
    for thread in threads:
        thread.start()
    assert all(arrived.acquire(timeout=2) for _ in threads)

    def finish() -> None:
        answered.set()
        for thread in threads:
            thread.join()

    return finish


def test_no_more_idle_connections_are_kept_than_sends_are_allowed(server: FaultServer, through: Session) -> None:
    finish = together(through, server, 5)
    assert len(server.open) == 5
    finish()
    assert server.until_open(lambda count: count == LIMITS.concurrency)


def test_connections_in_use_are_closed_after_their_answer_when_the_session_was(
    server: FaultServer, through: Session
) -> None:
    finish = together(through, server, 2)
    through.close()
    assert len(server.open) == 2
    finish()
    assert server.until_open(lambda count: count == 0)


def test_early_refusal_of_a_long_body_is_read(through: Session) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: refuse(listener.accept()[0]))
        thread.start()
        request = requests.Request("POST", f"http://127.0.0.1:{listener.getsockname()[1]}", data=b"x" * 3_000_000)
        answered = exchange(through, request.prepare(), deadline=monotonic() + 5)
        through.close()
        thread.join(timeout=5)
    assert answered.status == 413


def test_request_that_did_not_leave_whole_is_not_ambiguous(through: Session) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts nothing, so the buffers fill up
        request = requests.Request("POST", f"http://127.0.0.1:{listener.getsockname()[1]}", data=b"x" * 30_000_000)
        with pytest.raises(TransientFault, match="could not be sent") as caught:
            exchange(through, request.prepare(), deadline=monotonic() + 0.5)
    assert not caught.value.ambiguous


def test_unknown_name_is_transient_and_not_ambiguous(through: Session) -> None:
    with pytest.raises(TransientFault, match="cannot be resolved") as caught:
        post(through, "http://nowhere.invalid/leads?email=ann@example.com")
    assert not caught.value.ambiguous
    assert "ann@" not in str(caught.value)


def test_header_with_a_line_break_never_leaves(server: FaultServer, through: Session) -> None:
    request = requests.Request("POST", server.url).prepare()
    request.headers["X-Evil"] = "a\r\nX-More: b"
    with pytest.raises(DataFault, match="line break"):
        exchange(through, request, deadline=monotonic() + 1)
    assert not server.received


def test_session_returns_answers_of_any_status_and_follows_no_redirect(server: FaultServer, through: Session) -> None:
    server.behaviour = answer(302, b'{"a": "\xc3\xa9"}', location="/elsewhere", set_cookie="sid=1")
    response = through.get(f"{server.url}/start", params={"q": "x y"})
    assert (response.status_code, response.json(), response.is_redirect) == (302, {"a": "é"}, True)
    through.get(server.url)
    assert [request.target for request in server.received] == ["/start?q=x+y", "/"]
    assert "cookie" not in server.received[1].headers


def test_session_ends_by_its_limit_and_by_a_nearer_deadline(server: FaultServer) -> None:
    server.behaviour = fault_server.trickle
    with session(LimitsConfig(timeout_seconds=0.5), LOCAL) as through:
        begun = monotonic()
        with pytest.raises(TransientFault):
            through.post(server.url, timeout=60)
        assert monotonic() - begun < 1
        begun = monotonic()
        with through.until(monotonic() + 0.1), pytest.raises(TransientFault):
            through.post(server.url)
        assert monotonic() - begun < 0.4


def test_digest_auth_of_requests_answers_a_challenge(server: FaultServer, through: Session) -> None:
    def challenge(connection: socket.socket, request: Received) -> bool:
        if "authorization" in request.headers:
            return answer()(connection, request)
        return answer(401, www_authenticate='Digest realm="r", nonce="n", qop="auth"')(connection, request)

    server.behaviour = challenge
    response = through.get(server.url, auth=requests.auth.HTTPDigestAuth("ann", "secret"))
    assert response.status_code == 200


@pytest.mark.parametrize("url", ["ftp://x.example", "/leads", "http://", "http://x.example:99999"])
def test_address_that_is_none_is_a_configuration_fault(url: str) -> None:
    with pytest.raises(ConfigurationFault):
        Origin.of(url)
