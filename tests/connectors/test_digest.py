"""Digest authentication: the examples of RFC 7616, and a server that verifies every response and counts nonces."""

import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import pytest

from app.config.schema import LimitsConfig
from app.connectors._authentication import Request
from app.connectors._digest import Challenge, challenges, chosen
from app.connectors._http.connector import HttpConnector
from app.connectors._http.settings import HttpSettings
from app.errors import ConfigurationFault, DeliveryFault
from app.model import Fault, Item, Outcome, Result
from tests.connectors import fault_server
from tests.connectors.fault_server import LOCAL, FaultServer, Received, answer

PASSWORD = "Circle of Life"
EXAMPLE = {
    "realm": "http-auth@example.org",
    "qop": "auth, auth-int",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
}
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_example_of_rfc_7616(algorithm: str, response: str) -> None:
    request = Request(b"GET /dir/index.html HTTP/1.1\r\nHost: example.org\r\n\r\n")
    said = Challenge({**EXAMPLE, "algorithm": algorithm}).authorization(request, "Mufasa", PASSWORD, cnonce=CNONCE)
    assert said == (
        f'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", nonce="{EXAMPLE["nonce"]}", '
        f'algorithm={algorithm}, nc=00000001, cnonce="{CNONCE}", qop=auth, response="{response}", '
        f'opaque="{EXAMPLE["opaque"]}"'
    )


def test_a_header_with_several_challenges_is_told_apart() -> None:
    header = (
        'Negotiate, Basic realm="a, b", Digest realm="c \\"d\\"", nonce=n1, algorithm=SHA-512-256, qop="auth", '
        'Digest nonce="n2",qop=auth,stale=TRUE'
    )
    found = list(challenges(header))
    assert [scheme for scheme, _ in found] == ["negotiate", "basic", "digest", "digest"]
    assert found[1][1] == {"realm": "a, b"}
    best = chosen(header)
    assert best is not None
    assert best.nonce == "n2"


@pytest.mark.parametrize("header", ["", "Basic realm=x", "Digest", "Digest realm=x", "=,=,", '"', "a" * 100_000])
def test_no_challenge_is_no_challenge(header: str) -> None:
    assert chosen(header) is None


@pytest.mark.parametrize("rest", ["algorithm=SHA-512-256", 'algorithm=MD5-sess, qop="auth"', 'qop="auth-int"'])
def test_a_challenge_that_cannot_be_met_is_a_configuration_fault(rest: str) -> None:
    with pytest.raises(ConfigurationFault, match="other than MD5 or SHA-256"):
        chosen(f"Digest realm=x, nonce=n, {rest}")


@dataclass
class Guarded:
    """A server that takes leads only under Digest, each nonce for so many requests."""

    server: FaultServer = field(default_factory=lambda: FaultServer(answer()))
    algorithm: str = "SHA-256"
    qop: bool = True
    uses: int = 1000
    says_stale: bool = True
    password: str = PASSWORD
    username: str = "Mufasa"
    taken: int = 0
    nonces: int = 0
    counts: list[str] = field(default_factory=list)
    problem: str = ""

    def behave(self, connection: socket.socket, request: Received) -> bool:
        said = dict(re.findall(r'([\w*]+)=(?:")?([^",]+)', request.headers.get("authorization", "")))
        stale = bool(said) and said["nonce"] != self._nonce()
        if not said or stale or len(self.counts) >= self.uses:
            self.nonces += 1
            self.counts.clear()
            return self._challenge(stale=bool(said) and self.says_stale)(connection, request)
        if not self._verify(request, said):
            return self._challenge(stale=False)(connection, request)
        if said["nc"] in self.counts:
            self.problem = "a count twice"
        self.counts.append(said["nc"])
        self.taken += 1
        return answer()(connection, request)

    def _nonce(self) -> str:
        return f"nonce-{self.nonces}"

    def _challenge(self, *, stale: bool) -> Any:
        said = f'Digest realm="leads", nonce="{self._nonce()}", algorithm={self.algorithm}, opaque="o"'
        said += ', qop="auth"' if self.qop else ""
        return answer(401, b"{}", www_authenticate=said + (", stale=true" if stale else ""))

    def _verify(self, request: Received, said: dict[str, str]) -> bool:
        def h(text: str) -> str:
            return hashlib.new({"MD5": "md5", "SHA-256": "sha256"}[self.algorithm], text.encode()).hexdigest()

        between = f"{said['nonce']}:{said['nc']}:{said['cnonce']}:auth" if self.qop else said["nonce"]
        if not self.qop:
            said["nc"] = str(self.taken)
        account, asked = h(f"{self.username}:leads:{self.password}"), h(f"{request.method}:{request.target}")
        return (said["uri"], said["opaque"]) == (request.target, "o") and said["response"] == h(
            f"{account}:{between}:{asked}"
        )


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    found = Guarded()
    with fault_server.running(found.behave) as server:
        found.server = server
        yield found


@pytest.fixture
def connect(guarded: Guarded) -> Iterator[Any]:
    made: list[HttpConnector] = []

    def make(**more: Any) -> HttpConnector:
        auth = {"digest": {"username": guarded.username, "password": PASSWORD}}
        settings = HttpSettings.model_validate({"url": f"{guarded.server.url}/in?from=relay", "auth": auth, **more})
        limits = LimitsConfig(concurrency=4, timeout_seconds=5)
        made.append(HttpConnector("buyer", settings, limits=limits, network=LOCAL))
        return made[-1]

    yield make
    for sender in made:
        sender.close()


