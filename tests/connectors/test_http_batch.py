"""Several leads in one request, against the contract and a server that answers for each of them."""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from hashlib import sha256
from socket import socket
from time import monotonic, process_time
from typing import Any

import pytest
from pydantic import ValidationError

from app.config.schema import LimitsConfig, ResponseConfig
from app.connectors._http.connector import HttpConnector
from app.connectors._http.settings import HttpSettings
from app.connectors.base import Capability, Connector, Sent
from app.errors import DataFault, TransientFault
from app.model import Fault, Item, Outcome, Result
from tests.connectors import fault_server
from tests.connectors.contract import LIMITS, ConnectorContract, Stage, judged
from tests.connectors.fault_server import LOCAL, Behaviour, FaultServer, Received, answer
from tests.connectors.test_http import HttpStage

RULES: Mapping[str, Any] = {
    "search": {"path": "status", "term": "accepted"},
    "reason": "why",
    "reference": "id",
    "price": "pays",
}
Verdict = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def key(place: int) -> str:
    return f"0199c8e2-0000-7000-8000-{place:012}"


def item(place: int, *, test: bool = False, **payload: Any) -> Item:
    mapped = {"id": key(place), "email": f"lead{place}@example.com", **payload}
    return Item(payload=mapped, key=key(place), attempt=1, deadline=monotonic() + 5, test=test)


def request_key(*places: int) -> str:
    return sha256("\n".join(sorted(key(place) for place in places)).encode()).hexdigest()


def connect(server: FaultServer, *, response: Mapping[str, Any] | None = RULES, **settings: Any) -> HttpConnector:
    batch = {"size": 4, "property": "leads", "results": "results", **settings.pop("batch", {})}
    limits = settings.pop("limits", LIMITS)
    made = HttpSettings.model_validate({"url": f"{server.url}/leads", "batch": batch, **settings})
    rules = ResponseConfig.model_validate(response) if response is not None else None
    return HttpConnector("buyer", made, limits=limits, response=rules, network=LOCAL)


def send(sender: HttpConnector, items: Sequence[Item]) -> list[Outcome]:
    try:
        return [judged(sender, one.answer) for one in sender.deliver_many(items, until=monotonic() + 5)]
    finally:
        sender.close()


def leads(request: Received) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(request.body)["leads"]
    return found


def accept(lead: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"status": "accepted", "id": f"r-{lead['id'][-2:]}", "pays": 12.5}


def answers(verdict: Verdict, status: int = 200) -> Behaviour:
    """A buyer that says something of each lead."""

    def behave(connection: socket, request: Received) -> bool:
        results = [verdict(lead) for lead in leads(request)]
        return answer(status, json.dumps({"results": results}).encode())(connection, request)

    return behave


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server.running(answers(accept)) as running:
        yield running


class BatchStage(HttpStage):
    """The contract's leads, in an array under `leads`; the keys of its requests are known as those of single leads."""

    def connector(self, limits: LimitsConfig) -> Connector[Any]:
        settings = {"auth": {"bearer": {"token": "tok-5f1c9a"}}, "check_url": f"{self.server.url}/leads"}
        return connect(self.server, limits=limits, **settings)

    def unreachable(self, limits: LimitsConfig) -> Connector[Any]:
        nobody = FaultServer(answer(), port=fault_server.closed_port())
        return connect(nobody, limits=limits, check_url=f"{nobody.url}/leads")

    def succeed(self) -> None:
        taken = answers(lambda _lead: {"status": "accepted", "id": "r-1"})
        self.server.behaviour = lambda connection, request: (taken if request.body else answer())(connection, request)

    def reject(self) -> None:
        self.server.behaviour = answers(lambda _lead: {"status": "refused", "why": "duplicate"})

    def keys(self) -> Sequence[str]:
        alone = {sha256(one.encode()).hexdigest(): one for one in (key(1), "0199c8e2-0000-7000-8000-00000000abcd")}
        sent = [request.headers["idempotency-key"] for request in self.server.received if request.method == "POST"]
        return [alone.get(one, one) for one in sent]


class TestContract(ConnectorContract):
    @pytest.fixture
    def stage(self, server: FaultServer) -> Stage:
        return BatchStage(server)


