"""The settings of an installation, and the only reader of the environment.

Each is an environment variable `LEADRELAY_<NAME>`; docs/reference/settings.md is generated from this class. When no
database is named, the addresses of the embedded stack (`leadrelay up`) are read from `<home>/stack.json`, so that every
command works beside a running stack without being told anything; so is what that stack set for the references of the
example configuration.
"""

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, FilePath, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import Complaint, InvalidConfig, Unavailable

STACK_FILE = "stack.json"


class Settings(BaseSettings):
    """One typed set of settings, read once per process through `settings()`."""

    model_config = SettingsConfigDict(env_prefix="LEADRELAY_", frozen=True, extra="ignore")

    home: Path = Field(Path(".leadrelay"), description="Data folder of the embedded stack.")
    config_dir: Path = Field(Path("config"), description="Folder with sources/*.yaml and destinations/*.yaml.")
    database_url: str | None = Field(None, description="PostgreSQL 15+ of the ledger; embedded if not set.")
    broker_url: str | None = Field(
        None,
        description="Redis/Valkey (`redis`, `rediss`, `sentinel`) or RabbitMQ (`amqp`, `amqps`); embedded Valkey if not set.",
    )
    broker_ca_file: FilePath | None = Field(
        None,
        description="Certificates (PEM) that the broker's TLS is checked against; the system's if not set. "
        "With `sentinel://` it also asks for TLS.",
    )
    broker_sentinel_master: str = Field("mymaster", description="Name the sentinels know the broker by.")
    broker_sentinel_password: str | None = Field(None, description="Password of the sentinels, if they ask for one.")
    database_pool: int = Field(8, ge=2, le=200, description="Ledger connections per process.")

    api_host: str = Field("127.0.0.1", description="Address the HTTP API listens on.")
    api_port: int = Field(8000, ge=1, le=65535, description="Port of the HTTP API.")
    flower_host: str = Field("127.0.0.1", description="Address Flower listens on.")
    flower_port: int = Field(5555, ge=1, le=65535, description="Port of Flower.")
    flower_user: str = Field("operator", description="User of Flower's basic auth.")
    flower_password: str | None = Field(None, description="Password of Flower; it refuses to start without one.")
    sandbox_host: str = Field("127.0.0.1", description="Address the sandbox listens on.")
    sandbox_port: int = Field(8100, ge=1, le=65535, description="HTTP port of the sandbox.")
    sandbox_smtp_port: int = Field(8125, ge=1, le=65535, description="SMTP port of the sandbox.")

    workers: int | None = Field(
        None, ge=1, description="Worker processes `leadrelay up` starts; one per core if not set."
    )
    worker_threads: int = Field(64, ge=1, le=512, description="Groups one worker process delivers at the same time.")
    worker_destinations: str | None = Field(
        None, description="Comma-separated destinations of a dedicated worker; all if not set."
    )
    worker_stuck_seconds: float = Field(
        120.0,
        gt=0,
        description="A worker that consumes nothing for so long, though it could, ends itself to be started again; "
        "well above the 30 s after which it may try again to reach a broker.",
    )
    group_size: int = Field(100, ge=1, le=1000, description="Most deliveries one message carries.")
    lease_seconds: float = Field(
        30.0,
        gt=0,
        description="How long a worker may hold a claimed delivery; at least twice the destination's timeout.",
    )
    queued_seconds: float = Field(
        60.0, gt=0, description="After this long a queued delivery whose message is gone is queued again."
    )
    tick_seconds: float = Field(1.0, gt=0, description="The dispatcher looks at least this often.")
    config_poll_seconds: float = Field(
        2.0, gt=0, le=5.0, description="How often processes look for a new configuration version."
    )

    max_body_bytes: int = Field(1_048_576, ge=1024, description="Largest single lead the API takes.")
    max_line_bytes: int = Field(262_144, ge=1024, description="Longest line of a bulk body or import file.")
    retention_days: int = Field(
        90, ge=1, description="Leads whose deliveries all ended are deleted after this many days."
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["json", "text"] = Field("json", description="One JSON object per line, or text for people.")
    sentry_dsn: str | None = Field(None, description="Sentry project; nothing is sent if not set.")
    sentry_environment: str = Field("production", description="Environment name told to Sentry.")

    _of_stack: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @field_validator("broker_url")
    @classmethod
    def _leave_tls_alone(cls, url: str | None) -> str | None:
        if url and "ssl_" in url.partition("?")[2]:  # it would switch the check of the certificate off
            raise ValueError(
                "must not set ssl_ options; set LEADRELAY_BROKER_CA_FILE if the system does not know the CA"
            )
        return url

    @model_validator(mode="after")
    def _find_running_stack(self) -> Self:
        stack = self.home / STACK_FILE
        if (self.database_url and self.broker_url) or not stack.is_file():
            return self
        found = json.loads(stack.read_text())
        if self.database_url is None:
            self._of_stack = found.get("environment", {})
        for name in ("database_url", "broker_url"):
            if getattr(self, name) is None and found.get(name):
                object.__setattr__(self, name, found[name])  # a frozen model still completes itself while validating
        return self

    @property
    def environment(self) -> Mapping[str, str]:
        """This process's environment, completed by what the stack that it runs beside has set."""
        return {**self._of_stack, **os.environ} if self._of_stack else os.environ

    @property
    def required_database_url(self) -> str:
        """The ledger's address; raises `Unavailable` that says how to get one."""
        if self.database_url is None:
            raise Unavailable(
                "no database: start the embedded stack with `leadrelay up` (or `make run`), or set LEADRELAY_DATABASE_URL"
            )
        return self.database_url

    @property
    def required_broker_url(self) -> str:
        """The broker's address; raises `Unavailable` that says how to get one."""
        if self.broker_url is None:
            raise Unavailable(
                "no broker: start the embedded stack with `leadrelay up` (or `make run`), or set LEADRELAY_BROKER_URL"
            )
        return self.broker_url

    @property
    def worker_processes(self) -> int:
        """How many worker processes the embedded stack starts."""
        return self.workers or os.cpu_count() or 1


@cache
def settings() -> Settings:
    """The settings of this process; raises `InvalidConfig` naming the variable and the remedy."""
    try:
        return Settings()
    except ValidationError as error:
        raise InvalidConfig(
            [
                Complaint(
                    field=f"LEADRELAY_{str(problem['loc'][0]).upper()}",
                    detail=problem["msg"],
                    remedy="correct or unset it",
                )
                for problem in error.errors(include_input=False)
            ]
        ) from None


def secret_environment() -> Mapping[str, str]:
    """The environment that `${env:NAME}` references of the configuration are read from."""
    return settings().environment