def send(sender: HttpConnector) -> Outcome:
    return sender.deliver(Item(payload={"name": "Ann Lee"}, key="k", attempt=1, deadline=monotonic() + 5))


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
@pytest.mark.parametrize("qop", ["auth", ""])
def test_a_challenge_costs_one_request_the_first_time_only(
    guarded: Guarded, connect: Any, algorithm: str, qop: str
) -> None:
    guarded.algorithm, guarded.qop = algorithm, bool(qop)
    sender = connect()
    assert {send(sender).result for _ in range(5)} == {Result.SUCCESS}
    assert len(guarded.server.received) == 6
    assert {request.body for request in guarded.server.received} == {b'{"name":"Ann Lee"}'}
    if qop:
        assert guarded.counts == [f"{count:08x}" for count in range(1, 6)]


@pytest.mark.parametrize("says_stale", ["true", ""])
def test_a_nonce_that_has_served_its_time_is_replaced(guarded: Guarded, connect: Any, says_stale: str) -> None:
    guarded.uses, guarded.says_stale = 2, bool(says_stale)
    sender = connect()
    assert {send(sender).result for _ in range(6)} == {Result.SUCCESS}
    assert (guarded.taken, len(guarded.server.received)) == (6, 9)


def test_a_wrong_password_is_tried_once_a_lead(guarded: Guarded, connect: Any) -> None:
    guarded.password = "another"
    sender = connect()
    outcomes = [send(sender) for _ in range(2)]
    assert {outcome.fault for outcome in outcomes} == {Fault.CONFIGURATION}
    assert len([one for one in guarded.server.received if "authorization" in one.headers]) == 2


def test_threads_never_use_a_count_twice(guarded: Guarded, connect: Any) -> None:
    sender = connect()
    send(sender)
    items = [Item(payload={}, key=str(place), attempt=1, deadline=monotonic() + 10) for place in range(60)]
    sent = sender.deliver_many(items, until=monotonic() + 10)
    assert {one.answer.result for one in sent} == {Result.SUCCESS}
    assert guarded.problem == ""


def test_nonces_that_serve_once_are_no_trouble_to_threads(guarded: Guarded, connect: Any) -> None:
    """Each challenge has a nonce of its own, and none serves twice."""
    lock, given, used = threading.Lock(), set[str](), set[str]()

    def behave(connection: socket.socket, request: Received) -> bool:
        found = re.search(r'nonce="(.*?)"', request.headers.get("authorization", ""))
        with lock:
            if found and found[1] in given - used:
                used.add(found[1])
                return answer()(connection, request)
            nonce = f"nonce-{len(given)}"
            given.add(nonce)
        said = f'Digest realm="leads", nonce="{nonce}", qop="auth"' + (", stale=true" if found else "")
        return answer(401, b"{}", www_authenticate=said)(connection, request)

    guarded.server.behaviour = behave
    items = [Item(payload={}, key=str(place), attempt=1, deadline=monotonic() + 10) for place in range(60)]
    sent = connect().deliver_many(items, until=monotonic() + 10)
    assert {one.answer.result for one in sent} == {Result.SUCCESS}


def test_a_password_that_changed_is_tried_once_more_and_then_once_a_lead(guarded: Guarded, connect: Any) -> None:
    sender = connect()
    send(sender)
    guarded.password = "another"
    assert {send(sender).fault for _ in range(3)} == {Fault.CONFIGURATION}
    assert len([one for one in guarded.server.received if "authorization" in one.headers]) == 1 + 2 + 2


def test_transcript_holds_no_response(guarded: Guarded, connect: Any) -> None:
    transcript = send(connect()).transcript
    assert transcript is not None
    assert transcript["request"]["headers"]["Authorization"] == "***"


@pytest.mark.parametrize("name", ["Zoë", 'An"na\\b'])
def test_odd_user_names_are_written_as_the_rfc_says(guarded: Guarded, connect: Any, name: str) -> None:
    guarded.username = name
    assert send(connect()).result is Result.SUCCESS
    sent = guarded.server.received[-1].headers["authorization"]
    assert ("username*=UTF-8''Zo%C3%AB" if name == "Zoë" else 'username="An\\"na\\\\b"') in sent


def test_a_form_of_digest_that_is_not_supported_is_told(guarded: Guarded, connect: Any) -> None:
    guarded.algorithm = "SHA-512-256"
    with pytest.raises(DeliveryFault) as caught:
        send(connect())
    assert caught.value.fault is Fault.CONFIGURATION


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("Basic realm=x", "asks for Basic authentication, not for Digest: set auth.basic in place of auth.digest"),
        ('Bearer realm="x", Basic', "asks for Bearer authentication"),
        ("Negotiate", "asks for another kind of authentication, not for Digest"),
    ],
)
def test_a_destination_that_asks_for_something_else_is_told(
    guarded: Guarded, connect: Any, header: str, said: str
) -> None:
    received: list[Received] = []

    def behave(connection: socket.socket, request: Received) -> bool:
        received.append(request)
        return answer(401, www_authenticate=header)(connection, request)

    guarded.server.behaviour = behave
    with pytest.raises(ConfigurationFault, match=said) as caught:
        send(connect())
    assert caught.value.transcript is not None
    assert caught.value.transcript["response"]["status"] == 401
    assert len(received) == 1


def test_check_answers_the_challenge(guarded: Guarded, connect: Any) -> None:
    connect(check_url=f"{guarded.server.url}/status").check()
    guarded.password = "another"
    with pytest.raises(ConfigurationFault, match="401"):
        connect(check_url=f"{guarded.server.url}/status").check()
