"""`network` settings: what is refused when they are applied, with the place and the remedy, and what a connector gets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app import operations
from app.catalog import compile_document, create_connector
from app.config.loading import load_document
from app.config.network import NetworkConfig
from app.config.schema import Document
from app.errors import ConfigurationFault, InvalidConfig

PLAIN: dict[str, Any] = {"name": "crm", "type": "http", "settings": {"url": "https://crm.example.com/leads"}}


def complaint(network: Any, **changes: Any) -> tuple[str, str]:
    """The one complaint about a destination with these network settings: place and words."""
    with pytest.raises(InvalidConfig) as caught:
        compile_document(load_document({"destinations": [{**PLAIN, "network": network, **changes}]}).document, 1)
    [found] = caught.value.complaints
    assert "s3cret" not in str(caught.value)
    return found.field, found.detail


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("10.1.2.3/16", "write 10.1.0.0/16"),
        ("10.1.2.3/33", "not a network in CIDR form"),
        ("10.1.2.300", "not a host name"),
        ("127.1", "not a host name"),
        ("0x7f000001", "not a host name"),
        ("2130706433", "not a host name"),
        ("*", "not a host name"),
        ("crm.*.example", "not a host name"),
        ("", "not a host name"),
        ("a b", "not a host name"),
        ("[::1]", "not a host name"),
        ("https://crm.example.com/", "not a network in CIDR form"),
        ("0.0.0.0/0", "every address"),
        ("::/0", "every address"),
        ("::ffff:10.0.0.1", "the IPv4 address"),
        ("::ffff:10.0.0.0/104", "the IPv4 address"),
        ("fe80::1%eth0", "without its zone"),
    ],
)
def test_an_entry_that_allows_nothing_sensible_is_refused(entry: str, said: str) -> None:
    place, detail = complaint({"allow": ["crm.corp.example", entry]})
    assert place == "destinations.0.network.allow.1"
    assert said in detail


@pytest.mark.parametrize(
    ("network", "place", "said"),
    [
        ({"proxy": "proxy.corp.example:3128"}, "proxy", "write http://HOST:PORT"),
        ({"proxy": "https://proxy.corp.example:3128"}, "proxy", "write http://HOST:PORT"),
        ({"proxy": "http://proxy.corp.example"}, "proxy", "write http://HOST:PORT"),
        ({"proxy": "http://proxy.corp.example:x"}, "proxy", "write http://HOST:PORT"),
        ({"proxy": "http://[::1:3128"}, "proxy", "write http://HOST:PORT"),
        ({"proxy": "http://proxy.corp.example:3128/path"}, "proxy", "no path"),
        ({"ca": "ca.pem"}, "ca", "must be absolute"),
        ({"verify": False}, "verify", "not a known setting"),
        ({"key": "/k.pem"}, "", "certificate: is required"),
        ({"key_password": "${env:X}"}, "", "certificate: is required"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(network: Mapping[str, Any], place: str, said: str) -> None:
    found, detail = complaint(network)
    assert found == ".".join(["destinations.0.network", *([place] if place else [])])
    assert said in detail


@pytest.mark.parametrize(
    ("network", "place"),
    [
        ({"proxy": "http://leads:s3cret@proxy.corp.example:3128"}, "network.proxy"),
        ({"certificate": "/c.pem", "key_password": "s3cret"}, "network.key_password"),
    ],
)
def test_a_secret_in_clear_is_refused(network: Mapping[str, Any], place: str) -> None:
    found, detail = complaint(network)
    assert found == f"destination crm: {place}"
    assert "in clear" in detail


def test_types_that_do_not_speak_http_take_no_network_settings() -> None:
    settings = {"host": "mail.example.com", "from": "leads@example.com"}
    found = complaint({"allow": ["mail.example.com"]}, type="email", settings=settings)
    assert found == ("destination crm: network", "destinations of type email take no network settings")


def test_settings_are_stored_as_they_are_written() -> None:
    network = {
        "allow": "10.0.0.7",
        "proxy": "http://a:${env:P}@proxy:1",
        "certificate": "/c",
        "key_password": "${env:K}",
    }
    document = Document.model_validate({"destinations": [{**PLAIN, "network": network}]})
    again = Document.model_validate(document.model_dump(mode="json"))
    assert again == document
    assert again.destinations[0].network == NetworkConfig.model_validate({**network, "allow": ["10.0.0.7"]})


def test_a_connector_gets_references_resolved() -> None:
    network = {"allow": ["${env:HOST}"], "proxy": "http://a:${env:PASSWORD}@proxy:3128"}
    step = compile_document(Document.model_validate({"destinations": [{**PLAIN, "network": network}]}), 1).steps["crm"]
    connector = create_connector(step, {"HOST": "crm.corp.example", "PASSWORD": "x"})
    assert connector.network == NetworkConfig(allow=["crm.corp.example"], proxy="http://a:x@proxy:3128")
    connector.close()
    for environ, said in (
        ({"HOST": "10.0.0.1/8", "PASSWORD": "s3cret"}, "network settings of destination crm are invalid: allow.0"),
        (
            {"HOST": "crm.corp.example", "PASSWORD": "s3cret@/"},
            "network settings of destination crm are invalid: proxy",
        ),
        ({"HOST": "crm.corp.example"}, "PASSWORD"),
    ):
        with pytest.raises(ConfigurationFault) as caught:
            create_connector(step, environ)
        assert said in caught.value.reason
        assert "s3cret" not in caught.value.reason


def test_files_are_looked_at_when_a_folder_is_validated_and_not_when_it_is_taken_up(tmp_path: Path) -> None:
    (tmp_path / "destinations").mkdir()
    file = tmp_path / "destinations" / "crm.yaml"
    file.write_text("type: http\nsettings:\n  url: https://crm.example.com/\nnetwork:\n  ca: /nowhere/ca.pem\n")
    with pytest.raises(InvalidConfig) as caught:
        operations.validate(tmp_path)
    assert str(caught.value) == f"{file}:5: network.ca: the file cannot be read: no such file or directory"
    network = {"ca": "/nowhere/ca.pem"}
    step = compile_document(Document.model_validate({"destinations": [{**PLAIN, "network": network}]}), 1).steps["crm"]
    with pytest.raises(ConfigurationFault, match=r"network\.ca: the file cannot be read"):
        create_connector(step, {})


@pytest.mark.parametrize(
    "user", ["leads:pw", "leads:${env:PASSWORD}", "${env:USER}:${file:/run/secrets/proxy}", "a@b:c"]
)
def test_a_way_without_credentials_says_nothing_of_who_we_are(user: str) -> None:
    whole = NetworkConfig(
        allow=["10.0.0.0/8"],
        proxy=f"http://{user}@proxy.corp.example:3128",
        ca="/etc/ca.pem",
        certificate="/etc/me.pem",
        key="/etc/me.key",
        key_password="${env:PASSWORD}",
    )
    bare = NetworkConfig(allow=["10.0.0.0/8"], proxy="http://proxy.corp.example:3128", ca="/etc/ca.pem")
    assert whole.without_credentials() == bare
