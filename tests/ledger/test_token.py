"""Access tokens in the ledger: several processes share one and renew it once, whoever dies; the ledger reveals nothing."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from app import operations
from app.catalog import Catalog
from app.config.schema import DestinationConfig, Document, SourceConfig
from app.connectors._token import Granted, SharedToken, Token
from app.delivery import Deliverer
from app.errors import TransientFault
from app.ledger import Database, acceptance
from app.ledger.token import Tokens
from app.model import TokenSlot
from tests.connectors import fault_server
from tests.connectors.token_endpoint import SECRET, Buyer, buying
from tests.ledger.conftest import new_lead, queued

ROOT = Path(__file__).parents[2]
SLOT = TokenSlot("buyer", "d")
WORKER = """
import json, sys
from time import monotonic
from app.config.schema import LimitsConfig
from app.config.network import NetworkConfig
from app.connectors._http.connector import HttpConnector
from app.connectors._http.settings import HttpSettings
from app.errors import DeliveryFault
from app.ledger import Database
from app.ledger.token import Tokens
from app.model import Item

url, auth, database_url = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
database = Database(database_url, size=2)
sender = HttpConnector(
    "buyer",
    HttpSettings.model_validate({"url": url + "/leads", "auth": auth}),
    limits=LimitsConfig(concurrency=4, timeout_seconds=8),
    network=NetworkConfig(allow=["127.0.0.1"]),
    tokens=Tokens(database),
)
database.fetch("select 1")
print("ready", flush=True)
for line in sys.stdin:
    items = [Item(payload={}, key="k", attempt=1, deadline=monotonic() + 8) for _ in range(int(line))]
    sent = sender.deliver_many(items, until=monotonic() + 8)
    print(json.dumps([getattr(one.answer, "reason", None) or one.answer.result.value for one in sent]), flush=True)
