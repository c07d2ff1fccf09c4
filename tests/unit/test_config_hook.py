"""`hook` of a source: what cannot be safe is refused when it is applied."""

import re
from typing import Any

import pytest
import yaml

from app.config.loading import load_document
from app.config.schema import Document
from app.errors import InvalidConfig
from tests.house.tree import ROOT

PUBLIC = "whpk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
CRM = {"name": "crm", "type": "http", "settings": {"url": "https://crm.example.com/"}}


def loaded(hook: dict[str, Any]) -> Document:
    given = {"secrets": ["${env:A}"], **hook}
    return load_document({"sources": [{"name": "web", "hook": given}], "destinations": [CRM]}).document


@pytest.mark.parametrize(
    "hook",
    [
        {},
        {"secrets": ["${env:A}", "${file:/run/secrets/b}"], "tolerance_seconds": 60},
        {"secrets": [PUBLIC, "${env:A}"]},
        {"takes": "feedback", "destination": "crm"},
        {"scheme": "hmac"},
        {"scheme": "hmac", "value": "t={{ timestamp }},v1={{ signature }}", "string": "{{ timestamp }}.{{ body }}"},
        {"scheme": "hmac", "id_header": "X-Id", "string": "{{ id }}{{ body_sha256 }}", "encoding": "base64"},
    ],
)
def test_a_hook_that_makes_sense_is_taken_and_stored_as_it_is(hook: dict[str, Any]) -> None:
    document = loaded(hook)
    assert Document.model_validate(document.model_dump(mode="json")) == document


def test_the_hooks_of_the_docs_would_be_applied() -> None:
    page = (ROOT / "docs/hooks.md").read_text(encoding="utf-8")
    found = [
        yaml.safe_load(block)["hook"] for block in re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    ]
    assert len(found) == 6
    for hook in found:
        load_document({"sources": [{"name": "web", "hook": hook}], "destinations": [{**CRM, "name": "acme"}]})


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ({"secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}, r"hook\.secrets\.0: a secret stands here in clear"),
        ({"secrets": ["${env:A}", "plain"]}, r"hook\.secrets\.1: a secret stands here in clear"),
        ({"secrets": ["whpk_abcd"]}, r"hook\.secrets\.0: whpk_ stands before a key of 32 bytes"),
        ({"secrets": []}, r"hook\.secrets"),
        ({"secrets": ["${env:A}"] * 3}, r"hook\.secrets"),
        ({"header": "X-Sign"}, "header is for scheme hmac"),
        ({"scheme": "hamc"}, r'hook\.scheme.*did you mean "hmac"'),
        ({"scheme": "hmac", "secrets": [PUBLIC]}, "is for scheme standard"),
        ({"scheme": "hmac", "header": "X Sign"}, "not a header name"),
        ({"scheme": "hmac", "string": "{{ timestamp }}"}, "the body is not signed"),
        ({"scheme": "hmac", "string": "{{ key }}{{ body }}"}, "there is no {{ key }} here"),
        ({"scheme": "hmac", "value": "v1"}, "the signature is missing"),
        ({"scheme": "hmac", "timestamp_header": "X-Time"}, "a timestamp that is not signed proves nothing"),
        ({"scheme": "hmac", "string": "{{ timestamp }}{{ body }}"}, "the timestamp, which comes nowhere"),
        ({"scheme": "hmac", "tolerance_seconds": 60}, "tolerance_seconds needs a timestamp"),
        ({"scheme": "hmac", "id_header": "X-Id"}, "an id that is not signed"),
        ({"scheme": "hmac", "string": "{{ id }}{{ body }}"}, "the id, which comes nowhere"),
        ({"scheme": "hmac", "id_header": "x-signature", "string": "{{ id }}{{ body }}"}, "must differ"),
        ({"takes": "feedback"}, "belong together"),
        ({"destination": "crm"}, "belong together"),
        (
            {"takes": "feedback", "destination": "crn"},
            r'hook\.destination: there is no destination.*did you mean "crm"',
        ),
    ],
)
def test_a_hook_that_makes_none_says_why_and_shows_no_secret(hook: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said) as refused:
        loaded(hook)
    assert "MfKQ9r8" not in str(refused.value)
    assert "plain" not in str(refused.value)
