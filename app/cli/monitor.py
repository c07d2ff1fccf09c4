"""Flower inside our own process: its options from our settings, so that no password stands on a command line.

Flower's command would also run a `flowerconfig.py` of the current folder, which could switch the password off; this does
not. It needs the broker only.
"""

import errno
import logging
import signal
from types import FrameType

from flower.app import Flower
from flower.options import options
from flower.urls import settings as flower_settings

from app.broker import create
from app.errors import Unavailable
from app.settings import Settings


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; raises `Unavailable` if its port is taken."""
    logging.getLogger("tornado.access").setLevel(logging.WARNING)
    # It asks workers that have not started yet, and complains of each question.
    logging.getLogger("flower.inspector").setLevel(logging.ERROR)
    options.address = settings.flower_host
    options.port = settings.flower_port
    options.basic_auth = [f"{settings.flower_user}:{settings.flower_password}"]
    options.read_only = True
    options.persistent = False
    flower = Flower(
        capp=create(settings),
        options=options,
        **{**flower_settings, "cookie_secret": options.cookie_secret, "debug": False},
    )

    def stop(_number: int, _frame: FrameType | None) -> None:
        flower.io_loop.add_callback_from_signal(flower.stop)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        flower.start_http_server()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise Unavailable(
            f"port {settings.flower_port} (LEADRELAY_FLOWER_PORT) is taken; stop what uses it or set LEADRELAY_FLOWER_PORT"
        ) from None
    flower.start()
