"""OAuth 2.0 credentials: every grant against an endpoint that verifies them, sharing, renewal, refusals, attacks."""

import re
import threading
from collections.abc import Iterator
from email.utils import formatdate
from time import monotonic, sleep, time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import ValidationError

from app.config.network import NetworkConfig
from app.config.schema import LimitsConfig
from app.connectors import _oauth, _token
from app.connectors._http.connector import HttpConnector
from app.connectors._http.settings import HttpSettings
from app.connectors._token_store import ProcessTokens
from app.connectors.base import TokenStore
from app.errors import ConfigurationFault, DeliveryFault, TransientFault, Unavailable
from app.model import Fault, Item, KeptToken, Result, TokenSlot
from tests.connectors import fault_server
from tests.connectors.fault_server import LOCAL, answer, raw
from tests.connectors.token_endpoint import SECRET, Buyer, buying, pem, refuse

KEY = "0199c8e2-0000-7000-8000-000000000001"
LIMITS = LimitsConfig(concurrency=4, timeout_seconds=3.0)
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def buyer() -> Iterator[Buyer]:
    with buying() as found:
        yield found


@pytest.fixture
def senders() -> Iterator[list[HttpConnector]]:
    made: list[HttpConnector] = []
    yield made
    for sender in made:
        sender.close()


@pytest.fixture
def connect(buyer: Buyer, senders: list[HttpConnector]) -> Any:
    def make(
        *,
        limits: LimitsConfig = LIMITS,
        network: NetworkConfig | None = LOCAL,
        tokens: TokenStore | None = None,
        more: dict[str, Any] | None = None,
        **auth: Any,
    ) -> HttpConnector:
        settings = HttpSettings.model_validate(
            {"url": f"{buyer.server.url}/leads", "auth": buyer.auth(**auth), **(more or {})}
        )
        sender = HttpConnector("buyer", settings, limits=limits, network=network, tokens=tokens)
        senders.append(sender)
        return sender

    return make


def item(seconds: float = 5.0) -> Item:
    return Item(payload={"email": "ann.lee@example.com"}, key=KEY, attempt=1, deadline=monotonic() + seconds)


def fault_of(sender: HttpConnector) -> DeliveryFault:
    with pytest.raises(DeliveryFault) as caught:
        sender.deliver(item())
    assert caught.value.unsent
    assert not caught.value.ambiguous
    assert SECRET not in f"{caught.value} {caught.value.transcript} {caught.value.__context__}"
    return caught.value


def assertion(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, algorithm: str, **more: Any) -> dict[str, Any]:
    signed = {"private_key": pem(key), "algorithm": algorithm, "issuer": "relay", "subject": "ann", **more}
    return {"grant": "jwt_bearer", "client_id": None, "client_secret": None, "assertion": signed}


@pytest.mark.parametrize("client_auth", ["basic", "body"])
def test_client_credentials_get_a_token_that_serves_many_leads(buyer: Buyer, connect: Any, client_auth: str) -> None:
    buyer.client_auth = client_auth
    sender = connect(client_auth=client_auth, scope="leads.write", parameters={"audience": "https://api"})
    outcomes = [sender.deliver(item()) for _ in range(3)]
    assert {outcome.result for outcome in outcomes} == {Result.SUCCESS}
    assert buyer.leads == ["token-1"] * 3
    assert [form | {"client_secret": "", "client_id": ""} for form in buyer.forms] == [
        {
            "grant_type": "client_credentials",
            "scope": "leads.write",
            "audience": "https://api",
            "client_id": "",
            "client_secret": "",
        }
    ]


def test_transcript_shows_that_there_were_credentials_and_not_which(connect: Any) -> None:
    transcript = connect().deliver(item()).transcript
    assert transcript["request"]["headers"]["Authorization"] == "***"
    assert "token-1" not in str(transcript)


