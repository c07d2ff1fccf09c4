"""Look-ups whose answers come in pages: how the next is asked for, how they are joined, and where that ends."""

from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.config.schema import LimitsConfig, ResponseConfig
from app.connectors._http.connector import HttpConnector
from app.connectors._http.settings import HttpSettings
from app.connectors._link import next_link
from app.errors import ConfigurationFault, DeliveryFault, TransientFault
from app.model import Fault, Item, Outcome, Result
from tests.connectors import fault_server
from tests.connectors.contract import LIMITS
from tests.connectors.fault_server import LOCAL, Behaviour, FaultServer, Received, answer

EVERY = ResponseConfig.model_validate({"capture": {"ids": "data.items.*.id", "total": "total"}})


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server.running(answer()) as running:
        yield running


def look_up(
    url: str,
    pages: Mapping[str, Any],
    *,
    limits: LimitsConfig = LIMITS,
    response: ResponseConfig = EVERY,
    payload: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Outcome:
    given_settings = {"url": url, "method": "GET", "body": "query", "pages": pages, **settings}
    sender = HttpConnector(
        "lookup", HttpSettings.model_validate(given_settings), limits=limits, response=response, network=LOCAL
    )
    lead = {"email": "ann@example.com"} if payload is None else payload
    try:
        return sender.deliver(
            Item(payload=lead, key="0199c8e2-0000-7000-8000-000000000001", attempt=1, deadline=monotonic() + 5)
        )
    finally:
        sender.close()


def listing(count: int, size: int, place: Callable[[dict[str, list[str]]], int], **more: Any) -> Behaviour:
    """`count` items in pages; `place` tells from a query where a page begins."""

    def behave(connection: Any, request: Received) -> bool:
        begins = place(parse_qs(urlsplit(request.target).query))
        items = [{"id": number} for number in range(begins, min(begins + size, count))]
        rest = {name: value(begins + size) if begins + size < count else None for name, value in more.items()}
        return answer(200, msgspec.json.encode({"data": {"items": items}, "total": count, **rest}))(connection, request)

    return behave


def targets(server: FaultServer) -> list[str]:
    return [request.target for request in server.received]


def captured(outcome: Outcome) -> Mapping[str, Any]:
    assert (outcome.result, outcome.captured is None) == (Result.SUCCESS, False), outcome
    return outcome.captured or {}


def test_pages_by_number_are_joined_until_an_empty_one(server: FaultServer) -> None:
    server.behaviour = listing(5, 2, lambda query: 2 * (int(query.get("page", ["1"])[0]) - 1))
    outcome = look_up(f"{server.url}/contacts?v=2", {"kind": "page", "items": "data.items"})
    assert captured(outcome)["ids"] == [0, 1, 2, 3, 4]
    assert captured(outcome)["document"] == {"data": {"items": [{"id": n} for n in range(5)]}, "total": 5}
    asked = "/contacts?v=2&email=ann%40example.com"
    assert targets(server) == [asked, f"{asked}&page=2", f"{asked}&page=3", f"{asked}&page=4"]
    assert outcome.transcript is not None
    assert (outcome.transcript["pages"]["asked"], outcome.transcript["pages"]["items"]) == (4, 5)


def test_a_page_that_is_not_whole_is_the_last(server: FaultServer) -> None:
    server.behaviour = listing(5, 2, lambda query: 2 * int(query.get("p", ["0"])[0]))
    pages = {"kind": "page", "parameter": "p", "start": 0, "size": 2, "items": "data.items"}
    assert captured(look_up(server.url, pages))["ids"] == [0, 1, 2, 3, 4]
    assert len(server.received) == 3


def test_pages_by_offset_go_on_after_what_came(server: FaultServer) -> None:
    server.behaviour = listing(7, 3, lambda query: int(query.get("offset", ["0"])[0]))
    outcome = look_up(server.url, {"kind": "offset", "items": "data.items"}, body="none", query={"limit": "3"})
    assert captured(outcome)["ids"] == list(range(7))
    assert targets(server) == ["/?limit=3", *(f"/?limit=3&offset={after}" for after in (3, 6, 7))]


def test_pages_by_cursor_follow_the_mark_in_each(server: FaultServer) -> None:
    server.behaviour = listing(
        5, 2, lambda query: int(query.get("after", ["m/0&"])[0][2:-1]), paging=lambda after: {"next": f"m/{after}&"}
    )
    pages = {"kind": "cursor", "parameter": "after", "next": "paging.next", "items": "data.items"}
    assert captured(look_up(server.url, pages, body="none"))["ids"] == [0, 1, 2, 3, 4]
    assert targets(server) == ["/", "/?after=m%2F2%26", "/?after=m%2F4%26"]


@pytest.mark.parametrize("where", ["header", "body"])
def test_pages_by_link_follow_the_address_in_each(server: FaultServer, where: str) -> None:
    def behave(connection: Any, request: Received) -> bool:
        place = int(parse_qs(urlsplit(request.target).query).get("from", ["0"])[0])
        following = f"/other?from={place + 1}" if place < 2 else None
        link = {"link": f'</x>; rel="prev", <{following}>; title="a, b"; rel=next'} if following else {}
        body = {"data": {"items": [{"id": place}]}, "next": server.url + following if following else ""}
        headers = link if where == "header" else {}
        return answer(200, msgspec.json.encode(body), **headers)(connection, request)

    server.behaviour = behave
    pages = {"kind": "link", "items": "data.items"} | ({"next": "next"} if where == "body" else {})
    assert captured(look_up(server.url, pages, body="none"))["ids"] == [0, 1, 2]
    assert targets(server) == ["/", "/other?from=1", "/other?from=2"]


def test_a_root_that_is_a_list_is_joined(server: FaultServer) -> None:
    server.behaviour = lambda connection, request: answer(
        200, b"[1,2]" if "page" not in request.target else b"[3]" if "page=2" in request.target else b"[]"
    )(connection, request)
    assert captured(look_up(server.url, {"kind": "page"}))["document"] == [1, 2, 3]


def test_more_than_the_most_are_left_out_and_told(server: FaultServer) -> None:
    server.behaviour = listing(100, 2, lambda query: 2 * (int(query.get("page", ["1"])[0]) - 1))
    outcome = look_up(server.url, {"kind": "page", "items": "data.items", "most": 3})
    assert captured(outcome)["ids"] == list(range(6))
    assert len(server.received) == 3
    assert outcome.transcript is not None
    assert outcome.transcript["pages"]["more"] is True


def test_every_page_carries_credentials_headers_and_the_key(server: FaultServer) -> None:
    server.behaviour = listing(3, 2, lambda query: 2 * (int(query.get("page", ["1"])[0]) - 1))
    auth = {"bearer": {"token": "tok-5f1c9a"}}
    outcome = look_up(
        server.url, {"kind": "page", "size": 2, "items": "data.items"}, auth=auth, headers={"X-Campaign": "spring"}
    )
    for name in ("authorization", "x-campaign", "idempotency-key", "accept-encoding"):
        assert len({request.headers[name] for request in server.received}) == 1, name
    assert len(server.received) == 2
    assert "tok-5f1c9a" not in str(outcome)


def test_an_api_key_of_the_query_is_in_every_page_and_in_no_transcript(server: FaultServer) -> None:
    def behave(connection: Any, request: Received) -> bool:
        link = {"link": '</contacts?from=1>; rel="next"'} if "from" not in request.target else {}
        return answer(200, b'{"data":{"items":[{"id":1}]}}', **link)(connection, request)

    server.behaviour = behave
    auth = {"api_key": {"in": "query", "name": "k", "value": "s3/cr"}}
    outcome = look_up(server.url, {"kind": "link", "items": "data.items"}, body="none", auth=auth)
    assert targets(server) == ["/?k=s3%2Fcr", "/contacts?from=1&k=s3%2Fcr"]
    assert "cr" not in str(outcome.transcript).replace("transcript", "")


def test_credentials_stay_at_the_host_they_are_for(server: FaultServer) -> None:
    with fault_server.running(answer(200, b'{"data":{"items":[{"id":1}]}}')) as other:
        back = {"link": f"<{server.url}/back>; rel=next"}
        other.behaviour = answer(200, b'{"data":{"items":[{"id":1}]}}', **back)
        away = {"link": f"<{other.url}/page>; rel=next"}
        server.behaviour = lambda connection, request: answer(
            200, b'{"data":{"items":[{"id":0}]}}', **({} if "back" in request.target else away)
        )(connection, request)
        auth = {"basic": {"username": "u", "password": "hush-1"}}
        outcome = look_up(
            server.url, {"kind": "link", "items": "data.items"}, body="none", auth=auth, headers={"X-Own": "1"}
        )
        assert captured(outcome)["ids"] == [0, 1, 0]
        for request in (other.received[0], server.received[1]):
            assert not {"authorization", "x-own"} & request.headers.keys(), "not even when it leads back"


def test_a_next_page_goes_only_where_the_guard_lets_it(server: FaultServer) -> None:
    server.behaviour = answer(200, b"[1]", link="<http://169.254.169.254/latest>; rel=next")
    with pytest.raises(ConfigurationFault, match="refused") as caught:
        look_up(server.url, {"kind": "link"}, body="none")
    assert caught.value.transcript is not None
    assert caught.value.transcript["pages"]["asked"] == 2


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("<ftp://x.example/>; rel=next", "no web address"),
        ("<http://a@x.example/>; rel=next", "no web address"),
        ("</>; rel=next", "a page before it comes next"),
    ],
)
def test_a_next_page_that_leads_nowhere_is_a_configuration_fault(server: FaultServer, link: str, said: str) -> None:
    server.behaviour = answer(200, b"[1]", link=link)
    with pytest.raises(ConfigurationFault, match=said):
        look_up(f"{server.url}/", {"kind": "link"}, body="none")


