"""A TCP proxy that can be told to cut or to fall silent: the network between two parts, for tests.

Cut, it resets what is open and refuses what comes. Silent, it passes nothing and says nothing, as a dropped link does, and
when it is healed what was held goes on its way. It runs an event loop in a thread of its own.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import unquote, urlsplit, urlunsplit

Place = tuple[str, int] | str
"""Where it leads: host and port, or the path of a Unix socket."""
PORTS = {"redis": 6379, "amqp": 5672, "postgresql": 5432}


class Proxy:
    """One listening port that leads to one server."""

    def __init__(self, upstream: Place) -> None:
        self._upstream = upstream
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._passing = asyncio.Event()
        self._passing.set()
        self._refusing = False
        self._thread = threading.Thread(target=self._serve, name="proxy", daemon=True)

    def cut(self) -> None:
        """Reset every connection and refuse new ones until `heal`."""
        self._run(self._set(refusing=True, passing=True))

    def silence(self) -> None:
        """Pass nothing until `heal`."""
        self._run(self._set(refusing=False, passing=False))

    def heal(self) -> None:
        """Pass everything again."""
        self._run(self._set(refusing=False, passing=True))

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Reset what is open and end."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._listening.close()

    def _run(self, wanted: "asyncio.Future[None] | object") -> None:
        asyncio.run_coroutine_threadsafe(wanted, self._loop).result(5)  # type: ignore[arg-type]

    async def _set(self, *, refusing: bool, passing: bool) -> None:
        self._refusing = refusing
        (self._passing.set if passing else self._passing.clear)()
        if refusing:
            for writer in list(self._open):
                _reset(writer)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_server(self._pass, sock=self._listening))
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            _reset(writer)
            return
        self._open.add(writer)
        with suppress(OSError, asyncio.CancelledError):
            await self._passing.wait()
            there, back = await (
                asyncio.open_unix_connection(self._upstream)
                if isinstance(self._upstream, str)
                else asyncio.open_connection(*self._upstream)
            )
            self._open.add(back)
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
            self._open.discard(back)
        self._open.discard(writer)
        _reset(writer)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                await self._passing.wait()
                target.write(data)
                await target.drain()
        with suppress(OSError):
            target.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    with suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextmanager
def proxied(url: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy before the server of an address, and the address through it."""
    parts = urlsplit(url)
    folder = unquote(parts.query.partition("host=")[2])
    place: Place = (
        f"{folder}/.s.PGSQL.5432" if folder else (parts.hostname or "127.0.0.1", parts.port or PORTS[parts.scheme])
    )
    proxy = Proxy(place)
    proxy.start()
    user = parts.netloc.rpartition("@")[0]
    try:
        yield (
            proxy,
            urlunsplit(
                parts._replace(netloc=f"{user}@127.0.0.1:{proxy.port}" if user else f"127.0.0.1:{proxy.port}", query="")
            ),
        )
    finally:
        proxy.stop()
