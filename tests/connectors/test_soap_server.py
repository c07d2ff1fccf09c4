"""The SOAP connector against a server that others wrote, and signatures judged by code that did not make them."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from time import monotonic
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from lxml import etree
from soapbar.core.wssecurity import XmlSecurityError, verify_envelope_bsp

from app.config.schema import LimitsConfig, ResponseConfig
from app.connectors.soap.connector import SoapConnector
from app.connectors.soap.security import WSSE, WSU, Security, Signature
from app.connectors.soap.settings import SoapSettings
from app.errors import ConfigurationFault, DeliveryFault
from app.model import Fault, Item, Outcome, Result
from tests.connectors import soap_server, soap_wsdl
from tests.connectors.contract import judged
from tests.connectors.fault_server import LOCAL
from tests.connectors.soap_server import PASSWORD, USER, BindingStyle, Buyer, SoapFault, SoapVersion
from tests.connectors.soap_wsdl import BUYER

KEY = "0199c8e2-0000-7000-8000-000000000001"
LEAD: Mapping[str, Any] = {"email": "ann.lee@example.com", "age": "41", "consent": "true", "city": "Springfield"}
DS = "{http://www.w3.org/2000/09/xmldsig#}"
SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"


def send(buyer: Buyer, payload: Mapping[str, Any] = LEAD, **settings: Any) -> Outcome:
    found = SoapSettings.model_validate({"wsdl": f"{buyer.url}?wsdl", **settings})
    sender = SoapConnector("buyer", found, limits=LimitsConfig(timeout_seconds=10), network=LOCAL)
    try:
        return sender.deliver(Item(payload=payload, key=KEY, attempt=1, deadline=monotonic() + 10))
    except DeliveryFault as fault:
        return judged(sender, fault)
    finally:
        sender.close()


@pytest.mark.parametrize("version", list(SoapVersion))
@pytest.mark.parametrize(
    "style", [BindingStyle.DOCUMENT_LITERAL_WRAPPED, BindingStyle.RPC_LITERAL, BindingStyle.RPC_ENCODED]
)
def test_lead_is_delivered_with_typed_values(version: SoapVersion, style: BindingStyle) -> None:
    with soap_server.running(version, style=style) as buyer:
        outcome = send(buyer, {**LEAD, "city": "Zoë & <Söhne>"})
        assert (outcome.result, outcome.reason) == (Result.SUCCESS, None)
        assert buyer.leads == [("ann.lee@example.com", 41, True, "Zoë & <Söhne>")]
        assert outcome.captured == {"document": {"submit_leadResponse": {"return": "L-1"}}}
        assert buyer.requests[-1][0]["idempotency-key"] == KEY


@pytest.mark.parametrize("form", ["digest", "text"])
@pytest.mark.parametrize("version", list(SoapVersion))
def test_user_is_let_in_by_ws_security(version: SoapVersion, form: str) -> None:
    user = {"username": USER, "password": PASSWORD, "form": form}
    with soap_server.running(version, secure=True) as buyer:
        security = {"username": user, "timestamp_seconds": 60}
        assert send(buyer, security=security, addressing=True).result is Result.SUCCESS
        assert (PASSWORD.encode() in buyer.requests[-1][1]) == (form == "text")
        wrong = send(buyer, security={"username": {**user, "password": "other"}})
        assert wrong.result is Result.ERROR
        assert wrong.reason
        assert "password" in wrong.reason.lower()
        assert send(buyer).result is Result.ERROR
        assert len(buyer.leads) == 1


@pytest.mark.parametrize("version", list(SoapVersion))
@pytest.mark.parametrize(("code", "fault"), [("Client", Fault.DATA), ("Server", Fault.TRANSIENT)])
def test_fault_of_the_server_is_classed(version: SoapVersion, code: str, fault: Fault) -> None:
    with soap_server.running(version) as buyer:
        buyer.error = SoapFault(code, "no room for ann.lee@example.com")
        outcome = send(buyer)
        assert outcome.fault is fault
        assert outcome.reason
        assert outcome.reason.endswith("no room for [email]")


# Signatures


def key_pair(kind: str = "rsa", name: str = "leads") -> tuple[Any, str, str]:
    """A private key, it in PEM, and a certificate of its own in PEM."""
    key: Any = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if kind == "rsa"
        else ec.generate_private_key(ec.SECP256R1())
    )
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return key, private, certificate.public_bytes(Encoding.PEM).decode()


def message(kind: str, **settings: Any) -> tuple[bytes, Any]:
    key, private, certificate = key_pair(kind)
    security = {"signature": {"private_key": private, "certificate": certificate}}
    given = {"wsdl": soap_wsdl.wsdl(), "operation": "SubmitLead", "security": security, **settings}
    sender = SoapConnector("buyer", SoapSettings.model_validate(given), limits=LimitsConfig())
    payload = {"lead": {"email": "Zoë <a@example.com>", "seen": None}}
    item = Item(payload=payload, key=KEY, attempt=1, deadline=monotonic() + 10)
    return sender.request(item, reveal=True)["body"].encode(), key


def digest_and_check(content: bytes, key: Any) -> set[str]:
    """Verify by the standard alone (XML Signature 1.1, 3.2); the names of the signed elements."""
    envelope = etree.fromstring(content)
    signature = envelope.find(f".//{DS}Signature")
    info = signature.find(f"{DS}SignedInfo")
    signed = set()
    for reference in info.iter(f"{DS}Reference"):
        [found] = envelope.xpath("//*[@u:Id=$id]", namespaces={"u": WSU}, id=reference.get("URI")[1:])
        assert [one.get("Algorithm") for one in reference.iter(f"{DS}Transform")] == [
            "http://www.w3.org/2001/10/xml-exc-c14n#"
        ]
        canonical = etree.tostring(found, method="c14n", exclusive=True)
        assert b64decode(reference.findtext(f"{DS}DigestValue")) == sha256(canonical).digest()
        signed.add(etree.QName(found).localname)
    value = b64decode(signature.findtext(f"{DS}SignatureValue"))
    canonical = etree.tostring(info, method="c14n", exclusive=True)
    token = envelope.find(f".//{{{WSSE}}}BinarySecurityToken")
    named = signature.find(f"{DS}KeyInfo/{{{WSSE}}}SecurityTokenReference/{{{WSSE}}}Reference").get("URI")
    assert named == f"#{token.get(f'{{{WSU}}}Id')}"
    public = x509.load_der_x509_certificate(b64decode(token.text)).public_key()
    assert public == key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(value, canonical, padding.PKCS1v15(), hashes.SHA256())
    else:
        half = len(value) // 2
        der = encode_dss_signature(int.from_bytes(value[:half]), int.from_bytes(value[half:]))
        public.verify(der, canonical, ec.ECDSA(hashes.SHA256()))
    return signed


@pytest.mark.parametrize("kind", ["rsa", "ec"])
@pytest.mark.parametrize("port", ["Leads11", "Leads12"])
def test_signature_holds_by_the_standard(kind: str, port: str) -> None:
    content, key = message(kind, port=port, addressing=True)
    assert digest_and_check(content, key) == {"Body", "Timestamp", "Action", "To", "MessageID", "ReplyTo"}


def test_signature_holds_for_others_and_breaks_with_the_body() -> None:
    content, key = message("rsa")
    token = etree.fromstring(content).findtext(f".//{{{WSSE}}}BinarySecurityToken")
    ours = x509.load_der_x509_certificate(b64decode(token))
    assert ours.public_key() == key.public_key()
    verify_envelope_bsp(content, trusted_certs=[ours], expected_references=2)
    changed = content.replace(b"a@example.com", b"b@example.com")
    with pytest.raises(XmlSecurityError):
        verify_envelope_bsp(changed, trusted_certs=[ours], expected_references=2)


@pytest.mark.parametrize(
    ("private", "certificate", "told"),
    [
        ("x", "good", "private_key: not a private key"),
        ("good", "x", "certificate: not a certificate"),
        ("good", "other", "not the certificate of the private key"),
    ],
)
def test_keys_that_cannot_sign_are_told_by_their_setting(private: str, certificate: str, told: str) -> None:
    _, good, its = key_pair()
    values = {"good": its, "other": key_pair()[2]}
    with pytest.raises(ConfigurationFault, match=told):
        Signature.of(good if private == "good" else private, values.get(certificate, certificate))


def signed_answer(private: str, certificate: str, *, body: str | None = None, seconds: int = 300) -> bytes:
    """An answer signed as ours are, which the tests above hold against the standard."""
    content = body or f'<r:SubmitLeadResponse xmlns:r="{BUYER}"><r:accepted>true</r:accepted></r:SubmitLeadResponse>'
    envelope = etree.fromstring(soap_wsdl.answered(content, header="<e:Header/>"))
    header, found = envelope
    Security(signature=Signature.of(private, certificate), timestamp_seconds=seconds).apply(envelope, header, found)
    return etree.tostring(envelope)


def interpreted(content: bytes, certificate: str) -> Outcome:
    given = {
        "wsdl": soap_wsdl.wsdl(),
        "operation": "SubmitLead",
        "security": {"verify_answers": {"certificate": certificate}},
    }
    rules = ResponseConfig.model_validate({"search": {"path": "SubmitLeadResponse.accepted", "term": "true"}})
    sender = SoapConnector("buyer", SoapSettings.model_validate(given), limits=LimitsConfig(), response=rules)
    return sender.interpret(200, {"content-type": "text/xml"}, content)


def test_answer_that_the_destination_signed_is_believed() -> None:
    _, private, certificate = key_pair(name="buyer")
    assert interpreted(signed_answer(private, certificate), certificate).result is Result.SUCCESS


def test_answer_that_is_not_signed_or_by_somebody_else_is_not_believed() -> None:
    _, private, certificate = key_pair(name="buyer")
    _, other, theirs = key_pair(name="buyer")
    good = signed_answer(private, certificate)
    for content, told in (
        (soap_wsdl.ACCEPTED, "not signed"),
        (signed_answer(other, theirs), "does not hold"),
        (good.replace(b">true<", b">false<"), "does not hold"),
        (signed_answer(private, certificate, seconds=-600), "run out"),
    ):
        outcome = interpreted(content, certificate)
        assert (outcome.fault, outcome.ambiguous) == (Fault.CONFIGURATION, True)
        assert outcome.reason
        assert told in outcome.reason


def test_fault_that_is_not_signed_rejects_nothing() -> None:
    _, _, certificate = key_pair(name="buyer")
    body = soap_wsdl.fault_12("Sender", "wsa:InvalidAddressingHeader", "wsa:DuplicateMessageID")
    outcome = interpreted(body, certificate)
    assert (outcome.result, outcome.fault, outcome.ambiguous) == (Result.ERROR, Fault.TRANSIENT, True)
    busy = interpreted(soap_wsdl.fault_12("Receiver", text="busy"), certificate)
    assert (busy.fault, busy.ambiguous) == (Fault.TRANSIENT, False)


@pytest.mark.parametrize("with_id", [True, False])
def test_body_that_stands_in_for_the_signed_one_is_not_believed(*, with_id: bool) -> None:
    _, private, certificate = key_pair(name="buyer")
    envelope = etree.fromstring(signed_answer(private, certificate, body=f'<r:SubmitLeadResponse xmlns:r="{BUYER}"/>'))
    header, body = envelope
    hidden = etree.SubElement(header, "hidden")
    hidden.append(body)
    forged = etree.fromstring(soap_wsdl.ACCEPTED).find(f"{SOAP}Body")
    if with_id:
        forged.set(f"{{{WSU}}}Id", "Body-1")
    envelope.append(forged)
    outcome = interpreted(etree.tostring(envelope), certificate)
    assert (outcome.result, outcome.fault) == (Result.ERROR, Fault.CONFIGURATION)


def test_digest_of_a_password_is_the_profile_s() -> None:
    envelope = etree.fromstring(soap_wsdl.answered("", header="<e:Header/>"))
    Security(username="leads", password="pw").apply(envelope, envelope[0], envelope[1])
    token = envelope.find(f".//{{{WSSE}}}UsernameToken")
    nonce = b64decode(token.findtext(f"{{{WSSE}}}Nonce"))
    created = token.findtext(f"{{{WSU}}}Created").encode()
    digest = hashes.Hash(hashes.SHA1())
    digest.update(nonce + created + b"pw")
    assert token.findtext(f"{{{WSSE}}}Password") == b64encode(digest.finalize()).decode()
