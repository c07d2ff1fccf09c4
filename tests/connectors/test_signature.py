"""What we sign ourselves: the examples of RFC 7515, 4231 and 2202, tokens and signatures as a destination checks them."""

import hashlib
import hmac
import json
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Iterator, Mapping
from time import monotonic, time
from typing import Any, get_args

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from pydantic import ValidationError

from app.config.schema import LimitsConfig
from app.connectors import _signature
from app.connectors._authentication import Request
from app.connectors._http.connector import HttpConnector
from app.connectors._http.settings import HttpSettings
from app.connectors._jws import Algorithm, SigningKey, signed, signed_token
from app.connectors._signature import HmacSignature, SignaturePlan
from app.connectors._transport import Answer
from app.model import Fault, Item, Result
from app.signature import SIGNABLE, template_parts, timestamp
from tests.connectors import fault_server
from tests.connectors.fault_server import LOCAL, FaultServer, answer
from tests.connectors.token_endpoint import number, pem, verified

KEY = "0199c8e2-0000-7000-8000-000000000001"
SECRET = "a shared secret of 32 bytes, or more"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
PAYLOAD = b'{"iss":"joe",\r\n "exp":1300819380,\r\n "http://example.com/is_root":true}'

# RFC 7515, A.2: the key's numbers, base64url.
N = (
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMs"
    "D1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdV"
    "MTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
)
D = (
    "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0"
    "BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYT"
    "CBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ"
)
SIGNATURE = (
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZ"
    "cAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-e"
    "OkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
)


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "==")


def test_hs256_as_in_rfc_7515_a_1() -> None:
    key = SigningKey("x" * 32, "HS256")
    key._secret = decoded("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
    token = signed(key, b'{"typ":"JWT",\r\n "alg":"HS256"}', PAYLOAD)
    assert token.rpartition(".")[2] == "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


def test_rs256_as_in_rfc_7515_a_2() -> None:
    n, d, e = number(N), number(D), 65537
    p, q = rsa.rsa_recover_prime_factors(n, e, d)
    numbers = rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=rsa.rsa_crt_dmp1(d, p),
        dmq1=rsa.rsa_crt_dmq1(d, q),
        iqmp=rsa.rsa_crt_iqmp(p, q),
        public_numbers=rsa.RSAPublicNumbers(e, n),
    )
    key = SigningKey(pem(numbers.private_key()), "RS256")
    assert signed(key, b'{"alg":"RS256"}', PAYLOAD).rpartition(".")[2] == SIGNATURE