def test_links_in_a_circle_end(server: FaultServer) -> None:
    server.behaviour = lambda connection, request: answer(
        200, b"[1]", link=f"</{'a' if request.target == '/b' else 'b'}>; rel=next"
    )(connection, request)
    with pytest.raises(ConfigurationFault, match="page 3 says that a page before it comes next"):
        look_up(server.url, {"kind": "link", "most": 50}, body="none")
    assert targets(server) == ["/", "/b", "/a"]


def test_a_parameter_that_the_destination_does_not_know_is_told(server: FaultServer) -> None:
    server.behaviour = answer(200, b"[1,2]")
    with pytest.raises(ConfigurationFault, match="page 2 is page 1 again"):
        look_up(server.url, {"kind": "page", "parameter": "pgae"})


@pytest.mark.parametrize(
    ("second", "result", "fault", "reason"),
    [
        (answer(503), Result.ERROR, Fault.TRANSIENT, "HTTP 503"),
        (answer(401), Result.ERROR, Fault.CONFIGURATION, "HTTP 401"),
        (answer(404, b"{}"), Result.FAILURE, None, "HTTP 404"),
        (answer(302, location="/elsewhere"), Result.ERROR, Fault.CONFIGURATION, "HTTP 302"),
    ],
)
def test_a_page_that_fails_decides_as_any_answer_does(
    server: FaultServer, second: Behaviour, result: Result, fault: Fault | None, reason: str
) -> None:
    server.behaviour = lambda connection, request: (second if "page=2" in request.target else answer(200, b"[1]"))(
        connection, request
    )
    outcome = look_up(server.url, {"kind": "page"})
    assert (outcome.result, outcome.fault, (outcome.reason or "")[:8]) == (result, fault, reason)


