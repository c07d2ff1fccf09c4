"""Short calls of the ledger from the event loop, on a few threads of their own.

Slow questions (a balance, a long list) run on FastAPI's threads; what every request waits for must not queue behind them.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Errands:
    """Threads for one purpose."""

    def __init__(self, name: str, threads: int) -> None:
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)

    async def run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What the call returns or raises."""
        return await self.begin(call, *args, **kwargs)

    def begin(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[R]":
        """The same without waiting; from the event loop only."""
        return asyncio.wrap_future(self._threads.submit(call, *args, **kwargs))

    def close(self) -> None:
        """Wait for what runs, drop what has not begun."""
        self._threads.shutdown(wait=True, cancel_futures=True)
