"""The email connector against real SMTP servers on ephemeral ports."""

import asyncio
import base64
import datetime as dt
import email
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from email import policy
from email.message import EmailMessage
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import requests
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from app.config.schema import LimitsConfig
from app.connectors.email import EmailConnector
from app.connectors.email.settings import EmailSettings
from app.errors import ConfigurationFault, DataFault, DeliveryFault, PermanentFault, TransientFault
from app.model import Item, Outcome, Result
from app.sandbox import Running, running
from app.sandbox.smtp import PASSWORD, USER
from tests.connectors.contract import ConnectorContract, Stage
from tests.connectors.fault_server import closed_port
from tests.connectors.scripted import connections_to

KEY = "01931b6a-0000-7000-8000-000000000001"
PAYLOAD = {"to": "ann@example.com", "subject": "A lead", "text": "Hello"}


class Mailroom:
    """An aiosmtpd handler that keeps what arrives and answers what a test tells it to."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []
        self.peers: set[Any] = set()
        self.refuse_sender: str | None = None
        self.refuse_recipients: dict[str, str] = {}
        self.answer = "250 2.0.0 Ok: queued as 4bXyZ12345"
        self.hang_up_after_data = False
        self.break_off_soon = False
        self.stall = False

    async def handle_MAIL(  # noqa: N802  # aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self.stall:
            await asyncio.sleep(60)
        if self.refuse_sender:
            return self.refuse_sender
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        if address in self.refuse_recipients:
            return self.refuse_recipients[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  # aiosmtpd's name
        self.envelopes.append(envelope)
        self.peers.add(session.peer)
        if self.hang_up_after_data:
            server.transport.abort()
        if self.break_off_soon:
            server.loop.call_later(0.05, server.transport.abort)
        return self.answer

    def message(self) -> EmailMessage:
        return email.message_from_bytes(self.envelopes[-1].original_content, policy=policy.SMTP)


Start = Callable[..., Controller]


@pytest.fixture
def mailroom() -> Mailroom:
    return Mailroom()


@pytest.fixture
def start(mailroom: Mailroom) -> Iterator[Start]:
    running: list[Controller] = []

    def begin(**options: Any) -> Controller:
        controller = Controller(mailroom, hostname="127.0.0.1", port=closed_port(), **options)
        controller.start()
        running.append(controller)
        return controller

    yield begin
    for controller in running:
        controller.stop(no_assert=True)


Connect = Callable[..., EmailConnector]


def build(port: int, limits: LimitsConfig, **settings: Any) -> EmailConnector:
    given = {"host": "127.0.0.1", "port": port, "security": "none", "from": "Leads <leads@example.org>", **settings}
    return EmailConnector("mail", EmailSettings.model_validate(given), limits=limits)


@pytest.fixture
def connect() -> Iterator[Connect]:
    made: list[EmailConnector] = []

    def begin(port: int, *, timeout_seconds: float = 5.0, **settings: Any) -> EmailConnector:
        made.append(build(port, LimitsConfig(concurrency=4, timeout_seconds=timeout_seconds), **settings))
        return made[-1]

    yield begin
    for connector in made:
        connector.close()


def item(payload: dict[str, Any] | None = None, *, key: str = KEY, seconds: float = 10.0) -> Item:
    return Item(payload=PAYLOAD if payload is None else payload, key=key, attempt=1, deadline=monotonic() + seconds)


@pytest.fixture
def plain(start: Start, connect: Connect) -> EmailConnector:
    return connect(start().port)


# --- what arrives -------------------------------------------------------------------------------------------------


def test_message_arrives_with_the_servers_queue_id_as_reference(plain: EmailConnector, mailroom: Mailroom) -> None:
    outcome = plain.deliver(item())
    assert outcome.result is Result.SUCCESS
    assert outcome.reference == "4bXyZ12345"
    assert mailroom.envelopes[0].rcpt_tos == ["ann@example.com"]
    assert mailroom.message()["From"] == "Leads <leads@example.org>"
    assert mailroom.message()["Subject"] == "A lead"
    assert mailroom.message().get_content().strip() == "Hello"


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("250 OK id=1rX2yZ-0000AB-1x", "1rX2yZ-0000AB-1x"),
        ("250 2.6.0 <x@y> [InternalId=4398046511104, Hostname=a.b] Queued mail for delivery", "4398046511104"),
        ("250 2.0.0 3AN9xk2V012345 Message accepted for delivery", "3AN9xk2V012345"),
        ("250 Ok 0100018f3c2a9d11-0a1b2c3d-000000", "0100018f3c2a9d11-0a1b2c3d-000000"),
        ("250 Message accepted for delivery", None),
    ],
)
def test_reference_is_read_from_the_words_of_common_servers(
    plain: EmailConnector, mailroom: Mailroom, answer: str, reference: str | None
) -> None:
    mailroom.answer = answer
    assert plain.deliver(item()).reference == reference


def test_message_id_is_the_same_on_every_retry(plain: EmailConnector, mailroom: Mailroom) -> None:
    seen = set()
    for _ in range(2):
        plain.deliver(item())
        seen.add(str(mailroom.message()["Message-ID"]))
    assert seen == {f"<{KEY}@example.org>"}


def test_text_html_and_attachments_arrive_as_written(plain: EmailConnector, mailroom: Mailroom) -> None:
    files = [{"filename": "läad.csv", "content": "name\nJosé", "content_type": "text/csv"}, {"content": 7}]
    plain.deliver(item({**PAYLOAD, "text": "Grüße\n.\n..x", "html": "<p>Grüße</p>", "attachments": files}))
    text = mailroom.message().get_body(("plain",))
    html = mailroom.message().get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().splitlines() == ["Grüße", ".", "..x"]
    assert html.get_content().strip() == "<p>Grüße</p>"
    first, second = mailroom.message().iter_attachments()
    assert (first.get_filename(), first.get_content_type(), first.get_content()) == (
        "läad.csv",
        "text/csv",
        "name\nJosé",
    )
    assert (second.get_filename(), second.get_content()) == ("attachment-2", "7")


@pytest.mark.parametrize("body", ["." + "x" * 3000 + "\n.\n..", "é" * 2000 + "\n.", ".\n" * 50])
def test_long_lines_and_dots_survive_the_wire(plain: EmailConnector, mailroom: Mailroom, body: str) -> None:
    plain.deliver(item({**PAYLOAD, "text": body}))
    assert mailroom.message().get_content().splitlines() == body.splitlines()
    assert max(map(len, mailroom.envelopes[0].original_content.splitlines())) <= 998


def test_copies_go_out_and_blind_ones_stay_unseen(start: Start, connect: Connect, mailroom: Mailroom) -> None:
    connector = connect(start().port, to=["default@example.com"], cc=["c@example.com"], bcc=["b@example.com"])
    connector.deliver(item({"subject": "s", "text": "t"}))
    assert mailroom.envelopes[0].rcpt_tos == ["default@example.com", "c@example.com", "b@example.com"]
    assert b"b@example.com" not in mailroom.envelopes[0].original_content


def test_international_domain_goes_out_in_ascii(plain: EmailConnector, mailroom: Mailroom) -> None:
    plain.deliver(item({**PAYLOAD, "to": "ann@bücher.example"}))
    assert mailroom.envelopes[0].rcpt_tos == ["ann@xn--bcher-kva.example"]


def test_international_local_part_uses_smtputf8(start: Start, connect: Connect, mailroom: Mailroom) -> None:
    connect(start(enable_SMTPUTF8=True).port).deliver(item({**PAYLOAD, "to": "änn@bücher.example"}))
    assert mailroom.envelopes[0].rcpt_tos == ["änn@xn--bcher-kva.example"]


def test_international_local_part_without_smtputf8_is_a_data_fault(start: Start, connect: Connect) -> None:
    connector = connect(start(enable_SMTPUTF8=False).port)
    with pytest.raises(DataFault, match="SMTPUTF8"):
        connector.deliver(item({**PAYLOAD, "to": "änn@example.com"}))


# --- what a lead may not do ---------------------------------------------------------------------------------------

BREAKS = ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\0"]


@pytest.mark.parametrize("line_break", BREAKS)
@pytest.mark.parametrize("name", ["subject", "to", "reply_to", "attachments.0.filename", "attachments.0.content_type"])
def test_line_break_never_adds_a_header(plain: EmailConnector, mailroom: Mailroom, name: str, line_break: str) -> None:
    bad = f"x@example.com{line_break}Bcc: evil@example.com"
    payload: dict[str, Any] = {**PAYLOAD, name: bad}
    if name.startswith("attachments"):
        payload = {**PAYLOAD, "attachments": [{"content": "x", name.rpartition(".")[2]: bad}]}
    with pytest.raises(DataFault) as fault:
        plain.deliver(item(payload))
    assert fault.value.reason.startswith(name)
    assert "evil" not in str(fault.value)
    assert mailroom.envelopes == []


@pytest.mark.parametrize("address", ["a@example.com, b@example.com", "nobody", "", "a b@example.com", "a@[127.0.0.1]"])
def test_invalid_address_is_named_by_property_and_not_repeated(
    plain: EmailConnector, mailroom: Mailroom, address: str
) -> None:
    with pytest.raises(DataFault) as fault:
        plain.deliver(item({**PAYLOAD, "to": ["ok@example.com", address]}))
    assert str(fault.value) == "to.1: not one valid e-mail address"
    assert mailroom.envelopes == []


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"subject": "s", "text": "t"}, "to: no recipient"),
        ({"to": "a@example.com"}, "neither text nor html"),
        ({**PAYLOAD, "text": {"a": 1}}, "text: not a single value"),
        ({**PAYLOAD, "text": "\ud800"}, "text: holds a broken character"),
        ({**PAYLOAD, "attachments": [{"content": "x", "content_type": "message/rfc822"}]}, "content_type"),
    ],
)
def test_unusable_lead_is_a_data_fault_that_names_the_property(
    plain: EmailConnector, payload: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataFault, match=words):
        plain.deliver(item(payload))


@pytest.mark.parametrize(
    "payload",
    [{**PAYLOAD, "sbject": "s"}, {**PAYLOAD, "attachments": "x"}, {**PAYLOAD, "attachments": [{"name": "x"}]}],
)
def test_unknown_property_is_a_configuration_fault(plain: EmailConnector, payload: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationFault):
        plain.deliver(item(payload))


# --- how replies are classed --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("451 4.3.0 try later", TransientFault),
        ("552 5.3.4 too big", PermanentFault),
        ("554 5.7.1 looks like spam", PermanentFault),
        ("530 5.7.0 authentication required", ConfigurationFault),
    ],
)
def test_reply_to_the_message_decides_the_fault(
    plain: EmailConnector, mailroom: Mailroom, answer: str, kind: type[DeliveryFault]
) -> None:
    mailroom.answer = answer
    with pytest.raises(kind) as fault:
        plain.deliver(item())
    assert not fault.value.ambiguous
    assert fault.value.transcript is not None
    assert fault.value.transcript["response"]["code"] == int(answer[:3])


def test_refused_recipient_is_permanent_and_its_address_is_masked(plain: EmailConnector, mailroom: Mailroom) -> None:
    mailroom.refuse_recipients = {"ann@example.com": "550 5.1.1 <ann@example.com>: no such user"}
    with pytest.raises(PermanentFault) as fault:
        plain.deliver(item())
    assert str(fault.value) == "recipient refused: 550 5.1.1 <***>: no such user"


def test_greylisted_recipient_is_transient(plain: EmailConnector, mailroom: Mailroom) -> None:
    mailroom.refuse_recipients = {"ann@example.com": "451 4.7.1 greylisted", "b@example.com": "550 no such user"}
    with pytest.raises(TransientFault):
        plain.deliver(item({**PAYLOAD, "to": ["ann@example.com", "b@example.com"]}))


def test_partly_refused_recipients_are_a_success_that_tells(plain: EmailConnector, mailroom: Mailroom) -> None:
    mailroom.refuse_recipients = {"b@example.com": "550 5.1.1 no such user"}
    outcome = plain.deliver(item({**PAYLOAD, "to": ["ann@example.com", "b@example.com"]}))
    assert outcome.result is Result.SUCCESS
    assert outcome.reason == "1 of 2 recipients refused"
    assert outcome.captured is not None
    assert outcome.captured["refused"] == [{"address": "b@example.com", "code": 550, "text": "5.1.1 no such user"}]


def test_refused_sender_is_a_configuration_fault(plain: EmailConnector, mailroom: Mailroom) -> None:
    mailroom.refuse_sender = "550 5.7.1 sender not allowed"
    with pytest.raises(ConfigurationFault, match="sender refused"):
        plain.deliver(item())


def test_answer_lost_after_the_message_is_ambiguous(plain: EmailConnector, mailroom: Mailroom) -> None:
    mailroom.hang_up_after_data = True
    with pytest.raises(TransientFault) as fault:
        plain.deliver(item())
    assert fault.value.ambiguous
    assert len(mailroom.envelopes) == 1


def test_refused_connection_is_transient_and_says_where(connect: Connect) -> None:
    port = closed_port()
    with pytest.raises(TransientFault) as fault:
        connect(port).deliver(item())
    assert str(fault.value) == f"cannot connect to 127.0.0.1:{port}: connection refused"
    assert not fault.value.ambiguous


def test_unknown_host_is_transient(connect: Connect) -> None:
    with pytest.raises(TransientFault, match=r"cannot connect to no-such-host\.invalid:25"):
        connect(25, host="no-such-host.invalid").deliver(item())


# --- time ---------------------------------------------------------------------------------------------------------


def test_trickling_server_is_left_at_the_deadline() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        stop = threading.Event()

        def trickle() -> None:
            peer, _ = listener.accept()
            with peer:
                while not stop.wait(0.05):
                    try:
                        peer.sendall(b"2")
                    except OSError:
                        return

        server = threading.Thread(target=trickle)
        server.start()
        settings = {"host": "127.0.0.1", "port": listener.getsockname()[1], "security": "none", "from": "a@example.org"}
        connector = EmailConnector(
            "mail", EmailSettings.model_validate(settings), limits=LimitsConfig(timeout_seconds=0.4)
        )
        begun = monotonic()
        with pytest.raises(TransientFault, match="did not answer in time"):
            connector.deliver(item())
        took = monotonic() - begun
        stop.set()
        server.join()
        connector.close()
    assert 0.3 < took < 1.5


def test_items_own_deadline_is_kept(connect: Connect) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        begun = monotonic()
        with pytest.raises(TransientFault):
            connect(listener.getsockname()[1], timeout_seconds=30).deliver(item(seconds=0.3))
        assert monotonic() - begun < 1.5


def test_silent_server_is_left_at_the_deadline_on_a_kept_connection_too(
    plain: EmailConnector, mailroom: Mailroom
) -> None:
    plain.deliver(item())
    mailroom.stall = True
    begun = monotonic()
    with pytest.raises(TransientFault, match="before the message") as fault:
        plain.deliver(item(seconds=0.3))
    assert monotonic() - begun < 1.5
    assert not fault.value.ambiguous


# --- connections --------------------------------------------------------------------------------------------------


def test_connection_is_reused_also_after_a_refusal(plain: EmailConnector, mailroom: Mailroom) -> None:
    plain.deliver(item())
    mailroom.answer = "554 no"
    with pytest.raises(PermanentFault):
        plain.deliver(item())
    mailroom.answer = "250 OK"
    plain.deliver(item())
    assert len(mailroom.peers) == 1


def test_connection_the_server_closed_is_replaced_unnoticed(plain: EmailConnector, mailroom: Mailroom) -> None:
    mailroom.break_off_soon = True
    plain.deliver(item())
    threading.Event().wait(0.2)  # the server hangs up 50 ms after its answer; nothing tells us that it has
    assert plain.deliver(item()).result is Result.SUCCESS
    assert len(mailroom.peers) == 2


def test_idle_connection_is_not_kept_longer_than_set(start: Start, connect: Connect, mailroom: Mailroom) -> None:
    connector = connect(start().port, idle_seconds=0)
    connector.deliver(item())
    connector.deliver(item())
    assert len(mailroom.peers) == 2


def test_threads_share_few_connections_and_each_message_arrives_once(plain: EmailConnector, mailroom: Mailroom) -> None:
    items = [item(key=f"key-{number}") for number in range(40)]
    sent = plain.deliver_many(items, until=monotonic() + 10)
    assert all(isinstance(one.answer, Outcome) for one in sent)
    arrived = sorted(str(email.message_from_bytes(each.original_content)["Message-ID"]) for each in mailroom.envelopes)
    assert arrived == sorted(f"<key-{number}@example.org>" for number in range(40))
    assert len(mailroom.peers) <= 4


def test_close_returns_the_sockets(plain: EmailConnector) -> None:
    plain.deliver(item())
    (kept,) = plain._idle
    plain.close()
    assert kept.sock is None
    assert plain._idle == []


# --- against the sandbox's mail server ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    with running() as place:
        yield place


@pytest.mark.parametrize(
    ("plan", "kind"),
    [
        ({"error_rate": 1.0, "status": 554}, PermanentFault),
        ({"rate_limit": {}}, TransientFault),
        ({"reject_rate": 1.0}, PermanentFault),
        ({"refuse_recipients": ["ann@example.com"]}, PermanentFault),
    ],
)
def test_faults_of_the_sandbox_are_classed(
    sandbox: Running, connect: Connect, plan: dict[str, Any], kind: type[DeliveryFault]
) -> None:
    requests.put(f"{sandbox.url}/api/faults/smtp", json=plan, timeout=5).raise_for_status()
    with pytest.raises(kind) as fault:
        connect(sandbox.smtp_port).deliver(item(seconds=0.5))
    assert not fault.value.ambiguous
    assert fault.value.transcript is not None


class SandboxMail(Stage):
    """The sandbox's mail server as the contract wants it: over STARTTLS, with a login."""

    payload = {**PAYLOAD, "subject": "Lead of Jane Roe", "text": "Jane Roe, please call"}  # noqa: RUF012  # as declared
    poison = {**payload, "to": "jane roe at example.com"}  # noqa: RUF012  # as declared
    secrets = (PASSWORD, base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode())

    def __init__(self, sandbox: Running, certificate: Path) -> None:
        self._sandbox = sandbox
        self._certificate = certificate

    def connector(self, limits: LimitsConfig) -> EmailConnector:
        login = {"username": USER, "password": PASSWORD, "security": "starttls", "ca_file": self._certificate}
        return build(self._sandbox.smtp_port, limits, **login)

    def unreachable(self, limits: LimitsConfig) -> EmailConnector:
        return build(closed_port(), limits)

    def succeed(self) -> None:
        self._ask_for()

    def reject(self) -> None:
        pytest.skip("a mail server knows no business rejection: its 5xx replies are permanent faults")

    def fail(self) -> None:
        self._ask_for(error_rate=1.0)

    def refuse_credentials(self) -> None:
        self._ask_for(unauthorized=True)

    def hang(self) -> None:
        self._ask_for(hang_rate=1.0)

    def vanish(self) -> None:
        self._ask_for(reset_after_receive_rate=1.0)

    def keys(self) -> Sequence[str]:
        kept = requests.get(f"{self._sandbox.url}/api/receipts?target=smtp", timeout=5).json()["receipts"]
        return [receipt["key"] for receipt in reversed(kept)]

    def connections(self) -> int:
        return connections_to(self._sandbox.smtp_port)

    def _ask_for(self, **plan: Any) -> None:
        requests.put(f"{self._sandbox.url}/api/faults/smtp", json=plan, timeout=5).raise_for_status()


