"""Settings without their secrets: every reference has a stand-in that is taken where it stands, and comes back as written."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from app.config.standin import StandIns
from app.connectors._http.settings import HttpSettings
from app.connectors.email.settings import EmailSettings
from app.connectors.webhook.settings import WebhookSettings
from app.errors import ConfigurationFault


class Narrow(BaseModel):
    few: int = Field(le=10)
    any: str


HTTP: list[dict[str, Any]] = [
    {"url": "${env:URL}"},
    {"url": "${env:URL}/leads?a=1"},
    {"url": "https://${env:HOST}/leads/${file:/run/secrets/path}"},
    {"url": "https://${env:HOST}:${env:PORT}/"},
    {"endpoints": [{"url": "${env:A}"}, {"url": "${env:B}"}], "standby": "${env:C}"},
    {"url": "https://a.example", "headers": {"X-A": "${env:A}", "X-B": "b ${env:B} ${env:A}"}},
    {"url": "https://a.example", "auth": {"basic": {"username": "${env:USER}", "password": "${env:PASSWORD}"}}},
    {"url": "https://a.example", "auth": {"api_key": {"name": "key", "value": "${env:KEY}", "in": "query"}}},
    {"url": "https://a.example", "auth": {"jwt": {"secret": "${file:/run/secrets/key.pem}"}}},
    {"url": "https://a.example", "auth": {"jwt": {"algorithm": "ES256", "secret": "${file:/run/secrets/key.pem}"}}},
    {"url": "https://a.example", "auth": {"jwt": {"algorithm": "HS256", "secret": "${env:SECRET}"}}},
    {"url": "https://a.example", "auth": {"hmac": {"secret": "${env:SECRET}", "secret_encoding": "hex"}}},
    {"url": "https://a.example", "auth": {"hmac": {"secret": "${env:SECRET}", "secret_encoding": "base64"}}},
    {
        "url": "https://a.example",
        "auth": {
            "oauth2": {
                "token_url": "${env:TOKEN_URL}",
                "grant": "jwt_bearer",
                "assertion": {"private_key": "${file:/run/secrets/key.pem}", "issuer": "${env:ISSUER}"},
            }
        },
    },
    {"url": "https://a.example", "check_url": "${env:CHECK}", "xml_root": "${env:ROOT}"},
]


@pytest.mark.parametrize("given_", HTTP)
def test_http_settings_are_held_without_any_secret(given_: dict[str, Any]) -> None:
    stand_ins = StandIns()
    made = stand_ins.settings(HttpSettings, given_).model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert "${" not in str(made)
    texts = str(stand_ins.put_back(made))
    for reference in ("${env:URL}", "${env:HOST}", "${env:A}", "${env:B}", "${file:/run/secrets/path}"):
        assert (reference in texts) == (reference in str(given_))


def test_mailboxes_and_ports_have_stand_ins_too() -> None:
    stand_ins = StandIns()
    made = stand_ins.settings(
        EmailSettings,
        {"host": "${env:HOST}", "port": "${env:PORT}", "from": "Leads <${env:FROM}>", "to": ["${env:TO}"]},
    )
    assert isinstance(made.port, int)
    shown = stand_ins.put_back({"at": f"{made.host}:{made.port}", "from": made.sender, "to": made.to})
    assert shown == {"at": "${env:HOST}:${env:PORT}", "from": "Leads <${env:FROM}>", "to": ["${env:TO}"]}


def test_the_host_of_an_address_that_is_a_reference_is_told_as_such() -> None:
    stand_ins = StandIns()
    url = stand_ins.settings(HttpSettings, {"url": "${env:URL}/leads"}).url or ""
    host = url.partition("://")[2].partition("/")[0]
    shown = stand_ins.put_back({"url": url, "Host": host})
    assert shown == {"url": "${env:URL}/leads", "Host": "host of ${env:URL}"}


def test_each_signing_secret_of_a_webhook_has_a_stand_in_of_its_own() -> None:
    made = StandIns().settings(WebhookSettings, {"url": "${env:URL}", "secrets": ["${env:NEW}", "${env:OLD}"]})
    assert len(set(made.signed_with())) == 2


def test_a_value_that_nothing_can_stand_for_is_left_out_or_named() -> None:
    made = StandIns().settings(HttpSettings, {"url": "https://a.example", "method": "${env:METHOD}"})
    assert made.method == "POST"
    with pytest.raises(ConfigurationFault, match=r"^settings\.few: nothing can be shown without"):
        StandIns().settings(Narrow, {"few": "${env:FEW}", "any": "${env:ANY}"})


@settings(deadline=None)
@given(text=st.text(), values=st.dictionaries(st.text(max_size=5), st.text() | st.integers() | st.none(), max_size=3))
def test_what_is_no_stand_in_stays_as_it_is(text: str, values: dict[str, Any]) -> None:
    stand_ins = StandIns()
    stand_ins.settings(HttpSettings, HTTP[3])
    assert stand_ins.put_back([text, values]) == [text, values]
