"""The repository as a tree of files, for the tests that read it."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("app", "tasks", "workers")
_OTHERS = (*PRODUCT, "config", "deploy", "docs", "requirements", "tests", ".ci")


def written() -> Iterator[Path]:
    """Every file somebody wrote, generated pages included."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and not path.name.startswith(".env"))
    for folder in _OTHERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def modules() -> list[Path]:
    """Every module of the product."""
    return [path for folder in PRODUCT for path in sorted((ROOT / folder).rglob("*.py"))]


def pages() -> list[Path]:
    """Every page of documentation."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