def test_a_group_goes_in_as_few_requests_as_the_size_allows(server: FaultServer) -> None:
    outcomes = send(connect(server), [item(place) for place in range(10)])
    assert sorted(len(leads(request)) for request in server.received) == [2, 4, 4]
    assert [outcome.reference for outcome in outcomes] == [f"r-{place:02}" for place in range(10)]
    assert {(outcome.result, outcome.price) for outcome in outcomes} == {(Result.SUCCESS, Decimal("12.5"))}


def test_each_lead_has_the_answer_of_its_own(server: FaultServer) -> None:
    said = [
        {"status": "accepted", "id": "r-1"},
        {"status": "refused", "why": "duplicate"},
        {"status": "accepted", "id": "r-3", "pays": "3.00"},
    ]
    server.behaviour = answer(207, json.dumps({"results": said}).encode())
    first, second, third = send(connect(server), [item(place) for place in range(3)])
    assert (first.result, first.reference, first.price) == (Result.SUCCESS, "r-1", None)
    assert (second.result, second.fault, second.reason) == (Result.FAILURE, None, "duplicate")
    assert (third.reference, third.price) == ("r-3", Decimal("3.00"))
    assert second.captured == {"document": said[1]}


def test_a_transcript_holds_nothing_of_the_other_leads(server: FaultServer) -> None:
    for place, outcome in enumerate(send(connect(server), [item(place) for place in range(3)])):
        assert outcome.transcript is not None
        assert json.loads(outcome.transcript["request"]["body"]) == {"leads": [dict(item(place).payload)]}
        assert json.loads(outcome.transcript["response"]["body"]) == accept(item(place).payload)
        assert outcome.transcript["batch"] == {"leads": 3, "index": place}
        assert not [other for other in {0, 1, 2} - {place} if f"lead{other}@" in str(outcome)]


def test_secrets_of_a_payload_are_masked_in_its_transcript(server: FaultServer) -> None:
    [outcome, _] = send(connect(server), [item(0, api_key="k3y"), item(1)])
    assert outcome.transcript is not None
    assert leads(server.received[0])[0]["api_key"] == "k3y"
    assert "k3y" not in str(outcome.transcript)


def test_a_body_may_be_the_array_itself_and_so_may_the_answer(server: FaultServer) -> None:
    server.behaviour = answer(200, json.dumps([accept(item(0).payload), {"status": "refused"}]).encode())
    first, second = send(connect(server, batch={"property": None, "results": "*"}), [item(0), item(1)])
    assert json.loads(server.received[0].body) == [dict(item(0).payload), dict(item(1).payload)]
    assert (first.result, second.result) == (Result.SUCCESS, Result.FAILURE)


def test_a_key_in_the_body_stands_beside_the_leads(server: FaultServer) -> None:
    auth = {"api_key": {"name": "key", "value": "k3y", "in": "body"}}
    [outcome] = send(connect(server, auth=auth), [item(0)])
    assert json.loads(server.received[0].body) == {"leads": [dict(item(0).payload)], "key": "k3y"}
    assert outcome.result is Result.SUCCESS
    assert "k3y" not in str(outcome.transcript)


def test_what_is_left_of_a_rate_limit_is_known_from_each_lead(server: FaultServer) -> None:
    results = json.dumps({"results": [accept(item(place).payload) for place in range(2)]}).encode()
    server.behaviour = answer(200, results, x_ratelimit_remaining="0", x_ratelimit_reset="30")
    assert [outcome.quota is not None for outcome in send(connect(server), [item(0), item(1)])] == [True, True]


def test_the_array_may_lie_deep(server: FaultServer) -> None:
    server.behaviour = answer(200, json.dumps({"data": {"items": [accept(item(0).payload)]}}).encode())
    [outcome] = send(connect(server, batch={"property": "data.leads", "results": "data.items"}), [item(0)])
    assert json.loads(server.received[0].body) == {"data": {"leads": [dict(item(0).payload)]}}
    assert outcome.reference == "r-00"


def test_without_results_the_answer_holds_for_all(server: FaultServer) -> None:
    server.behaviour = answer(202, b'{"status": "accepted", "id": "job-7"}')
    outcomes = send(connect(server, batch={"results": None}), [item(place) for place in range(3)])
    assert {(outcome.result, outcome.reference) for outcome in outcomes} == {(Result.SUCCESS, "job-7")}
    assert len(server.received) == 1


