"""A raw HTTP server that misbehaves on demand: what no web framework will do for a test.

Each connection has a thread of its own that reads whole requests and lets the server's `behaviour` answer on the bare
socket. A behaviour returns whether the connection may serve another request.
"""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic, sleep

from app.config.network import NetworkConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it came over the wire; header names are lower-cased."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


LOCAL = NetworkConfig(allow=["127.0.0.1"])
"""What every destination of these tests needs, as the guard refuses this machine otherwise."""

Behaviour = Callable[[socket.socket, Received], bool]


@dataclass
class FaultServer:
    """What the server does now, and what it has seen."""

    behaviour: Behaviour
    scheme: str = "http"
    host: str = "127.0.0.1"
    port: int = 0
    received: list[Received] = field(default_factory=list)
    connected: int = 0
    """Connections ever made."""
    open: set[socket.socket] = field(default_factory=set)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    def until_open(self, enough: Callable[[int], bool]) -> bool:
        """Whether the count of open connections satisfies `enough` within two seconds."""
        ends = monotonic() + 2
        while not enough(len(self.open)) and monotonic() < ends:
            sleep(0.005)
        return enough(len(self.open))

    def serve(self, connection: socket.socket, context: ssl.SSLContext | None) -> None:
        self.connected += 1
        self.open.add(connection)
        served = connection
        try:
            with suppress(OSError):
                served = context.wrap_socket(connection, server_side=True) if context else connection
                buffered = served.makefile("rb")
                while (request := _read(buffered.readline, buffered.read)) is not None:
                    self.received.append(request)
                    if not self.behaviour(served, request):
                        break
                buffered.close()
        finally:
            with suppress(OSError):
                served.close()
            self.open.discard(connection)


def _read(readline: Callable[[], bytes], read: Callable[[int], bytes]) -> Received | None:
    first = readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    headers = {}
    while (line := readline().decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = read(int(headers.get("content-length", "0")))
    return Received(method=first[0], target=first[1], headers=headers, body=body)


@contextmanager
def running(behaviour: Behaviour, *, context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[FaultServer]:
    """A server for as long as the block lasts, on a free port if none is given."""
    listener = socket.create_server(("127.0.0.1", port))
    server = FaultServer(behaviour, scheme="https" if context else "http", port=listener.getsockname()[1])
    threads: list[threading.Thread] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                thread = threading.Thread(target=server.serve, args=(listener.accept()[0], context), daemon=True)
                threads.append(thread)
                thread.start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield server
    finally:
        server.stopping.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in list(server.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in [acceptor, *threads]:
            thread.join(timeout=2)


def answer(status: int = 200, body: bytes = b"{}", **headers: str) -> Behaviour:
    """A proper answer; header names have underscores for dashes."""
    fields = {"content-type": "application/json", "content-length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return raw(f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode("latin-1") + body)


def raw(data: bytes, *, keep: bool = True) -> Behaviour:
    """These bytes, whatever they are."""

    def behave(connection: socket.socket, _request: Received) -> bool:
        connection.sendall(data)
        return keep

    return behave


def hang(connection: socket.socket, _request: Received) -> bool:
    """No answer until the other side gives up."""
    with suppress(OSError):
        connection.recv(1)
    return False


def trickle(connection: socket.socket, _request: Received) -> bool:
    """An answer that never ends, a byte at a time, each soon enough for any per-read time limit."""
    return _slowly(connection, b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")


def trickle_headers(connection: socket.socket, _request: Received) -> bool:
    """The same before the headers end."""
    return _slowly(connection, b"HTTP/1.1 200 OK\r\nx: ")


def _slowly(connection: socket.socket, start: bytes) -> bool:
    with suppress(OSError):
        connection.sendall(start)
        connection.settimeout(0.05)
        while True:
            connection.sendall(b"x")
            try:
                if not connection.recv(1):
                    return False
            except TimeoutError:
                continue
    return False


def reset(connection: socket.socket, _request: Received) -> bool:
    """A reset after the whole request was read: the destination may have acted on it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
