"""WS-Security 1.1: user name token, timestamp and X.509 signature in messages, and signatures of answers verified.

Sources: OASIS Web Services Security, SOAP Message Security 1.1.1, Username Token Profile 1.1.1, X.509 Certificate Token
Profile 1.1.1; signing and verifying are signxml's. It may not know operations or settings.
"""

import os
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, SignatureConstructionMethod, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from app.errors import ConfigurationFault

_OASIS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss"
WSSE = f"{_OASIS}-wssecurity-secext-1.0.xsd"
WSSE_11 = "http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd"
WSU = f"{_OASIS}-wssecurity-utility-1.0.xsd"
WSA = "http://www.w3.org/2005/08/addressing"
_TOKENS = f"{_OASIS}-username-token-profile-1.0"
_BASE64 = f"{_OASIS}-soap-message-security-1.0#Base64Binary"
_X509 = f"{_OASIS}-x509-token-profile-1.0#X509v3"
_DS = "http://www.w3.org/2000/09/xmldsig#"
_ID = f"{{{WSU}}}Id"
_OUR_KEY = "X509-1"
_TIMESTAMP_SECONDS = 300
_RSA_BITS = 2048
_SKEW = timedelta(minutes=5)
_SIGNED_HEADERS = frozenset(f"{{{WSA}}}{name}" for name in ("Action", "MessageID", "To", "ReplyTo"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Whose messages they are: a private key, and its certificate in base64 of DER."""

    key: Any
    certificate: str
    method: SignatureMethod

    @classmethod
    def of(cls, private_key: str, certificate: str) -> "Signature":
        """Both from PEM; raises `ConfigurationFault` naming the setting."""
        place = "security.signature"
        try:
            key = load_pem_private_key(private_key.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ConfigurationFault(f"{place}.private_key: not a private key in PEM without a password") from None
        if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _RSA_BITS:
            method = SignatureMethod.RSA_SHA256
        elif isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            method = SignatureMethod.ECDSA_SHA256
        else:
            raise ConfigurationFault(f"{place}.private_key: neither RSA of 2048 bits or more nor on the curve P-256")
        found = read_certificate(certificate, f"{place}.certificate")
        if found.public_key() != key.public_key():
            raise ConfigurationFault(f"{place}.certificate: not the certificate of the private key")
        return cls(key=key, certificate=b64encode(found.public_bytes(Encoding.DER)).decode(), method=method)


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """What goes into wsse:Security; `password` is hashed into a digest unless `plain`."""

    username: str | None = None
    password: str = ""
    plain: bool = False
    timestamp_seconds: int | None = None
    signature: Signature | None = None

    def apply(self, envelope: Any, header: Any, body: Any) -> None:
        """Put wsse:Security into a whole envelope that is not changed any more."""
        nsmap = {"wsse": WSSE, "wsu": WSU}
        security = etree.SubElement(header, f"{{{WSSE}}}Security", nsmap=nsmap)
        security.set(f"{{{etree.QName(envelope).namespace}}}mustUnderstand", "1")
        now = datetime.now(UTC)
        seconds = self.timestamp_seconds or (_TIMESTAMP_SECONDS if self.signature else None)
        if seconds is not None:
            _add_timestamp(security, now, seconds)
        if self.username is not None:
            self._add_username(security, now)
        if self.signature is not None:
            _sign(envelope, header, body, security, self.signature)

    def _add_username(self, security: Any, now: datetime) -> None:
        token = etree.SubElement(security, f"{{{WSSE}}}UsernameToken")
        etree.SubElement(token, f"{{{WSSE}}}Username").text = self.username
        password = etree.SubElement(token, f"{{{WSSE}}}Password")
        if self.plain:
            password.set("Type", f"{_TOKENS}#PasswordText")
            password.text = self.password
            return
        nonce, created = os.urandom(16), _instant(now)
        password.set("Type", f"{_TOKENS}#PasswordDigest")
        # The profile's own formula (3.1): it is no one's choice of hash here.
        digest = sha1(nonce + created.encode() + self.password.encode(), usedforsecurity=False).digest()
        password.text = b64encode(digest).decode()
        made = etree.SubElement(token, f"{{{WSSE}}}Nonce")
        made.set("EncodingType", _BASE64)
        made.text = b64encode(nonce).decode()
        etree.SubElement(token, f"{{{WSU}}}Created").text = created


class Verifier:
    """Believes answers that one certificate's key signed; raises `ConfigurationFault` for what is no certificate."""

    def __init__(self, certificate: str) -> None:
        self._certificate = read_certificate(certificate, "security.verify_answers.certificate")

    def body(self, envelope: Any) -> Any:
        """The body as it was signed; raises `ValueError` saying why it is not believed."""
        namespace = etree.QName(envelope).namespace
        place = f"./{{{namespace}}}Header/{{{WSSE}}}Security/"
        if envelope.find(f"{place}{{{_DS}}}Signature") is None:
            raise ValueError("the answer is not signed")
        try:
            found = XMLVerifier().verify(
                etree.tostring(envelope),
                x509_cert=self._certificate,
                id_attribute="Id",
                expect_config=SignatureConfiguration(location=place, expect_references=True),
            )
        except (SignXMLException, etree.LxmlError, ValueError, TypeError, KeyError):
            raise ValueError("the signature of the answer does not hold") from None
        signed = [
            one.signed_xml for one in (found if isinstance(found, list) else [found]) if one.signed_xml is not None
        ]
        body = next((one for one in signed if one.tag == f"{{{namespace}}}Body"), None)
        real = envelope.findall(f"{{{namespace}}}Body")
        # What is signed must be what stands where the body is, not a copy of it elsewhere (signature wrapping).
        if body is None or len(real) != 1 or real[0].get(_ID) != body.get(_ID):
            raise ValueError("the body of the answer is not signed")
        _refuse_old([one for one in signed if one.tag == f"{{{WSU}}}Timestamp"])
        return body


def read_certificate(text: str, place: str) -> x509.Certificate:
    """A certificate in PEM; raises `ConfigurationFault` naming the setting."""
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except ValueError:
        raise ConfigurationFault(f"{place}: not a certificate in PEM") from None


def _add_timestamp(security: Any, now: datetime, seconds: int) -> None:
    timestamp = etree.SubElement(security, f"{{{WSU}}}Timestamp")
    timestamp.set(_ID, "Timestamp-1")
    etree.SubElement(timestamp, f"{{{WSU}}}Created").text = _instant(now)
    etree.SubElement(timestamp, f"{{{WSU}}}Expires").text = _instant(now + timedelta(seconds=seconds))


def _sign(envelope: Any, header: Any, body: Any, security: Any, by: Signature) -> None:
    token = etree.Element(f"{{{WSSE}}}BinarySecurityToken", nsmap={"wsse": WSSE, "wsu": WSU})
    token.set("EncodingType", _BASE64)
    token.set("ValueType", _X509)
    token.set(_ID, _OUR_KEY)
    token.text = by.certificate
    security.insert(0, token)
    body.set(_ID, "Body-1")
    signed = [body, *(one for one in security if one.tag == f"{{{WSU}}}Timestamp")]
    for place, one in enumerate(one for one in header if one.tag in _SIGNED_HEADERS):
        one.set(_ID, f"Header-{place + 1}")
        signed.append(one)
    key_info = etree.Element(f"{{{_DS}}}KeyInfo", nsmap={"ds": _DS})
    reference = etree.SubElement(
        etree.SubElement(key_info, f"{{{WSSE}}}SecurityTokenReference", nsmap={"wsse": WSSE}), f"{{{WSSE}}}Reference"
    )
    reference.set("URI", f"#{_OUR_KEY}")
    reference.set("ValueType", _X509)
    signer = XMLSigner(
        method=SignatureConstructionMethod.detached,
        signature_algorithm=by.method,
        digest_algorithm="sha256",
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    made = signer.sign(
        envelope,
        key=by.key,
        reference_uri=[f"#{one.get(_ID)}" for one in signed],
        key_info=key_info,
        id_attribute="Id",
    )
    security.append(made)


def _refuse_old(timestamps: list[Any]) -> None:
    for one in timestamps:
        text = one.findtext(f"{{{WSU}}}Expires") or ""
        try:
            expires = datetime.fromisoformat(text.strip())
        except ValueError:
            continue
        expires = expires if expires.tzinfo else expires.replace(tzinfo=UTC)
        if expires + _SKEW < datetime.now(UTC):
            raise ValueError("the signed timestamp of the answer has run out")


def _instant(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03}Z"
