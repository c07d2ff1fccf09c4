"""Workers are replaced one by one while leads come in: nobody waits for it, and nothing is sent twice."""

import json
from datetime import datetime

from app.model import State
from tests.tasks.conftest import BOTH, Fleet, await_that, buyer


def seconds_without_a_leader(fleet: Fleet) -> float:
    """The longest time between a leader that went and the next."""
    longest, lost = 0.0, None
    for line in fleet.log.read_text().splitlines():
        event = json.loads(line)
        at = datetime.fromisoformat(event["timestamp"])
        if event["event"] == "leader.lost":
            lost = at
        elif event["event"] == "leader.gained" and lost:
            longest = max(longest, (at - lost).total_seconds())
    return longest


@BOTH
def test_new_workers_beside_the_old_take_over_while_leads_come_in(fleet: Fleet) -> None:
    fleet.configure(buyer(fleet.sandbox.url, limits={"concurrency": 2, "timeout_seconds": 1}))
    fleet.faults(latency_seconds=0.05)
    fleet.start(2)
    for old in range(2):
        fleet.accept(50)
        fleet.start(1)
        had = len(fleet.receipts())
        fleet.accept(50)
        await_that(lambda had=had: len(fleet.receipts()) > had, "deliveries are under way")
        fleet.workers[old].terminate()
        fleet.accept(10)
        assert fleet.workers[old].wait(timeout=15) == 0
    assert fleet.await_final() == {State.DELIVERED: 220}
    assert len(fleet.receipts()) == 220, "nothing was sent twice"
    assert fleet.database.fetch("select count(*) from attempts where ambiguous") == [(0,)]
    assert fleet.log.read_text().count("leader.gained") >= 2
    assert seconds_without_a_leader(fleet) < 3
