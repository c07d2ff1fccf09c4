"""A configuration compiled: settings are complained about beside secret references too, and never because of one."""

from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.catalog import compile_document, create_connector
from app.config.schema import Document
from app.errors import ConfigurationFault, InvalidConfig

URL = "https://buyer.example/leads"
RSA = (
    rsa.generate_private_key(public_exponent=65537, key_size=2048)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
TOKEN = {"bearer": {"token": "${env:TOKEN}"}}
LOGIN = {"host": "mail.example", "from": "a@example.com", "username": "ann", "password": "${env:PASSWORD}"}


def complaints(kind: str, settings: Mapping[str, Any]) -> list[str]:
    destination = {"name": "buyer", "type": kind, "settings": settings, "mapping": {"to": "ann@example.com"}}
    try:
        compile_document(Document.model_validate({"destinations": [destination]}), 1)
    except InvalidConfig as error:
        return [complaint.field for complaint in error.complaints]
    return []


@pytest.mark.parametrize(
    ("kind", "settings", "field"),
    [
        ("http", {"url": URL, "method": "GET", "auth": TOKEN}, "settings"),
        ("http", {"url": URL, "auth": {"basic": {"password": "${env:PASSWORD}"}}}, "settings.auth.basic.username"),
        ("email", {**LOGIN, "security": "none"}, "settings"),
        ("email", {key: value for key, value in LOGIN.items() if key != "host"}, "settings.host"),
    ],
)
def test_what_is_missing_or_does_not_fit_together_is_refused_beside_a_secret_reference(
    kind: str, settings: Mapping[str, Any], field: str
) -> None:
    assert complaints(kind, settings) == [f"destination buyer: {field}"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"bodi": "json"}, 'bodi: is not a known setting (did you mean "body"?)'),
        ({"auth": {"bearer": {"tokn": 1, "token": "${env:T}"}}}, "auth.bearer.tokn: is not a known setting"),
        ({"method": "PATSH"}, "method: must be 'GET', 'POST'"),
        ({"headers": {"a b": "x"}}, "headers.a b: not a header name (RFC 9110)"),
        ({"body": "xml", "xml_namespaces": {"a:b": "x"}}, "xml_namespaces.a:b: not a prefix"),
        ({"template": "x"}, "template: template is for body: text"),
        ({"idempotency_header": "Accept"}, "idempotency_header: this header"),
        ({"url": "ftp://x/"}, "url: not an absolute"),
    ],
)
def test_complaints_about_settings_are_written_as_all_others(settings: Mapping[str, Any], told: str) -> None:
    destination = {"name": "buyer", "type": "http", "settings": {"url": URL, **settings}}
    with pytest.raises(InvalidConfig) as caught:
        compile_document(Document.model_validate({"destinations": [destination]}), 1)
    [complaint] = map(str, caught.value.complaints)
    assert complaint.startswith(f"destination buyer: settings.{told}")
    assert "[key]" not in complaint


@pytest.mark.parametrize(
    ("algorithm", "secret", "told"),
    [
        (
            "HS256",
            "short-5f1c",
            "a secret for HS256 has 32 bytes at least (RFC 7518, 3.2), and this one is shorter: have the",
        ),
        (
            "ES256",
            RSA,
            "ES256 takes a key on the curve P-256; this is an RSA key: set algorithm to RS256, or give a key",
        ),
    ],
    ids=["HS256", "ES256"],
)
def test_a_key_that_does_not_fit_says_why_and_what_to_do(algorithm: str, secret: str, told: str) -> None:
    auth = {"jwt": {"algorithm": algorithm, "secret": "${env:KEY}"}}
    destination = {"name": "buyer", "type": "http", "settings": {"url": URL, "auth": auth}}
    step = compile_document(Document.model_validate({"destinations": [destination]}), 1).steps["buyer"]
    with pytest.raises(ConfigurationFault) as caught:
        create_connector(step, {"KEY": secret})
    assert f"settings of destination buyer are invalid: auth.jwt.secret: {told}" in caught.value.reason
    assert secret not in caught.value.reason


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("http", {"url": "${env:URL}", "standby": "${env:STANDBY}", "auth": TOKEN}),
        ("http", {"url": URL, "method": "${env:METHOD}", "xml_root": "${file:/run/secrets/root}"}),
        ("email", LOGIN),
    ],
)
def test_a_reference_in_place_of_a_value_is_let_through(kind: str, settings: Mapping[str, Any]) -> None:
    assert complaints(kind, settings) == []


def test_response_rule_that_cannot_be_compiled_is_complained_about_in_its_place() -> None:
    destination = {
        "name": "a",
        "type": "http",
        "settings": {"url": URL},
        "response": {"capture": {"x": {"regex": "("}}},
    }
    with pytest.raises(InvalidConfig) as caught:
        compile_document(Document.model_validate({"destinations": [destination]}), 1)
    assert [one.field for one in caught.value.complaints] == ["destination a: response.capture.x.regex"]
