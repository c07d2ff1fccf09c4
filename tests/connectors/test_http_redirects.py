"""Redirects and cookies: followed where a destination asks for it, and what never goes along."""

import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config.network import NetworkConfig
from app.config.schema import LimitsConfig, ResponseConfig
from app.connectors._http.connector import HttpConnector
from app.connectors._http.cookies import MOST_COOKIES, Cookies
from app.connectors._http.redirect import target_of
from app.connectors._http.settings import HttpSettings
from app.connectors._transport import head
from app.errors import ConfigurationFault, DeliveryFault, TransientFault
from app.model import Fault, Item, Outcome, Result
from tests.connectors import fault_server
from tests.connectors.authority import Authority
from tests.connectors.fault_server import LOCAL, Behaviour, FaultServer, Received, answer, closed_port

LIMITS = LimitsConfig(concurrency=2, timeout_seconds=2.0)
RULES = ResponseConfig.model_validate({"search": {"term": "accepted"}})
KEY = "0199c8e2-0000-7000-8000-000000000001"
THANKS = answer(200, b"accepted", content_type="text/plain")


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server.running(answer()) as running:
        yield running


@pytest.fixture
def other() -> Iterator[FaultServer]:
    with fault_server.running(THANKS) as running:
        yield running


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@contextmanager
def sending(url: str, *, network: NetworkConfig = LOCAL, **special: Any) -> Iterator[HttpConnector]:
    found = HttpSettings.model_validate({"url": url, "redirects": 3, **special})
    connector = HttpConnector("buyer", found, limits=LIMITS, response=RULES, network=network)
    try:
        yield connector
    finally:
        connector.close()


def deliver(url: str, payload: Mapping[str, Any] | None = None, **special: Any) -> Outcome:
    with sending(url, **special) as connector:
        return connector.deliver(item(payload))


def item(payload: Mapping[str, Any] | None = None) -> Item:
    return Item(payload=payload or {"email": "ann.lee@example.com"}, key=KEY, attempt=1, deadline=monotonic() + 5)


@pytest.mark.parametrize("status", [302, 307])
def test_a_test_lead_is_marked_wherever_it_goes(server: FaultServer, other: FaultServer, status: int) -> None:
    server.behaviour = answer(status, location=f"{other.url}/elsewhere")
    with sending(server.url) as connector:
        connector.deliver(replace(item(), test=True))
        connector.deliver(item())
    assert [request.headers.get("x-leadrelay-test") for request in other.received] == ["true", None]


def routed(routes: Mapping[str, Behaviour]) -> Behaviour:
    def behave(connection: socket.socket, request: Received) -> bool:
        return routes[request.target.partition("?")[0]](connection, request)

    return behave


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (302, "PUT", "PUT"),
        (307, "POST", "POST"),
        (308, "PATCH", "PATCH"),
    ],
)
def test_redirect_within_a_host_is_followed_as_its_status_says(
    server: FaultServer, status: int, method: str, then: str
) -> None:
    server.behaviour = routed({"/in": answer(status, location="thanks?ok=1#top"), "/thanks": THANKS})
    outcome = deliver(f"{server.url}/in", method=method, auth={"bearer": {"token": "t0k"}}, headers={"X-Buyer": "7"})
    first, second = server.received
    assert outcome.result is Result.SUCCESS
    assert (second.method, second.target) == (then, "/thanks?ok=1")
    assert second.body == (b"" if then == "GET" else first.body)
    assert ("content-type" in second.headers) is (then != "GET")
    assert (second.headers["authorization"], second.headers["x-buyer"]) == ("Bearer t0k", "7")
    assert second.headers["idempotency-key"] == KEY
    assert outcome.transcript is not None
    assert outcome.transcript["redirects"] == [f"{status} {server.url}/thanks?ok=1"]


def test_post_without_a_body_keeps_its_length_and_its_query_is_not_repeated(server: FaultServer) -> None:
    server.behaviour = routed({"/in": answer(308, location="/moved?a=1"), "/moved": THANKS})
    deliver(f"{server.url}/in", body="query", query={"v": "2"})
    assert [request.target for request in server.received] == ["/in?v=2&email=ann.lee%40example.com", "/moved?a=1"]
    assert server.received[1].headers["content-length"] == "0"


@pytest.mark.parametrize("auth", [{"bearer": {"token": "s3cr"}}, {"api_key": {"name": "X-Buyer", "value": "s3cr"}}])
@pytest.mark.parametrize("status", [302, 307])
def test_credentials_never_go_to_another_host(
    server: FaultServer, other: FaultServer, auth: Mapping[str, Any], status: int
) -> None:
    server.behaviour = answer(status, location=f"{other.url}/x", set_cookie="sid=s3cr")
    outcome = deliver(f"{server.url}/in", auth=auth, headers={"X-Account": "s3cr"}, query={"k": "s3cr"}, cookies=True)
    received = other.received[0]
    assert outcome.result is Result.SUCCESS
    assert received.headers["host"] == other.url.removeprefix("http://")
    assert "s3cr" not in f"{received.target}{received.headers}{received.body!r}"


