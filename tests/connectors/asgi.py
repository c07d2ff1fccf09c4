"""An ASGI application under uvicorn, in a thread, for as long as a block lasts."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import create_server
from time import monotonic, sleep
from typing import Any

import uvicorn


@contextmanager
def serving(make: Callable[[str], Any]) -> Iterator[str]:
    """Its address, on a free port; `make` gives the application for it."""
    listener = create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    server = uvicorn.Server(uvicorn.Config(make(url), log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    ends = monotonic() + 10
    while not server.started and monotonic() < ends:
        sleep(0.01)
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(timeout=5)
        listener.close()
