"""Concurrent submissions become one transaction: the commit's cost is shared and nobody waits for a timer.

While a group is on its way to the ledger, the next one gathers. An idle API sends groups of one at once. One group at a
time: two would wait for each other's row of counters, and measured 10 % more CPU for each lead.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from app.api.errand import Errands
from app.errors import Unavailable
from app.intake import Answer, Receipt, Submission

GROUP = 500
WAITING = 5000
"""Beyond this many the ledger is not keeping up: newcomers are told to come back."""

Accept = Callable[[Sequence[Submission]], list[Answer]]


class Grouping:
    """Gathers submissions of this event loop into groups."""

    def __init__(self, accept: Accept) -> None:
        self._accept = accept
        self._errands = Errands("intake", 1)
        self._waiting: deque[tuple[Submission, asyncio.Future[Receipt]]] = deque()
        self._busy = False

    async def accept(self, submission: Submission) -> Receipt:
        """The receipt of one submission, after the commit; raises `InvalidLead`, `Conflict`, `Unavailable`."""
        if len(self._waiting) >= WAITING:
            raise Unavailable("more leads are waiting than the ledger takes; try again in a moment")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Receipt] = loop.create_future()
        self._waiting.append((submission, answer))
        if not self._busy:
            self._busy = True
            loop.call_soon(self._start)  # requests that came in the same turn of the loop join the group
        return await answer

    def close(self) -> None:
        """Wait for the groups on their way."""
        self._errands.close()

    def _start(self) -> None:
        self._busy = bool(self._waiting)
        if not self._busy:
            return
        group = [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]
        taken = self._errands.begin(accept_apart, self._accept, [submission for submission, _ in group])
        taken.add_done_callback(lambda done: self._finish([answer for _, answer in group], done))

    def _finish(
        self, waiting: Sequence[asyncio.Future[Receipt]], done: "asyncio.Future[list[Answer | Exception]]"
    ) -> None:
        self._start()
        error = done.exception()
        answers = done.result() if error is None else [error] * len(waiting)
        for future, answer in zip(waiting, answers, strict=True):
            if future.done():  # its client has gone; the lead is taken all the same
                continue
            if isinstance(answer, Receipt):
                future.set_result(answer)
            else:
                future.set_exception(answer)


def accept_apart(accept: Accept, submissions: Sequence[Submission]) -> list[Answer | Exception]:
    """Take a group; when a defect hits it, take each alone, so that one submission cannot fail its neighbours.

    A failed group was rolled back whole, so nothing is taken twice. Raises `Unavailable`.
    """
    try:
        return [*accept(submissions)]
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001  # carried to the one whose submission it is
        if len(submissions) == 1:
            return [error]
        return [answer for one in submissions for answer in accept_apart(accept, [one])]