def test_es256_verifies_under_the_key_of_rfc_7515_a_3() -> None:
    private = ec.derive_private_key(number("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"), ec.SECP256R1())
    public = ec.EllipticCurvePublicNumbers(
        number("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
        number("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
        ec.SECP256R1(),
    ).public_key()
    for _ in range(20):  # numbers with leading zeros among them
        token = signed(SigningKey(pem(private), "ES256"), b'{"alg":"ES256"}', PAYLOAD)
        assert verified(token, public)[1]["iss"] == "joe"


def plan(**more: Any) -> SignaturePlan:
    given: dict[str, Any] = {
        "secret": b"Jefe",
        "algorithm": "sha256",
        "encoding": "hex",
        "string": ["", "body", ""],
        "header": "X-Signature",
        "value": ["", "signature", ""],
        "timestamp_header": None,
        "timestamp_format": "seconds",
        "key_header": None,
    }
    return SignaturePlan(**given | more)


def headers_of(found: SignaturePlan, message: bytes) -> Mapping[str, str]:
    seen: list[Mapping[str, str]] = []

    def send(headers: Mapping[str, str]) -> Answer:
        seen.append(headers)
        return Answer(status=200, headers={}, body=b"", truncated=False, ms=0)

    HmacSignature(found).exchange(send, Request(message), 0.0)
    return seen[0]


@pytest.mark.parametrize(
    ("algorithm", "secret", "content", "signature"),
    [
        (
            "sha256",
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        ("sha256", b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            "sha512",
            b"Jefe",
            b"what do ya want for nothing?",
            (
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b"
                "636e070a38bce737"
            ),
        ),
        ("sha1", b"Jefe", b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
    ],
    ids=["RFC 4231, 4.3", "RFC 4231, 4.2", "RFC 4231, 4.3, sha512", "RFC 2202, 3"],
)
def test_hmac_as_in_its_rfcs(algorithm: str, secret: bytes, content: bytes, signature: str) -> None:
    message = b"POST / HTTP/1.1\r\nHost: h\r\n\r\n" + content
    assert headers_of(plan(algorithm=algorithm, secret=secret), message) == {"X-Signature": signature}
    in_base64 = headers_of(plan(algorithm=algorithm, secret=secret, encoding="base64"), message)
    assert in_base64 == {"X-Signature": b64encode(bytes.fromhex(signature)).decode()}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server.running(answer()) as running:
        yield running


@pytest.fixture
def connect(server: FaultServer) -> Iterator[Any]:
    made: list[HttpConnector] = []

    def make(auth: Mapping[str, Any], **more: Any) -> HttpConnector:
        settings = HttpSettings.model_validate({"url": f"{server.url}/in/a%20b?from=relay", "auth": auth, **more})
        limits = LimitsConfig(concurrency=4, timeout_seconds=5)
        made.append(HttpConnector("buyer", settings, limits=limits, network=LOCAL))
        return made[-1]

    yield make
    for sender in made:
        sender.close()


def send(sender: HttpConnector, **payload: Any) -> Mapping[str, Any]:
    outcome = sender.deliver(Item(payload=payload, key=KEY, attempt=1, deadline=monotonic() + 5))
    assert outcome.result is Result.SUCCESS
    assert outcome.transcript is not None
    return outcome.transcript


def test_everything_that_can_be_signed_is_signed_as_it_is_sent(server: FaultServer, connect: Any) -> None:
    string = (
        "{{method}}\n{{ path }}\n{{ query }}\n{{ host }}\n{{ timestamp }}\n{{ body_sha256 }}\n{{ key }}\n{{ body }}"
    )
    auth = {
        "hmac": {
            "secret": b64encode(b"\x00\xff secret").decode(),
            "secret_encoding": "base64",
            "algorithm": "sha512",
            "encoding": "base64",
            "string": string,
            "header": "X-Buyer-Proof",
            "value": "t={{ timestamp }},v1={{ signature }}",
            "timestamp_header": "X-Time",
            "timestamp_format": "iso",
        }
    }
    transcript = send(connect(auth), name="Zoë")
    request = server.received[0]
    at = request.headers["x-time"]
    parts = [b"POST", b"/in/a%20b", b"from=relay", server.url[7:].encode(), at.encode()]
    parts += [hashlib.sha256(request.body).hexdigest().encode(), KEY.encode(), request.body]
    expected = b64encode(hmac.digest(b"\x00\xff secret", b"\n".join(parts), "sha512")).decode()
    assert request.headers["x-buyer-proof"] == f"t={at},v1={expected}"
    assert expected not in str(transcript)
    assert transcript["request"]["headers"]["X-Buyer-Proof"] == "***"


def test_a_get_is_signed_with_its_query(server: FaultServer, connect: Any) -> None:
    auth = {"hmac": {"secret": SECRET, "string": "{{ query }}|{{ body }}", "value": "sha256={{ signature }}"}}
    send(connect(auth, method="GET", body="query"), name="Ann Lee")
    expected = hmac.digest(SECRET.encode(), b"from=relay&name=Ann%20Lee|", "sha256").hex()
    assert server.received[0].headers["x-signature"] == f"sha256={expected}"


def test_every_retry_is_signed_anew(server: FaultServer, connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sender = connect({"hmac": {"secret": SECRET, "string": "{{ timestamp }}", "timestamp_header": "X-Time"}})
    for second in (1000.9, 2000.1):
        monkeypatch.setattr(_signature, "time", lambda second=second: second)
        send(sender)
    assert [request.headers["x-time"] for request in server.received] == ["1000", "2000"]
    assert len({request.headers["x-signature"] for request in server.received}) == 2


def test_timestamps_are_written_as_asked() -> None:
    assert [timestamp(1_700_000_000.75, form) for form in ("seconds", "milliseconds", "iso")] == [
        "1700000000",
        "1700000000750",
        "2023-11-14T22:13:20Z",
    ]


@pytest.mark.parametrize(
    ("algorithm", "secret", "public"),
    [("RS256", pem(RSA), RSA.public_key()), ("ES256", pem(EC), EC.public_key())],
    ids=["RS256", "ES256"],
)
def test_a_token_of_ours_verifies_and_says_what_it_should(
    server: FaultServer, connect: Any, algorithm: str, secret: str, public: Any
) -> None:
    claims = {"iss": "partner-7", "aud": ["a", "b"], "level": 3, "test": True}
    auth = {"jwt": {"algorithm": algorithm, "secret": secret, "key_id": "k1", "claims": claims, "lifetime_seconds": 60}}
    send(connect(auth))
    kind, _, token = server.received[0].headers["authorization"].partition(" ")
    header, said = verified(token, public)
    assert (kind, header) == ("Bearer", {"alg": algorithm, "typ": "JWT", "kid": "k1"})
    assert {name: said[name] for name in claims} == claims
    assert said["exp"] - said["iat"] == 60
    assert abs(said["iat"] - time()) < 5
    assert said["jti"]


@pytest.mark.parametrize("algorithm", [one for one in get_args(Algorithm) if one not in {"RS256", "ES256"}])
def test_every_algorithm_verifies_elsewhere(algorithm: Algorithm) -> None:
    curves: dict[str, ec.EllipticCurve] = {"ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
    private = ec.generate_private_key(curves[algorithm]) if algorithm in curves else RSA
    shared = algorithm.startswith("HS")
    for number_of_token in range(10):  # numbers with leading zeros among them
        token = signed_token(SigningKey("s" * 64 if shared else pem(private), algorithm), {"n": number_of_token})
        said = jwt.decode(token, "s" * 64 if shared else private.public_key(), algorithms=[algorithm])
        assert said == {"n": number_of_token}


def test_a_shared_secret_signs_too_and_header_and_prefix_are_free(server: FaultServer, connect: Any) -> None:
    auth = {"jwt": {"algorithm": "HS256", "secret": SECRET, "header": "X-Partner", "prefix": ""}}
    transcript = send(connect(auth))
    content, _, signature = server.received[0].headers["x-partner"].rpartition(".")
    assert decoded(signature) == hmac.digest(SECRET.encode(), content.encode(), "sha256")
    assert signature not in str(transcript)
    assert transcript["request"]["headers"]["X-Partner"] == "***"


@pytest.mark.parametrize(("per_request", "tokens"), [("true", 3), ("false", 1)])
def test_a_token_serves_until_it_is_asked_for_each_request(
    server: FaultServer, connect: Any, per_request: str, tokens: int
) -> None:
    sender = connect({"jwt": {"algorithm": "HS256", "secret": SECRET, "per_request": per_request}})
    for _ in range(3):
        send(sender)
    ids = {json.loads(decoded(request.headers["authorization"].split(".")[1]))["jti"] for request in server.received}
    assert len(ids) == tokens


def test_a_token_near_its_end_is_replaced(server: FaultServer, connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sender = connect({"jwt": {"algorithm": "HS256", "secret": SECRET, "lifetime_seconds": 100}})
    begun = monotonic()
    for later in (0, 89, 91):
        monkeypatch.setattr(_signature, "monotonic", lambda later=later: begun + later)
        send(sender)
    tokens = [request.headers["authorization"] for request in server.received]
    assert tokens[0] == tokens[1] != tokens[2]


def test_a_refused_signature_is_a_configuration_fault_and_tried_once(server: FaultServer, connect: Any) -> None:
    server.behaviour = answer(401, b"{}")
    for auth in ({"hmac": {"secret": SECRET}}, {"jwt": {"algorithm": "HS256", "secret": SECRET}}):
        sender = connect(auth)
        outcome = sender.deliver(Item(payload={}, key=KEY, attempt=1, deadline=monotonic() + 5))
        assert outcome.fault is Fault.CONFIGURATION
    assert len(server.received) == 2


LOCKED = RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw")).decode()


@pytest.mark.parametrize(
    ("auth", "place", "complaint"),
    [
        ({"hmac": {"secret": SECRET, "string": "{{ bdy }}"}}, "hmac.string", "there is no {{ bdy }} here, only body"),
        ({"hmac": {"secret": SECRET, "string": "{{ body }"}}, "hmac.string", "{{ }} do not match"),
        ({"hmac": {"secret": SECRET, "string": "{{ lead.email }}"}}, "hmac.string", "there is no {{ lead.email }}"),
        ({"hmac": {"secret": SECRET, "value": "sha256="}}, "hmac.value", "the signature is missing"),
        ({"hmac": {"secret": SECRET, "value": "a\r\n{{ signature }}"}}, "hmac.value", "line break"),
        ({"hmac": {"secret": SECRET, "algorithm": "md5"}}, "hmac.algorithm", "Input should be"),
        ({"hmac": {"secret": SECRET, "secret_encoding": "hex"}}, "hmac", "secret is not written in hex"),
        ({"hmac": {"secret": "ä", "secret_encoding": "base64"}}, "hmac", "secret is not written in base64"),
        ({"hmac": {"secret": SECRET, "string": "{{ timestamp }}"}}, "hmac", "the timestamp, which is sent nowhere"),
        ({"hmac": {"secret": SECRET, "timestamp_header": "x-signature"}}, "hmac", "are the same"),
        ({"hmac": {"secret": SECRET, "header": "Host"}}, "hmac.header", "set for each request"),
        ({"hmac": {"secret": ""}}, "hmac.secret", "at least 1"),
        ({"jwt": {"secret": "nonsense"}}, "jwt.secret", "not a private key in PEM"),
        ({"jwt": {"secret": LOCKED}}, "jwt.secret", "not a private key in PEM without a password"),
        ({"jwt": {"secret": "short", "algorithm": "HS256"}}, "jwt.secret", "32 bytes at least"),
        ({"jwt": {"secret": "s" * 63, "algorithm": "HS512"}}, "jwt.secret", "64 bytes at least"),
        (
            {"jwt": {"secret": pem(EC), "algorithm": "ES384"}},
            "jwt.secret",
            "this one is on P-256: set algorithm to ES256",
        ),
        (
            {"jwt": {"secret": pem(RSA), "algorithm": "ES256"}},
            "jwt.secret",
            "this is an RSA key: set algorithm to RS256",
        ),
        ({"jwt": {"secret": SECRET, "algorithm": "none"}}, "jwt.algorithm", "Input should be"),
        ({"jwt": {"secret": pem(RSA), "claims": {"exp": 1}}}, "jwt.claims", "the claim exp is set by"),
        ({"jwt": {"secret": pem(RSA)}, "hmac": {"secret": SECRET}}, "", "give exactly one of basic, bearer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_settings_are_refused_with_their_place(auth: Any, place: str, complaint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        HttpSettings.model_validate({"url": "https://buyer.example/leads", "auth": auth})
    found = caught.value.errors()[0]
    assert ".".join(map(str, found["loc"])) == f"auth.{place}".rstrip(".")
    assert complaint in found["msg"]
    assert SECRET not in str(caught.value)
    assert "BEGIN" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"headers": {"x-signature": "1"}}, "auth sets this header, too"),
        ({"headers": {"x-time": "1"}}, "auth sets this header, too"),
        ({"idempotency_header": None}, "signs the key, which is sent nowhere"),
    ],
    ids=str,
)
def test_what_does_not_fit_together_is_refused(more: Mapping[str, Any], complaint: str) -> None:
    auth = {"hmac": {"secret": SECRET, "string": "{{ key }}", "timestamp_header": "X-Time"}}
    with pytest.raises(ValidationError, match=complaint):
        HttpSettings.model_validate({"url": "https://buyer.example/leads", "auth": auth, **more})


def test_references_pass_until_they_are_resolved() -> None:
    for auth in (
        {"jwt": {"secret": "${file:/run/secrets/key.pem}"}},
        {"hmac": {"secret": "${env:BUYER}", "secret_encoding": "base64"}},
    ):
        assert HttpSettings.model_validate({"url": "https://buyer.example/leads", "auth": auth}).auth


def test_templates_keep_what_stands_between() -> None:
    assert template_parts("a {b} {{body}}{{ key }}\n", SIGNABLE) == ["a {b} ", "body", "", "key", "\n"]