class TestContract(ConnectorContract):
    @pytest.fixture
    def stage(self, sandbox: Running, tmp_path: Path) -> SandboxMail:
        requests.delete(f"{sandbox.url}/api/receipts", timeout=5).raise_for_status()
        path = tmp_path / "sandbox.pem"
        path.write_text(requests.get(f"{sandbox.url}/api/smtp/certificate.pem", timeout=5).text)
        return SandboxMail(sandbox, path)


# --- TLS and login ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1 with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + built.public_bytes(serialization.Encoding.PEM))
    return path


def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def only_the_right_password(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=data.password == b"right", handled=False)


@pytest.fixture
def guarded(start: Start, certificate: Path) -> Controller:
    """Offers STARTTLS and wants a login over it."""
    return start(
        tls_context=server_tls(certificate),
        require_starttls=True,
        auth_required=True,
        authenticator=only_the_right_password,
    )


def test_starttls_and_login_deliver(
    guarded: Controller, connect: Connect, certificate: Path, mailroom: Mailroom
) -> None:
    connector = connect(
        guarded.port, security="starttls", ca_file=certificate, username="u", password="right", ehlo_name="relay.test"
    )
    connector.check()
    outcome = connector.deliver(item())
    assert outcome.result is Result.SUCCESS
    assert "right" not in str(outcome.transcript)
    assert len(mailroom.peers) == 1


