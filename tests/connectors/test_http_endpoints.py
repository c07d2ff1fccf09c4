"""Several endpoints of one HTTP destination: who gets a lead, what goes on to the next, what never does."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from app.catalog import compile_document
from app.config.schema import Document, LimitsConfig
from app.connectors import _endpoints
from app.connectors._endpoints import FAILURES
from app.connectors._http.connector import HttpConnector
from app.connectors._http.settings import HttpSettings
from app.connectors.base import Connector
from app.errors import ConfigurationFault, InvalidConfig, TransientFault
from app.model import Fault, Item, Outcome, Result
from tests.connectors import fault_server
from tests.connectors.authority import Authority
from tests.connectors.contract import LIMITS, ConnectorContract, Stage, judged
from tests.connectors.fault_server import LOCAL, FaultServer, Received, answer, closed_port
from tests.connectors.test_http import HttpStage
from tests.connectors.test_http import connector as single

KEY = "0199c8e2-0000-7000-8000-000000000001"


class SpreadStage(HttpStage):
    def connector(self, limits: LimitsConfig) -> Connector[Any]:
        endpoints = [{"url": f"{self.server.url}/a", "weight": 2}, {"url": f"{self.server.url}/b"}]
        auth = {"bearer": {"token": "tok-5f1c9a"}}
        return single(None, limits=limits, endpoints=endpoints, auth=auth, check_url=f"{self.server.url}/status")

    def unreachable(self, limits: LimitsConfig) -> Connector[Any]:
        return single(f"http://127.0.0.1:{closed_port()}", limits=limits, standby=f"http://127.0.0.1:{closed_port()}")


class TestContract(ConnectorContract):
    @pytest.fixture
    def stage(self, first: FaultServer) -> Stage:
        return SpreadStage(first)


@pytest.fixture
def first() -> Iterator[FaultServer]:
    with fault_server.running(answer()) as running:
        yield running


@pytest.fixture
def second() -> Iterator[FaultServer]:
    with fault_server.running(answer()) as running:
        yield running


@contextmanager
def connector(*, limits: LimitsConfig = LIMITS, **settings: Any) -> Iterator[HttpConnector]:
    made = HttpConnector("buyer", HttpSettings.model_validate(settings), limits=limits, network=LOCAL)
    try:
        yield made
    finally:
        made.close()


def send(sender: HttpConnector, key: str = KEY) -> Outcome:
    item = Item(payload={"email": "ann.lee@example.com"}, key=key, attempt=1, deadline=monotonic() + 5)
    return judged(sender, sender.deliver_many([item], until=monotonic() + 5)[0].answer)


def send_group(sender: HttpConnector, count: int, *, number: int = 0) -> list[Outcome]:
    items = [
        Item(payload={"n": place}, key=f"key-{place}", attempt=1, deadline=monotonic() + 5)
        for place in range(number, number + count)
    ]
    return [judged(sender, one.answer) for one in sender.deliver_many(items, until=monotonic() + 5)]


def transcript(outcome: Outcome) -> Mapping[str, Any]:
    assert outcome.transcript is not None
    return outcome.transcript


def test_lead_goes_to_the_standby_in_the_same_attempt_when_nobody_listens_at_the_first(second: FaultServer) -> None:
    gone = f"http://127.0.0.1:{closed_port()}/leads"
    with connector(url=gone, standby=f"{second.url}/in?from=standby") as sender:
        outcome = send(sender)
    assert outcome.result is Result.SUCCESS
    assert [request.target for request in second.received] == ["/in?from=standby"]
    assert transcript(outcome)["request"]["url"] == f"{second.url}/in?from=standby"
    assert list(transcript(outcome)["tried"]) == [gone]
    assert "refused" in transcript(outcome)["tried"][gone]


def test_traffic_returns_to_the_first_when_it_is_back(
    first: FaultServer, second: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_endpoints, "REST_SECONDS", 0.2)
    port = closed_port()
    with connector(url=f"http://127.0.0.1:{port}", standby=second.url) as sender:
        while "tried" in transcript(send(sender)):  # until the first rests
            assert len(second.received) <= FAILURES
        assert len(second.received) == FAILURES + 1
        with fault_server.running(answer(), port=port) as back:
            ends = monotonic() + 5
            while not back.received and monotonic() < ends:
                assert send(sender).result is Result.SUCCESS
            served = len(second.received)
            assert [send(sender).result for _ in range(5)] == [Result.SUCCESS] * 5
            assert (len(back.received), len(second.received)) == (6, served)


def test_whole_group_arrives_though_one_endpoint_is_gone(first: FaultServer) -> None:
    with connector(endpoints=[{"url": f"http://127.0.0.1:{closed_port()}"}, {"url": first.url}]) as sender:
        outcomes = send_group(sender, 30)
    assert {outcome.result for outcome in outcomes} == {Result.SUCCESS}
    assert sorted(request.headers["idempotency-key"] for request in first.received) == sorted(
        f"key-{place}" for place in range(30)
    )


def test_leads_are_shared_by_weight(first: FaultServer, second: FaultServer) -> None:
    with connector(endpoints=[{"url": first.url, "weight": 3}, {"url": second.url}]) as sender:
        send_group(sender, 40)
    assert (len(first.received), len(second.received)) == (30, 10)


@pytest.mark.parametrize(("spread", "at_least", "at_most"), [("weighted", 20, 20), ("least_in_flight", 1, 10)])
def test_a_slow_endpoint_is_given_less_where_the_fewest_under_way_decide(
    first: FaultServer, second: FaultServer, spread: str, at_least: int, at_most: int
) -> None:
    def slowly(connection: socket.socket, request: Received) -> bool:
        first.stopping.wait(0.15)
        return answer()(connection, request)

    first.behaviour = slowly
    with connector(endpoints=[{"url": first.url}, {"url": second.url}], spread=spread) as sender:
        send_group(sender, 40)
    assert at_least <= len(first.received) <= at_most
    assert len(first.received) + len(second.received) == 40


def test_lead_whose_answer_was_lost_is_not_sent_to_another_endpoint_in_the_same_attempt(
    first: FaultServer, second: FaultServer
) -> None:
    first.behaviour = fault_server.reset
    with connector(url=first.url, standby=second.url) as sender:
        outcomes = [send(sender) for _ in range(FAILURES)]
        assert {(outcome.fault, outcome.ambiguous) for outcome in outcomes} == {(Fault.TRANSIENT, True)}
        assert len(first.received) == FAILURES
        assert not second.received
        assert send(sender).result is Result.SUCCESS, "the retry finds the first resting"
    assert len(second.received) == 1


def test_lead_of_which_a_part_has_left_is_not_sent_to_another_endpoint_in_the_same_attempt(second: FaultServer) -> None:
    def cut(listener: socket.socket) -> None:
        with listener.accept()[0] as accepted:
            accepted.recv(1000)
            fault_server.reset(accepted, Received(method="", target="", headers={}, body=b""))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        cutter = threading.Thread(target=cut, args=(listener,))
        cutter.start()
        with connector(url=f"http://127.0.0.1:{listener.getsockname()[1]}", standby=second.url) as sender:
            item = Item(payload={"photo": "x" * 20_000_000}, key=KEY, attempt=1, deadline=monotonic() + 5)
            with pytest.raises(TransientFault) as caught:
                sender.deliver(item)
        cutter.join()
    assert (caught.value.ambiguous, caught.value.unsent) == (False, False)
    assert not second.received


def test_retry_at_another_endpoint_carries_the_same_key(first: FaultServer, second: FaultServer) -> None:
    first.behaviour = fault_server.reset
    with connector(endpoints=[{"url": first.url}, {"url": second.url}]) as sender:
        assert send(sender).ambiguous
        assert send(sender).result is Result.SUCCESS
    assert [request.headers["idempotency-key"] for request in (*first.received, *second.received)] == [KEY, KEY]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_gateway_errors_send_an_endpoint_to_rest_and_no_lead_twice(
    first: FaultServer, second: FaultServer, status: int
) -> None:
    first.behaviour = answer(status)
    with connector(url=first.url, standby=second.url) as sender:
        assert [send(sender).fault for _ in range(FAILURES)] == [Fault.TRANSIENT] * FAILURES
        assert not second.received
        assert [send(sender).result for _ in range(3)] == [Result.SUCCESS] * 3
    assert len(first.received) == FAILURES


@pytest.mark.parametrize("status", [200, 400, 401, 404, 409, 422, 429, 500, 501])
def test_an_endpoint_that_answers_is_there_whatever_it_says(
    first: FaultServer, second: FaultServer, status: int
) -> None:
    first.behaviour = answer(status)
    with connector(url=first.url, standby=second.url) as sender:
        for _ in range(FAILURES + 2):
            send(sender)
    assert (len(first.received), len(second.received)) == (FAILURES + 2, 0)


def test_connection_that_does_not_come_about_leaves_time_for_the_next_endpoint(second: FaultServer) -> None:
    with ExitStack() as stack:
        # A full backlog: the kernel answers no further connection.
        deaf = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(deaf.getsockname())
        sender = stack.enter_context(connector(url=f"http://127.0.0.1:{deaf.getsockname()[1]}", standby=second.url))
        begun = monotonic()
        outcome = send(sender)
        assert LIMITS.timeout_seconds / 2 <= monotonic() - begun < LIMITS.timeout_seconds
    assert outcome.result is Result.SUCCESS
    assert "timed out" in str(transcript(outcome)["tried"])


def test_failed_handshake_and_refused_certificate_go_on_to_the_next_endpoint(
    tmp_path: Path, first: FaultServer, second: FaultServer
) -> None:
    plain = first.url.replace("http:", "https:")
    with (
        fault_server.running(answer(), context=Authority(tmp_path).context("127.0.0.1")) as unknown,
        connector(endpoints=[{"url": plain}, {"url": unknown.url}], standby=second.url) as sender,
    ):
        outcome = send(sender)
    assert outcome.result is Result.SUCCESS
    assert ["handshake" in why or "certificate" in why for why in transcript(outcome)["tried"].values()] == [True] * 2
    assert not unknown.received
    assert len(second.received) == 1


def test_lead_that_reaches_no_endpoint_is_unsent_and_says_what_was_tried() -> None:
    urls = [f"http://127.0.0.1:{closed_port()}/{name}" for name in "abc"]
    with connector(endpoints=[{"url": urls[0]}, {"url": urls[1]}], standby=urls[2]) as sender:
        outcome = send(sender)
    assert (outcome.fault, outcome.ambiguous) == (Fault.TRANSIENT, False)
    assert list(transcript(outcome)["tried"]) == urls[:2]
    assert transcript(outcome)["request"]["url"] == urls[2]


def test_key_in_the_query_goes_to_every_endpoint_and_is_masked(first: FaultServer) -> None:
    auth = {"api_key": {"name": "k", "value": "s3cr", "in": "query"}}
    urls = [f"http://127.0.0.1:{closed_port()}/x?a=1", f"{first.url}/y"]
    with connector(url=urls[0], standby=[urls[1]], auth=auth) as sender:
        outcome = send(sender)
    assert first.received[0].target == "/y?k=s3cr"
    assert list(transcript(outcome)["tried"]) == [f"{urls[0]}&k=***"]
    assert "s3cr" not in str(transcript(outcome))


def test_no_lead_is_sent_twice_in_one_attempt_while_an_endpoint_comes_and_goes(
    first: FaultServer, second: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_endpoints, "REST_SECONDS", 0.01)
    done = threading.Event()
    port = closed_port()
    servers = [first, second]

    def come_and_go() -> None:
        while not done.is_set():
            with fault_server.running(answer(), port=port) as server:
                servers.append(server)
                done.wait(0.05)
            done.wait(0.05)

    flapping = threading.Thread(target=come_and_go)
    flapping.start()
    endpoints = [{"url": f"http://127.0.0.1:{port}"}, {"url": first.url}]
    try:
        with connector(endpoints=endpoints, standby=second.url, limits=LimitsConfig(concurrency=8)) as sender:
            outcomes, ends = send_group(sender, 100), monotonic() + 5
            while monotonic() < ends and (len(servers) < 5 or not any("tried" in transcript(one) for one in outcomes)):
                outcomes += send_group(sender, 100, number=len(outcomes))
    finally:
        done.set()
        flapping.join()
    keys = [request.headers["idempotency-key"] for server in servers for request in server.received]
    assert len(keys) == len(set(keys))
    assert {f"key-{place}" for place, one in enumerate(outcomes) if one.result is Result.SUCCESS} <= set(keys)
    assert {one.fault for one in outcomes if one.result is not Result.SUCCESS} <= {Fault.TRANSIENT}
    assert any("tried" in transcript(one) for one in outcomes)


def test_check_reaches_every_endpoint_and_names_the_ones_that_fail(first: FaultServer) -> None:
    gone, away = closed_port(), closed_port()
    endpoints = [{"url": f"http://127.0.0.1:{gone}"}, {"url": first.url}]
    with connector(endpoints=endpoints, standby=f"http://127.0.0.1:{away}") as sender:
        with pytest.raises(TransientFault) as caught:
            sender.check()
        assert first.until_open(lambda count: count == 1)
    assert f":{gone}" in caught.value.reason
    assert f":{away}" in caught.value.reason
    assert f":{first.port}" not in caught.value.reason
    assert not first.received


def test_check_of_several_endpoints_asks_the_check_address_too(first: FaultServer, second: FaultServer) -> None:
    first.behaviour = answer(401)
    with (
        connector(url=second.url, standby=first.url, check_url=f"{first.url}/status") as sender,
        pytest.raises(ConfigurationFault, match="401"),
    ):
        sender.check()
    assert [request.target for request in first.received] == ["/status"]


A, B = "https://a.example/leads", "https://b.example/leads"


@pytest.mark.parametrize(
    ("settings", "field", "remedy"),
    [
        ({}, "url", "give an address"),
        ({"url": A, "endpoints": [{"url": B}]}, "url", "move the address of url into endpoints"),
        ({"endpoints": []}, "endpoints", "give one endpoint at least"),
        ({"endpoints": [{"url": A, "weight": 0}]}, "endpoints.0.weight", "leave the endpoint out"),
        ({"endpoints": [{"url": A}, {"url": B, "weight": -1}]}, "endpoints.1.weight", "from 1 to 1000"),
        ({"endpoints": [{"url": A}, {"url": B}, {"url": "HTTPS://A.example:443/leads"}]}, "endpoints.2.url", "remove"),
        ({"endpoints": [{"url": "${env:EU}"}, {"url": "${env:EU}"}]}, "endpoints.1.url", "remove"),
        ({"endpoints": [{"url": A}, {"url": B}], "standby": B}, "standby.0", "remove"),
        ({"url": A, "standby": [B, A]}, "standby.1", "remove"),
        ({"url": A, "standby": "b.example"}, "standby", "not an absolute"),
        ({"endpoints": [{"url": "a.example"}]}, "endpoints.0.url", "not an absolute"),
        ({"url": A, "spread": "random"}, "spread", "'weighted' or 'least_in_flight'"),
    ],
)
def test_wrong_endpoints_are_refused_with_field_and_remedy_beside_secrets_too(
    settings: Mapping[str, Any], field: str, remedy: str
) -> None:
    secret = {"auth": {"bearer": {"token": "${env:TOKEN}"}}}
    destination = {"name": "buyer", "type": "http", "settings": {**settings, **secret}, "mapping": {"a": "b"}}
    with pytest.raises(InvalidConfig) as caught:
        compile_document(Document.model_validate({"destinations": [destination]}), 1)
    (complaint,) = caught.value.complaints
    assert complaint.field == f"destination buyer: settings.{field}"
    assert remedy in complaint.detail