def test_a_rotated_refresh_token_is_kept_for_the_next_renewal(buyer: Buyer, connect: Any) -> None:
    sender = connect(grant="refresh_token", refresh_token="refresh-0")
    for _ in range(3):
        sender.deliver(item())
        buyer.revoke()
        _age(sender)
    assert [form["refresh_token"] for form in buyer.forms] == ["refresh-0", "refresh-1", "refresh-2"]


def test_a_refresh_token_that_stays_is_used_again(buyer: Buyer, connect: Any) -> None:
    buyer.rotates = False
    sender = connect(grant="refresh_token", refresh_token="refresh-0")
    for _ in range(2):
        sender.deliver(item())
        buyer.revoke()
        _age(sender)
    assert [form["refresh_token"] for form in buyer.forms] == ["refresh-0"] * 2


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256")])
def test_a_signed_assertion_gets_a_token(buyer: Buyer, connect: Any, key: Any, algorithm: str) -> None:
    buyer.key = key.public_key()
    assert connect(**assertion(key, algorithm)).deliver(item()).result is Result.SUCCESS


def test_an_assertion_by_another_key_is_refused(buyer: Buyer, connect: Any) -> None:
    buyer.key = RSA.public_key()
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    fault = fault_of(connect(**assertion(other, "RS256")))
    assert (fault.fault, fault.reason) == (
        Fault.CONFIGURATION,
        "access token refused: HTTP 400 invalid_grant the signature is wrong",
    )


