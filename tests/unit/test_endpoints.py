"""Shares are kept, the absent rest, one trial brings them back, and the standby serves only in between."""

import threading
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.connectors._endpoints import FAILURES, LONGEST_REST_SECONDS, REST_SECONDS, Endpoints, Lease

WEIGHTS = st.lists(st.integers(1, 1000), min_size=1, max_size=6)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def numbered(weights: Sequence[int]) -> list[tuple[int, int]]:
    return list(enumerate(weights))


def answer(endpoints: Endpoints[str]) -> str:
    with endpoints.choose() as lease:
        lease.there()
        return lease.endpoint


def fail(endpoints: Endpoints[str], times: int = 1, *, without: Sequence[str] = ()) -> str:
    for _ in range(times):
        with endpoints.choose(without=without) as lease:
            lease.absent()
    return lease.endpoint


@given(WEIGHTS, st.integers(1, 500))
def test_shares_are_those_of_the_weights_at_every_moment(weights: list[int], choices: int) -> None:
    endpoints = Endpoints(numbered(weights))
    taken: Counter[int] = Counter()
    for count in range(1, choices + 1):
        with endpoints.choose() as lease:
            taken[lease.endpoint] += 1
        for place, weight in enumerate(weights):
            due = count * weight / sum(weights)
            assert due - (len(weights) - 1) < taken[place] + 1e-9
            assert taken[place] < due + 1


@given(st.lists(st.integers(1, 8), min_size=1, max_size=5), st.sampled_from(["weighted", "least_in_flight"]))
def test_a_whole_round_gives_each_exactly_its_weight(weights: list[int], spread: str) -> None:
    endpoints = Endpoints(numbered(weights), spread="weighted" if spread == "weighted" else "least_in_flight")
    taken: Counter[int] = Counter()
    for _ in range(sum(weights)):  # one after the other: nothing is under way when the next is chosen
        with endpoints.choose() as lease:
            taken[lease.endpoint] += 1
    assert [taken[place] for place in range(len(weights))] == weights


@given(WEIGHTS, st.data())
def test_the_one_with_the_fewest_under_way_by_weight_is_chosen(weights: list[int], data: st.DataObject) -> None:
    endpoints = Endpoints(numbered(weights), spread="least_in_flight")
    under_way: list[Lease[int]] = []
    for _ in range(data.draw(st.integers(1, 60))):
        if under_way and data.draw(st.booleans()):
            under_way.pop(data.draw(st.integers(0, len(under_way) - 1))).__exit__(None, None, None)
            continue
        load = Counter(lease.endpoint for lease in under_way)
        under_way.append(endpoints.choose())
        chosen = under_way[-1].endpoint
        assert load[chosen] / weights[chosen] == min(load[place] / weight for place, weight in enumerate(weights))


def test_a_slow_endpoint_gets_what_it_finishes() -> None:
    endpoints = Endpoints([("slow", 1), ("fast", 1)], spread="least_in_flight")
    with endpoints.choose() as under_way:
        assert under_way.endpoint == "slow"
        assert [answer(endpoints) for _ in range(10)] == ["fast"] * 10


def test_a_few_failures_in_a_row_send_to_rest_and_an_answer_between_does_not(clock: Clock) -> None:
    endpoints = Endpoints([("a", 1)], standby=["b"], clock=clock)
    for _ in range(3):
        fail(endpoints, FAILURES - 1)
        assert answer(endpoints) == "a"
    fail(endpoints, FAILURES)
    assert [answer(endpoints) for _ in range(3)] == ["b"] * 3


def test_the_standby_is_not_used_while_one_endpoint_is_healthy(clock: Clock) -> None:
    endpoints = Endpoints([("a", 1), ("b", 1)], standby=["c"], clock=clock)
    fail(endpoints, FAILURES, without=["b"])
    assert {answer(endpoints) for _ in range(5)} == {"b"}
    fail(endpoints, FAILURES)
    assert {answer(endpoints) for _ in range(5)} == {"c"}


def test_a_trial_that_is_answered_brings_back_at_once(clock: Clock) -> None:
    endpoints = Endpoints([("a", 1)], standby=["b"], clock=clock)
    fail(endpoints, FAILURES)
    clock.now = REST_SECONDS - 0.001
    assert answer(endpoints) == "b"
    clock.now = REST_SECONDS
    with endpoints.choose() as trial:
        assert trial.endpoint == "a"
        assert answer(endpoints) == "b", "a trial is one request"
        trial.there()
    assert [answer(endpoints) for _ in range(3)] == ["a"] * 3