"""


@pytest.fixture
def buyer() -> Iterator[Buyer]:
    with buying() as found:
        yield found


@pytest.fixture
def workers(buyer: Buyer, database_url: str) -> Iterator[Any]:
    """Starts so many worker processes of the destination."""
    begun: list[subprocess.Popen[str]] = []

    def start(count: int, **auth: Any) -> list[subprocess.Popen[str]]:
        command = [sys.executable, "-c", WORKER, buyer.server.url, json.dumps(buyer.auth(**auth)), database_url]
        new = [
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(count)
        ]
        begun.extend(new)
        assert [_line(one) for one in new] == ["ready"] * count
        return new

    yield start
    for one in begun:
        one.kill()
        one.wait()
        for pipe in (one.stdin, one.stdout):
            pipe.close()  # type: ignore[union-attr]


def _line(worker: "subprocess.Popen[str]") -> str:
    assert worker.stdout
    return worker.stdout.readline().strip()


def send(workers: "list[subprocess.Popen[str]]", count: int) -> None:
    for worker in workers:
        assert worker.stdin
        worker.stdin.write(f"{count}\n")
        worker.stdin.flush()


def results(workers: "list[subprocess.Popen[str]]") -> list[str]:
    return [result for worker in workers for result in json.loads(_line(worker))]


def age(database: Database) -> None:
    """As if what is kept were older than what is taken for fresh."""
    with database.transaction() as connection:
        connection.execute(b"update tokens set obtained_at = obtained_at - interval '10 s'")


def test_processes_share_one_token(buyer: Buyer, workers: Any) -> None:
    def slow(connection: Any, request: Any) -> bool:
        sleep(0.3)
        buyer.on_token = None
        return buyer.behave(connection, request)

    buyer.on_token = slow
    started = workers(3)
    send(started, 5)
    assert results(started) == ["success"] * 15
    assert (len(buyer.given), set(buyer.leads)) == (1, {"token-1"})


def test_processes_renew_a_revoked_token_once_and_keep_the_rotated_refresh_token(
    buyer: Buyer, workers: Any, database: Database
) -> None:
    started = workers(2, grant="refresh_token", refresh_token="refresh-0")
    send(started[:1], 1)
    assert results(started[:1]) == ["success"]
    age(database)
    send(started[1:], 1)  # these read the token from the ledger, and its age
    assert results(started[1:]) == ["success"]
    buyer.revoke()
    send(started[1:], 5)
    assert results(started[1:]) == ["success"] * 5
    newcomer = workers(1, grant="refresh_token", refresh_token="refresh-0")
    age(database)
    send(newcomer, 1)
    assert results(newcomer) == ["success"]
    buyer.revoke()
    send(newcomer, 1)
    assert results(newcomer) == ["success"]
    assert [form["refresh_token"] for form in buyer.forms] == ["refresh-0", "refresh-1", "refresh-2"]


def test_a_process_killed_amid_a_renewal_holds_the_others_up_only_for_its_turn(
    buyer: Buyer, workers: Any, database: Database
) -> None:
    buyer.on_token = fault_server.hang
    first, second = workers(2)
    send([first], 1)
    ends = monotonic() + 5
    while not buyer.server.received and monotonic() < ends:
        sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    with database.transaction() as connection:
        connection.execute(b"update tokens set turn_until = clock_timestamp() + interval '1 s'")
    buyer.on_token = None
    begun = monotonic()
    send([second], 2)
    assert results([second]) == ["success"] * 2
    assert monotonic() - begun > 0.8


def test_what_delivers_shares_tokens_through_the_ledger(buyer: Buyer, database: Database) -> None:
    settings = {"url": f"{buyer.server.url}/leads", "auth": buyer.auth(client_secret="${env:SECRET}")}
    network = {"allow": ["127.0.0.1"]}
    document = Document(
        sources=[SourceConfig(name="web")],
        destinations=[
            DestinationConfig.model_validate({"name": "a", "type": "http", "settings": settings, "network": network})
        ],
    )
    operations.apply(database, document, actor="test")
    catalog = Catalog(database)
    catalog.refresh()
    acceptance.accept(database, [new_lead() for _ in range(4)])
    ids = queued(database, "a", 4)
    for part in (ids[:2], ids[2:]):
        deliverer = Deliverer(database, catalog, lease_seconds=32.5, environ={"SECRET": SECRET})
        assert deliverer.deliver("a", part) == {"delivered": 2}
        deliverer.close()
    assert buyer.leads == ["token-1"] * 4


def shared(database: Database, obtain: Any, secret: str = "s", credentials: str = "c") -> SharedToken:
    return SharedToken(Tokens(database), obtain, destination="buyer", credentials=[credentials], secret=secret)


def granted(_before: Token | None, _deadline: float) -> Granted:
    return Granted(value="new", lifetime_seconds=60)


@pytest.mark.parametrize(("secret", "credentials"), [("another", "c"), ("s", "others")])
def test_other_credentials_get_another_token(database: Database, secret: str, credentials: str) -> None:
    values = iter(["first", "second"])

    def next_one(_before: Token | None, _deadline: float) -> Granted:
        return Granted(value=next(values), lifetime_seconds=60)

    assert shared(database, next_one).get(monotonic() + 1).value == "first"
    assert shared(database, next_one).get(monotonic() + 1).value == "first"
    assert shared(database, next_one, secret, credentials).get(monotonic() + 1).value == "second"


def test_the_ledger_alone_reveals_nothing(database: Database) -> None:
    def tokens(_before: Token | None, _deadline: float) -> Granted:
        return Granted(value="token-1", lifetime_seconds=60, refresh_token="refresh-1")

    shared(database, tokens, SECRET).get(monotonic() + 1)
    row = database.fetch("select * from tokens")[0]
    told = b" ".join(bytes(value) if isinstance(value, bytes) else str(value).encode() for value in row)
    assert not [secret for secret in ("token-1", "refresh-1", SECRET) if secret.encode() in told]


def test_what_cannot_be_opened_counts_as_nothing(database: Database) -> None:
    assert shared(database, granted).get(monotonic() + 1).value == "new"
    for damage in (b"\x00", b"", b"x" * 100):
        with database.transaction() as connection:
            connection.execute(b"update tokens set content = %s", (damage,))
        assert shared(database, granted).get(monotonic() + 1).value == "new"


def test_a_turn_is_one_process_s_until_it_ends(database: Database) -> None:
    tokens = Tokens(database)
    turn = tokens.take_turn(SLOT, seconds=60)
    assert turn is not None
    assert tokens.take_turn(SLOT, seconds=60) is None
    tokens.end_turn(SLOT, turn + 1)
    assert tokens.take_turn(SLOT, seconds=60) is None, "somebody else's"
    tokens.end_turn(SLOT, turn)
    assert tokens.take_turn(SLOT, seconds=0) == turn + 1
    assert tokens.take_turn(SLOT, seconds=60) == turn + 2, "the time of the one before was up"


def test_who_comes_late_overwrites_nothing(database: Database) -> None:
    tokens = Tokens(database)
    late = tokens.take_turn(SLOT, seconds=0)
    turn = tokens.take_turn(SLOT, seconds=60)
    assert late
    assert turn
    assert tokens.put(SLOT, b"second", lifetime_seconds=60, after=0, turn=turn)
    assert not tokens.put(SLOT, b"first", lifetime_seconds=60, after=0, turn=late)
    kept = tokens.read(SLOT)
    assert kept is not None
    assert (kept.content, kept.version) == (b"second", 1)
    assert 0 <= kept.age_seconds < 5 < kept.left_seconds <= 60


def test_tokens_of_credentials_long_replaced_are_forgotten(database: Database) -> None:
    tokens = Tokens(database)
    for digest, days in (("old", 40), ("recent", 2)):
        slot = TokenSlot("buyer", digest)
        turn = tokens.take_turn(slot, seconds=0)
        assert turn
        assert tokens.put(slot, b"x", lifetime_seconds=60, after=0, turn=turn)
        with database.transaction() as connection:
            connection.execute(
                b"update tokens set obtained_at = obtained_at - make_interval(days => %s),"
                b" expires_at = expires_at - make_interval(days => %s), turn_until = null where digest = %s",
                (days, days, digest),
            )
    turn = tokens.take_turn(SLOT, seconds=0)
    assert turn
    assert tokens.put(SLOT, b"x", lifetime_seconds=60, after=0, turn=turn)
    assert {row[0] for row in database.fetch("select digest from tokens")} == {"recent", "d"}


def test_a_renewal_that_fails_lets_the_next_one_try_at_once(database: Database) -> None:
    def broken(_before: Token | None, _deadline: float) -> Granted:
        raise TransientFault("down", unsent=True)

    with pytest.raises(TransientFault):
        shared(database, broken).get(monotonic() + 5)
    begun = monotonic()
    assert shared(database, granted).get(monotonic() + 5).value == "new"
    assert monotonic() - begun < 1
