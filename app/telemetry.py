"""Every log event of the product, named once, and how logs and errors leave a process.

| event | when | fields |
|---|---|---|
| `process.started`, `process.stopped` | a part of the product begins or ends | part |
| `config.applied` | a process runs a new configuration version | version |
| `config.refused` | a process cannot use the newest version and stays on its own | detail |
| `worker.stuck` | a worker stopped consuming and ends itself, with exit code 75 | detail |
| `leader.gained`, `leader.lost` | this worker's dispatcher begins or ceases to lead | |
| `deliveries.dispatched` | messages were published | count, messages |
| `deliveries.recorded` | a group of attempts was recorded | destination, counts by state |
| `deliveries.stale` | attempts came after their lease and were written nowhere | destination, count |
| `deliveries.requeued` | messages were lost; their deliveries are ready again | count |
| `leases.expired` | workers ended in mid-delivery; recorded as ambiguous attempts | count |
| `deliveries.orphaned` | deliveries held because their destination was removed | count, destinations |
| `deliveries.late` | deliveries passed their deadline, or the age at which another destination takes them over | count |
| `circuit.opened`, `circuit.closed` | a destination is left alone because it fails, or takes leads again | destination |
| `destination.rejections` | a destination rejected so many leads in a row (`rejections.in_a_row`) | destination, in_a_row |
| `destination.deprecated` | a destination says when its interface ends; once a day and process | destination, detail |
| `connector.defect` | a connector raised what it should not | destination, error |
| `migration.waits` | others keep a table locked: the migration gives way and tries again | |
| `ledger.unavailable`, `broker.unavailable` | a server of ours is out of reach | detail |
| `ledger.outdated` | the ledger's tables are older than this process needs: it waits for `leadrelay migrate` | detail |
| `dispatch.failed` | the dispatcher met a defect and goes on | error |
| `hook.unusable` | webhooks of a source cannot be taken: a secret of its hook cannot be read | source, detail |
| `request.failed` | the API could not answer because of a defect | route, error |

No field ever holds a lead's values; `app.redaction` guards what libraries log beside us.
"""

import logging
import sys
from enum import StrEnum
from typing import Any, cast

import sentry_sdk
import structlog
from sentry_sdk.types import Event as SentryEvent
from sentry_sdk.types import Hint
from structlog.types import EventDict, Processor

from app.redaction import redact_event, redact_sentry
from app.settings import Settings


class Event(StrEnum):
    """Names of log events; the table above says when each occurs."""

    PROCESS_STARTED = "process.started"
    PROCESS_STOPPED = "process.stopped"
    CONFIG_APPLIED = "config.applied"
    CONFIG_REFUSED = "config.refused"
    WORKER_STUCK = "worker.stuck"
    LEADER_GAINED = "leader.gained"
    LEADER_LOST = "leader.lost"
    DISPATCHED = "deliveries.dispatched"
    RECORDED = "deliveries.recorded"
    STALE = "deliveries.stale"
    REQUEUED = "deliveries.requeued"
    EXPIRED = "leases.expired"
    ORPHANED = "deliveries.orphaned"
    LATE = "deliveries.late"
    CIRCUIT_OPENED = "circuit.opened"
    CIRCUIT_CLOSED = "circuit.closed"
    REJECTIONS = "destination.rejections"
    DEPRECATED = "destination.deprecated"
    CONNECTOR_DEFECT = "connector.defect"
    MIGRATION_WAITS = "migration.waits"
    LEDGER_UNAVAILABLE = "ledger.unavailable"
    LEDGER_OUTDATED = "ledger.outdated"
    BROKER_UNAVAILABLE = "broker.unavailable"
    DISPATCH_FAILED = "dispatch.failed"
    HOOK_UNUSABLE = "hook.unusable"
    REQUEST_FAILED = "request.failed"


# Each task is an event for Flower and a row in the ledger; a log line of each would cost more than it tells.
_CHATTY = (
    "urllib3",
    "requests",
    "kombu",
    "amqp",
    "alembic",
    "asyncio",
    "mail.log",
    "celery.worker.strategy",
    "celery.app.trace",
)


def configure(settings: Settings, *, part: str) -> None:
    """Send this process's logs, and those of libraries, to standard error in one form; start Sentry if it has a DSN."""
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=24)
    )
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True) if settings.log_format == "json" else _clock,
        structlog.processors.format_exc_info,
        _with_part(part),
        redact_event,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(max(root.level, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    if settings.sentry_dsn:
        _start_sentry(settings)


def emit(event: Event, *, level: int = logging.INFO, **fields: object) -> None:
    """Log one event; to standard error in plain words where `configure` was not called, as in commands that end."""
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.stdlib.add_log_level,
                _clock,
                redact_event,
                structlog.dev.ConsoleRenderer(colors=False, pad_event_to=24),
            ],
            logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        )
    structlog.stdlib.get_logger("leadrelay").log(level, event.value, **fields)


def report(event: Event, error: BaseException, **fields: object) -> None:
    """Log a defect of ours by its type and place, never its text, and tell Sentry."""
    emit(event, level=logging.ERROR, error=type(error).__name__, place=_place(error), **fields)
    sentry_sdk.capture_exception(error)


def _start_sentry(settings: Settings) -> None:
    from sentry_sdk.integrations.celery import CeleryIntegration  # noqa: PLC0415  # half a second that only Sentry needs

    sentry_sdk.init(
        dsn=settings.sentry_dsn,
        environment=settings.sentry_environment,
        integrations=[CeleryIntegration(monitor_beat_tasks=False)],
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        before_send=_before_send,
        # A level means gzip. Where brotli is installed, which we use for answers, that would be sent instead, and not every
        # server that speaks Sentry's protocol reads it.
        _experiments={"transport_compression_level": 9},
        max_breadcrumbs=0,  # log lines of libraries may quote values
    )


def _before_send(event: SentryEvent, hint: Hint) -> SentryEvent | None:
    return cast(SentryEvent, redact_sentry(cast(dict[str, Any], event), hint))


def _place(error: BaseException) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return f"{frame.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.tb_lineno}" if frame else ""


def _clock(_logger: object, _method: str, event: EventDict) -> EventDict:
    return structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)(_logger, _method, event)


def _with_part(part: str) -> Processor:
    def add(_logger: object, _method: str, event: EventDict) -> EventDict:
        event["part"] = part
        return event

    return add
