"""From a host and a port to the addresses they stand for, within a time.

The system's resolver knows no time limit of ours and cannot be interrupted, so a name is looked up by a thread that is left
behind when the time is up; it ends when the resolver gives up, and never keeps a process from ending. Addresses, in
whatever spelling the system takes (`127.1`, `0x7f000001`), need no look-up and no thread.
"""

from _thread import start_new_thread
from queue import Empty, SimpleQueue
from socket import AI_NUMERICHOST, SOCK_STREAM, AddressFamily, SocketKind, gaierror, getaddrinfo
from time import monotonic
from typing import Any

from app.errors import TransientFault

Found = list[tuple[AddressFamily, SocketKind, int, str, Any]]
"""As `socket.getaddrinfo` gives it; the first part of the last member is the address."""


def resolve(host: str, port: int, deadline: float) -> Found:
    """What a host's name, or an address in any spelling, stands for; raises `TransientFault` (unsent)."""
    return literal(host, port) or _looked_up(host, port, deadline)


def literal(host: str, port: int) -> Found:
    """The same for what is an address already; empty for a name."""
    try:
        return getaddrinfo(host, port, type=SOCK_STREAM, flags=AI_NUMERICHOST)  # type: ignore[return-value]  # strings for hosts
    except gaierror:
        return []
    except ValueError:  # UnicodeError is one
        raise _unresolved(host) from None


def addresses(found: Found) -> list[str]:
    """The addresses alone."""
    return [address[0] for *_, address in found]


def _looked_up(host: str, port: int, deadline: float) -> Found:
    answers: SimpleQueue[Any] = SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(getaddrinfo(host, port, type=SOCK_STREAM))
        except (OSError, ValueError):
            answers.put(None)

    try:
        start_new_thread(look_up, ())  # `threading` would wait for its beginning, which costs as much again
        found: Found | None = answers.get(timeout=max(0.0, deadline - monotonic()))
    except RuntimeError:
        raise TransientFault("no thread could be started to resolve a name", unsent=True) from None
    except Empty:
        raise TransientFault(f"the name {host} could not be resolved within the time limit", unsent=True) from None
    if found is None:
        raise _unresolved(host)
    return found


def _unresolved(host: str) -> TransientFault:
    return TransientFault(f"the name {host} cannot be resolved", unsent=True)
