"""docs/reference/cli.md: every command with its help, arguments and options, as `leadrelay COMMAND --help` has them."""

from collections.abc import Iterator
from inspect import cleandoc
from itertools import groupby
from typing import Any

import typer

from app.cli.main import COMMANDS, load
from app.cli.reference.markdown import code, page, table

INTRODUCTION = """\
Data goes to stdout, words to stderr. Where there is `--json`, the output is made for programs. Settings are environment
variables: [settings](settings.md). Every command finds a stack that `leadrelay up` runs in `LEADRELAY_HOME` by itself.

Exit codes: 0 ok, 1 said no, 2 usage, 3 a server of ours is out of reach, or the ledger's tables are too old."""


def commands_page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for panel, names in groupby(COMMANDS, key=lambda name: COMMANDS[name].panel):
        parts.append(f"## {panel}")
        for name in names:
            parts.extend(_sections(f"leadrelay {name}", load(name)))
    return page("Commands", *parts)


def _sections(path: str, command: Any) -> Iterator[str]:
    inner = _inner(command)
    if inner:
        for name, one in inner.items():
            yield from _sections(f"{path} {name}", one)
        return
    context = typer.Context(command, info_name=path)
    yield f"### {path}"
    yield f"```\n{path} {' '.join(_usage(command, context))}".rstrip() + "\n```"
    yield _prose(command.help or "")
    records = [one.get_help_record(context) for one in command.params]
    yield table(("argument or option", "what"), [(code(record[0]), record[1]) for record in records if record])


def _inner(command: Any) -> dict[str, Any]:
    return dict(getattr(command, "commands", {}))


def _usage(command: Any, context: Any) -> list[str]:
    pieces = [piece.replace("[[", "[").replace("]...]...", "]...") for piece in command.collect_usage_pieces(context)]
    return [piece for piece in pieces if piece != "[OPTIONS]" or command.params]


def _prose(help_text: str) -> str:
    """Help with its lines joined, so that Markdown keeps its paragraphs and nothing else."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in cleandoc(help_text).split("\n\n"))
