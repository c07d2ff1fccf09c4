"""What the dispatcher lets go under each limit, on a real ledger with a broker in memory and a clock in the test's hands."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from time import monotonic
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest

from app import operations
from app.broker import Publisher, create
from app.catalog import Catalog
from app.config.schema import DestinationConfig, Document, SourceConfig
from app.delivery import Deliverer
from app.dispatch import Dispatcher
from app.errors import BrokerUnavailable
from app.flow.volume import period_starts
from app.ledger import Database, acceptance, dispatch, operation, work
from app.ledger.circuit import GateRules
from app.model import Fault, Outcome, Priority, Quota, Result, State
from app.settings import Settings
from tests.ledger.conftest import BROKEN, FAILURE, REFUSED, SUCCESS, attempt, new_lead

AUCKLAND = "Pacific/Auckland"
ENDS = {SUCCESS: State.DELIVERED, FAILURE: State.REJECTED, BROKEN: State.DEAD}


class Stand:
    """An installation with simulated time: `now` is the leader's clock, `moment` PostgreSQL's if it is set."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.database, self.now, self.moment = database, 1000.0, None
        self.catalog = Catalog(database)
        monkeypatch.setattr("app.dispatch.monotonic", lambda: self.now)
        survey = dispatch.survey

        def surveyed(ledger: Database) -> dispatch.Survey:
            found = survey(ledger)
            return replace(found, moment=self.moment or found.moment)

        monkeypatch.setattr(dispatch, "survey", surveyed)
        self.moment: datetime | None
        self.dispatcher = self.leader()

    def leader(self) -> Dispatcher:
        return Dispatcher(self.database, self.catalog, Publisher(create(Settings(broker_url="memory://"))), Settings())

    def configure(self, *names: str, **config: Any) -> None:
        settings = {"url": "http://127.0.0.1/"}
        configs = [DestinationConfig(name=name, type="http", settings=settings, **config) for name in names or ("a",)]
        operations.apply(self.database, Document(sources=[SourceConfig(name="web")], destinations=configs), actor="t")
        self.catalog.refresh()

    def accept(self, count: int, *, source: str = "web", priority: Priority = Priority.FRESH, name: str = "a") -> None:
        leads = [replace(new_lead(destinations=(name,)), source=source, priority=priority) for _ in range(count)]
        acceptance.accept(self.database, leads)

    def turn(self, *, after: float = 0.05) -> int:
        """A turn of the leader, so many seconds later; how many more are queued then."""
        self.now += after
        before = len(self.queued())
        self.dispatcher.turn()
        return len(self.queued()) - before

    def queued(self) -> list[UUID]:
        rows = self.database.fetch("select id from deliveries where state = 'queued' order by due_at, id")
        return [row[0] for row in rows]

    def end(self, outcome: Outcome = SUCCESS, *, ids: Sequence[UUID] | None = None) -> int:
        """A worker claims and sends what is queued, or these of it, with one outcome for all."""
        claims = work.claim(self.database, "a", self.queued() if ids is None else ids, lease_seconds=60)
        ended = [attempt(claim, outcome, ENDS[outcome]) for claim in claims]
        work.record(self.database, "a", ended, config_version=1, gate=self.catalog.current.steps["a"].gate)
        return len(claims)

    def shift_figures(self, back: timedelta) -> None:
        """Let all attempts so far have been made earlier."""
        self.database.fetch("update rollups set minute = minute - %s returning 1", (back,))

    def succeeded_at(self, moment: datetime, count: int) -> None:
        self.database.fetch(
            "insert into rollups (minute, destination, result, fault, bucket, shard, attempts, total_ms) "
            "values (%s, 'a', 'success', '', 0, 0, %s, 1) returning 1",
            (moment, count),
        )


@pytest.fixture
def stand(database: Database, monkeypatch: pytest.MonkeyPatch) -> Stand:
    return Stand(database, monkeypatch)


def most_within(begins: Sequence[float], seconds: float) -> int:
    """How many of these lie in the fullest period of that length, wherever it begins."""
    begins = sorted(begins)
    return max((sum(first <= one < first + seconds for one in begins) for first in begins), default=0)


def drive(stand: Stand, turns: int, seed: int) -> list[float]:
    """Turn by turn, some of what is queued ends; each send begins at any time since it was queued. When they began."""
    random, since, begins = Random(seed), {}, []
    for _ in range(turns):
        stand.turn(after=random.choice([0.03, 0.1, 0.25]))
        for one in stand.queued():
            since.setdefault(one, stand.now)
        done = [one for one in stand.queued() if random.random() < 0.7]
        begins += [random.choice([since[one], stand.now + 0.02]) for one in done]
        if done:
            stand.end(ids=done)
    return begins