def test_a_page_that_is_no_json_is_transient(server: FaultServer) -> None:
    server.behaviour = lambda connection, request: answer(200, b"[1]" if "page" not in request.target else b"<h1>?")(
        connection, request
    )
    with pytest.raises(TransientFault, match="page 2 is not JSON"):
        look_up(server.url, {"kind": "page"})


@pytest.mark.parametrize(
    ("pages", "body", "said"),
    [
        ({"kind": "page", "items": "data"}, b'{"data":{"items":[]}}', "at data is no list"),
        ({"kind": "page"}, b'{"items":[]}', "set pages.items"),
        ({"kind": "cursor", "next": "n"}, b'{"items":[]}', "set pages.items"),
        ({"kind": "cursor", "items": "i", "next": "n"}, b'{"i":[1],"n":{"a":1}}', "at n is neither"),
    ],
)
def test_paths_that_do_not_fit_the_answer_are_told(
    server: FaultServer, pages: dict[str, Any], body: bytes, said: str
) -> None:
    server.behaviour = answer(200, body)
    with pytest.raises(ConfigurationFault, match=said):
        look_up(server.url, pages)


@pytest.mark.parametrize("body", [b'{"error":"none"}', b"<p>none</p>", b'{"data":null}', b""])
def test_an_answer_without_items_is_left_to_the_rules(server: FaultServer, body: bytes) -> None:
    server.behaviour = answer(200, body)
    outcome = look_up(server.url, {"kind": "page", "items": "data.items"})
    assert (outcome.result, len(server.received)) == (Result.SUCCESS, 1)


