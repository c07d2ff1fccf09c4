"""The GraphQL connector against the contract, a real server, and answers that no GraphQL server should give."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import pytest
import yaml
from graphql import GraphQLError

from app import connectors
from app.catalog import compile_document, create_connector
from app.config.schema import Document, LimitsConfig, ResponseConfig
from app.connectors.base import Connector
from app.connectors.graphql.connector import GraphqlConnector
from app.connectors.graphql.settings import GraphqlSettings
from app.errors import ConfigurationFault, DataFault, InvalidTemplate, TransientFault
from app.model import Fault, Item, Outcome, Result
from tests.connectors import fault_server, graphql_server
from tests.connectors.contract import LIMITS, ConnectorContract, Stage, judged
from tests.connectors.fault_server import LOCAL, FaultServer, answer
from tests.connectors.fault_stage import FaultStage
from tests.connectors.graphql_server import SDL, TOKEN, Crm

KEY = "0199c8e2-0000-7000-8000-000000000001"
DOCUMENT = """
mutation CreateLead($lead: LeadInput!) {
  createLead(lead: $lead) { id price userErrors { message } }
}
"""
LEAD: Mapping[str, Any] = {"lead": {"email": "ann.lee@example.com", "address": {"city": "Springfield"}}}
RULES = ResponseConfig.model_validate(
    {
        "search": {"path": "createLead.id", "term": "/./"},
        "reason": "createLead.userErrors.*.message",
        "reference": "createLead.id",
        "price": "createLead.price",
    }
)
ACCEPTED = b'{"data":{"createLead":{"id":"L-1","price":12.5,"userErrors":[]}}}'


def connector(
    url: str, *, limits: LimitsConfig = LIMITS, response: ResponseConfig | None = RULES, **settings: Any
) -> GraphqlConnector:
    assert connectors.load("graphql") is GraphqlConnector
    given = {"url": url, "document": DOCUMENT, "auth": {"bearer": {"token": TOKEN}}, **settings}
    found = GraphqlSettings.model_validate(given)
    return GraphqlConnector("crm", found, limits=limits, response=response, network=LOCAL)


def deliver(sender: GraphqlConnector, payload: Mapping[str, Any] = LEAD) -> Outcome:
    try:
        return sender.deliver(Item(payload=payload, key=KEY, attempt=1, deadline=monotonic() + 5))
    except TransientFault as fault:
        return judged(sender, fault)
    finally:
        sender.close()


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server.running(answer()) as running:
        yield running


@pytest.fixture(scope="module")
def one_crm() -> Iterator[Crm]:
    with graphql_server.running() as crm:
        yield crm


@pytest.fixture
def crm(one_crm: Crm) -> Crm:
    one_crm.error = None
    one_crm.leads.clear()
    one_crm.keys.clear()
    return one_crm


class GraphqlStage(FaultStage):
    payload = LEAD
    poison: Mapping[str, Any] = {"lead": {"email": "bo.day@example.com", "age": "thirty or so"}}
    secrets: Sequence[str] = (TOKEN,)

    def connector(self, limits: LimitsConfig) -> Connector[Any]:
        return connector(self.server.url, limits=limits, schema={"sdl": SDL})

    def unreachable(self, limits: LimitsConfig) -> Connector[Any]:
        return connector(f"http://127.0.0.1:{fault_server.closed_port()}/graphql", limits=limits)

    def succeed(self) -> None:
        self.server.behaviour = answer(200, ACCEPTED)

    def reject(self) -> None:
        self.server.behaviour = answer(
            200, b'{"data":{"createLead":{"id":null,"userErrors":[{"message":"Email has been taken"}]}}}'
        )

    def fail(self) -> None:
        self.server.behaviour = errors({"message": "oops", "extensions": {"code": "INTERNAL_SERVER_ERROR"}})

    def refuse_credentials(self) -> None:
        self.server.behaviour = errors({"message": "who?", "extensions": {"code": "UNAUTHENTICATED"}})


def errors(*found: Mapping[str, Any], status: int = 200, **rest: Any) -> fault_server.Behaviour:
    return answer(status, msgspec.json.encode({"errors": found, **rest}))


class TestContract(ConnectorContract):
    @pytest.fixture
    def stage(self, server: FaultServer) -> Stage:
        return GraphqlStage(server)


def test_lead_is_created_with_typed_values(crm: Crm) -> None:
    lead = {
        "email": "ann.lee@example.com",
        "age": "41",
        "budget": "2500.50",
        "consent": "true",
        "externalId": 7,
        "tags": "new",
        "address": {"city": "Springfield", "state": "TX"},
    }
    outcome = deliver(connector(crm.url, schema={"sdl": SDL}), {"lead": lead})
    assert (outcome.result, outcome.reference, outcome.price) == (Result.SUCCESS, "L-1", Decimal("12.5"))
    assert outcome.captured == {"document": {"createLead": {"id": "L-1", "price": 12.5, "userErrors": []}}}
    made = crm.leads[0]
    assert (made.age, made.budget, made.consent, made.external_id, made.tags) == (41, 2500.5, True, "7", ["new"])
    assert made.address.state.value == "TX"
    assert crm.keys == [KEY]


def test_refusal_in_the_data_is_a_rejection_with_its_reason(crm: Crm) -> None:
    deliver(connector(crm.url))
    outcome = deliver(connector(crm.url))
    assert (outcome.result, outcome.reason) == (Result.FAILURE, "Email has been taken")


@pytest.mark.parametrize(
    ("error", "result", "fault"),
    [
        (GraphQLError("slow down", extensions={"code": "THROTTLED"}), Result.ERROR, Fault.TRANSIENT),
        (GraphQLError("no phone", extensions={"code": "BAD_USER_INPUT"}), Result.FAILURE, None),
        (GraphQLError("not you", extensions={"code": "FORBIDDEN"}), Result.ERROR, Fault.CONFIGURATION),
        (RuntimeError("the database is away"), Result.ERROR, Fault.TRANSIENT),
    ],
    ids=["throttled", "refused", "forbidden", "raised"],
)
def test_error_of_a_resolver_is_classed(crm: Crm, error: Exception, result: Result, fault: Fault | None) -> None:
    crm.error = error
    outcome = deliver(connector(crm.url))
    assert (outcome.result, outcome.fault) == (result, fault)
    assert outcome.reason
    assert str(error) in outcome.reason


def test_missing_credentials_are_a_configuration_error(crm: Crm) -> None:
    assert deliver(connector(crm.url, auth=None)).fault is Fault.CONFIGURATION


def test_partial_data_is_kept_and_ruled_on(crm: Crm) -> None:
    document = DOCUMENT.replace("\n}", "\n  notify\n}")
    outcome = deliver(connector(crm.url, document=document))
    assert (outcome.result, outcome.reference) == (Result.SUCCESS, "L-1")
    assert outcome.reason == "INTERNAL_SERVER_ERROR: the owner [email] has no mailbox"
    assert outcome.captured
    assert outcome.captured["document"]["createLead"]["id"] == "L-1"


def test_value_that_the_server_cannot_take_is_a_data_fault_without_the_value(crm: Crm) -> None:
    outcome = deliver(connector(crm.url), {"lead": {"email": "a@example.com", "age": "Miller"}})
    assert outcome.fault is Fault.DATA
    assert outcome.reason
    assert "Miller" not in outcome.reason


def test_document_that_the_schema_refuses_is_a_configuration_error(crm: Crm) -> None:
    document = DOCUMENT.replace("price", "prize")
    assert deliver(connector(crm.url, document=document)).fault is Fault.CONFIGURATION


def test_check_compares_the_document_with_the_server_s_schema(crm: Crm) -> None:
    connector(crm.url).check()
    with pytest.raises(ConfigurationFault, match=r"Cannot query field 'prize'.*line 3, column"):
        connector(crm.url, document=DOCUMENT.replace("price", "prize")).check()
    assert not crm.leads


def test_describe_tells_the_variables_by_the_server_s_schema(crm: Crm) -> None:
    found = {one.name: one for one in connector(crm.url).describe()}
    assert found["lead.email"].type == "String!"
    assert found["lead.email"].required
    assert (found["lead.address.city"].required, found["lead.age"].type) == (False, "Int")
    assert found["lead.address.state"].label == "one of TX, CA"
    assert connector("http://127.0.0.1:9/", schema={"sdl": SDL}).describe() == list(found.values())


def test_server_that_tells_no_schema_is_checked_and_described_as_far_as_it_goes() -> None:
    with graphql_server.running(introspection=False) as crm:
        connector(crm.url, document=DOCUMENT.replace("price", "prize")).check()
        assert [(one.name, one.type) for one in connector(crm.url).describe()] == [("lead", "LeadInput!")]


def test_request_is_what_graphql_over_http_says(server: FaultServer) -> None:
    server.behaviour = answer(200, ACCEPTED, content_type="application/graphql-response+json; charset=utf-8")
    outcome = deliver(connector(server.url, headers={"X-Version": "2"}))
    request = server.received[0]
    assert outcome.result is Result.SUCCESS
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept"].startswith("application/graphql-response+json, application/json")
    assert request.headers["x-version"] == "2"
    body = msgspec.json.decode(request.body)
    assert body == {"query": DOCUMENT, "operationName": "CreateLead", "variables": LEAD}


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("kind", ["application/json", "application/graphql-response+json"])
def test_errors_are_read_with_either_media_type(server: FaultServer, status: int, kind: str) -> None:
    body = b'{"errors":[{"message":"Syntax Error","extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]}'
    server.behaviour = answer(status, body, content_type=kind)
    outcome = deliver(connector(server.url))
    assert (outcome.fault, outcome.reason) == (Fault.CONFIGURATION, "GRAPHQL_PARSE_FAILED: Syntax Error")


@pytest.mark.parametrize(
    ("behaviour", "fault", "ambiguous"),
    [
        (answer(200, b"<h1>Welcome</h1>", content_type="text/html"), Fault.TRANSIENT, True),
        (answer(200, ACCEPTED[:-9]), Fault.TRANSIENT, True),
        (answer(200, b"[]"), Fault.TRANSIENT, True),
        (answer(200, b'{"data":null}'), Fault.TRANSIENT, True),
        (answer(200, b'{"data":7}'), Fault.TRANSIENT, True),
        (answer(200, b'{"errors":["what"]}'), Fault.TRANSIENT, True),
        (answer(200, b'{"errors":{"message":"what"}}'), Fault.TRANSIENT, True),
        (answer(404, b"<h1>gone</h1>", content_type="text/html"), Fault.CONFIGURATION, False),
        (answer(413, b""), Fault.DATA, False),
        (answer(400, b"no"), Fault.PERMANENT, False),
        (answer(502, b"<h1>bad gateway</h1>"), Fault.TRANSIENT, False),
        (answer(302, location="https://login.example.com/"), Fault.CONFIGURATION, False),
    ],
    ids=["html", "cut", "list", "nothing", "number", "texts", "object", "404", "413", "400", "502", "302"],
)
def test_broken_answer_is_an_error(
    server: FaultServer, behaviour: fault_server.Behaviour, fault: Fault, *, ambiguous: bool
) -> None:
    server.behaviour = behaviour
    outcome = deliver(connector(server.url, response=None))
    assert (outcome.fault, outcome.ambiguous) == (fault, ambiguous)


def test_answer_of_200_megabytes_is_cut_off(server: FaultServer) -> None:
    def flood(connection: Any, _request: Any) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 200000000\r\n\r\n")
        connection.sendall(b'{"data":{"a":"')
        for _ in range(200):
            connection.sendall(b"x" * 1_000_000)
        return False

    server.behaviour = flood
    outcome = deliver(connector(server.url, response=None))
    assert (outcome.fault, outcome.ambiguous, outcome.reason) == (Fault.TRANSIENT, True, "the answer is too long")


def test_wait_is_told_by_shopify_s_cost(server: FaultServer) -> None:
    bucket = {"maximumAvailable": 1000, "currentlyAvailable": 66, "restoreRate": 50}
    cost = {"requestedQueryCost": 166, "actualQueryCost": None, "throttleStatus": bucket}
    server.behaviour = errors({"message": "Throttled", "extensions": {"code": "THROTTLED"}}, extensions={"cost": cost})
    outcome = deliver(connector(server.url))
    assert (outcome.fault, outcome.retry_after) == (Fault.TRANSIENT, 2.0)


@pytest.mark.parametrize(
    ("status", "code", "result", "fault"),
    [
        (403, "RATE_LIMITED", Result.ERROR, Fault.TRANSIENT),
        (500, "UNPROCESSABLE", Result.FAILURE, None),
        (500, "OUT_OF_CHEESE", Result.ERROR, Fault.TRANSIENT),
        (403, "OUT_OF_CHEESE", Result.ERROR, Fault.CONFIGURATION),
        (429, "OUT_OF_CHEESE", Result.ERROR, Fault.TRANSIENT),
    ],
)
def test_known_code_speaks_before_the_status(
    server: FaultServer, status: int, code: str, result: Result, fault: Fault | None
) -> None:
    server.behaviour = errors({"message": "no", "extensions": {"code": code}}, status=status)
    outcome = deliver(connector(server.url))
    assert (outcome.result, outcome.fault) == (result, fault)
    assert outcome.reason
    assert outcome.reason.endswith(f"{code}: no")


def test_search_that_finds_a_success_counts_more_than_errors_beside_it(server: FaultServer) -> None:
    made = {"createLead": {"id": None, "userErrors": []}}
    server.behaviour = errors({"message": "no", "extensions": {"code": "THROTTLED"}}, data=made)
    outcome = deliver(connector(server.url))
    assert (outcome.fault, outcome.captured) == (Fault.TRANSIENT, {"document": made})
    assert deliver(connector(server.url, response=None)).result is Result.SUCCESS


def test_header_of_the_lead_is_filled_in(server: FaultServer) -> None:
    server.behaviour = answer(200, ACCEPTED)
    sender = connector(server.url, headers={"X-Campaign": "{{ lead.campaign }}"})
    rendered = {"{{ lead.campaign }}": "spring"}
    sender.deliver(Item(payload=LEAD, key=KEY, attempt=1, deadline=monotonic() + 5, rendered=rendered))
    sender.close()
    assert server.received[0].headers["x-campaign"] == "spring"


def test_variable_without_a_value_is_a_data_fault_before_anything_is_sent(server: FaultServer) -> None:
    with pytest.raises(DataFault, match="variable lead has no value"):
        deliver(connector(server.url), {})
    assert not server.received


def test_response_rules_of_another_format_are_refused() -> None:
    with pytest.raises(InvalidTemplate, match="format"):
        GraphqlConnector.check_response(ResponseConfig.model_validate({"format": "xml"}))


def test_example_of_the_page_is_delivered(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[2] / "docs/connectors/graphql.md"
    example = yaml.safe_load(page.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0])
    example["settings"]["url"] = server.url
    example["network"] = {"allow": ["127.0.0.1"]}
    step = compile_document(Document.model_validate({"destinations": [example]}), 1).steps["crm"]
    sender = create_connector(step, {"CRM_TOKEN": TOKEN})
    assert isinstance(sender, GraphqlConnector)
    payload = step.mapping.render({"lead": {"email": "ann.lee@example.com", "city": "Springfield"}})
    server.behaviour = answer(200, b'{"data":{"createLead":{"lead":{"id":"L-1","price":3.5},"userErrors":[]}}}')
    outcome = deliver(sender, payload)
    assert (outcome.result, outcome.reference, outcome.price) == (Result.SUCCESS, "L-1", Decimal("3.5"))
    sent = msgspec.json.decode(server.received[0].body)["variables"]
    assert sent == {
        "lead": {"email": "ann.lee@example.com", "address": {"city": "Springfield"}},
        "campaign": "spring",
    }
