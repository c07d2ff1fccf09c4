"""Markdown as the generated pages need it. Pure."""

from collections.abc import Iterable, Sequence

NOTICE = "<!-- Written by `make docs` from the code; change it there. -->"


def page(title: str, *parts: str) -> str:
    """A whole page; parts are set apart by an empty line."""
    return "\n\n".join([NOTICE, f"# {title}", *(part for part in parts if part)]) + "\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; nothing for no rows."""
    lines = [_line(row) for row in rows]
    if not lines:
        return ""
    return "\n".join([_line(headings), _line(["---"] * len(headings)), *lines])


def code(text: object) -> str:
    """A literal."""
    return f"`{text}`"


def between(text: str, begin: str, end: str, content: str) -> str:
    """The text with what stands between two marks replaced; raises ValueError when a mark is missing."""
    head, rest = text[: text.index(begin) + len(begin)], text[text.index(begin) + len(begin) :]
    return f"{head}\n\n{content}\n\n{rest[rest.index(end) :]}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"