def test_wrong_password_is_a_configuration_fault(guarded: Controller, connect: Connect, certificate: Path) -> None:
    connector = connect(guarded.port, security="starttls", ca_file=certificate, username="u", password="wrong")
    with pytest.raises(ConfigurationFault, match="login refused: 535"):
        connector.check()


def test_missing_login_is_a_configuration_fault(guarded: Controller, connect: Connect, certificate: Path) -> None:
    with pytest.raises(ConfigurationFault, match="530"):
        connect(guarded.port, security="starttls", ca_file=certificate).deliver(item())


def test_unknown_certificate_is_a_configuration_fault(guarded: Controller, connect: Connect) -> None:
    with pytest.raises(ConfigurationFault, match="certificate"):
        connect(guarded.port, security="starttls").check()


def test_server_without_starttls_is_a_configuration_fault(start: Start, connect: Connect) -> None:
    with pytest.raises(ConfigurationFault, match="STARTTLS"):
        connect(start().port, security="starttls").check()


def test_tls_from_the_first_byte_delivers(start: Start, connect: Connect, certificate: Path) -> None:
    controller = start(ssl_context=server_tls(certificate))
    assert connect(controller.port, security="tls", ca_file=certificate).deliver(item()).result is Result.SUCCESS


def test_tls_against_a_plain_server_is_a_configuration_fault(start: Start, connect: Connect) -> None:
    with pytest.raises(ConfigurationFault, match="security"):
        connect(start().port, security="tls", timeout_seconds=3).check()


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "h", "from": "not an address"},
        {"host": "h", "from": "a@example.org", "username": "u"},
        {"host": "h", "from": "a@example.org", "username": "u", "password": "p", "security": "none"},
        {"host": "h", "from": "a@example.org", "to": ["a@example.org, b@example.org"]},
        {"from": "a@example.org"},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EmailSettings.model_validate(settings)


def test_every_described_property_is_accepted(plain: EmailConnector) -> None:
    roots = {described.name.partition(".")[0] for described in plain.describe()}
    person = "a@example.com"
    payload = {"to": person, "cc": person, "bcc": person, "reply_to": person, "subject": "s", "text": "t", "html": "h"}
    assert roots == {*payload, "attachments"}
    assert plain.deliver(item({**payload, "attachments": [{"content": "c"}]})).result is Result.SUCCESS
