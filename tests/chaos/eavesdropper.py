"""Everything that a Redis or Valkey is told, written down as it goes over the wire (its MONITOR command)."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit


@contextmanager
def overheard(url: str, path: Path) -> Iterator[None]:
    """What the server is told while the block lasts, in a file; a restart of the server is no end of it."""
    over = threading.Event()
    thread = threading.Thread(target=_listen, args=(url, path, over), name="eavesdropper")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _listen(url: str, path: Path, over: threading.Event) -> None:
    server = urlsplit(url)
    with path.open("ab") as file:
        while not over.is_set():
            with suppress(OSError), socket.create_connection((server.hostname, server.port), timeout=1) as connection:
                connection.settimeout(0.2)
                connection.sendall(f"AUTH {server.password}\r\nMONITOR\r\n".encode())
                while not over.is_set():
                    with suppress(TimeoutError):
                        if not (data := connection.recv(65_536)):
                            break
                        file.write(data)
                        file.flush()
            over.wait(0.05)