@pytest.mark.parametrize("seed", range(2))
def test_a_rate_is_kept_in_every_period_wherever_it_begins(stand: Stand, seed: int) -> None:
    stand.configure(limits={"rate": "10/2s"})
    stand.accept(200)
    begins = drive(stand, 60, seed)
    assert most_within(begins, 2.0) <= 10
    assert len(begins) >= 0.4 * 10 * 60 * 0.127 / 2, "and it is used"


def test_several_rates_hold_all_at_once(stand: Stand) -> None:
    stand.configure(limits={"rate": ["5/s", "12/5s"]})
    stand.accept(200)
    begins = drive(stand, 80, 7)
    assert most_within(begins, 1.0) <= 5
    assert most_within(begins, 5.0) <= 12
    assert len(begins) >= 15


def test_a_new_leader_knows_from_the_figures_what_was_sent_before(stand: Stand) -> None:
    stand.configure(limits={"rate": "5/5min"})
    stand.accept(20)
    while len(stand.queued()) < 5:
        stand.turn(after=60.0)
    assert stand.end() == 5
    stand.dispatcher = stand.leader()
    assert sum(stand.turn(after=10.0) for _ in range(5)) == 0
    assert stand.turn(after=300.0) > 0


def test_a_new_leader_counts_each_minute_from_its_end_and_not_from_its_own_beginning(stand: Stand) -> None:
    stand.configure(limits={"rate": "5/10min"})
    stand.accept(20)
    while len(stand.queued()) < 5:
        stand.turn(after=60.0)
    stand.end()
    stand.shift_figures(timedelta(minutes=8))
    stand.dispatcher = stand.leader()
    assert sum(stand.turn(after=20.0) for _ in range(4)) == 0
    assert sum(stand.turn(after=50.0) for _ in range(12)) == 5


def test_a_changed_rate_counts_what_was_sent_under_the_old_one(stand: Stand) -> None:
    stand.configure(limits={"rate": "3/5min"})
    stand.accept(20)
    while len(stand.queued()) < 3:
        stand.turn(after=100.0)
    stand.end()
    stand.configure(limits={"rate": "4/5min"})
    assert sum(stand.turn(after=30.0) for _ in range(5)) == 1


def hand_back(stand: Stand, ids: Sequence[UUID]) -> None:
    """A worker takes these, and hands them back unbegun."""
    claims = work.claim(stand.database, "a", ids, lease_seconds=60)
    work.release(stand.database, [(claim.delivery_id, claim.token) for claim in claims])


def spend_quota(stand: Stand, ids: Sequence[UUID]) -> None:
    """The first of these is sent, and its answer says that nothing is left; the others are called back. Then time passes."""
    told = Quota(remaining=0, reset_seconds=60, limit=100, told_at=monotonic())
    [claim] = work.claim(stand.database, "a", ids[:1], lease_seconds=60)
    answered = attempt(claim, replace(SUCCESS, quota=told), State.DELIVERED)
    work.record(stand.database, "a", [answered], config_version=1)
    stand.database.fetch("update destination_status set quota_until = now() returning 1")


def open_and_resume(stand: Stand, ids: Sequence[UUID]) -> None:
    """The first of these fails, which opens the circuit: the others are called back. Then a person resumes."""
    [claim] = work.claim(stand.database, "a", ids[:1], lease_seconds=60)
    work.record(stand.database, "a", [attempt(claim, REFUSED, State.DEAD)], config_version=1)
    operation.pause(stand.database, "a", paused=False, actor="t")


def lose_messages(stand: Stand, ids: Sequence[UUID]) -> None:
    """The first of these is sent; the broker forgets the messages of the others."""
    stand.end(ids=ids[:1])
    assert dispatch.requeue_lost(stand.database, after_seconds=0, is_empty=set) == len(ids) - 1


def hand_back_the_rest(stand: Stand, ids: Sequence[UUID]) -> None:
    """The first of these is sent, and the worker hands the others back."""
    stand.end(ids=ids[:1])
    hand_back(stand, ids[1:])


def close_for_the_rest(stand: Stand, ids: Sequence[UUID]) -> None:
    """The first of these is sent; to a worker that gets the others the destination is closed."""
    stand.end(ids=ids[:1])
    dispatch.unqueue(stand.database, ids[1:])


