"""What one API process holds while it serves: ledger, configuration, intake, and the threads between them and the loop."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from app.api.access import Access
from app.api.errand import Errands
from app.api.grouping import Grouping
from app.api.hooking import Hooks
from app.api.metrics import Metrics
from app.api.reach import Reach
from app.api.waiting import Waiting
from app.catalog import Catalog
from app.errors import InvalidConfig, LeadrelayError, Unavailable
from app.intake import Intake
from app.ledger import Database
from app.settings import Settings
from app.telemetry import Event, emit

_ERRAND_THREADS = 2
_BULK_THREADS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Everything routes use. Opened and closed on the event loop that serves."""

    settings: Settings
    database: Database
    catalog: Catalog
    intake: Intake
    grouping: Grouping
    bulk: Errands
    errands: Errands
    access: Access
    hooks: Hooks
    waiting: Waiting
    reach: Reach
    metrics: Metrics

    @classmethod
    def create(cls, settings: Settings) -> "Service":
        """Connect to the ledger; when it is out of reach only its use raises. Raises `Unavailable` without an address."""
        database = Database(
            settings.required_database_url, size=settings.database_pool, application_name="leadrelay-api"
        )
        catalog = Catalog(database)
        intake = Intake(database, catalog)
        errands = Errands("errand", _ERRAND_THREADS)
        return cls(
            settings=settings,
            database=database,
            catalog=catalog,
            intake=intake,
            grouping=Grouping(intake.accept),
            bulk=Errands("bulk", _BULK_THREADS),
            errands=errands,
            access=Access(database, errands),
            hooks=Hooks(database, errands),
            waiting=Waiting(database, errands),
            reach=Reach(),
            metrics=Metrics(database, catalog),
        )

    async def follow_configuration(self) -> None:
        """Take up new configuration versions for ever; faults are logged when they change, and tried again."""
        told = ""
        while True:
            try:
                if await self.errands.run(self.catalog.refresh):
                    emit(Event.CONFIG_APPLIED, version=self.catalog.current.version)
                told = ""
            except (Unavailable, InvalidConfig) as error:
                if told != str(error):
                    told = str(error)
                    event = Event.LEDGER_UNAVAILABLE if isinstance(error, Unavailable) else Event.CONFIG_REFUSED
                    emit(event, level=logging.WARNING, detail=told)
            await asyncio.sleep(self.settings.config_poll_seconds)

    async def close(self) -> None:
        """Finish what is on its way to the ledger, then close it."""
        self.waiting.release()
        with suppress(LeadrelayError):  # counts only, and there is no later
            await self.hooks.flush()
        for part in (self.grouping, self.bulk, self.errands):
            await asyncio.to_thread(part.close)
        self.database.close()


async def stop(task: "asyncio.Task[None]") -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _held(request: Request) -> Service:
    return cast(Service, request.app.state.service)


Held = Annotated[Service, Depends(_held)]
"""The service, as a parameter of a route."""
