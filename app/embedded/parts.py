"""The parts of leadrelay that `leadrelay up` runs beside the two servers, each a command of its own."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from app.embedded.address import Address
from app.embedded.supervisor import Child
from app.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A child and where to ask whether it is ready (a GET answered with 200); without, nobody waits for it."""

    child: Child
    health: str | None = None


def api_address(settings: Settings) -> Address:
    """Where the HTTP API listens."""
    return _address("API", settings.api_host, settings.api_port)


def flower_address(settings: Settings) -> Address:
    """Where Flower listens."""
    return _address("FLOWER", settings.flower_host, settings.flower_port)


def sandbox_address(settings: Settings) -> Address:
    """Where the sandbox's page and HTTP stand-ins listen."""
    return _address("SANDBOX", settings.sandbox_host, settings.sandbox_port)


def addresses(settings: Settings) -> list[Address]:
    """Every address the parts listen on."""
    smtp = Address(
        host=settings.sandbox_host,
        port=settings.sandbox_smtp_port,
        host_setting="LEADRELAY_SANDBOX_HOST",
        port_setting="LEADRELAY_SANDBOX_SMTP_PORT",
    )
    return [api_address(settings), flower_address(settings), sandbox_address(settings), smtp]


def leadrelay_parts(settings: Settings) -> list[Part]:
    """API, workers, Flower and sandbox, told the very settings given here.

    The sandbox stops after the others: what workers are sending when they are asked to stop is still answered.
    """
    environment = _environment(settings)
    workers = [f"worker-{number}" for number in range(1, settings.worker_processes + 1)]

    def child(name: str, *command: str, stage: int = 0) -> Child:
        argv: Sequence[str] = (sys.executable, "-m", "app.cli.main", *command)
        return Child(name=name, argv=argv, environment=environment, stage=stage)

    return [
        Part(child=child("api", "api"), health=f"{api_address(settings).url}/readyz"),
        *(Part(child=child(name, "worker", "--name", name)) for name in workers),
        Part(child=child("flower", "flower"), health=f"{flower_address(settings).url}/healthcheck"),
        Part(child=child("sandbox", "sandbox", stage=1), health=f"{sandbox_address(settings).url}/healthz"),
    ]


def _address(name: str, host: str, port: int) -> Address:
    return Address(host=host, port=port, host_setting=f"LEADRELAY_{name}_HOST", port_setting=f"LEADRELAY_{name}_PORT")


def _environment(settings: Settings) -> dict[str, str]:
    values = settings.model_dump(mode="json", exclude_none=True)
    return {f"LEADRELAY_{name.upper()}": str(value) for name, value in values.items()}
