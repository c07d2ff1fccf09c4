"""What a scenario did, as NDJSON: the only account of it that the checker gets.

One line per event with `at` in epoch seconds: the settings, each lead that was acknowledged to its producer, when each fault
began and ended and what it excuses, and the stretches of time whose latencies are compared. It knows nothing of the product.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any


class History:
    """An append-only file; several threads write to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self.accepted = 0

    def note(self, event: str, **fields: Any) -> None:
        """Write one event."""
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            self.accepted += event == "accepted"
            file.write(json.dumps({"at": time.time(), "event": event, **fields}) + "\n")

    def acknowledge(self, key: str, lead: str, deliveries: Mapping[str, str]) -> None:
        """A producer was told that its lead is safe; `deliveries` maps ids to destinations."""
        self.note("accepted", key=key, lead=lead, deliveries=dict(deliveries))

    @contextmanager
    def fault(
        self, name: str, *, ambiguous: bool = False, stops: bool = False, delays: bool = False, **details: Any
    ) -> Iterator[None]:
        """A fault for as long as the block lasts, and what it excuses.

        `ambiguous`: answers may be lost; `stops`: nothing can be repaired meanwhile; `delays`: messages may be lost or wait.
        """
        self.note("fault", name=name, phase="begin", ambiguous=ambiguous, stops=stops, delays=delays, **details)
        try:
            yield
        finally:
            self.note("fault", name=name, phase="end")

    def struck(self, name: str, *, ambiguous: bool = False, stops_seconds: float = 0.0) -> None:
        """A fault of one moment, such as a kill or a wipe; for `stops_seconds` nobody may notice it."""
        with self.fault(name, ambiguous=ambiguous, stops=stops_seconds > 0, delays=True, lasts=stops_seconds):
            pass

    @contextmanager
    def measured(self, name: str, destination: str) -> Iterator[None]:
        """Latencies of what is accepted for `destination` meanwhile are those of the stretch `name`."""
        self.note("stretch", name=name, destination=destination, phase="begin")
        yield
        self.note("stretch", name=name, destination=destination, phase="end")
