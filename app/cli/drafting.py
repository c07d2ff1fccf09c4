"""`leadrelay import-curl` and `import-openapi`: a destination to start from, made from what somebody else wrote."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from app.cli.file import STDIN
from app.cli.output import say
from app.draft.curl import read_command
from app.draft.destination import TO_MAP, Draft, draft
from app.draft.writing import write


def import_curl(
    command: Annotated[str, typer.Argument(metavar="COMMAND", help="The whole curl command, in quotes; - is stdin.")],
) -> None:
    """Print a destination to start from, made from a curl command.

    Nothing is sent. Secrets in the command become references to environment variables, which are named on stderr. Properties
    of the body whose names tell which field of a lead they mean are mapped; the others keep the value of the command, marked
    as to be mapped. What of the command has no place in a destination is told.
    """
    text = sys.stdin.read() if command == STDIN else command
    _print(draft(read_command(text, lambda name: Path(name).read_bytes())), origin="a curl command")


def _print(made: Draft, *, origin: str) -> None:
    for note in made.notes:
        say(f"[yellow]note:[/yellow] {escape(note)}")
    for name, what in made.variables.items():
        say(f"[yellow]note:[/yellow] set {escape(name)}: {escape(what)}")
    same = [one.name for one in made.properties if TO_MAP in one.comment]
    if same:
        say(f"[yellow]note:[/yellow] not mapped yet, the same for every lead: {escape(', '.join(same))}")
    typer.echo(write(made, origin=origin), nl=False)
