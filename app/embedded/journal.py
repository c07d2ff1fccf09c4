"""One readable log of many processes: each line with the name of who said it.

Names are coloured on a terminal. It goes to stderr, so that what a command prints as data stays clean.
"""

import os
import sys
import threading
from contextlib import suppress
from typing import TextIO

COLOURS = (36, 32, 35, 34, 33, 96, 92, 95, 94)
OWN_NAME = "leadrelay"
WIDTH = 9


class Journal:
    """Writes whole lines, from any thread."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()
        self._colours: dict[str, int] = {}
        self.terminal = self._stream.isatty() and "NO_COLOR" not in os.environ

    def say(self, line: str) -> None:
        """A line of the stack's own."""
        self.write(OWN_NAME, line)

    def write(self, name: str, line: str) -> None:
        """A line somebody said."""
        with self._lock:
            self._put(f"{self._label(name)} {line}\n")

    def plain(self, text: str) -> None:
        """A text that stands by itself, without names."""
        with self._lock:
            self._put(text)

    def _label(self, name: str) -> str:
        label = f"{name:<{WIDTH}} │"
        if not self.terminal:
            return label
        colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
        return f"\x1b[{colour}m{label}\x1b[0m"

    def _put(self, text: str) -> None:
        with suppress(OSError):  # the terminal was closed: the stack must still be stopped in order
            self._stream.write(text)
            self._stream.flush()