def test_what_another_host_redirects_back_carries_no_credentials_either(
    server: FaultServer, other: FaultServer
) -> None:
    server.behaviour = routed({"/in": answer(307, location=f"{other.url}/x"), "/back": THANKS})
    other.behaviour = answer(307, location=f"{server.url}/back")
    deliver(f"{server.url}/in", auth={"bearer": {"token": "s3cr"}})
    assert "authorization" not in server.received[1].headers


def test_body_with_a_secret_does_not_go_to_another_host(server: FaultServer, other: FaultServer) -> None:
    server.behaviour = answer(307, location=f"{other.url}/x")
    with pytest.raises(ConfigurationFault, match="holds a secret"):
        deliver(f"{server.url}/in", {"api_key": "s3cr", "email": "a@b.co"})
    assert not other.received


def test_circle_and_too_many_redirects_end_with_a_clear_fault(server: FaultServer) -> None:
    server.behaviour = answer(307, location="/in")
    with pytest.raises(ConfigurationFault, match="redirected in a circle") as caught:
        deliver(f"{server.url}/in")
    assert not caught.value.ambiguous
    assert len(server.received) == 4

    def further(connection: socket.socket, request: Received) -> bool:
        return answer(302, location=f"{request.target}x")(connection, request)

    server.behaviour = further
    with pytest.raises(ConfigurationFault, match="more than 3 times") as caught:
        deliver(f"{server.url}/in")
    assert caught.value.ambiguous
    assert caught.value.transcript is not None
    assert len(caught.value.transcript["redirects"]) == 3


@pytest.mark.parametrize(
    "location",
    [
        "ftp://x.example/",
        "file:///etc/passwd",
        "http://u:p@x.example/",
        "http://x:99999/",
        "http://[::1",
    ],
)
def test_redirect_to_no_web_address_is_refused(server: FaultServer, location: str) -> None:
    server.behaviour = answer(302, location=location)
    with pytest.raises(ConfigurationFault, match="no web address"):
        deliver(f"{server.url}/in")
    assert len(server.received) == 1


def test_redirect_from_https_to_http_is_refused(authority: Authority, other: FaultServer) -> None:
    network = NetworkConfig(allow=["127.0.0.1"], ca=str(authority.path))
    moved = answer(307, location=f"{other.url}/x")
    with fault_server.running(moved, context=authority.context("127.0.0.1")) as server:
        with pytest.raises(ConfigurationFault, match="from https to http"):
            deliver(f"{server.url}/in", network=network)
        assert len(server.received) == 1
    assert not other.received


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f000001", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1", "[fd00:ec2::254]"]
)
def test_redirect_to_an_address_that_is_not_allowed_is_refused_before_it_is_reached(
    server: FaultServer, other: FaultServer, host: str
) -> None:
    server.behaviour = answer(303, location=f"http://{host}:{other.port}/latest/meta-data/")
    with pytest.raises(ConfigurationFault, match="allow") as caught:
        deliver(f"http://localhost:{server.port}/in", network=NetworkConfig(allow=["localhost"]))
    assert caught.value.ambiguous
    assert len(server.received) == 1
    assert not other.connected


def test_line_breaks_and_strange_letters_in_a_location_do_no_harm(server: FaultServer) -> None:
    server.behaviour = routed({"/in": answer(302, location="/th\xc3\xa4nks x"), "/th%C3%A4nks%20x": THANKS})
    assert deliver(f"{server.url}/in").result is Result.SUCCESS


def test_what_fails_after_the_lead_was_handed_over_is_ambiguous(server: FaultServer) -> None:
    gone = f"http://127.0.0.1:{closed_port()}/thanks"
    for status, ambiguous in ((303, True), (307, False)):
        server.behaviour = answer(status, location=gone)
        with pytest.raises(TransientFault) as caught:
            deliver(f"{server.url}/in")
        assert caught.value.ambiguous is ambiguous
    server.behaviour = routed({"/in": answer(303, location="/thanks"), "/thanks": answer(503)})
    outcome = deliver(f"{server.url}/in")
    assert (outcome.fault, outcome.ambiguous) == (Fault.TRANSIENT, True)


def test_lead_handed_over_is_not_sent_to_another_endpoint(server: FaultServer, other: FaultServer) -> None:
    server.behaviour = answer(303, location=f"http://127.0.0.1:{closed_port()}/")
    with pytest.raises(DeliveryFault) as caught:
        deliver(f"{server.url}/in", standby=f"{other.url}/in")
    assert caught.value.ambiguous
    assert not other.received


def test_all_redirects_share_one_time_limit(server: FaultServer) -> None:
    def late(connection: socket.socket, request: Received) -> bool:
        server.stopping.wait(1.5)
        return answer(307, location="/slow")(connection, request)

    server.behaviour = routed({"/in": late, "/slow": fault_server.trickle})
    begun = monotonic()
    with pytest.raises(TransientFault, match="time limit"):
        deliver(f"{server.url}/in")
    assert monotonic() - begun < LIMITS.timeout_seconds + 1


