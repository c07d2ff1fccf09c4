"""The single parts of an installation, for production: each command runs one process until it is told to stop.

Each imports its own part only, when it is called: they are large, and share nothing but the settings.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated

import typer

from app.errors import Complaint, InvalidConfig
from app.settings import settings


def api() -> None:
    """Run the HTTP API.

    Listens on LEADRELAY_API_HOST and LEADRELAY_API_PORT (127.0.0.1:8000). SIGTERM ends it after the requests under way.
    """
    from app.api.server import serve  # noqa: PLC0415  # see the top

    assert settings().required_database_url  # said in words, before anything starts
    with _logged("api"):
        serve(settings())


def worker(
    destinations: Annotated[
        str | None, typer.Option(help="Deliver to these only, separated by commas; to all if not given.", metavar="A,B")
    ] = None,
    name: Annotated[str, typer.Option(help="Name in Flower and in logs; must differ on one host.")] = "",
) -> None:
    """Run one worker process.

    Start one per core, on as many machines as you like. SIGTERM lets it finish what it is sending.
    """
    if destinations is not None:
        # The worker reads its settings itself, as `celery -A workers.main worker` does.
        os.environ["LEADRELAY_WORKER_DESTINATIONS"] = destinations
        settings.cache_clear()
    assert settings().required_database_url  # said in words, before anything starts
    assert settings().required_broker_url
    # By name: workers are above app, which never imports them; this process becomes one.
    raise typer.Exit(import_module("workers.main").run(name=name or f"worker-{os.getpid()}"))


def flower() -> None:
    """Run Flower, read-only and behind a password.

    Listens on LEADRELAY_FLOWER_HOST and LEADRELAY_FLOWER_PORT (127.0.0.1:5555); log in as LEADRELAY_FLOWER_USER with
    LEADRELAY_FLOWER_PASSWORD. It shows workers and tasks while it runs; what happened before, `leadrelay` knows.
    """
    if not settings().flower_password:
        raise InvalidConfig(
            [
                Complaint(
                    field="LEADRELAY_FLOWER_PASSWORD",
                    detail="is not set, and Flower does not start without a password",
                    remedy="set it to a long random text",
                )
            ]
        )
    from app.cli.monitor import serve  # noqa: PLC0415  # see the top

    with _logged("flower"):
        serve(settings())


def sandbox() -> None:
    """Run the stand-in destinations.

    Salesforce, HubSpot, a lead buyer, a mail server and a subscriber of webhooks, with faults on demand; what arrives is
    kept in memory.
    Listens on LEADRELAY_SANDBOX_PORT (8100, HTTP; open it in a browser) and LEADRELAY_SANDBOX_SMTP_PORT (8125).
    """
    from app.sandbox.server import serve  # noqa: PLC0415  # see the top

    with _logged("sandbox"):
        serve(settings().sandbox_host, settings().sandbox_port, settings().sandbox_smtp_port)


def migrate() -> None:
    """Bring the ledger's tables up to this version.

    Safe to run from several machines at once; those that are late find nothing to do. Safe while others work: it waits for
    a table's lock for a moment only, and tries again for ten minutes. `leadrelay up` does it by itself.
    """
    from app.cli.output import say  # noqa: PLC0415  # see the top
    from app.cli.session import check_reachable  # noqa: PLC0415
    from app.ledger import migrate as run_migrations  # noqa: PLC0415
    from app.telemetry import configure  # noqa: PLC0415

    configure(settings(), part="migrate")
    url = settings().required_database_url
    check_reachable(url)
    run_migrations(url)
    say("the ledger's tables are up to date")


@contextmanager
def _logged(part: str) -> Iterator[None]:
    """The process's logs in the product's form, and its beginning and end among them."""
    from app.telemetry import Event, configure, emit  # noqa: PLC0415  # see the top

    configure(settings(), part=part)
    emit(Event.PROCESS_STARTED)
    yield
    emit(Event.PROCESS_STOPPED)
