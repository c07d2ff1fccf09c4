"""`leadrelay config`: the configuration from files to the running version and back."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.markup import escape

from app import connectors, operations
from app.cli.output import Json, moment, plural, print_json, print_table, print_text, say
from app.cli.session import actor, ledger
from app.config.jsonschema import schema as json_schema
from app.config.schema import Document
from app.errors import InvalidConfig
from app.ledger import version
from app.settings import settings

commands = typer.Typer(
    help="Check, compare, apply and roll back the configuration.", no_args_is_help=True, add_completion=False
)

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DIR]", help="Folder with sources/ and destinations/; LEADRELAY_CONFIG_DIR (config) if not given."
    ),
]
SIGNS = {"added": "[green]+[/green]", "removed": "[red]-[/red]", "changed": "[yellow]~[/yellow]"}
LINE_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@commands.command()
def validate(folder: Folder = None, as_json: Json = False) -> None:
    """Check a configuration folder; nothing else has to run.

    Every mistake is told with file, line, field and remedy.
    """
    folder = _folder(folder)
    try:
        document = operations.validate(folder).document
    except InvalidConfig as error:
        if not as_json:
            raise
        print_json({"valid": False, "complaints": error.complaints})
        raise typer.Exit(1) from None
    if as_json:
        sources, destinations = document.sources, document.destinations
        names = {"sources": [one.name for one in sources], "destinations": [one.name for one in destinations]}
        print_json({"valid": True, **names})
        return
    say(f"[green]{escape(str(folder))} is valid[/green]: {_size(document)}")


@commands.command()
def diff(folder: Folder = None, as_json: Json = False) -> None:
    """Show what applying a folder would change."""
    after = operations.validate(_folder(folder)).document
    with ledger() as database:
        before = operations.running(database)
    changes = list(_changes(before, after))
    if as_json:
        print_json(changes)
    elif not changes:
        say("nothing differs from the running version")
    else:
        for change in changes:
            _print_change(change)


@commands.command()
def apply(
    folder: Folder = None,
    note: Annotated[str, typer.Option(help="Why, for the history.")] = "",
) -> None:
    """Make a folder the running configuration.

    Running processes take it up within seconds. Changed destinations' circuits close, and what was held for their
    configuration goes out again. A folder with mistakes changes nothing.
    """
    document = operations.validate(_folder(folder)).document
    with ledger() as database:
        changes = operations.changes(operations.running(database), document)
        number = operations.apply(database, document, actor=actor(), note=note)
    _print_applied(number, changes)


@commands.command()
def history(as_json: Json = False) -> None:
    """List the versions there were, newest first; the first is running."""
    with ledger() as database:
        found = version.history(database)
    if as_json:
        print_json(found)
    elif not found:
        say("nothing was applied yet; `leadrelay config apply` does")
    else:
        print_table(
            ["version", "applied (UTC)", "by", "note", "holds"],
            [
                (
                    str(one.version),
                    moment(one.created_at),
                    escape(one.created_by),
                    escape(one.note),
                    _size(Document.model_validate(one.document)),
                )
                for one in found
            ],
            right=["version"],
        )


@commands.command()
def rollback(number: Annotated[int, typer.Argument(metavar="VERSION", min=1, help="Version to go back to.")]) -> None:
    """Apply an earlier version again, as a new one.

    The files stay as they are: mend them before the next `config apply`.
    """
    with ledger() as database:
        before = operations.running(database)
        applied = operations.roll_back(database, number, actor=actor())
        changes = operations.changes(before, operations.running(database))
    _print_applied(applied, changes)


@commands.command()
def schema() -> None:
    """Print the JSON Schemas of source and destination files, for editors."""
    print_json(json_schema({name: connectors.load(name).Settings for name in connectors.types()}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One source or destination that differs; `before` and `after` hold its settings without defaults."""

    change: str
    kind: str
    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class _Readable(yaml.SafeDumper):
    """YAML with texts of several lines as blocks."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _represent_text)


def _changes(before: Document, after: Document) -> Iterator[Change]:
    for change, kind, name in operations.changes(before, after):
        yield Change(
            change=change,
            kind=kind,
            name=name,
            before=_settings(before, kind, name),
            after=_settings(after, kind, name),
        )


def _settings(document: Document, kind: str, name: str) -> dict[str, Any] | None:
    found = document.source(name) if kind == "source" else document.destination(name)
    return found.model_dump(mode="json", exclude_defaults=True) if found else None


def _print_change(change: Change) -> None:
    print_text(f"{SIGNS[change.change]} [bold]{change.kind} {change.name}[/bold] {change.change}")
    lines = difflib.unified_diff(_yaml(change.before), _yaml(change.after), lineterm="", n=2)
    for line in list(lines)[2:]:  # without the names of files that there are none of
        colour = LINE_COLOURS.get(line[0])
        print_text(f"    [{colour}]{escape(line)}[/{colour}]" if colour else f"    {escape(line)}")


def _yaml(value: dict[str, Any] | None) -> list[str]:
    if value is None:
        return []
    text: str = yaml.dump(value, Dumper=_Readable, sort_keys=True, allow_unicode=True, width=110)
    return text.splitlines()


def _print_applied(number: int | None, changes: list[tuple[str, str, str]]) -> None:
    if number is None:
        say("nothing differs from the running version")
        return
    for change, kind, name in changes:
        print_text(f"{SIGNS[change]} {kind} {name} {change}")
    say(f"[green]version {number} is running[/green]; processes take it up within seconds")


def _folder(given: Path | None) -> Path:
    return given or settings().config_dir


def _size(document: Document) -> str:
    return f"{plural(len(document.sources), 'source')}, {plural(len(document.destinations), 'destination')}"
