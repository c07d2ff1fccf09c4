"""Leads in: all or nothing, and one lead per producer's key."""

import threading

import pytest

from app.errors import Unavailable
from app.ledger import Database, acceptance, query
from app.ledger.balance import balance
from tests.ledger.conftest import new_lead


def test_a_lead_is_written_with_all_its_deliveries(database: Database) -> None:
    lead = new_lead(destinations=("a", "b"))
    assert acceptance.accept(database, [lead]) == [None]
    [(found, deliveries)] = query.leads(database, [lead.id])
    assert found.fields == {"email": "ann@example.com"}
    assert sorted(deliveries.values()) == ["a", "b"]
    assert balance(database).accepted == 2


def test_a_key_stands_for_its_first_lead(database: Database) -> None:
    first, again, other = new_lead(key="k"), new_lead(key="k"), new_lead(key="k", digest=b"another body")
    assert acceptance.accept(database, [first]) == [None]
    assert acceptance.accept(database, [again, other]) == [
        acceptance.Known(lead_id=first.id, same_body=True),
        acceptance.Known(lead_id=first.id, same_body=False),
    ]
    assert balance(database).accepted == 1


def test_a_key_used_twice_in_one_group_makes_one_lead(database: Database) -> None:
    first, again = new_lead(key="k"), new_lead(key="k")
    assert acceptance.accept(database, [first, again]) == [None, acceptance.Known(lead_id=first.id, same_body=True)]


def test_concurrent_groups_with_the_same_keys_make_each_lead_once(database: Database) -> None:
    groups = [
        [new_lead(key=f"k{number}") for number in order] for order in (range(50), range(49, -1, -1)) for _ in range(3)
    ]
    answers: list[list[acceptance.Known | None]] = []
    threads = [
        threading.Thread(target=lambda g=group: answers.append(acceptance.accept(database, g))) for group in groups
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(answer is None for group in answers for answer in group) == 50
    assert balance(database).accepted == 50


def test_text_that_postgresql_cannot_hold_is_refused_without_quoting_it(database: Database) -> None:
    lead = new_lead(key="nul\0key")
    with pytest.raises(Exception, match="PostgreSQL refused a statement") as refused:
        acceptance.accept(database, [lead])
    assert "nul" not in str(refused.value)


def test_a_ledger_out_of_reach_is_said() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Unavailable, match="out of reach"):
        acceptance.accept(database, [new_lead()])
    database.close()
