"""`leadrelay key`: who may use the HTTP API."""

from enum import StrEnum
from typing import Annotated

import typer

from app import operations
from app.cli.output import Json, moment, print_json, print_table, print_text, say
from app.cli.session import actor, ledger
from app.config.suggestion import suggest
from app.errors import NotFound
from app.ledger import key as keys

commands = typer.Typer(help="Make, list and revoke keys of the HTTP API.", no_args_is_help=True, add_completion=False)


class Scope(StrEnum):
    """What a key may do."""

    SUBMIT = "submit"
    READ = "read"
    OPERATE = "operate"
    FEEDBACK = "feedback"


@commands.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name to know it by, as the producer's.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; give it several times for several.")],
    source: Annotated[
        str | None, typer.Option("--source", "-s", help="The only source it may submit to and read; any if not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key and print its secret, this once.

    Only a digest of the secret is stored. Scopes: submit leads, read leads and deliveries, operate (replay,
    pause, ...), feedback (conversions and returns).
    """
    with ledger() as database:
        if source is not None:
            known = {one.name for one in operations.running(database).sources}
            if source not in known:
                raise NotFound(f"there is no source '{source}': {suggest(source, known)}")
        scopes = frozenset(one.value for one in scope)
        secret = keys.create(database, name=name, scopes=scopes, source=source, actor=actor())
    if as_json:
        print_json({"name": name, "scopes": scopes, "source": source, "secret": secret})
        return
    print_text(secret)
    say("keep it: it is stored nowhere and cannot be shown again")


@commands.command("list")
def list_(as_json: Json = False) -> None:
    """List keys, newest first, without their secrets."""
    with ledger() as database:
        found = keys.every(database)
    if as_json:
        print_json(found)
    elif not found:
        say("no keys yet; `leadrelay key create NAME --scope submit` makes one")
    else:
        print_table(
            ["name", "scopes", "source", "created (UTC)", "revoked (UTC)"],
            [
                (
                    one.name,
                    ", ".join(sorted(one.scopes)),
                    one.source or "any",
                    moment(one.created_at),
                    f"[red]{moment(one.revoked_at)}[/red]" if one.revoked_at else "",
                )
                for one in found
            ],
        )


@commands.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the key; all keys of that name end.")],
) -> None:
    """End every key of a name; the API refuses it within seconds."""
    with ledger() as database:
        keys.revoke(database, name, actor=actor())
    say(f"{name} is revoked")
