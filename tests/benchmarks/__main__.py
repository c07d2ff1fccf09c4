"""Everything `make bench` measures, in one run on servers of its own.

Each repeat of a part runs leadrelay and its rivals one after the other, so that what else the machine does in those seconds
meets them alike; ratios are taken within a repeat, medians over repeats. Prints the table and writes build/bench.json and
build/bench.png, the JSON after every part. A part that fails is told in the table and the run goes on; then the exit code
is 1. Goals are told, not enforced.
"""

import argparse
import os
import platform
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGTERM, signal
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.benchmarks import backlog, drain, endtoend, growth, idle, intake, isolation, report, scaling, soak
from tests.benchmarks.figure import Figure
from tests.benchmarks.part import FULL, QUICK, Part
from tests.benchmarks.stand import Bench, bench

REPORT_WIDTH = 140
PARTS = (
    drain.PART,
    endtoend.PART,
    intake.PART,
    isolation.PART,
    growth.DESTINATIONS,
    growth.ROWS,
    scaling.PART,
    backlog.PART,
    idle.PART,
    soak.PART,
)
BUILD = Path("build")


class Course:
    """The run: its parts, its size, and what has been found so far."""

    def __init__(self, arguments: argparse.Namespace, console: Console) -> None:
        self._bench: Bench
        self._console = console
        self._size = QUICK if arguments.quick else FULL
        self._repeats: int = arguments.repeats or (1 if arguments.quick else 3)
        self._parts = [part for part in PARTS if not arguments.part or part.name in arguments.part]
        self.figures: list[Figure] = []
        self.failed = False
        self.about: dict[str, Any] = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load_average_before": os.getloadavg()[0],
            "quick": arguments.quick,
            "repeats": self._repeats,
            "seconds": {},
        }

    def run(self) -> None:
        """Measure every part, telling how far it is: a line that moves on a terminal, else a line each."""
        steps = sum(len(part.measures) * self._times(part) for part in self._parts)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console) as self._progress, bench() as self._bench:
            self._task = self._progress.add_task("starting servers", total=steps)
            for part in self._parts:
                begun = monotonic()
                self.figures += self._figures(part)
                self.about["seconds"][part.name] = round(monotonic() - begun, 1)
                report.write(self.figures, BUILD, self.about)

    def _figures(self, part: Part) -> list[Figure]:
        samples: dict[str, list[Any]] = {label: [] for label in part.measures}
        try:
            for repeat in range(self._times(part)):
                for label, measure in part.measures.items():
                    self._tell(f"{label} ({repeat + 1} of {self._times(part)})")
                    samples[label].append(measure(self._bench, self._size))
                    self._progress.advance(self._task)
            return part.figures(*samples.values())
        except Exception as error:  # noqa: BLE001  # what half an hour has measured so far counts more than one part
            self.failed = True
            self._console.print(traceback.format_exc(), markup=False)
            return [Figure(name=part.name, skipped=f"failed: {type(error).__name__}: {error}".splitlines()[0])]

    def _tell(self, what: str) -> None:
        self._progress.update(self._task, description=what)
        if not self._console.is_terminal:
            self._console.print(f"{datetime.now(UTC):%H:%M:%S} {what}")

    def _times(self, part: Part) -> int:
        return 1 if part.once else self._repeats


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, help="interleaved repeats: 3 if not told, 1 with --quick")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth to a fifth of everything: rough figures in minutes"
    )
    names = [part.name for part in PARTS]
    parser.add_argument("--part", action="append", choices=names, help="measure this part only; may be given again")
    course = Course(parser.parse_args(), Console(stderr=True))
    console = Console(width=None if sys.stdout.isatty() else REPORT_WIDTH)
    signal(SIGTERM, lambda *_: sys.exit(143))  # told to stop, it stops what it started too
    course.run()
    report.show(course.figures, console)
    report.plot(course.figures, BUILD)
    before = course.about["load_average_before"]
    console.print(f"load average before: {before:.1f} on {os.cpu_count()} cores; written: {BUILD}/bench.json, .png")
    sys.exit(int(course.failed))


if __name__ == "__main__":
    main()