def test_connections_to_hosts_that_a_redirect_names_are_not_kept(server: FaultServer, other: FaultServer) -> None:
    server.behaviour = answer(307, location=f"{other.url}/x")
    with sending(f"{server.url}/in") as connector:
        connector.deliver(item())
        assert other.until_open(lambda count: count == 0)
        assert len(connector._session._pools) == 1


def test_cookies_are_sent_back_to_their_host_and_path(server: FaultServer) -> None:
    server.behaviour = routed(
        {
            "/a/in": answer(302, location="/thanks", set_cookie="sid=1; Path=/; HttpOnly\r\nset-cookie: deep=2"),
            "/thanks": THANKS,
        }
    )
    with sending(f"{server.url}/a/in", cookies=True) as connector:
        outcomes = [connector.deliver(item()) for _ in range(2)]
    assert [request.headers.get("cookie") for request in server.received] == [None, "sid=1", "deep=2; sid=1", "sid=1"]
    assert "sid" not in str([outcome.transcript for outcome in outcomes])


def test_cookies_are_not_kept_unless_asked_for(server: FaultServer) -> None:
    server.behaviour = answer(200, b"accepted", set_cookie="sid=1")
    with sending(server.url) as connector:
        connector.deliver(item())
        connector.deliver(item())
    assert "cookie" not in server.received[1].headers


URL = "https://a.example/x/y"


@pytest.mark.parametrize(
    ("set_cookie", "url", "sent"),
    [
        ("a=1", "https://a.example/x/z", "a=1"),
        ("a=1", "https://a.example/other", None),
        ("a=1; Path=/", "https://b.example/", None),
        ("a=1; Path=/", "https://sub.a.example/", None),
        ("a=1; Path=/; Domain=a.example", "https://a.example/", "a=1"),
        ("a=1; Path=/; Domain=.example", "https://b.example/", None),
        ("a=1; Path=/; Domain=evil.example", "https://evil.example/", None),
        ("a=1; Path=/x", "https://a.example/xy", None),
        ("a=1; Path=/; Secure", "http://a.example/", None),
        ("a=1; Path=/; Max-Age=0", URL, None),
        ("a=1; Path=/; Max-Age=100; Expires=Thu, 01 Jan 1970 00:00:00 GMT", URL, "a=1"),
        ("a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", URL, None),
        ("a=1; Path=/; Expires=Fri, 01 Jan 2100 00:00:00 GMT", URL, "a=1"),
        ("a=1; Path=/; Expires=soon", URL, "a=1"),
        ("a=1; Path=/\na=2; Path=/", URL, "a=2"),
        ("a=1; Path=/\na=; Path=/; Max-Age=-1", URL, None),
        ("a b=1; Path=/", URL, None),
        ("novalue; Path=/", URL, None),
        ("a=\x01; Path=/", URL, None),
        ("a=" + "x" * 5000, URL, None),
        ("", URL, None),
    ],
)
def test_cookie_goes_where_it_belongs(set_cookie: str, url: str, sent: str | None) -> None:
    cookies = Cookies()
    cookies.store(URL, set_cookie)
    assert cookies.header(url) == sent


def test_cookies_are_bounded() -> None:
    cookies = Cookies()
    cookies.store(URL, "\n".join(f"c{count}=1; Path=/" for count in range(10_000)))
    header = cookies.header(URL)
    assert header is not None
    assert header.count("=") == MOST_COOKIES
    assert "c9999=1" in header


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=60))
def test_no_location_is_too_strange(location: str) -> None:
    for base in ("https://a.example/x/y?z", "http://a.example"):
        for start in ("", "//", "http://", "https://b.example"):
            try:
                target = target_of(base, start + location, said="redirected")
            except ConfigurationFault:
                continue
            assert re.fullmatch(r"https?://[!-~]+", target)
            assert "#" not in target
            head("GET", target, {})


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from('ab=;, \t\n"\x00é/Path=Domain=Max-Age=0Expires=Secure'), max_size=60))
def test_no_cookie_is_too_strange(set_cookie: str) -> None:
    cookies = Cookies()
    cookies.store(URL, set_cookie)
    header = cookies.header(URL)
    assert header is None or re.fullmatch(r"[ -~]+", header)


def test_credentials_made_for_each_request_go_along_to_the_same_host_only(
    server: FaultServer, other: FaultServer
) -> None:
    def behave(connection: socket.socket, request: Received) -> bool:
        there = {"/leads": "/second", "/second": f"http://localhost:{other.port}/third"}[request.target]
        return answer(307, b"", location=there)(connection, request)

    server.behaviour = behave
    auth = {"hmac": {"secret": "s", "string": "{{ path }}"}}
    network = NetworkConfig(allow=["127.0.0.1", "localhost"])
    with sending(f"{server.url}/leads", network=network, auth=auth) as connector:
        connector.deliver(item())
    signatures = [request.headers.get("x-signature") for request in server.received]
    assert None not in signatures
    assert len(set(signatures)) == 2
    assert [request.headers.get("x-signature") for request in other.received] == [None]
