"""What the base of every connector promises about groups, whatever `deliver` does."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from time import monotonic, sleep

import pytest
from pydantic import BaseModel

from app.config.schema import LimitsConfig
from app.connectors.base import Connector, Sent, Unbegun, mask
from app.errors import TransientFault
from app.model import Item, Outcome, Quota, Result


class NoSettings(BaseModel):
    pass


class Recorder(Connector[NoSettings]):
    """Answers with the item's own key, and remembers how many sends were under way at once."""

    Settings = NoSettings

    def __init__(self, limits: LimitsConfig) -> None:
        super().__init__("recorder", NoSettings(), limits=limits)
        self.gate = threading.Event()
        self.gate.set()
        self.seconds = 0.0
        self.entered = threading.Semaphore(0)
        self.under_way = self.most = 0
        self._count = threading.Lock()

    def deliver(self, item: Item) -> Outcome:
        with self._count:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        self.entered.release()
        assert self.gate.wait(5)
        sleep(self.seconds)
        with self._count:
            self.under_way -= 1
        if item.key.endswith("7"):
            raise TransientFault("seven")
        return Outcome(result=Result.SUCCESS, reference=item.key)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    found = Recorder(LimitsConfig(concurrency=3))
    found._latency = 1.0
    yield found
    found.gate.set()
    found.close()


def items(count: int) -> list[Item]:
    return [Item(payload={}, key=str(place), attempt=1, deadline=monotonic() + 5) for place in range(count)]


def told(sent: list[Sent]) -> list[str]:
    return [str(one.answer.reference) if isinstance(one.answer, Outcome) else str(one.answer) for one in sent]


def test_results_come_in_order_and_exceptions_stay_with_their_item(recorder: Recorder) -> None:
    sent = recorder.deliver_many(items(20), until=monotonic() + 5)
    assert told(sent) == ["seven" if place % 10 == 7 else str(place) for place in range(20)]


def test_an_empty_group_has_no_results(recorder: Recorder) -> None:
    assert recorder.deliver_many([], until=monotonic() + 5) == []


def test_the_first_answer_tells_how_many_threads_are_worth_having(recorder: Recorder) -> None:
    recorder._latency = 0.0
    recorder.deliver_many(items(20), until=monotonic() + 5)
    assert recorder.most == 1


def test_a_slow_first_answer_is_followed_by_as_many_sends_at_once_as_are_allowed(recorder: Recorder) -> None:
    recorder._latency, recorder.seconds = 0.0, 0.3
    recorder.deliver_many(items(5), until=monotonic() + 5)
    assert recorder.most == 3


def test_groups_together_keep_to_the_limit(recorder: Recorder) -> None:
    recorder.gate.clear()
    groups = [
        threading.Thread(target=recorder.deliver_many, args=(items(5),), kwargs={"until": monotonic() + 5})
        for _ in range(3)
    ]
    for group in groups:
        group.start()
    assert all(recorder.entered.acquire(timeout=2) for _ in range(3))
    recorder.gate.set()
    for group in groups:
        group.join()
    assert recorder.most == 3


def test_what_finds_no_room_in_time_comes_back_unbegun(recorder: Recorder) -> None:
    recorder.gate.clear()
    first = threading.Thread(target=recorder.deliver_many, args=(items(3),), kwargs={"until": monotonic() + 5})
    first.start()
    assert all(recorder.entered.acquire(timeout=2) for _ in range(3))
    sent = recorder.deliver_many(items(2), until=monotonic() + 0.1)
    recorder.gate.set()
    first.join()
    assert [type(one.answer) for one in sent] == [Unbegun, Unbegun]


def test_a_closed_connector_still_finishes_a_group(recorder: Recorder) -> None:
    recorder.close()
    assert told(recorder.deliver_many(items(3), until=monotonic() + 5)) == ["0", "1", "2"]


def test_masked_headers_keep_their_names() -> None:
    headers = {"Authorization": "a", "X-Buyer": "b", "X-Auth-Token": "c", "Set-Cookie": "d", "Accept": "*/*", "Age": 5}
    assert mask(headers, "x-buyer") == {
        "Authorization": "***",
        "X-Buyer": "***",
        "X-Auth-Token": "***",
        "Set-Cookie": "***",
        "Accept": "*/*",
        "Age": "5",
    }


class Bogus(Recorder):
    """Says that nothing is left, whatever is sent."""

    def deliver(self, item: Item) -> Outcome:
        quota = Quota(remaining=0, reset_seconds=60, limit=100, told_at=monotonic())
        return replace(super().deliver(item), quota=quota)


@pytest.mark.parametrize(("obeyed", "sent"), [(True, 1), (False, 10)])
def test_a_rate_limit_that_leaves_nothing_ends_the_group_unless_it_is_not_obeyed(*, obeyed: bool, sent: int) -> None:
    connector = Bogus(LimitsConfig(concurrency=1, obey_rate_headers=obeyed))
    answers = [one.answer for one in connector.deliver_many([*items(7), *items(3)], until=monotonic() + 5)]
    connector.close()
    outcomes = [answer for answer in answers if isinstance(answer, Outcome)]
    assert len(outcomes) == sent
    assert all((outcome.quota is not None) is obeyed for outcome in outcomes)
