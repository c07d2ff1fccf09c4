"""What a worker process holds for its whole life, and the thread that leads or waits to lead.

Every worker runs a `Leader` thread; the one that gets the ledger's advisory lock dispatches for the whole installation and
runs Celery beat. When it ends, however it ends, its connection closes and another takes over within seconds.
"""

import logging
import threading
from dataclasses import dataclass
from time import monotonic
from typing import Any

from celery import Celery
from celery.beat import EmbeddedService

from app.broker import Publisher
from app.catalog import Catalog
from app.delivery import Deliverer
from app.dispatch import Dispatcher
from app.errors import BrokerUnavailable, InvalidConfig, Unavailable
from app.ledger import Database, LedgerError
from app.ledger.acceptance import WAKE_CHANNEL
from app.ledger.leadership import Leadership
from app.operations import Steward
from app.settings import Settings, secret_environment
from app.telemetry import Event, emit, report

TAKEOVER_SECONDS = 1.0
TURN_SECONDS = 0.025
"""Least time from one turn to the next: under load it gathers what comes in into larger groups, a lone lead waits for nothing."""
LOOK_SHARE, LONGEST_APART_SECONDS = 5.0, 0.25
"""From one look to the next it is so many times what the last one took, within bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A worker process's ledger, configuration and use cases."""

    database: Database
    catalog: Catalog
    deliverer: Deliverer
    steward: Steward

    @classmethod
    def create(cls, celery: Celery, settings: Settings) -> "Holding":
        """Connect to the ledger; raises nothing when it is out of reach, only its use does."""
        database = Database(
            settings.required_database_url,
            size=settings.database_pool,
            application_name="leadrelay-worker",
        )
        catalog = Catalog(database)
        return cls(
            database=database,
            catalog=catalog,
            deliverer=Deliverer(database, catalog, lease_seconds=settings.lease_seconds, environ=secret_environment()),
            steward=Steward(database, Publisher(celery), settings),
        )

    def refresh(self) -> bool:
        """Take up a newer configuration; whether there was one. Faults are logged and tried again at the next poll."""
        try:
            changed = self.catalog.refresh()
        except Unavailable as error:
            emit(Event.LEDGER_UNAVAILABLE, level=logging.WARNING, detail=str(error))
            return False
        except InvalidConfig as error:  # applied by a newer release; this process stays on what it understands
            emit(Event.CONFIG_REFUSED, level=logging.ERROR, detail=str(error))
            return False
        except Exception as error:  # noqa: BLE001  # the edge of a thread: a defect must not end the following of versions
            report(Event.CONFIG_REFUSED, error)
            return False
        if changed:
            emit(Event.CONFIG_APPLIED, version=self.catalog.current.version)
        return changed

    def close(self) -> None:
        """Close connections to destinations and ledger."""
        self.deliverer.close()
        self.database.close()


class Leader(threading.Thread):
    """Leads, or waits to."""

    def __init__(self, celery: Celery, holding: Holding, settings: Settings) -> None:
        super().__init__(name="leader", daemon=True)
        self._celery = celery
        self._publisher = Publisher(celery)
        self._holding = holding
        self._leadership = Leadership(holding.database.url, WAKE_CHANNEL)
        self._settings = settings
        self._stopping = threading.Event()

    def run(self) -> None:
        """Lead whenever the lock can be had, until stopped."""
        while not self._stopping.is_set():
            try:
                if self._leadership.acquire():
                    self._lead()
                else:
                    self._stopping.wait(TAKEOVER_SECONDS)
            except Unavailable as error:
                emit(Event.LEDGER_UNAVAILABLE, level=logging.WARNING, detail=str(error))
                self._stand_back()
            except Exception as error:  # noqa: BLE001  # the edge of a thread: a worker without it would look alive and never lead
                report(Event.DISPATCH_FAILED, error)
                self._stand_back()
        self._leadership.release()
        self._publisher.close()

    def stop(self) -> None:
        """Stop leading within a tick."""
        self._stopping.set()
        self.join(timeout=self._settings.tick_seconds + 2.0)

    def _stand_back(self) -> None:
        self._leadership.release()
        self._stopping.wait(TAKEOVER_SECONDS)

    def _lead(self) -> None:
        emit(Event.LEADER_GAINED)
        beat: Any = EmbeddedService(self._celery, thread=True, scheduler_cls="celery.beat:Scheduler")
        beat.daemon = True
        beat.start()
        try:
            self._dispatch()
        finally:
            beat.service.stop(wait=False)  # it may be waiting for a broker that is down, and the lock must not
            emit(Event.LEADER_LOST)

    def _dispatch(self) -> None:
        # A new one each time: of what was sent while another led, the one of before knows nothing.
        holding, swept = self._holding, 0.0
        dispatcher = Dispatcher(holding.database, holding.catalog, self._publisher, self._settings)
        while not self._stopping.is_set():
            begun, spent, pause = monotonic(), 0.0, self._settings.tick_seconds
            try:
                pause = dispatcher.turn()
                spent = monotonic() - begun
                if monotonic() - swept >= self._settings.tick_seconds:
                    swept = monotonic()
                    dispatcher.sweep()
            except BrokerUnavailable as error:
                emit(Event.BROKER_UNAVAILABLE, level=logging.WARNING, detail=str(error))
                self._stopping.wait(TAKEOVER_SECONDS)
            except LedgerError as error:
                report(Event.DISPATCH_FAILED, error)
                self._stopping.wait(TAKEOVER_SECONDS)
            self._leadership.wait(max(TURN_SECONDS, pause))
            # What a look costs grows with the destinations that have work: it must not take the time they need.
            apart = min(max(TURN_SECONDS, LOOK_SHARE * spent), LONGEST_APART_SECONDS)
            self._stopping.wait(begun + apart - monotonic())
