"""A configuration compiled: settings are complained about beside secret references too, and never because of one."""

from collections.abc import Mapping
from typing import Any

import pytest

from app.catalog import compile_document
from app.config.schema import Document
from app.errors import InvalidConfig

URL = "https://buyer.example/leads"
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
