"""The Python producer's door on a real ledger."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.client import Client
from app.config.schema import Document
from app.errors import Conflict, InvalidInput, InvalidLead, NotFound, Outdated, Unavailable
from app.intake import Receipt
from app.ledger import Database, feedback, migrate, query, version
from app.settings import settings

DOCUMENT = {
    "sources": [{"name": "web", "fields": {"email": {"required": True}}}],
    "destinations": [{"name": "crm", "type": "http", "settings": {"url": "http://crm.test/"}}],
}
LEAD = {"email": "Ada@EXAMPLE.com", "age": "36"}


def apply(database: Database, document: dict[str, Any]) -> None:
    whole = Document.model_validate(document).model_dump(mode="json")
    version.write(database, whole, changed=[], actor="test")


@pytest.fixture
def client(database: Database, database_url: str) -> Iterator[Client]:
    apply(database, DOCUMENT)
    with Client(database_url) as found:
        yield found


def counted(database: Database) -> int:
    return int(database.fetch("select count(*) from leads")[0][0])


def test_a_receipt_means_the_lead_is_in_the_ledger(client: Client, database: Database) -> None:
    receipt = client.submit(LEAD, source="web", test=True)
    [(lead, deliveries)] = query.leads(database, [receipt.lead_id])
    assert lead.fields == {"email": "Ada@example.com", "age": 36}
    assert lead.test
    assert deliveries == receipt.deliveries
    assert list(receipt.deliveries.values()) == ["crm"]


def test_the_same_key_gives_the_same_lead_and_another_body_is_refused(client: Client, database: Database) -> None:
    first = client.submit(LEAD, source="web", key="order-1")
    again = client.submit(LEAD, source="web", key="order-1")
    assert (again.lead_id, again.repeated, first.repeated) == (first.lead_id, True, False)
    with pytest.raises(Conflict):
        client.submit({**LEAD, "age": 37}, source="web", key="order-1")
    assert counted(database) == 1


def test_a_lead_that_cannot_be_taken_says_which_field(client: Client) -> None:
    with pytest.raises(InvalidLead) as refused:
        client.submit({"age": 3}, source="web")
    assert [complaint.field for complaint in refused.value.complaints] == ["email"]
    with pytest.raises(InvalidLead, match="known sources: web"):
        client.submit(LEAD, source="wbe")
    with pytest.raises(InvalidLead, match="must be a mapping"):
        client.submit(["email"], source="web")  # type: ignore[arg-type]
    with pytest.raises(InvalidLead, match=r"key: must be text \(convert it: str\(key\)\)"):
        client.submit(LEAD, source="web", key=7)  # type: ignore[arg-type]


def test_many_are_answered_in_their_order_and_a_bad_one_stops_nothing(client: Client, database: Database) -> None:
    entries = [({"email": f"u{n}@example.com"} if n % 10 else {}, f"key-{n}") for n in range(95)]
    answers = list(client.submit_many(entries, source="web", group_size=20))
    assert [isinstance(answer, Receipt) for answer in answers] == [bool(n % 10) for n in range(95)]
    for (fields, _), answer in zip(entries, answers, strict=True):
        if isinstance(answer, Receipt):
            [(lead, _)] = query.leads(database, [answer.lead_id])
            assert lead.fields["email"] == fields["email"]
    assert counted(database) == 85


def test_many_are_read_a_group_at_a_time_in_one_transaction_each(client: Client, database: Database) -> None:
    read = 0

    def endless() -> Iterator[dict[str, str]]:
        nonlocal read
        while True:
            read += 1
            yield {"email": f"u{read}@example.com"}

    answers = client.submit_many(endless(), source="web", group_size=50)
    assert isinstance(next(answers), Receipt)
    assert (read, counted(database)) == (50, 50)
    transactions = database.fetch("select count(distinct received_at) from leads")
    assert transactions[0][0] == 1


def test_threads_share_a_client(client: Client, database: Database) -> None:
    def submit(number: int) -> UUID:
        return client.submit({"email": f"u{number}@example.com"}, source="web").lead_id

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(submit, range(100)))) == 100
    assert counted(database) == 100


def test_a_new_configuration_is_taken_up(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADRELAY_CONFIG_POLL_SECONDS", "0.001")
    settings.cache_clear()
    try:
        apply(database, DOCUMENT)
        with Client(database_url) as client:
            client.submit(LEAD, source="web")
            apply(database, {**DOCUMENT, "sources": [{"name": "phone"}]})
            assert client.submit(LEAD, source="phone").deliveries
    finally:
        settings.cache_clear()


def test_a_ledger_out_of_reach_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.ledger.database.CONNECT_SECONDS", 1)
    with (
        Client("postgresql://nobody@127.0.0.1:1/nowhere") as client,
        pytest.raises(Unavailable, match="out of reach"),
    ):
        client.submit(LEAD, source="web")


def test_a_lead_has_its_source_s_priority_unless_another_is_named(client: Client, database: Database) -> None:
    apply(database, {**DOCUMENT, "sources": [{"name": "web"}, {"name": "archive", "priority": "backfill"}]})
    client.submit(LEAD, source="web")
    client.submit(LEAD, source="archive")
    client.submit(LEAD, source="web", priority="backfill")
    list(client.submit_many([LEAD], source="archive", priority="fresh"))
    assert [view.priority for view in reversed(query.deliveries(database))] == [
        "fresh",
        "backfill",
        "backfill",
        "fresh",
    ]
    with pytest.raises(InvalidLead, match="priority: must be fresh or backfill"):
        client.submit(LEAD, source="web", priority="urgent")  # type: ignore[arg-type]


def test_feedback_is_on_record_once(client: Client, database: Database) -> None:
    [delivery] = client.submit(LEAD, source="web").deliveries
    first = client.give_feedback(delivery, type="conversion", value=Decimal("12.50"), currency="USD", id="deal-1")
    again = client.give_feedback(str(delivery), type="conversion", value=Decimal("12.5"), currency="USD", id="deal-1")
    assert (again.id, again.repeated, first.delivery_id) == (first.id, True, delivery)
    [heard] = feedback.of(database, [delivery])[delivery]
    assert (heard.type, heard.value, heard.actor) == ("conversion", Decimal("12.50"), "python")
    with pytest.raises(Conflict):
        client.give_feedback(delivery, type="return", id="deal-1")
    with pytest.raises(NotFound):
        client.give_feedback(destination="crm", reference="r-9", type="return")
    with pytest.raises(InvalidInput, match="reason"):
        client.give_feedback(delivery, type="return", reason=7)


def test_a_ledger_that_was_not_migrated_yet_is_said_and_taken_up_afterwards(outdated_database_url: str) -> None:
    with Client(outdated_database_url) as client:
        with pytest.raises(Outdated, match="run `leadrelay migrate`"):
            client.submit(LEAD, source="web")
        with pytest.raises(Outdated, match="run `leadrelay migrate`"):
            client.give_feedback(UUID(int=1), type="return")
        migrate(outdated_database_url)
        database = Database(outdated_database_url, size=1)
        apply(database, DOCUMENT)
        assert client.submit(LEAD, source="web").deliveries
        database.close()
