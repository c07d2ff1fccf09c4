from pathlib import Path

import pytest

from app.embedded.announcement import Stack, banner

STACK = Stack(
    database_url="postgresql://leadrelay@/leadrelay?host=%2Fsocket",
    broker_url="redis://:broker-secret@127.0.0.1:6379/0",
    api_url="http://127.0.0.1:8000",
    flower_url="http://127.0.0.1:5555",
    flower_user="operator",
    flower_password="flower-secret",
    sandbox_url="http://127.0.0.1:8100",
    api_key="key-secret",
    source="website",
)


@pytest.mark.parametrize("terminal", [True, False])
def test_banner_names_every_address(terminal: bool) -> None:  # noqa: FBT001  # a parameter of the test
    text = banner(STACK, Path("/home/ada/.leadrelay"), took_seconds=4.21, terminal=terminal)
    for words in ("ready", "4.2 s", "8000/docs", "127.0.0.1:5555", "user operator", "127.0.0.1:8100", "/v1/leads"):
        assert words in text


def test_terminal_gets_a_curl_line_that_works_as_it_stands() -> None:
    text = banner(STACK, Path("/home/ada/.leadrelay"), took_seconds=1, terminal=True)
    assert "Bearer key-secret" in text
    assert "/v1/leads?source=website'" in text
    assert "flower-secret" in text
    assert "broker-secret" not in text


def test_log_file_gets_no_secret_but_the_place_it_stands_in() -> None:
    text = banner(STACK, Path("/home/ada/.leadrelay"), took_seconds=1, terminal=False)
    assert "secret" not in text
    assert "/home/ada/.leadrelay/stack.json" in text
