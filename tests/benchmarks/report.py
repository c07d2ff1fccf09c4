"""The figures as a table, as JSON and as a picture."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from textwrap import fill

import matplotlib as mpl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.benchmarks.figure import Figure

mpl.use("agg")
from matplotlib import pyplot as plt

_LABEL_WIDTH = 48
_TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
_MET = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print the table: medians, with the range where there were several repeats."""
    table = Table(title="leadrelay, measured in one run on this machine", title_justify="left")
    table.add_column("figure")
    for name in ("ours", "other", "ratio", "goal"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("met")
    for figure in figures:
        if figure.skipped:
            table.add_row(figure.name)
            table.add_row(f"[dim]  skipped: {escape(figure.skipped)}[/]")
            continue
        sign = "≤" if figure.at_most else "≥"
        table.add_row(
            f"{figure.name} ({figure.unit})",
            _spread(figure.ours),
            _spread(figure.other),
            _spread(figure.ratios),
            "" if figure.goal is None else f"{sign} {_short(figure.goal)}",
            _MET[figure.met],
        )
        if figure.details:
            beside = ", ".join(f"{name} {_short(value)}" for name, value in figure.details.items())
            table.add_row(f"[dim]  {beside}[/]")
    console.print(table)


def write(figures: Sequence[Figure], folder: Path, about: dict[str, object]) -> None:
    """Write bench.json."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        **about,
        "figures": [{**asdict(figure), "ratios": figure.ratios, "met": figure.met} for figure in figures],
    }
    (folder / "bench.json").write_text(json.dumps(document, indent=2) + "\n")


def plot(figures: Sequence[Figure], folder: Path) -> None:
    """Write bench.png: each figure relative to its goal, so that one picture holds all units; beyond the line is better."""
    names, medians, low, high = [], [], [], []
    for figure in figures:
        if figure.goal is None or figure.skipped:
            continue
        least = figure.goal / _TICKS[-1]  # what does not grow at all is as good as the picture shows
        values = [
            figure.goal / max(one, least) if figure.at_most else one / figure.goal
            for one in figure.ratios or figure.ours
        ]
        names.append(fill(figure.name, _LABEL_WIDTH))
        medians.append(median(values))
        low.append(median(values) - min(values))
        high.append(max(values) - median(values))
    if not names:
        return
    picture, axes = plt.subplots(figsize=(11, 0.55 * len(names) + 1.5), layout="constrained")
    colours = ["#2a9d8f" if value >= 1 else "#e76f51" for value in medians]
    bars = axes.barh(names, medians, xerr=[low, high], color=colours, ecolor="#444444", capsize=3)
    axes.bar_label(bars, labels=[f" {value:.2f}" for value in medians], label_type="edge", padding=8, fontsize=9)
    axes.axvline(1.0, color="#222222", linewidth=1)
    axes.set_xscale("log")
    ticks = [one for one in _TICKS if min(medians) / 2 <= one <= max(medians) * 2]
    axes.set_xticks(ticks, [f"{one:g}" for one in ticks])
    axes.minorticks_off()
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.set_xlabel("times the goal: 1 is met, further right is better; bars are medians, whiskers ranges")
    picture.savefig(folder / "bench.png", dpi=110)
    plt.close(picture)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    middle = _short(median(values))
    return middle if len(values) == 1 else f"{middle} ({_short(min(values))}-{_short(max(values))})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