def test_all_pages_share_one_deadline(server: FaultServer) -> None:
    server.behaviour = lambda connection, request: (
        fault_server.hang if "page=3" in request.target else answer(200, f'["{request.target}"]'.encode())
    )(connection, request)
    begun = monotonic()
    with pytest.raises(DeliveryFault) as caught:
        look_up(server.url, {"kind": "page"}, limits=LimitsConfig(concurrency=1, timeout_seconds=0.4))
    assert monotonic() - begun < 0.8
    assert caught.value.fault is Fault.TRANSIENT


def test_all_pages_together_are_no_longer_than_one_answer_may_be(server: FaultServer) -> None:
    server.behaviour = lambda connection, request: answer(
        200, msgspec.json.encode([request.target + "x" * 900_000])
    )(connection, request)  # fmt: skip
    with pytest.raises(ConfigurationFault, match="3 pages are longer than 2000000 bytes together"):
        look_up(server.url, {"kind": "page"})


@pytest.mark.parametrize(
    ("settings", "place", "said"),
    [
        ({"method": "POST", "body": "json"}, ("pages",), "only a GET is a look-up"),
        ({"redirects": 1}, ("redirects",), "set it to 0"),
        ({"query": {"page": "1"}}, ("query", "page"), "pages sets this parameter"),
        ({"pages": {"kind": "page", "next": "a"}}, ("pages",), "next says nothing for kind page"),
        ({"pages": {"kind": "link", "size": 3}}, ("pages",), "size says nothing for kind link"),
        ({"pages": {"kind": "cursor"}}, ("pages",), "needs next"),
        ({"pages": {"kind": "page", "items": "a..b"}}, ("pages", "items"), "names and numbers"),
        ({"pages": {"kind": "page", "items": "a.*.b"}}, ("pages", "items"), "names and numbers"),
        ({"pages": {"kind": "page", "most": 101}}, ("pages", "most"), "100"),
    ],
)
def test_what_does_not_go_with_pages_is_refused_by_name(
    settings: dict[str, Any], place: tuple[str, ...], said: str
) -> None:
    whole = {"url": "https://x.example", "method": "GET", "body": "query", "pages": {"kind": "page"}, **settings}
    with pytest.raises(ValidationError) as caught:
        HttpSettings.model_validate(whole)
    [error] = caught.value.errors()
    assert (error["loc"], said in error["msg"]) == (place, True), error


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            '<https://x.example/?page=2>; rel="next", <https://x.example/?page=9>; rel="last"',
            "https://x.example/?page=2",
        ),
        ('<a>; rel="prev", <b>;rel="last next"', "b"),
        ("<a>; rel=prev; title=next, <b>; REL=Next", "b"),
        ('<a>; title="; rel=next"; rel=prev', ""),
        ('<a,b;c>; rel="next"', "a,b;c"),
        ("<a>; rel*=next", ""),
        ('<a>; rel="nexting"', ""),
        ("", ""),
        ("a; rel=next", ""),
    ],
)
def test_the_next_link_is_read(header: str, expected: str) -> None:
    assert next_link(header) == expected


@given(st.text(alphabet='<>;,="relnxt \\a*', max_size=60))
def test_whatever_the_header_holds_a_link_is_read_or_none(header: str) -> None:
    assert "<" not in next_link(header)


@pytest.mark.parametrize("piece", ["<", "<a>", '"', "; rel=", '<a>; rel="', "\\", '="'])
def test_long_link_headers_cost_no_time(piece: str) -> None:
    begun = monotonic()
    next_link(piece * 40_000)
    assert monotonic() - begun < 0.5
