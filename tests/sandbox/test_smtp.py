"""The mail sink keeps messages, recognises repeats and refuses as mail servers do."""

import smtplib
import ssl
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any

import pytest
import requests

from app.sandbox import Running
from app.sandbox.smtp import PASSWORD, USER


@pytest.fixture
def client(sandbox: Running) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP(sandbox.host, sandbox.smtp_port, timeout=5) as connection:
        yield connection


def compose(message_id: str = "<k1@example.org>", to: str = "sales@example.com") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "leads@example.org"
    message["To"] = to
    message["Subject"] = "Grüße von Ann"
    message["Message-ID"] = message_id
    message.set_content("A new lead: Ann Lee\n")
    message.add_alternative("<p>A new lead</p>", subtype="html")
    message.add_attachment(b"a,b\n", maintype="text", subtype="csv", filename="lead.csv")
    return message


def kept(sandbox: Running) -> list[dict[str, Any]]:
    receipts: list[dict[str, Any]] = requests.get(f"{sandbox.url}/api/receipts?target=smtp", timeout=5).json()[
        "receipts"
    ]
    return receipts


def test_message_is_kept_with_its_parts(sandbox: Running, client: smtplib.SMTP) -> None:
    assert client.send_message(compose()) == {}
    (receipt,) = kept(sandbox)
    assert receipt["key"] == "k1"
    for wanted in (
        '"from":"leads@example.org"',
        '"to":["sales@example.com"]',
        '"subject":"Grüße von Ann"',
        "A new lead: Ann Lee",
        '"attachments":["lead.csv"]',
        '"message_id":"<k1@example.org>"',
    ):
        assert wanted in receipt["body"]


def test_same_message_id_is_a_repeat_with_the_same_digest(
    sandbox: Running, client: smtplib.SMTP, count: Callable[[str], dict[str, int]]
) -> None:
    client.send_message(compose())
    client.send_message(compose())  # built anew: other MIME boundaries
    assert [receipt["repeat"] for receipt in kept(sandbox)] == [True, False]
    assert len({receipt["digest"] for receipt in kept(sandbox)}) == 1
    assert count("smtp")["unique_keys"] == 1


def test_starttls_with_the_published_certificate_and_login(sandbox: Running, client: smtplib.SMTP) -> None:
    pem = requests.get(f"{sandbox.url}/api/smtp/certificate.pem", timeout=5).text
    client.starttls(context=ssl.create_default_context(cadata=pem))
    client.login(USER, PASSWORD)
    assert client.send_message(compose()) == {}
    assert len(kept(sandbox)) == 1


@pytest.mark.parametrize("mechanism", ["auth_plain", "auth_login"])
def test_wrong_password_is_refused(client: smtplib.SMTP, mechanism: str) -> None:
    client.ehlo()
    client.user, client.password = USER, "wrong"
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        client.auth(mechanism.removeprefix("auth_").upper(), getattr(client, mechanism))
    assert refused.value.smtp_code == 535


@pytest.mark.filterwarnings(
    "ignore:Requiring AUTH while not requiring TLS"
)  # aiosmtpd's; tests without TLS may want it
def test_login_can_be_required(sandbox: Running, wreck: Callable[..., None]) -> None:
    wreck("smtp", require_auth=True)
    with smtplib.SMTP(sandbox.host, sandbox.smtp_port, timeout=5) as connection:
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            connection.send_message(compose())
        assert refused.value.smtp_code == 530
        connection.login(USER, PASSWORD)
        assert connection.send_message(compose()) == {}


@pytest.mark.parametrize("status", [451, 550])
def test_message_is_refused_with_the_code_asked_for_and_not_kept(
    sandbox: Running, client: smtplib.SMTP, wreck: Callable[..., None], status: int
) -> None:
    wreck("smtp", error_rate=1, status=status)
    with pytest.raises(smtplib.SMTPDataError) as refused:
        client.send_message(compose())
    assert refused.value.smtp_code == status
    assert kept(sandbox) == []


def test_rate_limit_is_a_transient_reply(client: smtplib.SMTP, wreck: Callable[..., None]) -> None:
    wreck("smtp", rate_limit={})
    with pytest.raises(smtplib.SMTPDataError) as refused:
        client.send_message(compose())
    assert refused.value.smtp_code == 450


def test_some_recipients_may_be_refused(sandbox: Running, client: smtplib.SMTP, wreck: Callable[..., None]) -> None:
    wreck("smtp", refuse_recipients=["Gone@example.com"])
    refused = client.send_message(compose(to="sales@example.com, gone@example.com"))
    assert refused["gone@example.com"][0] == 550
    assert '"to":["sales@example.com"]' in kept(sandbox)[0]["body"]


def test_rejected_message_is_kept_as_rejected(
    client: smtplib.SMTP, wreck: Callable[..., None], count: Callable[[str], dict[str, int]]
) -> None:
    wreck("smtp", reject_rate=1, reject_reason="spam")
    with pytest.raises(smtplib.SMTPDataError, match="spam"):
        client.send_message(compose())
    assert count("smtp")["rejected"] == 1


def test_reset_after_receipt_keeps_the_message_and_drops_the_connection(
    client: smtplib.SMTP, wreck: Callable[..., None], count: Callable[[str], dict[str, int]]
) -> None:
    wreck("smtp", reset_after_receive_rate=1)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        client.send_message(compose())
    assert count("smtp")["accepted"] == 1
    assert count("smtp")["faults"] == 1


def test_refused_credentials_refuse_login_and_mail(client: smtplib.SMTP, wreck: Callable[..., None]) -> None:
    wreck("smtp", unauthorized=True)
    with pytest.raises(smtplib.SMTPAuthenticationError):
        client.login(USER, PASSWORD)
    with pytest.raises(smtplib.SMTPSenderRefused):
        client.send_message(compose())


def test_latency_delays_the_reply(client: smtplib.SMTP, wreck: Callable[..., None]) -> None:
    wreck("smtp", latency_seconds=0.2)
    begun = time.monotonic()
    client.send_message(compose())
    assert time.monotonic() - begun >= 0.2
