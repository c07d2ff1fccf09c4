"""Through a proxy: tunnels for https, whole addresses for http, whose names are whose to resolve, and what its refusals mean."""

import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.config.network import NetworkConfig
from app.config.schema import LimitsConfig
from app.connectors import _resolution
from app.connectors._http.connector import HttpConnector
from app.connectors._http.settings import HttpSettings
from app.connectors._network import Network
from app.connectors._transport import Origin, Session, session
from app.errors import ConfigurationFault, DeliveryFault, TransientFault
from app.model import Item, Result
from tests.connectors import fault_server
from tests.connectors.authority import Authority
from tests.connectors.fault_server import Behaviour, FaultServer, Received, answer, raw

LIMITS = LimitsConfig(concurrency=2, timeout_seconds=2.0)


def relay(connection: socket.socket, request: Received) -> bool:
    """A proxy that finds every name on this machine."""
    parts = urlsplit(f"//{request.target}" if request.method == "CONNECT" else request.target)
    with socket.create_connection(("127.0.0.1", parts.port or 80), timeout=5) as onward:
        if request.method != "CONNECT":
            lines = [f"{request.method} {parts.path or '/'} HTTP/1.1", "connection: close"]
            lines += [f"{name}: {value}" for name, value in request.headers.items()]
            onward.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + request.body)
            while data := onward.recv(65_536):
                connection.sendall(data)
                if b"\r\n\r\n" in data:
                    return True
            return False
        connection.sendall(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        back = threading.Thread(target=_pump, args=(onward, connection), daemon=True)
        back.start()
        _pump(connection, onward)
        back.join(timeout=5)
    return False


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy() -> Iterator[FaultServer]:
    with fault_server.running(relay) as running:
        yield running


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server.running(answer()) as running:
        yield running


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def secure(authority: Authority) -> Iterator[FaultServer]:
    """A destination that has a certificate for buyer.example."""
    with fault_server.running(answer(), context=authority.context("buyer.example")) as running:
        yield running


@pytest.fixture
def through(proxy: FaultServer, authority: Authority) -> Iterator[Session]:
    url = f"http://lead%40relay:s%3Acret@127.0.0.1:{proxy.port}"
    with session(LIMITS, NetworkConfig(proxy=url, ca=str(authority.path))) as found:
        yield found


@pytest.fixture(autouse=True)
def _names_are_not_ours_to_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    original = socket.getaddrinfo

    def getaddrinfo(host: str, *given: Any, **options: Any) -> Any:
        assert not host.endswith(".example") or options.get("flags", 0) & socket.AI_NUMERICHOST
        return original(host, *given, **options)

    monkeypatch.setattr(_resolution, "getaddrinfo", getaddrinfo)


def post(through: Session, url: str) -> int:
    return through.post(url, data=b"lead").status_code


CREDENTIALS = f"Basic {b64encode(b'lead@relay:s:cret').decode()}"


def test_https_goes_through_a_tunnel_and_the_certificate_is_checked_on_the_destinations_name(
    proxy: FaultServer, secure: FaultServer, through: Session
) -> None:
    url = f"https://buyer.example:{secure.port}/leads"
    assert [post(through, url), post(through, url)] == [200, 200]
    assert [(one.method, one.target) for one in proxy.received] == [("CONNECT", f"buyer.example:{secure.port}")]
    assert proxy.received[0].headers["proxy-authorization"] == CREDENTIALS
    assert [(one.target, one.body) for one in secure.received] == [("/leads", b"lead")] * 2
    assert not any("proxy-authorization" in one.headers for one in secure.received)
    with pytest.raises(ConfigurationFault, match="mismatch"):
        post(through, url.replace("buyer", "other"))


def test_http_goes_to_the_proxy_by_its_whole_address(proxy: FaultServer, server: FaultServer, through: Session) -> None:
    assert post(through, f"http://buyer.example:{server.port}/leads?a=b") == 200
    [request] = proxy.received
    assert (request.method, request.target) == ("POST", f"http://buyer.example:{server.port}/leads?a=b")
    assert request.headers["host"] == f"buyer.example:{server.port}"
    assert request.headers["proxy-authorization"] == CREDENTIALS
    assert server.received[0].body == b"lead"


def test_a_connector_delivers_through_a_proxy(proxy: FaultServer, server: FaultServer) -> None:
    settings = HttpSettings.model_validate({"url": f"http://buyer.example:{server.port}/leads"})
    network = NetworkConfig(proxy=f"http://127.0.0.1:{proxy.port}")
    sender = HttpConnector("buyer", settings, limits=LIMITS, network=network)
    for number in range(3):
        item = Item(payload={"email": "a@example.com"}, key=f"k{number}", attempt=1, deadline=monotonic() + 2)
        assert sender.deliver(item).result is Result.SUCCESS
    sender.check()
    sender.close()
    assert [one.headers["idempotency-key"] for one in server.received] == ["k0", "k1", "k2"]
    assert proxy.connected <= 2


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "169.254.169.254", "0x7f000001", "[::1]", "[::ffff:10.0.0.1]", "⑩.0.0.1"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_addresses_that_are_refused_are_refused_behind_a_proxy_too(
    proxy: FaultServer, through: Session, host: str, scheme: str
) -> None:
    with pytest.raises(ConfigurationFault, match=r"network\.allow") as caught:
        through.reach(Origin.of(f"{scheme}://{host}/"), deadline=monotonic() + 2)
    assert caught.value.unsent
    assert proxy.connected == 0


def test_an_allowed_address_may_be_asked_of_a_proxy(proxy: FaultServer, server: FaultServer) -> None:
    network = NetworkConfig(proxy=f"http://127.0.0.1:{proxy.port}", allow=["127.0.0.0/8"])
    with session(LIMITS, network) as through:
        assert post(through, f"{server.url}/leads") == 200
    assert len(proxy.received) == 1


def test_an_ipv6_address_is_written_in_brackets(proxy: FaultServer, through: Session) -> None:
    proxy.behaviour = answer(502)
    for scheme in ("http", "https"):
        with suppress(TransientFault):
            post(through, f"{scheme}://[2606:4700::1111]:8443/leads")
    assert [one.target for one in proxy.received] == ["http://[2606:4700::1111]:8443/leads", "[2606:4700::1111]:8443"]


@pytest.mark.parametrize("host", ["a b", "a HTTP/1.1", "a\0b", "a'b", "a|b"], ids=ascii)
def test_nothing_but_a_host_gets_into_a_request_to_the_proxy(proxy: FaultServer, through: Session, host: str) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(DeliveryFault):
            through.reach(Origin.of(f"{scheme}://{host}/"), deadline=monotonic() + 2)
    assert proxy.connected == 0


ANSWERS: list[tuple[str, Behaviour, type[DeliveryFault], str]] = [
    ("407", answer(407), ConfigurationFault, "asks for other credentials"),
    ("403", answer(403), ConfigurationFault, "does not let us connect to buyer.example:443"),
    ("502", answer(502), TransientFault, "cannot reach buyer.example:443: HTTP 502"),
    ("301", answer(301), TransientFault, "cannot reach buyer.example:443: HTTP 301"),
    ("no answer", fault_server.hang, TransientFault, "did not answer in time"),
    ("trickle", fault_server.trickle_headers, TransientFault, "did not answer in time"),
    ("reset", fault_server.reset, TransientFault, "closed the connection"),
    ("no HTTP", raw(b"SSH-2.0-x\r\n\r\n"), TransientFault, "closed the connection"),
    ("endless", raw(b"x" * 200_000), TransientFault, "closed the connection"),
]


@pytest.mark.parametrize(("behaviour", "kind", "said"), [one[1:] for one in ANSWERS], ids=[one[0] for one in ANSWERS])
def test_a_tunnel_that_does_not_come_about_is_never_ambiguous(
    proxy: FaultServer, through: Session, behaviour: Behaviour, kind: type[DeliveryFault], said: str
) -> None:
    proxy.behaviour = behaviour
    begun = monotonic()
    with through.until(begun + 0.5), pytest.raises(kind, match=said) as caught:
        post(through, "https://buyer.example/leads")
    assert monotonic() - begun < 1.0
    assert caught.value.unsent
    assert not caught.value.ambiguous
    assert "cret" not in f"{caught.value!r} {caught.value.reason}"
    assert proxy.until_open(lambda count: count == 0)


def test_a_proxy_that_does_not_know_us_is_no_answer_of_the_destination(proxy: FaultServer, through: Session) -> None:
    proxy.behaviour = answer(407)
    with pytest.raises(ConfigurationFault, match=r"credentials \(network\.proxy\)"):
        post(through, "http://buyer.example/leads")


def test_a_proxy_that_is_not_there_is_transient() -> None:
    network = NetworkConfig(proxy=f"http://127.0.0.1:{fault_server.closed_port()}")
    with (
        session(LIMITS, network) as through,
        pytest.raises(TransientFault, match="the proxy: connection refused") as one,
    ):
        post(through, "https://buyer.example/leads")
    assert one.value.unsent


def test_credentials_of_a_proxy_are_not_told() -> None:
    assert "s3cret" not in repr(Network.of(NetworkConfig(proxy="http://a:s3cret@127.0.0.1:1")).proxy)
