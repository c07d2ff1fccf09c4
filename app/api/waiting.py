"""`?wait=`: requests that wait for the outcomes of their lead, all served by one question to the ledger at a time.

A thousand waiting requests cost one statement per round, not a thousand threads.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from app.api.errand import Errands
from app.errors import Unavailable
from app.ledger import Database, query
from app.ledger.query import DeliveryView

PAUSE_SECONDS = 0.05
Outcomes = Sequence[DeliveryView] | None


class Waiting:
    """Leads somebody waits for."""

    def __init__(self, database: Database, errands: Errands) -> None:
        self._database = database
        self._errands = errands
        self._waiting: dict[UUID, set[asyncio.Future[Outcomes]]] = {}
        self._poller: asyncio.Task[None] | None = None

    async def outcomes(self, lead_id: UUID, *, seconds: float) -> Outcomes:
        """The deliveries of a lead when all have ended, None if some have not within `seconds`."""
        ended: asyncio.Future[Outcomes] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(lead_id, set()).add(ended)
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(seconds):
                return await ended
        except TimeoutError:
            return None
        finally:
            self._forget(lead_id, ended)

    def release(self) -> None:
        """End every wait at once: the process is about to stop."""
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_result(None)

    async def _poll(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(PAUSE_SECONDS)
                with suppress(Unavailable):  # whoever waits is told by the clock
                    await self._look()
        finally:
            self._poller = None

    async def _look(self) -> None:
        ended = await self._errands.run(query.ended, self._database, list(self._waiting))
        if not ended:
            return
        found: dict[UUID, list[DeliveryView]] = {lead_id: [] for lead_id in ended}
        for view in await self._errands.run(query.lead_deliveries, self._database, ended):
            found[view.lead_id].append(view)
        for lead_id, views in found.items():
            for future in self._waiting.get(lead_id, ()):
                if not future.done():
                    future.set_result(views)

    def _forget(self, lead_id: UUID, ended: "asyncio.Future[Outcomes]") -> None:
        futures = self._waiting[lead_id]
        futures.discard(ended)
        if not futures:
            del self._waiting[lead_id]
