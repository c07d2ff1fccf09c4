"""The SOAP connector against the contract, a server that misbehaves, and WSDLs that lie elsewhere or mean harm."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from time import monotonic, process_time
from typing import Any

import pytest
import yaml

from app import connectors
from app.catalog import compile_document, create_connector
from app.config.network import NetworkConfig
from app.config.schema import Document, LimitsConfig, ResponseConfig
from app.connectors.base import Connector
from app.connectors.soap.connector import SoapConnector, keeps_to
from app.connectors.soap.fault import MEANINGS
from app.connectors.soap.settings import SoapSettings
from app.errors import ConfigurationFault, DataFault, DeliveryFault, InvalidTemplate, TransientFault
from app.model import Fault, Item, Outcome, Result
from tests.connectors import fault_server, soap_wsdl
from tests.connectors.contract import LIMITS, ConnectorContract, Stage, judged
from tests.connectors.fault_server import LOCAL, FaultServer, Received, answer
from tests.connectors.fault_stage import FaultStage
from tests.connectors.soap_wsdl import ACCEPTED, REJECTED, answered, fault, fault_12, library

KEY = "0199c8e2-0000-7000-8000-000000000001"
PASSWORD = "pw-51c7e0"
LEAD: Mapping[str, Any] = {"lead": {"email": "ann.lee@example.com", "seen": None}, "campaign": "spring"}
RULES = ResponseConfig.model_validate(
    {
        "search": {"path": "SubmitLeadResponse.accepted", "term": "true"},
        "reason": "SubmitLeadResponse.reasons.*",
        "reference": "SubmitLeadResponse.id",
        "price": "SubmitLeadResponse.price",
    }
)
XML = {"content_type": "text/xml; charset=utf-8"}


def connector(
    url: str | None = None,
    *,
    limits: LimitsConfig = LIMITS,
    response: ResponseConfig | None = RULES,
    network: NetworkConfig = LOCAL,
    **settings: Any,
) -> SoapConnector:
    assert connectors.load("soap") is SoapConnector
    given = {"wsdl": soap_wsdl.wsdl(), "operation": "SubmitLead", **settings}
    if url is not None:
        given["url"] = url
    found = SoapSettings.model_validate(given)
    return SoapConnector("buyer", found, limits=limits, response=response, network=network)


def deliver(
    sender: SoapConnector, payload: Mapping[str, Any] = LEAD, *, rendered: Mapping[str, str] | None = None
) -> Outcome:
    try:
        return sender.deliver(Item(payload=payload, key=KEY, attempt=1, deadline=monotonic() + 5, rendered=rendered))
    except DeliveryFault as found:
        return judged(sender, found)
    finally:
        sender.close()


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server.running(answer(200, ACCEPTED, **XML)) as running:
        yield running


class SoapStage(FaultStage):
    payload = LEAD
    poison: Mapping[str, Any] = {"lead": {"email": "bo.day@example.com", "age": "thirty or so"}}
    secrets: Sequence[str] = (PASSWORD, "cGFydG5lcjpwdy01MWM3ZTA=")

    def _connector(self, url: str, limits: LimitsConfig) -> Connector[Any]:
        return connector(
            url,
            limits=limits,
            security={"username": {"username": "leads", "password": PASSWORD, "form": "text"}},
            auth={"basic": {"username": "partner", "password": PASSWORD}},
            soap_headers={"Session.user": "leads", "Session.password": PASSWORD},
        )

    def connector(self, limits: LimitsConfig) -> Connector[Any]:
        return self._connector(self.server.url, limits)

    def unreachable(self, limits: LimitsConfig) -> Connector[Any]:
        return self._connector(f"http://127.0.0.1:{fault_server.closed_port()}/leads", limits)

    def succeed(self) -> None:
        self.server.behaviour = answer(200, ACCEPTED, **XML)

    def reject(self) -> None:
        self.server.behaviour = answer(200, REJECTED, **XML)

    def fail(self) -> None:
        self.server.behaviour = answer(500, fault("e:Server", "the database is away"), **XML)

    def refuse_credentials(self) -> None:
        self.server.behaviour = answer(401, fault("e:Client", "who are you?"), **XML)


class TestContract(ConnectorContract):
    @pytest.fixture
    def stage(self, server: FaultServer) -> Stage:
        return SoapStage(server)


def test_result_is_read_by_its_schema(server: FaultServer) -> None:
    outcome = deliver(connector(server.url))
    assert (outcome.result, outcome.reference, outcome.price) == (Result.SUCCESS, "L-1", Decimal("12.50"))
    assert outcome.captured == {"document": {"SubmitLeadResponse": {"accepted": True, "id": "L-1", "price": "12.50"}}}


def test_refusal_in_the_result_is_a_rejection_with_its_reason(server: FaultServer) -> None:
    server.behaviour = answer(200, REJECTED, **XML)
    outcome = deliver(connector(server.url))
    assert (outcome.result, outcome.reason) == (Result.FAILURE, "Duplicate")


@pytest.mark.parametrize(
    ("port", "kind", "action"),
    [
        ("Leads11", "text/xml; charset=utf-8", '"urn:buyer:leads:2:SubmitLead"'),
        ("Leads12", 'application/soap+xml; charset=utf-8; action="urn:buyer:leads:2:SubmitLead"', None),
    ],
)
def test_port_decides_on_the_version(server: FaultServer, port: str, kind: str, action: str | None) -> None:
    version = "1.1" if port == "Leads11" else "1.2"
    content = ACCEPTED.partition(b"<e:Body>")[2].partition(b"</e:Body>")[0].decode()
    server.behaviour = answer(200, answered(content, version=version), **XML)
    outcome = deliver(connector(server.url, port=port, headers={"X-Version": "2"}))
    request = server.received[0]
    assert outcome.result is Result.SUCCESS
    assert (request.headers["content-type"], request.headers.get("soapaction")) == (kind, action)
    assert (request.headers["x-version"], request.headers["idempotency-key"]) == ("2", KEY)
    namespace = {"1.1": b"schemas.xmlsoap.org/soap/envelope/", "1.2": b"www.w3.org/2003/05/soap-envelope"}[version]
    assert namespace in request.body


def test_one_way_operation_needs_no_answer(server: FaultServer) -> None:
    server.behaviour = answer(202, b"")
    outcome = deliver(connector(server.url, operation="Notify", response=None), {"Note": "ann"})
    assert outcome.result is Result.SUCCESS
    assert b"<ns0:Note>ann</ns0:Note>" in server.received[0].body


@pytest.mark.parametrize(
    ("status", "body", "fault_"),
    [
        (500, fault("e:Client", "Invalid state"), Fault.DATA),
        (500, fault("e:Client.InvalidInput"), Fault.DATA),
        (500, fault("e:Server.Timeout"), Fault.TRANSIENT),
        (500, fault("w:FailedAuthentication"), Fault.CONFIGURATION),
        (500, fault("w:InvalidSecurityToken"), Fault.CONFIGURATION),
        (500, fault("Client.Authentication"), Fault.CONFIGURATION),
        (500, fault("e:MustUnderstand"), Fault.CONFIGURATION),
        (500, fault("e:VersionMismatch"), Fault.CONFIGURATION),
        (500, fault("OutOfCheese"), Fault.PERMANENT),
        (500, fault("ns1:SecurityError"), Fault.CONFIGURATION),
        (500, fault("a:InternalServiceFault"), Fault.TRANSIENT),
        (500, fault("a:DeserializationFailed"), Fault.DATA),
        (200, fault("e:Server"), Fault.TRANSIENT),
        (401, fault("e:Client"), Fault.CONFIGURATION),
        (400, fault_12("Sender"), Fault.DATA),
        (500, fault_12("Receiver"), Fault.TRANSIENT),
        (400, fault_12("Sender", "w:FailedCheck"), Fault.CONFIGURATION),
        (
            400,
            fault_12("Sender", "wsa:InvalidAddressingHeader", "wsa:OnlyAnonymousAddressSupported"),
            Fault.CONFIGURATION,
        ),
        (500, fault_12("Receiver", "wsa:EndpointUnavailable"), Fault.TRANSIENT),
        (400, fault_12("Sender", "wsa:ActionNotSupported"), Fault.CONFIGURATION),
        (500, fault_12("DataEncodingUnknown"), Fault.CONFIGURATION),
    ],
)
def test_fault_decides_whatever_the_status(server: FaultServer, status: int, body: bytes, fault_: Fault) -> None:
    server.behaviour = answer(status, body, **XML)
    outcome = deliver(connector(server.url))
    assert (outcome.result, outcome.fault, outcome.ambiguous) == (Result.ERROR, fault_, False)
    assert outcome.reason


def test_message_that_was_there_before_is_a_rejection(server: FaultServer) -> None:
    body = fault_12("Sender", "wsa:InvalidAddressingHeader", "wsa:DuplicateMessageID", text="seen it")
    server.behaviour = answer(400, body, **XML)
    outcome = deliver(connector(server.url))
    assert (outcome.result, outcome.fault) == (Result.FAILURE, None)


def test_reason_is_code_text_and_detail_without_what_looks_personal(server: FaultServer) -> None:
    detail = "<b:why xmlns:b='urn:b'><code>E7</code><for>ann.lee@example.com</for><stackTrace>at x</stackTrace></b:why>"
    server.behaviour = answer(500, fault("e:Client", "Bad lead", detail), **XML)
    assert deliver(connector(server.url)).reason == "Client: Bad lead: E7, [email]"


def test_busy_fault_waits_as_long_as_it_is_told(server: FaultServer) -> None:
    server.behaviour = answer(503, fault("e:Server", "busy"), retry_after="7", **XML)
    assert deliver(connector(server.url)).retry_after == 7


def test_rules_read_a_fault_where_they_name_it(server: FaultServer) -> None:
    rules = ResponseConfig.model_validate(
        {"search": {"path": "Fault.detail.reason", "term": "duplicate", "on_match": "failure"}}
    )
    server.behaviour = answer(500, fault("e:Client", "no", "<reason>Duplicate lead</reason>"), **XML)
    outcome = deliver(connector(server.url, response=rules))
    assert (outcome.result, outcome.reason) == (Result.FAILURE, "Client: no: Duplicate lead")
    server.behaviour = answer(500, fault("e:Client", "no", "<reason>Bad</reason>"), **XML)
    assert deliver(connector(server.url, response=rules)).fault is Fault.DATA


def test_word_of_success_in_a_fault_is_no_success(server: FaultServer) -> None:
    rules = ResponseConfig.model_validate({"search": {"term": "accepted"}})
    server.behaviour = answer(500, fault("e:Client", "not accepted"), **XML)
    assert deliver(connector(server.url, response=rules)).fault is Fault.DATA


def test_rules_may_be_xpath_on_the_body(server: FaultServer) -> None:
    rules = ResponseConfig.model_validate(
        {"format": "xml", "search": {"path": "//r:accepted", "term": "true"}, "reference": "//r:id"}
    )
    outcome = deliver(connector(server.url, response=rules))
    assert (outcome.result, outcome.reference) == (Result.SUCCESS, "L-1")


@pytest.mark.parametrize(
    ("behaviour", "fault_", "ambiguous"),
    [
        (answer(200, b"<h1>Welcome</h1>", content_type="text/html"), Fault.TRANSIENT, True),
        (answer(200, ACCEPTED[:-20], **XML), Fault.TRANSIENT, True),
        (answer(200, b"", **XML), Fault.TRANSIENT, True),
        (answer(200, b"<a/>", **XML), Fault.TRANSIENT, True),
        (
            answer(200, b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]>' + ACCEPTED.partition(b"?>")[2], **XML),
            Fault.TRANSIENT,
            True,
        ),
        (answer(200, ACCEPTED.replace(b"L-1", b"\xff\xfe"), **XML), Fault.TRANSIENT, True),
        (answer(404, b"<h1>gone</h1>", content_type="text/html"), Fault.CONFIGURATION, False),
        (answer(413, b""), Fault.DATA, False),
        (answer(400, b"no"), Fault.PERMANENT, False),
        (answer(500, b"<h1>oops</h1>"), Fault.TRANSIENT, False),
        (answer(502, b"<h1>bad gateway</h1>"), Fault.TRANSIENT, False),
        (answer(403, b""), Fault.CONFIGURATION, False),
        (answer(302, location="https://login.example.com/"), Fault.CONFIGURATION, False),
    ],
    ids=["html", "cut", "empty", "other", "doctype", "bytes", "404", "413", "400", "500", "502", "403", "302"],
)
def test_answer_without_an_envelope_is_an_error(
    server: FaultServer, behaviour: fault_server.Behaviour, fault_: Fault, *, ambiguous: bool
) -> None:
    server.behaviour = behaviour
    outcome = deliver(connector(server.url, response=None))
    assert (outcome.fault, outcome.ambiguous) == (fault_, ambiguous)


def test_charset_that_the_header_is_wrong_about_does_not_matter(server: FaultServer) -> None:
    body = ACCEPTED.replace(b"L-1", "Zoë".encode())
    server.behaviour = answer(200, body, content_type="text/xml; charset=us-ascii")
    assert deliver(connector(server.url)).reference == "Zoë"
    server.behaviour = answer(200, body.decode().replace("utf-8", "utf-16").encode("utf-16"), content_type="text/xml")
    assert deliver(connector(server.url)).reference == "Zoë"


def test_answer_with_attachments_is_read_by_its_root_part(server: FaultServer) -> None:
    body = (
        b"--x\r\nContent-Type: application/octet-stream\r\n\r\nPDF\r\n--x\r\nContent-ID: <r>\r\n\r\n"
        + ACCEPTED
        + b"\r\n--x--"
    )
    server.behaviour = answer(200, body, content_type='multipart/related; boundary=x; start="<r>"')
    assert deliver(connector(server.url)).reference == "L-1"


@pytest.mark.parametrize(
    "body",
    [
        b"--x\r\nContent-Type: text/xml " + b"(" * 100_000 + b"\r\n\r\n<a/>\r\n--x--",
        b"--x\r\nContent-Type: text/xml" + b"; a=b" * 100_000 + b"\r\n\r\n<a/>\r\n--x--",
        b"".join(b"--x\r\nContent-Type: multipart/related; boundary=x%d\r\n\r\n" % depth for depth in range(5000)),
        b"--x\r\n" * 200_000,
        b"--x\r\nContent-Transfer-Encoding: base64\r\n\r\n!\r\n--x--",
        b"",
    ],
)
def test_attachments_that_are_none_cost_no_time_and_leave_it_open(server: FaultServer, body: bytes) -> None:
    sender = connector(server.url)
    begun = process_time()
    outcome = sender.interpret(200, {"content-type": "multipart/related; boundary=x" + "; a=b" * 100_000}, body)
    assert process_time() - begun < 1
    assert (outcome.result, outcome.fault, outcome.ambiguous) == (Result.ERROR, Fault.TRANSIENT, True)


def test_answer_that_no_schema_knows_is_read_all_the_same(server: FaultServer) -> None:
    more = ACCEPTED.replace(b"<r:id>", b"<new><deep a='1'>x</deep></new><r:id>", 1)
    server.behaviour = answer(200, more, **XML)
    outcome = deliver(connector(server.url))
    assert outcome.captured
    assert outcome.captured["document"]["SubmitLeadResponse"]["new"] == {"deep": {"@a": "1", "#text": "x"}}


def test_shared_values_that_hold_each_other_end() -> None:
    content = "<R><a href='#1'/></R>" + "".join(
        f"<m id='{place}'>" + f"<x href='#{place + 1}'/>" * 10 + "</m>" for place in range(1, 40)
    )
    begun = monotonic()
    outcome = connector(response=None).interpret(200, {"content-type": "text/xml"}, answered(content))
    assert outcome.result is Result.SUCCESS
    assert monotonic() - begun < 3


def flood(connection: Any, _request: Received) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: 200000000\r\n\r\n<a>")
    for _ in range(200):
        connection.sendall(b"x" * 1_000_000)
    return False


def test_answer_of_200_megabytes_is_cut_off(server: FaultServer) -> None:
    server.behaviour = flood
    outcome = deliver(connector(server.url, response=None))
    assert (outcome.fault, outcome.ambiguous, outcome.reason) == (Fault.TRANSIENT, True, "the answer is too long")


def test_addressing_headers_carry_the_key(server: FaultServer) -> None:
    deliver(connector(server.url, addressing=True))
    body = server.received[0].body.decode()
    for name, value in {
        "Action": "urn:buyer:leads:2:SubmitLead",
        "To": server.url,
        "MessageID": f"urn:uuid:{KEY}",
    }.items():
        assert f'<wsa:{name} xmlns:wsa="http://www.w3.org/2005/08/addressing">{value.rstrip("/")}' in body
    assert "http://www.w3.org/2005/08/addressing/anonymous" in body


def test_soap_headers_are_filled_in_and_typed_by_the_wsdl(server: FaultServer) -> None:
    headers = {
        "Session.user": "{{ lead.campaign }}",
        "Session.password": PASSWORD,
        "{urn:other:1.0}Trace.Id": "7",
        "{urn:other:1.0}Empty": "{{ lead.nothing }}",
    }
    rendered = {"{{ lead.campaign }}": "a<b", "{{ lead.nothing }}": ""}
    outcome = deliver(connector(server.url, soap_headers=headers), rendered=rendered)
    body = server.received[0].body.decode()
    assert "<ns0:user>a&lt;b</ns0:user><ns0:password>pw-51c7e0</ns0:password></ns0:Session>" in body
    assert '="urn:other:1.0">' in body
    assert ":Id>7</" in body
    assert "Empty" not in body
    assert PASSWORD not in str(outcome.transcript)


def test_secrets_stand_in_no_transcript_and_no_preview(server: FaultServer) -> None:
    security = {"username": {"username": "leads", "password": PASSWORD, "form": "text"}, "timestamp_seconds": 60}
    sender = connector(server.url, security=security)
    item = Item(payload=LEAD, key=KEY, attempt=1, deadline=monotonic() + 5)
    shown = sender.request(item, reveal=False)
    assert ">***</wsse:Security>" in shown["body"]
    assert PASSWORD in sender.request(item, reveal=True)["body"]
    outcome = deliver(sender)
    assert PASSWORD in server.received[0].body.decode()
    assert ">***</wsse:Security>" in str(outcome.transcript)
    assert "Username" not in str(outcome.transcript)


def test_argument_that_does_not_fit_is_told_without_its_value_before_anything_is_sent(server: FaultServer) -> None:
    with pytest.raises(DataFault, match=r"argument lead\.born: not a value of date, which is written 2026-01-31$"):
        connector(server.url).deliver(
            Item(payload={"lead": {"email": "a", "born": "31/12/1990"}}, key=KEY, attempt=1, deadline=monotonic() + 5)
        )
    assert not server.received


def test_rules_of_a_format_that_soap_does_not_have_are_refused() -> None:
    with pytest.raises(InvalidTemplate, match="format"):
        SoapConnector.check_response(ResponseConfig.model_validate({"format": "html"}))


# WSDLs at addresses


def test_wsdl_is_fetched_with_its_imports_once_for_a_connector(server: FaultServer) -> None:
    documents = {
        "/leads?wsdl": soap_wsdl.importing("xsd/types.xsd", url=f"{server.url}/leads").encode(),
        "/xsd/types.xsd": soap_wsdl.schema().encode(),
    }
    server.behaviour = library(documents, then=answer(200, ACCEPTED, **XML))
    sender = connector(
        wsdl=f"{server.url}/leads?wsdl",
        limits=LIMITS.model_copy(update={"timeout_seconds": 5.0}),
        auth={"basic": {"username": "partner", "password": PASSWORD}},
    )
    items = [Item(payload=LEAD, key=KEY, attempt=1, deadline=monotonic() + 5) for _ in range(6)]
    senders = [threading.Thread(target=sender.deliver, args=(item,)) for item in items]
    for one in senders:
        one.start()
    for one in senders:
        one.join()
    sender.close()
    asked = [f"{request.method} {request.target}" for request in server.received]
    assert sorted(asked) == ["GET /leads?wsdl", "GET /xsd/types.xsd", *["POST /leads"] * 6]
    assert all("authorization" in request.headers for request in server.received)


def test_credentials_go_to_the_wsdl_s_own_host_only(server: FaultServer) -> None:
    with fault_server.running(answer(200, soap_wsdl.schema().encode(), **XML)) as other:
        document = soap_wsdl.importing(f"{other.url}/types.xsd", url=server.url).encode()
        server.behaviour = library({"/a.wsdl": document}, then=answer(200, ACCEPTED, **XML))
        outcome = deliver(
            connector(wsdl=f"{server.url}/a.wsdl", auth={"basic": {"username": "p", "password": PASSWORD}})
        )
        assert outcome.result is Result.SUCCESS
        assert [request.target for request in other.received] == ["/types.xsd"]
        assert "authorization" not in other.received[0].headers


def test_wsdl_does_not_send_leads_to_another_host(server: FaultServer) -> None:
    server.behaviour = answer(200, soap_wsdl.wsdl("https://elsewhere.example.com/leads").encode(), **XML)
    outcome = deliver(connector(wsdl=f"{server.url}/a.wsdl"))
    assert outcome.fault is Fault.CONFIGURATION
    assert outcome.reason
    assert "elsewhere.example.com:443: set url if that is meant" in outcome.reason
    assert [request.method for request in server.received] == ["GET"]


@pytest.mark.parametrize(
    ("address", "keeps"),
    [
        ("https://buyer.example.com/leads", True),
        ("https://buyer.example.com:443/leads", True),
        ("http://buyer.example.com/leads", False),
        ("https://buyer.example.com:8443/leads", False),
        ("https://leads.buyer.example.com/leads", False),
    ],
)
def test_address_of_a_wsdl_is_at_its_host_and_no_less_safe(address: str, *, keeps: bool) -> None:
    assert keeps_to("https://buyer.example.com/a?wsdl", address) is keeps
    assert keeps_to("http://buyer.example.com/a?wsdl", "https://buyer.example.com/leads")


@pytest.mark.parametrize(
    ("behaviour", "fault_", "told"),
    [
        (answer(404, b"gone"), Fault.CONFIGURATION, "HTTP 404"),
        (answer(401, b""), Fault.CONFIGURATION, "credentials"),
        (answer(302, b"", location="http://127.0.0.1:1/"), Fault.CONFIGURATION, "redirected to 127.0.0.1"),
        (answer(503, b""), Fault.TRANSIENT, "HTTP 503"),
        (answer(200, b"<html><body>Sign in</body></html>"), Fault.CONFIGURATION, "its root is html"),
        (answer(200, b"Sign in"), Fault.CONFIGURATION, "not XML"),
        (answer(200, b"<a:description xmlns:a='http://www.w3.org/ns/wsdl'/>"), Fault.CONFIGURATION, "WSDL 2.0"),
        (answer(200, b"<definitions xmlns='http://schemas.xmlsoap.org/wsdl/'/>"), Fault.CONFIGURATION, "no operation"),
        (fault_server.hang, Fault.TRANSIENT, "time limit"),
        (fault_server.reset, Fault.TRANSIENT, "reset"),
    ],
    ids=["404", "401", "302", "503", "html", "text", "2.0", "empty", "hang", "reset"],
)
def test_wsdl_that_cannot_be_had_is_told_and_no_lead_is_sent(
    server: FaultServer, behaviour: fault_server.Behaviour, fault_: Fault, told: str
) -> None:
    server.behaviour = behaviour
    outcome = deliver(connector(wsdl=f"{server.url}/a.wsdl"))
    assert (outcome.fault, outcome.ambiguous) == (fault_, False)
    assert outcome.reason
    assert told in outcome.reason
    assert {request.method for request in server.received} == {"GET"}


BOMB = (
    "<!DOCTYPE d [<!ENTITY a 'x'>"
    + "".join(f"<!ENTITY {one} '{f'&{before};' * 10}'>" for before, one in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)
XXE = '<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("doctype", [BOMB, XXE, '<!DOCTYPE d SYSTEM "http://127.0.0.1:1/d.dtd">'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_doctype_is_refused_in_wsdls_and_imports(server: FaultServer, doctype: str, encoding: str) -> None:
    hostile = f'<?xml version="1.0" encoding="{encoding}"?>{doctype}{soap_wsdl.wsdl().partition("?>")[2]}'
    server.behaviour = answer(200, hostile.encode(encoding), **XML)
    begun = monotonic()
    outcome = deliver(connector(wsdl=f"{server.url}/a.wsdl"))
    assert outcome.fault is Fault.CONFIGURATION
    assert outcome.reason
    assert "DOCTYPE" in outcome.reason or "not XML" in outcome.reason
    types = f'<?xml version="1.0" encoding="{encoding}"?>{doctype}{soap_wsdl.schema()}'.encode(encoding)
    server.behaviour = library({"/t.xsd": types, "/a.wsdl": soap_wsdl.importing("t.xsd").encode()}, then=answer())
    outcome = deliver(connector(wsdl=f"{server.url}/a.wsdl"))
    assert outcome.fault is Fault.CONFIGURATION
    assert outcome.reason
    assert "t.xsd" in outcome.reason
    assert monotonic() - begun < 3


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/t.xsd",
        "http://[::ffff:169.254.169.254]/t.xsd",
        "http://0xa9fea9fe/t.xsd",
    ],
)
def test_import_from_where_only_this_host_may_go_is_refused(server: FaultServer, address: str) -> None:
    server.behaviour = answer(200, soap_wsdl.importing(address).encode(), **XML)
    outcome = deliver(connector(wsdl=f"{server.url}/a.wsdl"))
    assert outcome.fault is Fault.CONFIGURATION
    assert outcome.reason
    assert "the WSDL cannot be fetched" in outcome.reason
    outcome = deliver(connector(wsdl=soap_wsdl.importing(address)))
    assert outcome.fault is Fault.CONFIGURATION
    outcome = deliver(connector(wsdl=address))
    assert outcome.fault is Fault.CONFIGURATION


def test_import_of_a_file_through_an_address_is_refused(server: FaultServer) -> None:
    server.behaviour = answer(200, soap_wsdl.importing("file:///etc/passwd").encode(), **XML)
    outcome = deliver(connector(wsdl=f"{server.url}/a.wsdl"))
    assert outcome.fault is Fault.CONFIGURATION
    assert outcome.reason
    assert "no address" in outcome.reason


@pytest.mark.parametrize("inner", ["d30", "d0"], ids=["deep", "circular"])
def test_groups_that_double_with_every_level_are_refused(server: FaultServer, inner: str) -> None:
    groups = "".join(
        f'<xs:group name="d{place}"><xs:sequence><xs:group ref="b:d{place + 1}"/><xs:group ref="b:d{place + 1}"/>'
        "</xs:sequence></xs:group>"
        for place in range(30)
    )
    last = '<xs:element name="x" type="xs:string"/>' if inner == "d30" else '<xs:group ref="b:d0"/>'
    groups += f'<xs:group name="d30"><xs:sequence>{last}</xs:sequence></xs:group>'
    hostile = soap_wsdl.wsdl(server.url).replace(
        '<xs:complexType name="Phone">\n      <xs:sequence>',
        f'{groups}<xs:complexType name="Phone">\n      <xs:sequence><xs:group ref="b:d0"/>',
    )
    assert "b:d0" in hostile
    server.behaviour = answer(200, hostile.encode(), **XML)
    begun = monotonic()
    outcome = deliver(connector(wsdl=f"{server.url}/a.wsdl"))
    assert outcome.fault is Fault.CONFIGURATION
    assert outcome.reason
    assert "groups come to more than 200,000 elements" in outcome.reason
    assert monotonic() - begun < 2


_UNIONS = "".join(
    f'<xs:simpleType name="u{place}"><xs:union memberTypes="{" ".join([f"b:u{place + 1}"] * 3)}"/></xs:simpleType>'
    for place in range(21)
)
_PARTS = "".join(f'<xs:element name="x{place}" type="xs:string"/>' for place in range(60))
_CHAIN = "".join(
    f'<xs:complexType name="e{place}"><xs:complexContent><xs:extension base="b:e{place + 1}"><xs:sequence>{_PARTS}'
    "</xs:sequence></xs:extension></xs:complexContent></xs:complexType>"
    for place in range(150)
)


@pytest.mark.parametrize(
    ("types", "last"),
    [
        (_UNIONS, '<xs:simpleType name="u21"><xs:restriction base="xs:int"/></xs:simpleType>'),
        (_UNIONS, '<xs:simpleType name="u21"><xs:union memberTypes="b:u0"/></xs:simpleType>'),
        (_CHAIN, f'<xs:complexType name="e150"><xs:sequence>{_PARTS}</xs:sequence></xs:complexType>'),
    ],
    ids=["unions", "circular unions", "extensions"],
)
@pytest.mark.timeout(60)
def test_types_that_hold_more_with_every_level_are_refused(server: FaultServer, types: str, last: str) -> None:
    first = 'type="b:u0"' if types is _UNIONS else 'type="b:e0"'
    hostile = soap_wsdl.wsdl(server.url).replace(
        '<xs:complexType name="Phone">\n      <xs:sequence>',
        f'{types}{last}<xs:complexType name="Phone">\n      <xs:sequence><xs:element name="n" {first}/>',
    )
    assert "b:e0" in hostile or "b:u0" in hostile
    server.behaviour = answer(200, hostile.encode(), **XML)
    begun = process_time()
    outcome = deliver(connector(wsdl=f"{server.url}/a.wsdl"))
    assert outcome.fault is Fault.CONFIGURATION
    assert outcome.reason
    assert "types and groups come to more than 200,000 elements" in outcome.reason
    assert process_time() - begun < 3


def test_documents_that_import_each_other_are_read_once(server: FaultServer) -> None:
    looped = soap_wsdl.schema().replace(
        '<xs:simpleType name="State">', '<xs:include schemaLocation="t.xsd"/><xs:simpleType name="State">', 1
    )
    documents = {"/a.wsdl": soap_wsdl.importing("t.xsd", url=server.url).encode(), "/t.xsd": looped.encode()}
    server.behaviour = library(documents, then=answer(200, ACCEPTED, **XML))
    assert deliver(connector(wsdl=f"{server.url}/a.wsdl")).result is Result.SUCCESS
    assert [request.target for request in server.received][:2] == ["/a.wsdl", "/t.xsd"]


def test_imports_without_end_end(server: FaultServer) -> None:
    def deeper(connection: Any, request: Received) -> bool:
        number = int(request.target.strip("/t") or 0) + 1
        document = (
            f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:include schemaLocation="/t{number}"/></xs:schema>'
            if number > 1
            else soap_wsdl.importing("/t1")
        )
        return answer(200, document.encode(), **XML)(connection, request)

    server.behaviour = deeper
    outcome = deliver(connector(wsdl=f"{server.url}/", limits=LIMITS.model_copy(update={"timeout_seconds": 5.0})))
    assert outcome.fault is Fault.CONFIGURATION
    assert outcome.reason
    assert "more than 200 documents" in outcome.reason


def test_wsdl_of_200_megabytes_is_cut_off(server: FaultServer) -> None:
    server.behaviour = flood
    outcome = deliver(connector(wsdl=f"{server.url}/", limits=LIMITS.model_copy(update={"timeout_seconds": 5.0})))
    assert outcome.fault is Fault.CONFIGURATION
    assert outcome.reason
    assert "longer than" in outcome.reason


def test_check_reads_the_wsdl_and_reaches_the_endpoint(server: FaultServer) -> None:
    document = soap_wsdl.wsdl(f"{server.url}/leads").encode()
    server.behaviour = library({"/leads?wsdl": document}, then=answer(405, b"POST only"))
    sender = connector(wsdl=f"{server.url}/leads?wsdl")
    sender.check()
    assert [(one.method, one.target) for one in server.received] == [("GET", "/leads?wsdl"), ("GET", "/leads")]
    assert sender.complaints({"lead.email": "x", "lead.agee": "1"}) == [
        ("mapping.lead.agee", 'lead has no part agee: did you mean "age"?')
    ]
    sender.close()
    with pytest.raises(ConfigurationFault, match=r"has no operation SubmitLeads.*did you mean"):
        connector(wsdl=f"{server.url}/leads?wsdl", operation="SubmitLeads").check()
    server.behaviour = library({"/leads?wsdl": document}, then=answer(503, b""))
    with pytest.raises(TransientFault):
        connector(wsdl=f"{server.url}/leads?wsdl").check()


def test_describe_tells_the_arguments_by_the_wsdl_at_an_address(server: FaultServer) -> None:
    server.behaviour = answer(200, soap_wsdl.wsdl(server.url).encode(), **XML)
    found = {one.name: one for one in connector(wsdl=f"{server.url}/a.wsdl").describe()}
    assert (found["lead.email"].type, found["lead.email"].required) == ("string", True)
    assert (found["lead.phones.0.@kind"].required, found["lead.state"].label) == (False, "one of TX, CA")
    assert found["lead.home"].label == "one of home, office"
    assert found["lead.friend"].type == "Person"


PAGE = Path(__file__).parents[2] / "docs/connectors/soap.md"


def test_example_of_the_page_is_delivered(server: FaultServer) -> None:
    example = yaml.safe_load(PAGE.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0])
    example["settings"]["url"] = server.url
    example["network"] = {"allow": ["127.0.0.1"]}
    step = compile_document(Document.model_validate({"destinations": [example]}), 1).steps["buyer"]
    sender = create_connector(step, {"BUYER_PASSWORD": PASSWORD})
    assert isinstance(sender, SoapConnector)
    payload = step.mapping.render({"lead": {"email": "ann.lee@example.com", "phone_1": "+15125550123", "budget": 12.5}})
    server.behaviour = answer(200, ACCEPTED.replace(b"urn:buyer:leads:2", b"urn:buyer"), **XML)
    outcome = deliver(sender, payload)
    assert (outcome.result, outcome.reference, outcome.price) == (Result.SUCCESS, "L-1", Decimal("12.50"))
    body = server.received[0].body.decode()
    for part in (
        "<ns0:email>ann.lee@example.com</ns0:email>",
        '<ns0:phones kind="home"><ns0:number>+15125550123</ns0:number></ns0:phones>',
        '<ns0:price currency="EUR">12.5</ns0:price>',
        "<ns0:campaign>spring</ns0:campaign>",
        "<wsse:Username>leads</wsse:Username>",
    ):
        assert part in body


def test_page_names_every_code_of_a_fault() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("### Faults")[2].partition("## Security")[0]
    rows = {row.split("|")[1].strip(): row for row in table.splitlines() if row.startswith("| ")}
    for meaning, codes in MEANINGS.items():
        row = rows["rejection" if meaning is None else meaning.value]
        assert not [code for code in codes if f"`{code}`" not in row]
