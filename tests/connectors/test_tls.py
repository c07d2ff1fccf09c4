"""TLS: which certificates and versions are accepted, how a destination knows us, and what a refusal means."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import requests

from app.config.network import NetworkConfig
from app.config.schema import LimitsConfig
from app.connectors import _tls, unusable_files
from app.connectors._transport import Answer, Session, exchange, session
from app.errors import ConfigurationFault, InvalidConfig, TransientFault
from tests.connectors import fault_server
from tests.connectors.authority import Authority
from tests.connectors.fault_server import LOCAL, answer

LIMITS = LimitsConfig(timeout_seconds=2.0)


@pytest.fixture
def through() -> Iterator[Session]:
    with session(LIMITS, LOCAL) as found:
        yield found


def post(through: Session, url: str) -> Answer:
    return exchange(through, requests.Request("POST", url, data=b"lead").prepare(), deadline=monotonic() + 1)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """An authority this process trusts."""
    found = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(found.path))
    _tls.default_context.cache_clear()
    yield found
    _tls.default_context.cache_clear()


@pytest.fixture
def own(tmp_path: Path) -> Authority:
    """An authority that only a destination's `network.ca` trusts."""
    return Authority(tmp_path / "own")


def local(**files: Any) -> NetworkConfig:
    """Network settings for a server on this machine."""
    return NetworkConfig(allow=["127.0.0.1"], **{name: str(value) for name, value in files.items()})


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


# --- a destination's own authority and our certificate ------------------------------------------------------------


def test_an_own_authority_is_trusted_by_that_destination_alone(own: Authority, through: Session) -> None:
    with fault_server.running(answer(), context=own.context("127.0.0.1")) as server:
        with session(LIMITS, local(ca=own.path)) as trusting:
            assert post(trusting, server.url).status == 200
        with pytest.raises(ConfigurationFault, match="certificate"):
            post(through, server.url)


def test_an_own_authority_is_trusted_beside_the_others(authority: Authority, own: Authority) -> None:
    with (
        fault_server.running(answer(), context=authority.context("127.0.0.1")) as server,
        session(LIMITS, local(ca=own.path)) as through,
    ):
        assert post(through, server.url).status == 200


@pytest.mark.parametrize(("host", "days", "why"), [("127.0.0.1", -1, "expired"), ("other.example", 1, "mismatch")])
def test_an_own_authority_excuses_nothing(own: Authority, host: str, days: int, why: str) -> None:
    with (
        fault_server.running(answer(), context=own.context(host, days=days)) as server,
        session(LIMITS, local(ca=own.path)) as through,
        pytest.raises(ConfigurationFault, match=why),
    ):
        post(through, server.url)
    assert not server.received


def demanding(own: Authority, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A server that lets in only who has a certificate of its authority."""
    context = own.context("127.0.0.1")
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(own.path)
    return context


VERSIONS = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"]
)


@VERSIONS
@pytest.mark.parametrize("password", [None, "open sesame"], ids=["open key", "encrypted key"])
def test_a_client_certificate_lets_us_in(own: Authority, version: ssl.TLSVersion, password: str | None) -> None:
    certificate, key = own.issue("leadrelay", password=password)
    opened = {} if password is None else {"key_password": password}
    with (
        fault_server.running(answer(), context=demanding(own, version)) as server,
        session(LIMITS, local(ca=own.path, certificate=certificate, key=key, **opened)) as through,
    ):
        assert [post(through, server.url).status for _ in range(2)] == [200, 200]


def test_certificate_and_key_may_stand_in_one_file(own: Authority, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(path.read_bytes() for path in own.issue("leadrelay")))
    with (
        fault_server.running(answer(), context=demanding(own, ssl.TLSVersion.TLSv1_3)) as server,
        session(LIMITS, local(ca=own.path, certificate=both)) as through,
    ):
        assert post(through, server.url).status == 200


@VERSIONS
def test_a_missing_client_certificate_is_a_configuration_fault(own: Authority, version: ssl.TLSVersion) -> None:
    with (
        fault_server.running(answer(), context=demanding(own, version)) as server,
        session(LIMITS, local(ca=own.path)) as through,
        pytest.raises(ConfigurationFault, match="client certificate") as caught,
    ):
        post(through, server.url)
    assert not caught.value.ambiguous
    assert not server.received


@VERSIONS
@pytest.mark.parametrize("trouble", ["of another authority", "forged", "expired"])
def test_a_client_certificate_that_is_refused_is_a_configuration_fault(
    own: Authority, tmp_path: Path, version: ssl.TLSVersion, trouble: str
) -> None:
    certificate, key = {
        "of another authority": lambda: Authority(tmp_path / "foreign").issue("leadrelay"),
        "forged": lambda: Authority(tmp_path / "foreign" / "own").issue("leadrelay"),  # by one of the same name
        "expired": lambda: own.issue("leadrelay", days=-1),
    }[trouble]()
    with (
        fault_server.running(answer(), context=demanding(own, version)) as server,
        session(LIMITS, local(ca=own.path, certificate=certificate, key=key)) as through,
        pytest.raises(ConfigurationFault, match="does not accept our certificate") as caught,
    ):
        post(through, server.url)
    assert not caught.value.ambiguous
    assert not server.received


def test_files_that_cannot_be_used_are_told_before_anything_is_applied(own: Authority, tmp_path: Path) -> None:
    certificate, key = own.issue("leadrelay")
    _, other = own.issue("other")
    _, closed = own.issue("closed", password="open sesame")
    empty, gone = tmp_path / "empty.pem", tmp_path / "gone.pem"
    empty.write_text("nothing\n")
    for files, field, detail in (
        ({"ca": gone}, "ca", "no such file"),
        ({"ca": empty}, "ca", "no certificate in PEM form"),
        ({"ca": tmp_path}, "ca", "is a directory"),
        ({"certificate": gone, "key": key}, "certificate", "no such file"),
        ({"certificate": empty, "key": key}, "certificate", "no certificate in PEM form"),
        ({"certificate": certificate}, "certificate", "no private key"),
        ({"certificate": certificate, "key": gone}, "key", "no such file"),
        ({"certificate": certificate, "key": empty}, "key", "no private key"),
        ({"certificate": certificate, "key": other}, "key", "does not belong to the certificate"),
        ({"certificate": certificate, "key": closed}, "key", "network.key_password"),
        ({"certificate": certificate, "key": gone, "key_password": "${env:X}"}, "key", "no such file"),
    ):
        [complaint] = unusable_files(local(**files))
        assert complaint.field == f"network.{field}"
        assert detail in complaint.detail
    good = {"ca": own.path, "certificate": certificate, "key": key}
    assert unusable_files(local(**good)) == []
    assert unusable_files(local(**good, key_password="${env:X}")) == []
    assert unusable_files(local(ca="${env:CA}")) == []


def test_a_wrong_password_is_told_and_nobody_is_asked_for_it(own: Authority) -> None:
    certificate, key = own.issue("leadrelay", password="open sesame")
    for password in ({}, {"key_password": "wrong"}):
        with pytest.raises(InvalidConfig, match=r"network\.key: holds no private key .* network\.key_password opens"):
            session(LIMITS, local(certificate=certificate, key=key, **password))
