"""TLS: which certificates and versions are accepted, and what a refusal means."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from time import monotonic

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.config.schema import LimitsConfig
from app.connectors import _tls
from app.connectors._transport import Answer, Session, exchange, session
from app.errors import ConfigurationFault, TransientFault
from tests.connectors import fault_server
from tests.connectors.fault_server import LOCAL, answer


@pytest.fixture
def through() -> Iterator[Session]:
    with session(LimitsConfig(timeout_seconds=2.0), LOCAL) as found:
        yield found


def post(through: Session, url: str) -> Answer:
    return exchange(through, requests.Request("POST", url, data=b"lead").prepare(), deadline=monotonic() + 1)


class Authority:
    """A certificate authority for one test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        certificate = self._builder(self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.path = folder / "authority.pem"
        signed = certificate.sign(self._key, hashes.SHA256())
        self.path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def context(self, host: str, *, days: int = 1) -> ssl.SSLContext:
        """A server's context with a certificate for `host` that runs out in so many days."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        alternative = x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
        certificate = (
            self._builder(name, key, days=days)
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = self._folder / f"{host}{days}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: int = 1) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=name,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(days=5),
            not_valid_after=now + timedelta(days=days),
        )


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """An authority this process trusts."""
    found = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(found.path))
    _tls.default_context.cache_clear()
    yield found
    _tls.default_context.cache_clear()


def test_trusted_certificate_is_accepted_and_the_connection_kept(authority: Authority, through: Session) -> None:
    with fault_server.running(answer(), context=authority.context("127.0.0.1")) as server:
        assert [post(through, server.url).status for _ in range(3)] == [200, 200, 200]
        assert server.connected == 1


@pytest.mark.parametrize(("host", "days", "why"), [("127.0.0.1", -1, "expired"), ("other.example", 1, "mismatch")])
def test_certificate_that_does_not_hold_is_a_configuration_fault(
    authority: Authority, through: Session, host: str, days: int, why: str
) -> None:
    with (
        fault_server.running(answer(), context=authority.context(host, days=days)) as server,
        pytest.raises(ConfigurationFault, match=why),
    ):
        post(through, server.url)
    assert not server.received


def test_unknown_authority_is_a_configuration_fault(tmp_path: Path, through: Session) -> None:
    context = Authority(tmp_path).context("127.0.0.1")
    with (
        fault_server.running(answer(), context=context) as server,
        pytest.raises(ConfigurationFault, match="certificate"),
    ):
        post(through, server.url)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_old_tls_is_refused_before_anything_is_sent(authority: Authority, through: Session) -> None:
    context = authority.context("127.0.0.1")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with fault_server.running(answer(), context=context) as server, pytest.raises(TransientFault) as caught:
        post(through, server.url)
    assert not caught.value.ambiguous
    assert not server.received


def test_plain_server_behind_an_https_address_is_not_ambiguous(through: Session) -> None:
    with fault_server.running(answer()) as server, pytest.raises(TransientFault, match="TLS") as caught:
        post(through, server.url.replace("http:", "https:"))
    assert not caught.value.ambiguous
