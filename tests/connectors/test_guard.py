"""Which addresses a destination may be at: every range and spelling that is refused, and what `network.allow` lets pass."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from time import monotonic
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.network import NetworkConfig
from app.config.schema import LimitsConfig
from app.connectors import _resolution
from app.connectors._guard import Guard
from app.connectors._http.connector import HttpConnector
from app.connectors._http.settings import HttpSettings
from app.connectors._resolution import Found
from app.connectors._transport import Origin, Session, session
from app.connectors.base import Connector
from app.connectors.hubspot import HubSpotConnector, HubSpotSettings
from app.connectors.salesforce import SalesforceConnector, SalesforceSettings
from app.errors import ConfigurationFault, DeliveryFault, TransientFault
from app.model import Item
from tests.connectors import fault_server
from tests.connectors.fault_server import LOCAL, FaultServer, answer
from tests.connectors.scripted import reply, scripted

LIMITS = LimitsConfig(concurrency=2, timeout_seconds=2.0)
_PRIVATE_IPV4 = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24
192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 255.255.255.255/32
168.63.129.16/32
"""
PRIVATE_IPV4 = _PRIVATE_IPV4.split()
_PRIVATE_IPV6 = """
::/128 ::1/128 ::/96 ::ffff:0:0:0/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 200::/7 2001::/32 2001:2::/48
2001:10::/28 2001:20::/28 2001:db8::/32 2002::/16 3fff::/20 4000::/3 5f00::/16 fc00::/7 fd00:ec2::254/128 fe80::/10
fec0::/10 ff00::/8
"""
PRIVATE_IPV6 = _PRIVATE_IPV6.split()
_METADATA = """
169.254.169.254 169.254.170.2 169.254.170.23 100.100.100.200 192.0.0.192 168.63.129.16 fd00:ec2::254 fd00:ec2::23
fd20:ce::254
"""
METADATA = _METADATA.split()
_PUBLIC = """
1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0
172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255
203.0.114.0 223.255.255.255 168.63.129.15 2001:200:: 2001:4860:4860::8888 2606:4700::1111 2003:: 3ffe:ffff::
64:ff9b::8.8.8.8 ::ffff:8.8.8.8
"""
PUBLIC = _PUBLIC.split()


def refusal(guard: Guard, address: object, host: str = "buyer.example.com") -> str:
    """What is said of an address; "" if it passes."""
    try:
        guard.check(host, [str(address)])
    except ConfigurationFault as fault:
        return fault.reason if fault.unsent and not fault.ambiguous else "a fault of the wrong kind"
    return ""


@pytest.mark.parametrize("network", [*PRIVATE_IPV4, *PRIVATE_IPV6])
def test_both_ends_of_every_range_are_refused(network: str) -> None:
    found = IPv6Network(network) if ":" in network else IPv4Network(network)
    assert refusal(Guard(), found[0])
    assert refusal(Guard(), found[-1])


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_passes(address: str) -> None:
    assert refusal(Guard(), address) == ""


def test_a_refusal_names_host_and_remedy_and_not_the_address() -> None:
    said = refusal(Guard(), "10.11.12.13")
    assert "buyer.example.com" in said
    assert "network.allow" in said
    assert "private" in said
    assert "10.11" not in said


def _mapped(inside: IPv4Address) -> IPv6Address:
    return IPv6Address(f"::ffff:{inside}")


def _sixtofour(inside: IPv4Address) -> IPv6Address:
    return IPv6Address((0x2002 << 112) | (int(inside) << 80) | 1)


def _teredo(inside: IPv4Address) -> IPv6Address:
    """With it as the client's address, whose bits are turned over (RFC 4380, 4); the server is a public one."""
    return IPv6Address((0x20010000 << 96) | (0x08080808 << 64) | (int(inside) ^ 0xFFFFFFFF))


def _behind(prefix: str) -> Callable[[IPv4Address], IPv6Address]:
    return lambda inside: IPv6Address(int(IPv6Address(prefix)) | int(inside))


