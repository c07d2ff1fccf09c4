"""`leadrelay up`: the embedded stack with the configuration folder applied and a first API key.

What it prepares is also what `leadrelay demo` starts from. It may not know how the stack is supervised.
"""

import os
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import typer

from app import operations
from app.cli.output import say, say_error
from app.cli.session import actor
from app.embedded.address import Address
from app.embedded.home import keep
from app.embedded.parts import sandbox_address
from app.embedded.stack import up as run_stack
from app.errors import InvalidConfig
from app.ledger import Database, key, version
from app.sandbox import buyer, hubspot_answer, salesforce_login, subscriber
from app.settings import Settings, settings

KEY_NAME = "first key"


def up() -> None:
    """Start the whole stack on this machine; Ctrl-C stops it.

    PostgreSQL, Valkey, the HTTP API, one worker per core, Flower and the sandbox, with their data in LEADRELAY_HOME
    (.leadrelay) and the configuration of LEADRELAY_CONFIG_DIR (config). Started again, it goes on where it was.
    LEADRELAY_DATABASE_URL and LEADRELAY_BROKER_URL use existing servers instead. For the example configuration it sets the
    sandbox's addresses and credentials as SANDBOX_URL, SANDBOX_SMTP_PORT, SANDBOX_BUYER_KEY, SANDBOX_SALESFORCE_CLIENT_ID,
    SANDBOX_SALESFORCE_CLIENT_SECRET, SANDBOX_HUBSPOT_TOKEN and SANDBOX_SUBSCRIBER_SECRET, unless they are set.
    """
    found = settings()
    code = run_stack(found, prepare=prepare, environment=introduce_sandbox(found))
    if code:
        raise typer.Exit(code)


def introduce_sandbox(settings: Settings) -> Mapping[str, str]:
    """Tell the processes to be started where the sandbox is and its published credentials; what was not set before."""
    wanted = sandbox_environment(sandbox_address(settings), settings.sandbox_smtp_port)
    told = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(told)
    return told


def sandbox_environment(address: Address, smtp_port: int) -> Mapping[str, str]:
    """What the example configuration refers to by `${env:SANDBOX_...}`."""
    return {
        "SANDBOX_URL": address.url,
        "SANDBOX_SMTP_PORT": str(smtp_port),
        "SANDBOX_BUYER_KEY": buyer.API_KEY,
        "SANDBOX_SALESFORCE_CLIENT_ID": salesforce_login.CLIENT_ID,
        "SANDBOX_SALESFORCE_CLIENT_SECRET": salesforce_login.CLIENT_SECRET,
        "SANDBOX_HUBSPOT_TOKEN": hubspot_answer.TOKEN,
        "SANDBOX_SUBSCRIBER_SECRET": subscriber.SECRET,
    }


def prepare(settings: Settings) -> Mapping[str, str]:
    """Apply the configuration folder and see to a first key; what the stack's banner shows of them.

    Raises `InvalidConfig` when the folder has mistakes and nothing was ever applied; later the running version stays.
    """
    database = Database(settings.required_database_url, size=2, application_name="leadrelay-cli")
    try:
        _apply(database, settings.config_dir)
        found = {"api_key": _first_key(database, settings.home)}
        sources = operations.running(database).sources
        return {**found, "source": sources[0].name} if sources else found
    finally:
        database.close()


def _apply(database: Database, folder: Path) -> None:
    try:
        document = operations.validate(folder).document
    except InvalidConfig as error:
        number = version.newest(database)
        if number == 0:
            raise
        for complaint in error.complaints:
            say_error(str(complaint))
        say(f"[yellow]the configuration folder has mistakes; version {number} stays in force[/yellow]")
        return
    number = operations.apply(database, document, actor=actor(), note=f"{folder} at start") or 0
    if number:
        say(f"configuration version {number} applied from {folder}")


def _first_key(database: Database, home: Path) -> str:
    """The key made at the first start; another when it was revoked or belongs to a ledger that is gone."""

    def make() -> str:
        return key.create(database, name=KEY_NAME, scopes=frozenset(key.SCOPES), source=None, actor=actor())

    kept = (keep(home, f"api_key_{number}", make) for number in count(1))
    return next(secret for secret in kept if key.find(database, secret))
