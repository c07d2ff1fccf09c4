"""Calls that reach a destination, from the event loop: few at a time, and none is waited for longer than it may take.

Threads that end with the process: a name service that hangs has no time limit of its own, and must not hold up a stop.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from app.errors import TransientFault, Unavailable

R = TypeVar("R")

MOST: Final = 4
GRACE_SECONDS: Final = 1.0
"""So much longer than a destination's time limit is waited, for its own words about what took so long."""


class Reach:
    """The calls under way in one process; used from its event loop only."""

    def __init__(self) -> None:
        self._busy = 0

    async def run(self, call: Callable[[], R], *, seconds: float) -> R:
        """What the call returns or raises; an ambiguous `TransientFault` if it takes longer, `Unavailable` beyond `MOST`."""
        if self._busy >= MOST:
            raise Unavailable(f"{MOST} destinations are being tried at the moment; try again later")
        answer = self._begin(call)
        try:
            return await asyncio.wait_for(asyncio.shield(answer), seconds + GRACE_SECONDS)
        except TimeoutError:
            raise TransientFault(f"no answer within {seconds:g} s", ambiguous=True) from None

    def _begin(self, call: Callable[[], R]) -> "asyncio.Future[R]":
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[R] = loop.create_future()
        self._busy += 1

        def end(result: R | None, error: BaseException | None) -> None:
            self._busy -= 1
            if error is None:
                answer.set_result(result)  # type: ignore[arg-type]  # what the call returned
            else:
                answer.set_exception(error)
                answer.exception()  # told, even if nobody waits any more

        def work() -> None:
            result, error = None, None
            try:
                result = call()
            except Exception as found:  # noqa: BLE001  # carried to whoever waits
                error = found
            with suppress(RuntimeError):  # the loop ended in the meantime
                loop.call_soon_threadsafe(end, result, error)

        threading.Thread(target=work, name="trial", daemon=True).start()
        return answer
