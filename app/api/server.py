"""The API process: one event loop, one port, a graceful end."""

import socket
from signal import SIGINT, SIGTERM, signal

import uvicorn

from app.api.application import create
from app.errors import Unavailable
from app.settings import Settings

GRACE_SECONDS = 4
BACKLOG = 2048


class Server(uvicorn.Server):
    """A server that lets requests waiting for outcomes go before it waits for the rest."""

    def __init__(self, settings: Settings) -> None:
        self.application = create(settings)
        super().__init__(
            uvicorn.Config(
                self.application,
                loop="uvloop",
                http="httptools",
                ws="none",
                lifespan="on",
                access_log=False,
                log_config=None,
                log_level="warning",
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop within `GRACE_SECONDS`: every group on its way is committed and answered."""
        self.application.release()
        await super().shutdown(sockets)


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; raises `Unavailable` if the port is taken or no database is named."""
    server = Server(settings)
    for caught in (
        SIGINT,
        SIGTERM,
    ):  # uvicorn raises them again after its graceful end; then there is nothing left to do
        signal(caught, lambda *_: None)
    with listen(settings.api_host, settings.api_port) as listening:
        server.run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises `Unavailable` that names the settings."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise Unavailable(
            f"the API cannot listen on {host}:{port}: {error.strerror}; set LEADRELAY_API_HOST or LEADRELAY_API_PORT"
        ) from error