EMBEDDINGS: dict[str, Callable[[IPv4Address], IPv4Address | IPv6Address]] = {
    "itself": lambda inside: inside,
    "mapped": _mapped,
    "compatible": _behind("::"),
    "translated": _behind("::ffff:0:0:0"),
    "6to4": _sixtofour,
    "teredo": _teredo,
    "NAT64": _behind("64:ff9b::"),
    "NAT64 of a network's own": _behind("64:ff9b:1::"),
    "ISATAP": _behind("2a00:1450:4001::5efe:0:0"),
    "ISATAP with a unique address": _behind("2a00:1450:4001::200:5efe:0:0"),
}


def inside(networks: list[str]) -> st.SearchStrategy[int]:
    """An address, as a number, of one of the networks."""
    found = [IPv6Network(one) if ":" in one else IPv4Network(one) for one in networks]
    return st.sampled_from(found).flatmap(lambda one: st.integers(int(one[0]), int(one[-1])))


@given(number=inside(PRIVATE_IPV4), embedding=st.sampled_from(sorted(EMBEDDINGS)))
def test_any_private_address_is_refused_in_any_embedding(number: int, embedding: str) -> None:
    assert refusal(Guard(), EMBEDDINGS[embedding](IPv4Address(number)))


@given(inside(PRIVATE_IPV6))
def test_any_private_ipv6_address_is_refused(number: int) -> None:
    assert refusal(Guard(), IPv6Address(number))


@given(st.ip_addresses())
def test_what_the_standard_library_calls_private_never_passes(address: IPv4Address | IPv6Address) -> None:
    if address.is_private or address.is_reserved or address.is_multicast or address.is_link_local:
        nat64 = isinstance(address, IPv6Address) and address in IPv6Network("64:ff9b::/96")
        mapped = isinstance(address, IPv6Address) and address.ipv4_mapped is not None
        assert nat64 or mapped or refusal(Guard(), address)


@given(st.ip_addresses(v=4), st.sampled_from(["itself", "mapped", "NAT64"]))
def test_an_embedded_address_is_judged_as_the_one_inside(address: IPv4Address, embedding: str) -> None:
    assert refusal(Guard(), EMBEDDINGS[embedding](address)) == refusal(Guard(), address)


ALLOWED = [
    (["10.1.2.3"], "a.example", "10.1.2.3", True),
    (["10.1.2.3"], "a.example", "10.1.2.4", False),
    (["10.1.0.0/16"], "a.example", "10.1.255.255", True),
    (["10.1.0.0/16"], "a.example", "10.2.0.0", False),
    (["10.1.0.0/16"], "a.example", "::ffff:10.1.0.1", True),
    (["10.1.0.0/16"], "a.example", "64:ff9b::10.1.0.1", True),
    (["fd12:3456::/32"], "a.example", "fd12:3456::7", True),
    (["fd12:3456::/32"], "a.example", "fd12:3457::7", False),
    (["127.0.0.1"], "localhost", "::1", False),
    (["localhost"], "localhost", "::1", True),
    (["crm.corp.example"], "crm.corp.example", "192.168.1.1", True),
    (["CRM.Corp.Example."], "crm.corp.example", "192.168.1.1", True),
    (["crm.corp.example"], "CRM.corp.example.", "192.168.1.1", True),
    (["crm.corp.example"], "crm.corp.example.attacker.example", "192.168.1.1", False),
    (["crm.corp.example"], "a.crm.corp.example", "192.168.1.1", False),
    (["*.corp.example"], "crm.corp.example", "192.168.1.1", True),
    (["*.corp.example"], "a.b.corp.example", "192.168.1.1", True),
    (["*.corp.example"], "corp.example", "192.168.1.1", False),
    (["*.corp.example"], "evilcorp.example", "192.168.1.1", False),
    (["bücher.example"], "xn--bcher-kva.example", "192.168.1.1", True),
    (["crm.corp.example"], "crm.corp.example", "8.8.8.8", True),
    ([], "crm.corp.example", "192.168.1.1", False),
]