@pytest.mark.parametrize("count", [0, 2, 4])
def test_an_answer_of_another_length_is_no_answer_to_any(server: FaultServer, count: int) -> None:
    server.behaviour = answer(
        200, json.dumps({"results": [accept(item(place).payload) for place in range(count)]}).encode()
    )
    for outcome in send(connect(server), [item(place) for place in range(3)]):
        assert (outcome.result, outcome.fault, outcome.ambiguous) == (Result.ERROR, Fault.TRANSIENT, True)
        assert "r-0" not in str(outcome)
        assert outcome.reason == f"the answer has {count} results for 3 leads"


def test_more_results_than_a_request_has_leads_are_not_read(server: FaultServer) -> None:
    server.behaviour = answer(200, b'{"results": [' + b"0," * 800_000 + b"0]}")
    begun = process_time()
    [outcome] = send(connect(server, batch={"size": 2}), [item(0)])
    assert process_time() - begun < 2
    assert outcome.reason == "the answer has 800001 results, a request at most 2 leads"
    assert (outcome.result, outcome.ambiguous) == (Result.ERROR, True)
    assert "body" not in (outcome.transcript or {})["response"]


@pytest.mark.parametrize(
    "body", [b'{"status": "accepted"}', b'{"results": {"status": "accepted"}}', b"<h1>hi</h1>", b""]
)
def test_a_success_without_the_results_is_ambiguous(server: FaultServer, body: bytes) -> None:
    server.behaviour = answer(200, body)
    for outcome in send(connect(server), [item(0), item(1)]):
        assert (outcome.fault, outcome.ambiguous) == (Fault.TRANSIENT, True)
        assert outcome.reason == "the answer has no array at results"


def test_a_refused_request_is_refused_for_all_and_results_in_it_are_read(server: FaultServer) -> None:
    server.behaviour = answer(422, b'{"why": "unknown campaign"}')
    outcomes = send(connect(server), [item(0), item(1)])
    assert {(outcome.result, outcome.reason) for outcome in outcomes} == {(Result.FAILURE, "unknown campaign")}
    server.behaviour = answers(lambda lead: {"status": "accepted" if "00" in lead["id"][-2:] else "bad"}, 422)
    first, second = send(connect(server), [item(0), item(1)])
    assert (first.result, second.result) == (Result.SUCCESS, Result.FAILURE)


def test_trouble_holds_for_all_with_the_time_to_wait(server: FaultServer) -> None:
    server.behaviour = answer(503, b'{"results": [{"status": "accepted"}]}', retry_after="7")
    for outcome in send(connect(server), [item(0), item(1)]):
        assert (outcome.fault, outcome.retry_after, outcome.ambiguous) == (Fault.TRANSIENT, 7, False)


def test_a_time_out_is_ambiguous_for_each_with_its_own_transcript(server: FaultServer) -> None:
    server.behaviour = fault_server.hang
    sender = connect(server, limits=LimitsConfig(timeout_seconds=1))
    sent: list[Sent] = sender.deliver_many([item(0), item(1)], until=monotonic() + 5)
    sender.close()
    faults = [one.answer for one in sent]
    for place, fault in enumerate(faults):
        assert isinstance(fault, TransientFault)
        assert fault.ambiguous
        assert fault.transcript is not None
        assert json.loads(fault.transcript["request"]["body"]) == {"leads": [dict(item(place).payload)]}
    assert faults[0] is not faults[1]


def test_a_request_ends_by_the_earliest_deadline_of_its_leads(server: FaultServer) -> None:
    server.behaviour = fault_server.hang
    begun = monotonic()
    send(connect(server, limits=LimitsConfig(timeout_seconds=5)), [item(0), replace(item(1), deadline=begun + 0.3)])
    assert monotonic() - begun < 3


def test_the_same_leads_have_the_same_key_again_in_any_order(server: FaultServer) -> None:
    send(connect(server), [item(0), item(1), item(2)])
    send(connect(server), [item(2), item(0), item(1)])
    send(connect(server), [item(0), item(1)])
    assert [request.headers["idempotency-key"] for request in server.received] == [
        request_key(0, 1, 2),
        request_key(0, 1, 2),
        request_key(0, 1),
    ]


