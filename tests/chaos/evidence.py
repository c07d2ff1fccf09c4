"""The evidence of one scenario, read from its folder: history, ledger exports, receipts, and what was seen of broker and logs.

It reads files and nothing else: neither the product nor its servers are needed to judge a folder.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault: from when to when (epoch seconds), and what it excuses (see `History.fault`)."""

    name: str
    begin: float
    end: float
    ambiguous: bool
    stops: bool
    delays: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One state of the ledger: rows by table."""

    at: float
    acknowledged: int
    final: bool
    tables: Mapping[str, list[Row]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that the checker knows. `receipts` are by idempotency key, in the order of their arrival."""

    settings: Row
    accepted: list[Row]
    faults: list[Fault]
    stretches: Mapping[str, Row]
    exports: list[Export]
    receipts: Mapping[str, list[Row]]
    texts: Mapping[str, str]

    @property
    def final(self) -> Export:
        """The ledger at the end."""
        return self.exports[-1]


def read(folder: Path) -> Evidence:
    """Read a scenario's folder."""
    history = _lines(folder / "history.ndjson")
    by_key: dict[str, list[Row]] = defaultdict(list)
    for receipt in _lines(folder / "receipts.ndjson"):
        by_key[receipt["key"]].append(receipt)
    settings: Row = {}
    for line in (one for one in history if one["event"] == "settings"):
        settings |= line
    return Evidence(
        settings=settings,
        accepted=[line for line in history if line["event"] == "accepted"],
        faults=_faults(history),
        stretches=_stretches(history),
        exports=sorted((_export(path) for path in folder.glob("ledger-*.ndjson")), key=lambda one: one.at),
        receipts=by_key,
        texts={path.name: path.read_text(errors="replace") for path in sorted(folder.glob("*.txt"))},
    )


def _lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _faults(history: Iterable[Row]) -> list[Fault]:
    found: list[Fault] = []
    for begin in (one for one in history if one["event"] == "fault" and one["phase"] == "begin"):
        ends = (
            one["at"]
            for one in history
            if one["event"] == "fault"
            and one["phase"] == "end"
            and one["name"] == begin["name"]
            and one["at"] >= begin["at"]
        )
        found.append(
            Fault(
                name=begin["name"],
                begin=begin["at"],
                end=min(ends, default=inf) + begin.get("lasts", 0.0),
                ambiguous=begin["ambiguous"],
                stops=begin["stops"],
                delays=begin["delays"],
            )
        )
    return found


def _stretches(history: Iterable[Row]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for line in (one for one in history if one["event"] == "stretch"):
        found.setdefault(line["name"], {"destination": line["destination"]})[line["phase"]] = line["at"]
    return found


def _export(path: Path) -> Export:
    header, *rows = _lines(path)
    tables: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        tables[row["table"]].append(row)
    return Export(at=header["at"], acknowledged=header["acknowledged"], final=header["final"], tables=tables)
