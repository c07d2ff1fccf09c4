"""Secrets by reference: resolved in memory, never stored in clear, never told."""

from pathlib import Path
from typing import Any

import pytest

from app.config.secrets import clear_secrets, looks_like_secret, references, resolve
from app.errors import ConfigurationFault

ENVIRON = {"TOKEN": "s3cret", "HOST": "crm.example.com"}


def test_references_are_resolved_anywhere_in_nested_settings(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    settings = {
        "url": "https://${env:HOST}/leads",
        "headers": {"Authorization": "Bearer ${env:TOKEN}"},
        "list": [f"${{file:{file}}}", 5, None, True],
    }
    assert resolve(settings, environ=ENVIRON) == {
        "url": "https://crm.example.com/leads",
        "headers": {"Authorization": "Bearer s3cret"},
        "list": ["hunter2", 5, None, True],
    }
    assert settings["url"] == "https://${env:HOST}/leads"


def test_value_of_a_secret_is_not_resolved_again() -> None:
    assert resolve("${env:A}", environ={"A": "${env:B}", "B": "x"}) == "${env:B}"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("${env:MISSING}", "${env:MISSING}: there is no such environment variable"),
        ("${file:/nowhere/at/all}", "${file:/nowhere/at/all}: the file cannot be read"),
        ("${file:relative}", "must be absolute"),
        ("${file:/}", "cannot be read"),
        ("${evn:TOKEN}", "is no reference"),
        ("${env:}", "is no reference"),
    ],
)
def test_reference_that_leads_nowhere_is_a_configuration_fault_naming_it(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationFault) as fault:
        resolve({"a": [text]}, environ=ENVIRON)
    assert complaint in fault.value.reason


def test_file_too_long_to_be_a_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big").write_text("x" * 70_000)
    with pytest.raises(ConfigurationFault, match="longer than"):
        resolve(f"${{file:{tmp_path / 'big'}}}", environ={})


def test_references_are_listed_as_written() -> None:
    assert references({"a": "${env:A}-${env:B}", "b": [{"c": "${file:/run/secrets/c}"}], "d": 1, "e": "$env"}) == [
        "${env:A}",
        "${env:B}",
        "${file:/run/secrets/c}",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("password", "x"),
        ("smtp_password", "x"),
        ("clientSecret", "x"),
        ("api_key", "x"),
        ("apiKey", "x"),
        ("X-Api-Key", "x"),
        ("Authorization", "Bearer x"),
        ("access_token", "x"),
        ("private_key", "-----BEGIN"),
        ("secrets", "x"),
        ("url", "https://user:pass@example.com"),
    ],
)
def test_secret_in_clear_is_recognised(name: str, value: str) -> None:
    assert looks_like_secret(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("password", "${env:TOKEN}"),
        ("Authorization", "Bearer ${file:/run/secrets/t}"),
        ("password", ""),
        ("password", None),
        ("token_url", "https://example.com/token"),
        ("secret_encoding", "base64"),
        ("api_key_header", "X-Key"),
        ("key", "id"),
        ("tokens", "x"),
        ("url", "https://example.com/@user"),
        ("url", "https://user@example.com"),
        ("url", "https://u:${env:P}@example.com"),
    ],
)
def test_what_is_no_secret_in_clear_is_let_be(name: str, value: Any) -> None:
    assert not looks_like_secret(name, value)


def test_paths_of_clear_secrets_are_told_and_not_their_values() -> None:
    settings = {"auth": {"type": "basic", "password": "x"}, "headers": [{"token": "y"}], "secret": ["z"], "user": "u"}
    assert clear_secrets(settings) == ["auth.password", "headers.0.token", "secret.0"]