@pytest.mark.parametrize("minutes", [10, -70])
def test_a_clock_that_is_wrong_is_told(
    buyer: Buyer, connect: Any, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    buyer.key = RSA.public_key()
    buyer.date = formatdate(usegmt=True)
    ours = time() + minutes * 60
    monkeypatch.setattr(_oauth, "time", lambda: ours)
    reason = fault_of(connect(**assertion(RSA, "RS256"))).reason
    told = re.search(r"too late or too early \(its clock and ours are (\d+) s apart\)", reason)
    assert told
    assert abs(int(told[1]) - abs(minutes) * 60) < 5


def test_a_token_that_ends_amid_a_group_is_renewed_before_it_does(buyer: Buyer, connect: Any) -> None:
    buyer.lifetime, buyer.grace = 0.3, 60
    sender = connect()
    taking = buyer.server.behaviour

    def behave(connection: Any, request: Any) -> bool:
        sleep(0.02)
        return taking(connection, request)

    buyer.server.behaviour = behave
    sent = sender.deliver_many([item(60) for _ in range(100)], until=monotonic() + 60)
    assert {one.answer.result for one in sent} == {Result.SUCCESS}
    assert len(buyer.given) >= 2
    assert set(buyer.leads) == set(buyer.given)
    assert buyer.refused == 0


def test_a_token_revoked_amid_a_group_is_renewed_once_and_every_lead_arrives(buyer: Buyer, connect: Any) -> None:
    sender = connect()
    sender.deliver(item())
    _age(sender)
    taking = buyer.server.behaviour

    def behave(connection: Any, request: Any) -> bool:
        if len(buyer.leads) == 30 and len(buyer.given) == 1:
            buyer.revoke()
        return taking(connection, request)

    buyer.server.behaviour = behave
    sent = sender.deliver_many([item(60) for _ in range(100)], until=monotonic() + 60)
    assert {one.answer.result for one in sent} == {Result.SUCCESS}
    assert buyer.given == ["token-1", "token-2"]


@pytest.mark.parametrize("lifetime", [None, "3600", 0, -5, "soon", 1e300])
def test_a_lifetime_that_is_missing_or_odd_is_no_trouble(buyer: Buyer, connect: Any, lifetime: Any) -> None:
    buyer.on_token = answer(200, f'{{"access_token":"t","expires_in":{_json(lifetime)}}}'.encode())
    buyer._ends["t"] = monotonic() + 60
    sender = connect()
    assert [sender.deliver(item()).result for _ in range(2)] == [Result.SUCCESS] * 2
    assert [request.target for request in buyer.server.received].count("/token") == 1


def test_a_revoked_token_costs_one_renewal_and_no_lead(buyer: Buyer, connect: Any) -> None:
    sender = connect()
    sender.deliver(item())
    buyer.revoke()
    _age(sender)
    assert sender.deliver(item()).result is Result.SUCCESS
    assert buyer.given == ["token-1", "token-2"]


def test_a_good_token_that_is_refused_is_renewed_once_and_then_a_configuration_fault(
    buyer: Buyer, connect: Any
) -> None:
    sender = connect()
    sender.deliver(item())
    buyer.takes = False
    _age(sender)
    outcomes = [sender.deliver(item()) for _ in range(4)]
    assert {(outcome.result, outcome.fault) for outcome in outcomes} == {(Result.ERROR, Fault.CONFIGURATION)}
    assert len(buyer.given) == 2, "no renewal of a token that was only just obtained"
    assert buyer.refused == 5, "one lead was tried twice, the others once"


def test_threads_share_one_renewal(buyer: Buyer, connect: Any) -> None:
    sender = connect(limits=LimitsConfig(concurrency=16, timeout_seconds=5))
    threads = [threading.Thread(target=lambda: sender.deliver(item())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(buyer.given), len(buyer.leads)) == (1, 16)


@pytest.mark.parametrize(
    ("behaviour", "fault", "reason"),
    [
        (refuse("invalid_client", status=401), Fault.CONFIGURATION, "access token refused: HTTP 401 invalid_client"),
        (refuse("invalid_grant", "it ended"), Fault.CONFIGURATION, "HTTP 400 invalid_grant it ended"),
        (refuse("invalid_client", f"bad: {SECRET}"), Fault.CONFIGURATION, "HTTP 400 invalid_client"),
        (refuse("access_denied", status=200), Fault.CONFIGURATION, "HTTP 200 access_denied"),
        (refuse("temporarily_unavailable"), Fault.TRANSIENT, "HTTP 400 temporarily_unavailable"),
        (answer(404, b"<h1>no</h1>"), Fault.CONFIGURATION, "HTTP 404"),
        (answer(302, b"", location="https://elsewhere.example"), Fault.CONFIGURATION, "HTTP 302"),
        (answer(503, b"<h1>down</h1>"), Fault.TRANSIENT, "HTTP 503"),
        (answer(429, b"{}", retry_after="7"), Fault.TRANSIENT, "HTTP 429"),
        (answer(200, b"<h1>hello</h1>"), Fault.TRANSIENT, "no usable token"),
        (answer(200, b'{"access_token": 5}'), Fault.TRANSIENT, "no usable token"),
        (answer(200, b'{"access_token": "a\\r\\nHost: b"}'), Fault.TRANSIENT, "no usable token"),
        (answer(200, b'{"access_token": "a", "token_type": "mac"}'), Fault.CONFIGURATION, "no bearer token"),
        (answer(200, b"[" * 60_000), Fault.TRANSIENT, "no usable token"),
        (fault_server.reset, Fault.TRANSIENT, "reset"),
        (raw(b"nonsense\r\n\r\n", keep=False), Fault.TRANSIENT, "not valid HTTP"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_endpoint_answers_is_told_and_no_lead_was_sent(
    buyer: Buyer, connect: Any, behaviour: Any, fault: Fault, reason: str
) -> None:
    buyer.on_token = behaviour
    found = fault_of(connect())
    assert found.fault is fault
    assert reason in found.reason
    assert found.transcript["token_request"]["url"] == buyer.token_url
    assert "/leads" not in [request.target for request in buyer.server.received]


def test_retry_after_of_the_endpoint_is_obeyed(buyer: Buyer, connect: Any) -> None:
    buyer.on_token = answer(429, b"{}", retry_after="7")
    assert fault_of(connect()).retry_after == 7.0


@pytest.mark.parametrize("behaviour", [fault_server.hang, fault_server.trickle, fault_server.trickle_headers])
def test_an_endpoint_that_takes_its_time_is_given_up_in_time(buyer: Buyer, connect: Any, behaviour: Any) -> None:
    buyer.on_token = behaviour
    begun = monotonic()
    fault = fault_of(connect(limits=LimitsConfig(concurrency=4, timeout_seconds=0.5)))
    assert fault.fault is Fault.TRANSIENT
    assert monotonic() - begun < 1.5


def test_of_an_answer_without_end_little_is_read(buyer: Buyer, connect: Any) -> None:
    sent = 0

    def flood(connection: Any, _request: Any) -> bool:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 200000000\r\n\r\n")
        try:
            for _ in range(3200):
                connection.sendall(b"x" * 65_536)
                sent += 65_536
        except OSError:
            pass
        return False

    buyer.on_token = flood
    assert fault_of(connect()).fault is Fault.TRANSIENT
    buyer.server.until_open(lambda count: count == 0)
    assert sent < 20_000_000


def test_an_endpoint_at_a_private_address_is_refused(connect: Any) -> None:
    fault = fault_of(connect(network=None))
    assert fault.fault is Fault.CONFIGURATION
    assert "network.allow" in fault.reason


def test_threads_that_waited_for_a_renewal_that_failed_do_not_try_again_one_by_one(buyer: Buyer, connect: Any) -> None:
    def slow(connection: Any, request: Any) -> bool:
        sleep(0.3)
        return answer(503, b"")(connection, request)

    buyer.on_token = slow
    sender = connect(limits=LimitsConfig(concurrency=8, timeout_seconds=3))
    sent = sender.deliver_many([item() for _ in range(8)], until=monotonic() + 5)
    assert {one.answer.fault for one in sent} == {Fault.TRANSIENT}
    assert len(buyer.server.received) <= 2


def test_an_endpoint_in_trouble_takes_no_destination_out_of_turn(buyer: Buyer, connect: Any) -> None:
    buyer.on_token = answer(503, b"")
    more = {"url": None, "endpoints": [{"url": f"{buyer.server.url}/a"}, {"url": f"{buyer.server.url}/b"}]}
    sender = connect(more=more)
    for _ in range(6):
        fault_of(sender)
    buyer.on_token = None
    for _ in range(4):
        sender.deliver(item())
    assert {"/a", "/b"} <= {request.target for request in buyer.server.received}


def test_check_signs_on(buyer: Buyer, connect: Any) -> None:
    connect().check()
    assert buyer.given == ["token-1"]
    buyer.on_token = refuse("invalid_client", status=401)
    with pytest.raises(ConfigurationFault, match="invalid_client"):
        connect().check()


def test_an_endpoint_that_fails_after_a_lead_was_refused_is_told_with_both(buyer: Buyer, connect: Any) -> None:
    sender = connect()
    sender.deliver(item())
    buyer.revoke()
    _age(sender)
    buyer.on_token = answer(503, b"")
    with pytest.raises(TransientFault, match="HTTP 503") as caught:
        sender.deliver(item())
    assert not caught.value.ambiguous
    assert not caught.value.unsent
    assert caught.value.transcript is not None
    assert caught.value.transcript.keys() == {"request", "token_request", "token_response"}


class Away:
    """A ledger out of reach, from the start or from a certain verb on."""

    def __init__(self, verb: str) -> None:
        self._inner = ProcessTokens()
        self._verb = verb

    def read(self, slot: TokenSlot) -> KeptToken | None:
        self._away("read")
        return self._inner.read(slot)

    def take_turn(self, slot: TokenSlot, *, seconds: float) -> int | None:
        return self._inner.take_turn(slot, seconds=seconds)

    def put(self, slot: TokenSlot, content: bytes, *, lifetime_seconds: float, after: int, turn: int) -> bool:
        self._away("put")
        return self._inner.put(slot, content, lifetime_seconds=lifetime_seconds, after=after, turn=turn)

    def end_turn(self, slot: TokenSlot, turn: int) -> None:
        self._away("put")
        self._inner.end_turn(slot, turn)

    def _away(self, verb: str) -> None:
        if verb == self._verb:
            raise Unavailable("the ledger is out of reach")


def test_a_store_out_of_reach_is_a_transient_fault(connect: Any) -> None:
    assert fault_of(connect(tokens=Away("read"))).fault is Fault.TRANSIENT


def test_a_rotated_token_that_could_not_be_stored_is_used_all_the_same(buyer: Buyer, connect: Any) -> None:
    sender = connect(tokens=Away("put"), grant="refresh_token", refresh_token="refresh-0")
    for _ in range(2):
        assert sender.deliver(item()).result is Result.SUCCESS
        buyer.revoke()
        _age(sender)
    assert [form["refresh_token"] for form in buyer.forms] == ["refresh-0", "refresh-1"]


PLAIN = {"token_url": "https://login.buyer.example/token", "client_id": "relay", "client_secret": SECRET}


@pytest.mark.parametrize(
    ("oauth2", "place", "complaint"),
    [
        ({**PLAIN, "token_url": "ftp://x"}, "token_url", "not an absolute http"),
        ({**PLAIN, "client_secret": None}, "", "grant client_credentials needs client_secret"),
        ({**PLAIN, "grant": "refresh_token"}, "", "grant refresh_token needs refresh_token"),
        ({**PLAIN, "grant": "jwt_bearer"}, "", "grant jwt_bearer needs assertion"),
        ({**PLAIN, "grant": "password"}, "grant", "Input should be"),
        ({**PLAIN, "refresh_token": "x"}, "", "refresh_token is for grant refresh_token"),
        ({**PLAIN, "parameters": {"scope": "x"}}, "parameters", "the parameter scope is set by"),
        ({**PLAIN, **assertion(RSA, "RS256", private_key="nonsense")}, "assertion.private_key", "not a private key"),
        ({**PLAIN, **assertion(EC, "RS256")}, "assertion.private_key", "RS256 takes an RSA key"),
        ({**PLAIN, **assertion(RSA, "ES256")}, "assertion.private_key", "ES256 takes a key on the curve P-256"),
        ({**PLAIN, **assertion(RSA, "HS256")}, "assertion.algorithm", "Input should be"),
        ({**PLAIN, **assertion(RSA, "RS256", claims={"exp": "1"})}, "assertion.claims", "the claim exp is set by"),
    ],
)
def test_wrong_settings_are_refused_with_their_place(oauth2: Any, place: str, complaint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        HttpSettings.model_validate({"url": "https://buyer.example/leads", "auth": {"oauth2": oauth2}})
    found = caught.value.errors()[0]
    assert ".".join(map(str, found["loc"])) == ".".join(["auth", "oauth2", *([place] if place else [])])
    assert complaint in found["msg"]
    assert SECRET not in str(caught.value)
    assert "BEGIN" not in str(caught.value)


def test_references_pass_until_they_are_resolved() -> None:
    oauth2 = {**PLAIN, **assertion(RSA, "RS256", private_key="${file:/run/secrets/key.pem}")}
    assert HttpSettings.model_validate({"url": "https://buyer.example/leads", "auth": {"oauth2": oauth2}}).auth


def _json(value: Any) -> str:
    return "null" if value is None else f'"{value}"' if isinstance(value, str) else str(value)


def _age(sender: HttpConnector) -> None:
    """As if the token in use were older than what is taken for fresh."""
    shared = sender._authenticator._token  # type: ignore[union-attr]
    shared._held = _token.Token(
        value=shared._held.value,
        refresh_token=shared._held.refresh_token,
        obtained_at=shared._held.obtained_at - _token.FRESH_SECONDS,
        good_until=shared._held.good_until,
    )