def test_a_lead_that_cannot_be_written_fails_alone(server: FaultServer) -> None:
    sender = connect(server)
    sent = sender.deliver_many([item(0), item(1, notes={"odd": object()}), item(2)], until=monotonic() + 5)
    sender.close()
    assert isinstance(sent[1].answer, DataFault)
    assert sent[1].answer.reason == "property notes.odd cannot be written as JSON"
    assert [lead["id"] for lead in leads(server.received[0])] == [key(0), key(2)]
    assert [getattr(sent[place].answer, "reference", None) for place in (0, 2)] == ["r-00", "r-02"]


def test_test_leads_go_apart_from_the_others(server: FaultServer) -> None:
    outcomes = send(connect(server), [item(0), item(1, test=True), item(2)])
    told = {
        request.headers.get("x-leadrelay-test"): [lead["id"] for lead in leads(request)] for request in server.received
    }
    assert told == {None: [key(0), key(2)], "true": [key(1)]}
    assert [outcome.reference for outcome in outcomes] == ["r-00", "r-01", "r-02"]


def test_compressed_and_transliterated_like_any_body(server: FaultServer) -> None:
    server.behaviour = answer(200, json.dumps({"results": [accept(item(0).payload)] * 2}).encode())
    send(connect(server, compress="gzip", ascii=True), [item(0, name="Łódź"), item(1)])
    assert json.loads(gzip.decompress(server.received[0].body))["leads"][0]["name"] == "Lodz"


def test_after_a_redirect_said_the_leads_were_taken_an_error_is_ambiguous_for_its_lead(server: FaultServer) -> None:
    results = json.dumps({"results": [{"status": "accepted"}, {"status": "busy"}]}).encode()

    def behave(connection: socket, request: Received) -> bool:
        return (answer(303, location="/job/7") if request.method == "POST" else answer(200, results))(
            connection, request
        )

    server.behaviour = behave
    rules = {"search": {"path": "status", "term": "busy", "on_match": "error"}}
    first, second = send(connect(server, response=rules, redirects=1), [item(0), item(1)])
    assert (first.result, first.ambiguous) == (Result.SUCCESS, False)
    assert (second.fault, second.ambiguous) == (Fault.TRANSIENT, True)


def test_a_preview_is_an_array_of_one_and_an_answer_to_it_is_read(server: FaultServer) -> None:
    sender = connect(server)
    shown = sender.request(item(0), reveal=True)
    assert json.loads(shown["body"]) == {"leads": [dict(item(0).payload)]}
    assert shown["headers"]["Idempotency-Key"] == request_key(0)
    assert sender.interpret(200, {}, b'{"results": [{"status": "accepted", "id": "r-9"}]}').reference == "r-9"
    assert sender.interpret(200, {}, b'{"results": []}').ambiguous
    assert Capability.BULK in sender.capabilities
    sender.close()
    assert not server.received


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"body": "form"}, "batch"),
        ({"json_array": True}, "json_array"),
        ({"url": "https://buyer.example.com/{{ lead.state }}"}, "url"),
        ({"standby": ["https://b.example.com/{{ lead.state }}"]}, "standby.0"),
        ({"url": None, "endpoints": [{"url": "https://a.example.com/{{ lead.id }}"}]}, "endpoints.0.url"),
        ({"query": {"state": "{{ lead.state }}"}}, "query.state"),
        ({"headers": {"X-Mail": "{{ lead.email }}"}}, "headers.X-Mail"),
        ({"auth": {"api_key": {"name": "key", "value": "${env:K}", "in": "body"}}}, "auth.api_key.in"),
        (
            {"auth": {"jwt": {"secret": "${env:K}", "claims": {"sub": "{{ lead.email }}"}}}},
            "auth.jwt.claims.sub",
        ),
        ({"batch": {"size": 1}}, "batch.size"),
        ({"batch": {"size": 1001}}, "batch.size"),
        ({"batch": {"size": 10, "results": "a..b"}}, "batch.results"),
        ({"batch": {"size": 10, "property": "a..b"}}, "batch.property"),
    ],
)
def test_what_does_not_go_with_a_batch_is_refused_by_name(settings: Mapping[str, Any], place: str) -> None:
    plain = {"url": "https://buyer.example.com/leads", "batch": {"size": 10}}
    with pytest.raises(ValidationError) as caught:
        HttpSettings.model_validate({**plain, **settings})
    assert [".".join(map(str, problem["loc"])) for problem in caught.value.errors()] == [place]