@pytest.mark.parametrize(("allow", "host", "address", "passes"), ALLOWED, ids=map(str, range(len(ALLOWED))))
def test_what_is_allowed_passes_and_nothing_beside_it(
    allow: list[str], host: str, address: str, *, passes: bool
) -> None:
    assert (refusal(Guard(allow), address, host) == "") is passes


@pytest.mark.parametrize("address", METADATA)
def test_metadata_services_pass_only_when_that_very_address_is_listed(address: str) -> None:
    around = ["169.254.0.0/16", "100.64.0.0/10", "192.0.0.0/24", "168.63.0.0/16", "fd00::/8", "*.example", "a.example"]
    assert "metadata" in refusal(Guard(around), address, "a.example")
    assert refusal(Guard([*around, address]), address, "a.example") == ""
    if "." in address:
        assert "metadata" in refusal(Guard(["::/1", *around]), _mapped(IPv4Address(address)), "a.example")
        assert "metadata" in refusal(Guard(["::/1", *around]), f"64:ff9b::{address}", "a.example")


def test_one_refused_address_speaks_for_all_of_an_answer() -> None:
    for answers in (["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"]):
        with pytest.raises(ConfigurationFault):
            Guard().check("buyer.example.com", answers)


# --- through real connections -------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server.running(answer()) as running:
        yield running


def reach(host: str, port: int, config: NetworkConfig | None = None, *, seconds: float = 2.0) -> None:
    """Open a connection as every connector does."""
    with session(LIMITS, config) as through:
        _reach(through, host, port, seconds=seconds)


def _reach(through: Session, host: str, port: int, *, seconds: float = 2.0) -> None:
    through.reach(Origin.of(f"http://{host}:{port}/leads"), deadline=monotonic() + seconds)


_SPELLINGS = """
127.0.0.1 127.1 127.0.1 0x7f000001 0x7f.1 0x7F.0x0.0x0.0x1 2130706433 017700000001 0177.0.0.1 127.000.000.001 0
0.0.0.0 ①②⑦.⓪.⓪.① 127。0。0。1 [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:0001] [::127.0.0.1]
[64:ff9b::7f00:1]
"""
SPELLINGS = _SPELLINGS.split()
FULL_WIDTH = "\uff11\uff12\uff17.0.0.1"


@pytest.mark.parametrize("host", [*SPELLINGS, FULL_WIDTH], ids=ascii)
def test_no_spelling_of_this_machine_gets_by(server: FaultServer, host: str) -> None:
    with pytest.raises(ConfigurationFault, match=r"network\.allow"):
        reach(host, server.port)
    assert server.connected == 0


@pytest.mark.parametrize("host", ["localhost", "localhost.", "127.0.0.1.", "127.0.0.1.."])
def test_no_name_of_this_machine_gets_by(server: FaultServer, host: str) -> None:
    with pytest.raises(DeliveryFault) as caught:  # resolvers differ in what they make of some of them
        reach(host, server.port)
    assert caught.value.unsent
    assert server.connected == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "①②⑦.⓪.⓪.①"], ids=ascii)
