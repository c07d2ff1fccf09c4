"""Submissions that come together go together, and answer for themselves alone."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from uuid_utils.compat import uuid7

from app.api import grouping
from app.api.grouping import Grouping
from app.errors import Complaint, InvalidLead, Unavailable
from app.intake import Answer, Receipt, Submission


def submission(number: int) -> Submission:
    return Submission(source="web", fields={"n": number})


class Ledger:
    """Takes groups when told to, and remembers them."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.groups: list[list[int]] = []

    def accept(self, submissions: Sequence[Submission]) -> list[Answer]:
        assert self.open.wait(10)
        numbers = [one.fields["n"] for one in submissions]
        self.groups.append(numbers)
        if 13 in numbers:
            raise ZeroDivisionError
        if 503 in numbers:
            raise Unavailable("no ledger")
        return [
            InvalidLead([Complaint(field="n", detail="is odd")])
            if number % 2
            else Receipt(lead_id=uuid7(), deliveries={}, invalid={})
            for number in numbers
        ]


async def submit(group: Grouping, numbers: Sequence[int]) -> list[Receipt | BaseException]:
    return await asyncio.gather(*(group.accept(submission(number)) for number in numbers), return_exceptions=True)


def test_what_comes_while_a_group_is_on_its_way_is_the_next_group() -> None:
    async def run() -> None:
        ledger.open.clear()
        first = asyncio.ensure_future(submit(group, [0]))
        await asyncio.sleep(0.05)
        rest = asyncio.ensure_future(submit(group, range(2, 12, 2)))
        await asyncio.sleep(0.05)
        ledger.open.set()
        answers = [*await first, *await rest]
        assert all(isinstance(answer, Receipt) for answer in answers)

    ledger = Ledger()
    group = Grouping(ledger.accept)
    asyncio.run(run())
    group.close()
    assert ledger.groups == [[0], [2, 4, 6, 8, 10]]


def test_a_submission_that_fails_fails_alone() -> None:
    ledger = Ledger()
    group = Grouping(ledger.accept)
    answers = asyncio.run(submit(group, [2, 13, 3, 4]))
    group.close()
    assert [type(answer) for answer in answers] == [Receipt, ZeroDivisionError, InvalidLead, Receipt]


def test_an_unreachable_ledger_fails_the_group_and_not_the_next_one() -> None:
    async def run() -> None:
        assert all(isinstance(answer, Unavailable) for answer in await submit(group, [2, 503]))
        assert isinstance((await submit(group, [2]))[0], Receipt)

    ledger = Ledger()
    group = Grouping(ledger.accept)
    asyncio.run(run())
    group.close()
    assert ledger.groups == [[2, 503], [2]]


def test_a_client_that_leaves_does_not_disturb_its_group() -> None:
    async def run() -> None:
        ledger.open.clear()
        leaving = asyncio.ensure_future(group.accept(submission(2)))
        staying = asyncio.ensure_future(group.accept(submission(4)))
        await asyncio.sleep(0.05)
        leaving.cancel()
        ledger.open.set()
        assert isinstance(await staying, Receipt)

    ledger = Ledger()
    group = Grouping(ledger.accept)
    asyncio.run(run())
    group.close()


def test_beyond_the_limit_newcomers_are_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        ledger.open.clear()
        gathering = asyncio.ensure_future(submit(group, [2]))
        await asyncio.sleep(0.05)
        waiting = asyncio.ensure_future(submit(group, [8, 10, 12]))
        await asyncio.sleep(0.05)
        ledger.open.set()
        assert not any(isinstance(answer, Unavailable) for answer in await gathering)
        assert [type(answer) for answer in await waiting] == [Receipt, Receipt, Unavailable]

    monkeypatch.setattr(grouping, "WAITING", 2)
    ledger = Ledger()
    group = Grouping(ledger.accept)
    asyncio.run(run())
    group.close()