def test_each_failed_trial_doubles_the_rest_up_to_the_longest(clock: Clock) -> None:
    endpoints = Endpoints([("a", 1)], standby=["b"], clock=clock)
    fail(endpoints, FAILURES)
    rest = REST_SECONDS
    for _ in range(10):
        due = clock.now + rest
        clock.now = due - 0.001
        assert answer(endpoints) == "b"
        clock.now = due
        assert fail(endpoints) == "a"
        rest = min(rest * 2, LONGEST_REST_SECONDS)
    assert rest == LONGEST_REST_SECONDS
    clock.now += rest
    assert answer(endpoints) == "a"
    fail(endpoints, FAILURES)
    clock.now += REST_SECONDS
    assert answer(endpoints) == "a", "after it was back, the rest begins short again"


def test_a_trial_that_says_nothing_leaves_the_next_one_to_try(clock: Clock) -> None:
    endpoints = Endpoints([("a", 1)], standby=["b"], clock=clock)
    fail(endpoints, FAILURES)
    clock.now = REST_SECONDS
    with endpoints.choose() as trial:
        assert trial.endpoint == "a"
    assert answer(endpoints) == "a"


def test_what_was_under_way_when_the_rest_began_does_not_lengthen_it(clock: Clock) -> None:
    endpoints = Endpoints([("a", 1)], standby=["b"], clock=clock)
    under_way = [endpoints.choose() for _ in range(FAILURES + 5)]
    for lease in under_way:
        lease.absent()
        lease.__exit__(None, None, None)
    clock.now = REST_SECONDS
    assert answer(endpoints) == "a"


def test_only_one_of_many_threads_makes_the_trial(clock: Clock) -> None:
    endpoints = Endpoints([("a", 1)], standby=["b"], clock=clock)
    fail(endpoints, FAILURES)
    clock.now = REST_SECONDS
    together, chosen = threading.Barrier(16), []

    def one() -> None:
        together.wait()
        with endpoints.choose() as lease:
            chosen.append(lease.endpoint)
            together.wait()  # nobody ends before all have chosen

    threads = [threading.Thread(target=one) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(chosen) == {"a": 1, "b": 15}


def test_when_all_rest_the_one_that_is_due_first_serves_and_an_answer_brings_it_back(clock: Clock) -> None:
    endpoints = Endpoints([("a", 1)], standby=["b"], clock=clock)
    fail(endpoints, FAILURES)
    clock.now = 1.0
    assert fail(endpoints, FAILURES) == "b"
    clock.now = 2.0
    assert fail(endpoints, 4) == "a", "due at 5 s, the standby at 6 s"
    assert answer(endpoints) == "a"
    assert answer(endpoints) == "a"


def test_requests_beside_a_trial_do_not_lengthen_the_rest(clock: Clock) -> None:
    endpoints = Endpoints([("a", 1)], clock=clock)
    fail(endpoints, FAILURES)
    clock.now = REST_SECONDS
    with endpoints.choose() as trial:
        fail(endpoints, 5)
        trial.absent()
    assert endpoints._states[0].rest_seconds == 2 * REST_SECONDS


def test_endpoints_tried_already_are_left_out_to_the_last(clock: Clock) -> None:
    endpoints = Endpoints([("a", 1), ("b", 1)], standby=["c"], clock=clock)
    fail(endpoints, FAILURES, without=["b"])
    assert endpoints.choose(without=["b"]).endpoint == "c"
    assert endpoints.choose(without=["b", "c"]).endpoint == "a", "it rests, and is better than nothing"
    with pytest.raises(LookupError):
        endpoints.choose(without=["a", "b", "c"])


@given(st.lists(st.tuples(st.floats(0, 400), st.sampled_from(["there", "absent", "nothing"])), max_size=80))
def test_whatever_happens_there_is_an_endpoint_and_every_one_comes_back(events: list[tuple[float, str]]) -> None:
    clock = Clock()
    endpoints = Endpoints([("a", 3), ("b", 1)], standby=["c"], clock=clock)
    for passed, how in events:
        clock.now += passed
        with endpoints.choose() as lease:
            if how != "nothing":
                getattr(lease, how)()
    clock.now += LONGEST_REST_SECONDS
    assert {answer(endpoints) for _ in range(8)} == {"a", "b"}