def test_an_allowed_address_is_reached_in_any_spelling(server: FaultServer, host: str) -> None:
    reach(host, server.port, LOCAL)
    assert server.until_open(lambda _: server.connected == 1)


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Have names resolve to these addresses, in turn; the names asked for."""
    asked: list[str] = []
    original = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, **options: Any) -> Found:
        if not host.endswith(".example"):
            return original(host, port, **options)  # type: ignore[return-value]
        if options.get("flags", 0) & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "a name")
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in found]
        places = zip(families, found, strict=True)
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for family, address in places]

    monkeypatch.setattr(_resolution, "getaddrinfo", getaddrinfo)
    return asked


@pytest.fixture
def beside(server: FaultServer) -> Iterator[socket.socket]:
    """A second listener of the same port, at an address that is not allowed."""
    with socket.create_server(("127.0.0.2", server.port)) as listener:
        listener.settimeout(0.05)
        yield listener


def test_the_address_that_was_judged_is_the_one_connected_to(
    server: FaultServer, beside: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolving(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    with session(LIMITS, LOCAL) as through:
        _reach(through, "flip.example", server.port)
        assert asked == ["flip.example"]
        assert server.until_open(lambda _: server.connected == 1)
    with pytest.raises(ConfigurationFault):
        reach("flip.example", server.port, LOCAL)
    assert asked == ["flip.example"] * 2
    assert server.connected == 1
    with pytest.raises(TimeoutError):
        beside.accept()


@pytest.mark.parametrize("answers", [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "fd00::1"]])
def test_an_answer_with_a_refused_address_beside_allowed_ones_is_refused(
    server: FaultServer, beside: socket.socket, monkeypatch: pytest.MonkeyPatch, answers: list[str]
) -> None:
    resolving(monkeypatch, answers)
    with pytest.raises(ConfigurationFault):
        reach("mixed.example", server.port, LOCAL)
    assert server.connected == 0
    with pytest.raises(TimeoutError):
        beside.accept()


def test_an_allowed_name_is_reached_wherever_it_is(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["127.0.0.1"])
    reach("crm.corp.example", server.port, NetworkConfig(allow=["*.corp.example"]))
    assert server.until_open(lambda _: server.connected == 1)


def test_a_resolver_that_hangs_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    original = socket.getaddrinfo

    def getaddrinfo(*given: Any, **options: Any) -> Any:
        if not options.get("flags"):
            released.wait(10)
        return original(*given, **options)

    monkeypatch.setattr(_resolution, "getaddrinfo", getaddrinfo)
    begun = monotonic()
    try:
        with pytest.raises(TransientFault, match=r"could not be resolved within the time limit") as caught:
            reach("localhost", 9, seconds=0.3)
    finally:
        released.set()
    assert 0.25 < monotonic() - begun < 1.0
    assert caught.value.unsent


def test_addresses_need_no_look_up(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_resolution, "_looked_up", pytest.fail)
    reach("127.0.0.1", server.port, LOCAL)


def test_proxies_of_the_environment_are_not_used(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{fault_server.closed_port()}")
    with session(LIMITS, LOCAL) as through:
        assert through.post(f"{server.url}/leads", data=b"lead").status_code == 200


# --- every connector that speaks HTTP -----------------------------------------------------------------------------


def unguarded(url: str, network: NetworkConfig | None = None) -> list[Connector[Any]]:
    """Connectors for destinations at an address that is not allowed."""
    crm = {"instance_url": url, "client_id": "i", "client_secret": "s", "external_id_field": "Id__c"}
    given: dict[str, Any] = {"limits": LIMITS, "network": network}
    return [
        HttpConnector("a", HttpSettings.model_validate({"url": url}), **given),
        HttpConnector("b", HttpSettings.model_validate({"url": url, "standby": f"{url}/other"}), **given),
        HubSpotConnector("c", HubSpotSettings.model_validate({"base_url": url, "access_token": "t"}), **given),
        SalesforceConnector("d", SalesforceSettings.model_validate(crm), **given),
    ]


@pytest.mark.parametrize("number", range(4), ids=["http", "http with a standby", "hubspot", "salesforce"])
def test_every_connector_is_guarded(server: FaultServer, number: int) -> None:
    connector = unguarded(server.url)[number]
    with ExitStack() as stack:
        stack.callback(connector.close)
        item = Item(payload={"email": "a@example.com"}, key="k", attempt=1, deadline=monotonic() + 2)
        with pytest.raises(ConfigurationFault, match=r"network\.allow") as caught:
            connector.deliver(item)
        assert caught.value.unsent
        with pytest.raises(ConfigurationFault, match=r"network\.allow"):
            connector.check()
    assert server.connected == 0


def test_an_address_out_of_a_tokens_answer_is_guarded() -> None:
    with scripted() as vendor:
        vendor.answers.append(reply(body={"access_token": "t", "instance_url": "http://169.254.169.254"}))
        connector = unguarded(vendor.url, LOCAL)[3]
        with pytest.raises(ConfigurationFault, match=r"169\.254\.169\.254 is at the address of a cloud's metadata"):
            connector.deliver(Item(payload={"LastName": "x"}, key="k", attempt=1, deadline=monotonic() + 2))
        connector.close()
        assert len(vendor.seen) == 1