@pytest.mark.parametrize(
    "happen", [spend_quota, open_and_resume, lose_messages, hand_back_the_rest, close_for_the_rest]
)
def test_what_comes_back_unsent_uses_up_no_rate(stand: Stand, happen: Callable[[Stand, Sequence[UUID]], None]) -> None:
    stand.configure(limits={"rate": "10/h"}, circuit={"ramp_seconds": 0})
    stand.accept(30)
    assert stand.turn() + stand.turn(after=3600.0) == 10
    happen(stand, stand.queued())
    assert stand.queued() == []
    assert stand.turn(after=3000.0) == 9, "one was sent, and nine are left of the hour"


def test_what_comes_back_unsent_looks_like_no_speed(stand: Stand) -> None:
    stand.configure(limits={"window": 100_000})
    stand.accept(3000)
    for _ in range(12):
        stand.turn(after=0.025)
        hand_back(stand, stand.queued())
    assert stand.turn(after=0.025) == 200, "four seconds of the speed assumed of whom nothing is known of"


def test_what_cannot_be_published_uses_up_no_rate(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.configure(limits={"rate": "4/h"})
    stand.accept(30)
    stand.turn()
    stand.turn(after=1000.0)
    assert stand.end() == 2

    def fail(_self: Publisher, _messages: object) -> None:
        raise BrokerUnavailable("it is gone")

    with monkeypatch.context() as patched:
        patched.setattr(Publisher, "deliver", fail)
        for _ in range(3):
            stand.now += 500
            with pytest.raises(BrokerUnavailable):
                stand.dispatcher.turn()
    assert stand.turn(after=1500.0) == 2, "two were sent, and two are left of the hour"


def test_a_rate_is_kept_by_what_may_go_only_one_at_a_time(stand: Stand) -> None:
    stand.configure(limits={"rate": "10/h"})
    stand.accept(40)
    stand.database.fetch("update deliveries set attempts = 2, reason = %s returning 1", (work.WORKER_ENDED,))
    stand.turn()
    sent = 0
    for _ in range(12):
        assert stand.turn(after=290.0) <= 1, "the other is taken back in the same turn"
        sent += stand.end()
    assert sent == 10


@pytest.mark.parametrize("seed", range(4))
def test_a_rate_is_kept_however_much_comes_back_unsent(stand: Stand, seed: int) -> None:
    stand.configure(limits={"rate": "10/2s"})
    stand.accept(150)
    random, since, begins = Random(seed), dict[UUID, float](), list[float]()
    for _ in range(80):
        stand.turn(after=random.choice([0.03, 0.1, 0.25]))
        for one in stand.queued():
            since.setdefault(one, stand.now)
        sent = [one for one in stand.queued() if random.random() < 0.5]
        back = [one for one in stand.queued() if one not in sent and random.random() < 0.5]
        begins += [random.choice([since[one], stand.now + 0.02]) for one in sent]
        stand.end(ids=sent)
        random.choice([hand_back, lambda stand, ids: dispatch.unqueue(stand.database, ids)])(stand, back)
        for one in [*sent, *back]:
            del since[one]
    assert most_within(begins, 2.0) <= 10
    assert len(begins) >= 0.3 * 10 * 80 * 0.127 / 2, "and it is used"


def test_a_probe_counts_against_the_rate(stand: Stand) -> None:
    stand.configure(limits={"rate": "2/5min"}, circuit={"consecutive": 1, "ramp_seconds": 0})
    stand.accept(20)
    while len(stand.queued()) < 1:
        stand.turn(after=0.05)
    stand.end(BROKEN)
    stand.database.fetch("update destination_status set probe_at = now() returning 1")
    stand.now += 0.05
    stand.dispatcher.sweep()
    assert stand.end(SUCCESS) == 1, "the probe, and it closes the circuit before anybody looks"
    assert sum(stand.turn(after=40.0) for _ in range(5)) == 0


def test_only_successes_use_up_a_cap_and_failures_give_their_room_back(stand: Stand) -> None:
    stand.configure(limits={"volume": {"daily": 3}})
    stand.accept(20)
    assert stand.turn() == 3, "what is under way counts"
    assert stand.turn(after=2.0) == 0
    stand.end(FAILURE)
    assert stand.turn(after=2.0) == 3
    stand.end(SUCCESS, ids=stand.queued()[:2])
    stand.end(BROKEN)
    assert stand.turn(after=2.0) == 1
    stand.end(SUCCESS)
    assert sum(stand.turn(after=2.0) for _ in range(3)) == 0


def test_a_cap_is_never_exceeded_between_two_readings(stand: Stand) -> None:
    stand.configure(limits={"volume": {"daily": 5}, "window": 2})
    stand.accept(20)
    ended = 0
    for _ in range(12):
        stand.turn(after=0.05)  # many turns on one reading
        ended += stand.end(SUCCESS)
    assert ended <= 5
    for _ in range(4):
        stand.turn(after=2.0)
        ended += stand.end(SUCCESS)
    assert ended == 5


def test_a_probe_counts_against_the_cap(stand: Stand) -> None:
    stand.configure(limits={"volume": {"daily": 1}}, circuit={"consecutive": 1, "ramp_seconds": 0})
    stand.accept(20)
    stand.turn()
    stand.end(BROKEN)
    stand.database.fetch("update destination_status set probe_at = now() returning 1")
    stand.now += 2.0
    stand.dispatcher.sweep()
    assert stand.end(SUCCESS) == 1
    assert stand.turn(after=0.05) == 0, "also before the next reading"


def test_the_day_of_a_cap_begins_at_the_destinations_own_midnight(stand: Stand) -> None:
    stand.configure(limits={"volume": {"daily": 4}}, time_zone=AUCKLAND)
    day, _ = period_starts(datetime.now(UTC), AUCKLAND)
    stand.accept(20)
    stand.succeeded_at(day - timedelta(minutes=1), 100)
    stand.succeeded_at(day, 1)
    assert stand.turn() == 3


def test_a_cap_that_was_reached_gives_room_after_midnight(stand: Stand) -> None:
    stand.configure(limits={"volume": {"daily": 2}}, time_zone=AUCKLAND)
    day, _ = period_starts(datetime.now(UTC), AUCKLAND)
    stand.moment = day - timedelta(seconds=1)
    stand.succeeded_at(day - timedelta(hours=5), 2)
    stand.accept(20)
    assert stand.turn(after=2.0) == 0
    stand.moment = day
    assert stand.turn(after=2.0) == 2


def test_the_month_of_a_cap_is_the_destinations_own(stand: Stand) -> None:
    stand.configure(limits={"volume": {"monthly": 4}}, time_zone=AUCKLAND)
    _, month = period_starts(datetime.now(UTC), AUCKLAND)
    stand.accept(20)
    stand.succeeded_at(month - timedelta(minutes=1), 100)
    stand.succeeded_at(month, 1)
    assert stand.turn() == 3


@pytest.mark.parametrize(("volume", "room"), [((4, 50), 4), ((4, 42), 2)], ids=["the day's", "the month's"])
def test_the_lower_of_two_caps_counts(stand: Stand, volume: tuple[int, int], room: int) -> None:
    stand.moment = datetime(2026, 3, 20, 12, 0, tzinfo=UTC)
    stand.configure(limits={"volume": {"daily": volume[0], "monthly": volume[1]}})
    stand.succeeded_at(datetime(2026, 3, 1, tzinfo=UTC), 40)
    stand.succeeded_at(datetime(2026, 2, 28, 23, 59, tzinfo=UTC), 40)
    stand.accept(60)
    assert stand.turn() == room


def test_a_months_earlier_days_are_counted_anew_each_day(stand: Stand) -> None:
    stand.configure(limits={"volume": {"monthly": 50}})
    stand.accept(60)
    stand.moment = datetime(2026, 3, 20, 12, 0, tzinfo=UTC)
    stand.succeeded_at(datetime(2026, 3, 20, 11, 0, tzinfo=UTC), 49)
    assert stand.turn() == 1
    stand.moment = datetime(2026, 3, 21, 12, 0, tzinfo=UTC)
    assert stand.turn(after=2.0) == 0, "what was today's is yesterday's now"


def test_a_full_cap_or_closed_hours_do_not_make_the_leader_look_all_the_time(stand: Stand) -> None:
    stand.configure(limits={"volume": {"daily": 1}})
    stand.accept(5)
    stand.turn()
    stand.end()
    stand.turn(after=2.0)
    assert stand.dispatcher.turn() == Settings().tick_seconds
    stand.configure(schedule=closed_now())
    stand.turn(after=2.0)
    assert stand.dispatcher.turn() == Settings().tick_seconds


def closed_now() -> Mapping[str, Any]:
    """A schedule that has been shut for hours and opens in hours, whatever the time is."""
    opens = (datetime.now(UTC) + timedelta(hours=6)).time().replace(microsecond=0)
    closes = (datetime.now(UTC) + timedelta(hours=7)).time().replace(microsecond=0)
    return {"open": [{"opens": opens.isoformat(), "closes": closes.isoformat()}]}


def test_nothing_goes_outside_of_the_hours(stand: Stand) -> None:
    stand.configure(
        schedule={
            "open": [{"days": ["mon-fri"], "opens": "9:00", "closes": "17:30"}],
            "holidays": [date(2026, 12, 25)],
        },
        time_zone="America/New_York",
    )
    stand.accept(20)
    york = ZoneInfo("America/New_York")
    shut = [(12, 23, 8, 59), (12, 23, 17, 30), (12, 25, 12, 0), (12, 26, 12, 0)]
    for month, day, hour, minute in shut:
        stand.moment = datetime(2026, month, day, hour, minute, tzinfo=york)
        assert stand.turn(after=5.0) == 0
    stand.moment = datetime(2026, 12, 23, 9, 0, tzinfo=york)
    assert stand.turn(after=5.0) > 0


def test_an_open_circuit_is_not_probed_outside_of_the_hours(stand: Stand) -> None:
    stand.configure(circuit={"consecutive": 1}, schedule={"open": [{"opens": "9:00", "closes": "17:00"}]})
    stand.accept(5)
    stand.moment = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    stand.turn()
    stand.end(BROKEN, ids=stand.queued()[:1])
    stand.database.fetch("update destination_status set probe_at = now() returning 1")
    stand.moment = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
    stand.dispatcher.sweep()
    assert stand.queued() == []
    stand.moment = datetime(2026, 3, 3, 9, 0, tzinfo=UTC)
    stand.dispatcher.sweep()
    assert len(stand.queued()) == 1


def test_a_message_that_comes_after_closing_goes_back_unattempted(stand: Stand) -> None:
    stand.configure()
    stand.accept(3)
    stand.turn()
    ids = stand.queued()
    stand.configure(schedule=closed_now())
    deliverer = Deliverer(stand.database, stand.catalog, lease_seconds=30, environ={})
    assert deliverer.deliver("a", ids) == {}
    assert stand.database.fetch("select state::text, sum(attempts)::int from deliveries group by 1") == [("ready", 0)]


def test_a_paused_destination_gets_nothing_until_it_is_resumed(stand: Stand) -> None:
    stand.configure()
    stand.accept(3)
    operation.pause(stand.database, "a", paused=True, actor="ann")
    assert stand.turn() == 0
    operation.pause(stand.database, "a", paused=False, actor="ann")
    assert stand.turn() == 3


def test_retry_after_holds_the_whole_destination_for_at_most_the_longest_wait(stand: Stand) -> None:
    stand.configure(retry={"max_seconds": 90})
    stand.accept(5)
    stand.turn()
    stand.accept(5)
    [claim] = work.claim(stand.database, "a", stand.queued()[:1], lease_seconds=60)
    busy = Outcome(result=Result.ERROR, fault=Fault.TRANSIENT, reason="429", retry_after=86_400)
    gate = stand.catalog.current.steps["a"].gate
    assert gate == GateRules(longest_wait_seconds=90)
    work.record(stand.database, "a", [attempt(claim, busy, State.READY)], config_version=1, gate=gate)
    assert stand.turn() == 0
    stand.database.fetch("update destination_status set not_before = not_before - interval '85 seconds' returning 1")
    assert stand.turn() == 0
    stand.database.fetch("update destination_status set not_before = not_before - interval '5 seconds' returning 1")
    assert stand.turn() > 0


def lanes(stand: Stand) -> Counter[tuple[str, int]]:
    rows = stand.database.fetch("select source, priority from deliveries where state = 'queued'")
    return Counter((row[0], row[1]) for row in rows)


def shares(stand: Stand, turns: int) -> Counter[tuple[str, int]]:
    found: Counter[tuple[str, int]] = Counter()
    for _ in range(turns):
        stand.turn()
        found += lanes(stand)
        stand.end()
    return found


def test_fresh_leads_go_before_backfill_which_is_not_starved(stand: Stand) -> None:
    stand.configure(limits={"window": 10})
    stand.accept(60, priority=Priority.BACKFILL)
    stand.accept(60)
    assert shares(stand, 5) == {("web", 0): 45, ("web", 1): 5}


def test_backfill_gets_its_part_also_where_one_goes_at_a_time(stand: Stand) -> None:
    stand.configure(limits={"window": 1, "concurrency": 1})
    stand.accept(60, priority=Priority.BACKFILL)
    stand.accept(60)
    found = shares(stand, 40)
    assert found[("web", 1)] == pytest.approx(4, abs=1)
    assert found.total() == 40


def test_backfill_alone_gets_everything(stand: Stand) -> None:
    stand.configure(limits={"window": 10})
    stand.accept(20, priority=Priority.BACKFILL)
    assert shares(stand, 1) == {("web", 1): 10}


def test_sources_share_alike_however_much_one_submits(stand: Stand) -> None:
    stand.configure(limits={"window": 9})
    stand.accept(80, source="bulk")
    stand.accept(12, source="calm")
    stand.accept(12, source="slow")
    assert shares(stand, 3) == {("bulk", 0): 9, ("calm", 0): 9, ("slow", 0): 9}


def test_what_a_source_has_no_use_for_goes_to_the_others_in_the_same_turn(stand: Stand) -> None:
    stand.configure(limits={"window": 12})
    stand.accept(80, source="bulk")
    stand.accept(1, source="calm")
    stand.accept(2, source="slow", priority=Priority.BACKFILL)
    found = shares(stand, 1)
    assert found.total() == 12
    assert found[("calm", 0)] == 1


def test_an_adaptive_destination_is_given_less_after_errors_and_more_when_it_goes_well(stand: Stand) -> None:
    stand.configure(limits={"adaptive": True, "concurrency": 8}, circuit={"consecutive": None, "error_ratio": None})
    stand.accept(300)
    assert stand.turn() == 16
    stand.end(BROKEN)
    assert stand.turn(after=1.1) == 11, "0.7 of 16"
    stand.end(SUCCESS)
    assert stand.turn(after=1.1) == 12, "by a step"


def test_an_adaptive_destination_that_answers_well_is_given_twice_as_much_at_first(stand: Stand) -> None:
    stand.configure(limits={"adaptive": True, "concurrency": 8})
    stand.accept(300)
    stand.turn()
    stand.end(SUCCESS)
    assert stand.turn(after=1.1) == 32


def test_the_window_comes_back_by_and_by_after_a_circuit_closed(stand: Stand) -> None:
    stand.configure(limits={"concurrency": 2, "window": 128}, circuit={"ramp_seconds": 60})
    stand.accept(300)
    stand.database.fetch(
        "insert into destination_status (destination, closed_at) values ('a', now() - interval '10 seconds') returning 1"
    )
    assert stand.turn() == pytest.approx(4, abs=1)
    stand.database.fetch("update destination_status set closed_at = now() - interval '30 seconds' returning 1")
    stand.turn()
    assert len(stand.queued()) == pytest.approx(16, abs=1)
    stand.database.fetch("update destination_status set closed_at = now() - interval '61 seconds' returning 1")
    stand.turn()
    assert len(stand.queued()) == 128


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many statements were sent to PostgreSQL since it was asked last."""
    executed = [0]
    execute = psycopg.Connection.execute

    def counted(connection: Any, *args: Any, **keywords: Any) -> Any:
        executed[0] += 1
        return execute(connection, *args, **keywords)

    def taken() -> int:
        found, executed[0] = executed[0], 0
        return found

    monkeypatch.setattr(psycopg.Connection, "execute", counted)
    return taken


@pytest.mark.parametrize(
    "limits", [{}, {"volume": {"daily": 100}}, {"adaptive": True}], ids=["no limits", "volume", "adaptive"]
)
def test_a_turn_takes_as_many_statements_for_a_thousand_destinations_as_for_one(
    stand: Stand, statements: Callable[[], int], limits: Mapping[str, Any]
) -> None:
    taken = []
    for count in (1, 1000):
        names = [f"d{number}" for number in range(count)]
        stand.configure(*names, limits=limits)
        acceptance.accept(stand.database, [new_lead(destinations=names)])
        statements()
        assert stand.turn(after=2.0) == count
        taken.append(statements())
        stand.database.fetch("delete from deliveries returning 1")
    assert taken[1] <= taken[0] + 1 <= 12, "the pool may have opened a connection"


def test_a_thousand_destinations_with_rates_are_recalled_once(stand: Stand, statements: Callable[[], int]) -> None:
    names = [f"d{number}" for number in range(200)]
    stand.configure(*names, limits={"rate": "10/s"})
    acceptance.accept(stand.database, [new_lead(destinations=names), new_lead(destinations=names)])
    stand.turn(after=2.0)
    statements()
    stand.turn(after=2.0)
    assert statements() <= 12
