"""`leadrelay import-curl`, `import-openapi` and `describe soap`: a destination to start from, made from what others wrote."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated
from urllib.parse import urlsplit

import requests
import typer
from pydantic import ValidationError
from rich.markup import escape

from app import connectors
from app.cli.file import STDIN, read_input
from app.cli.output import print_json, print_table, say
from app.config.network import NetworkConfig
from app.config.schema import LimitsConfig
from app.connectors._guard import is_metadata
from app.connectors._transport import Session, exchange, session
from app.draft.curl import CAUSES, read_command
from app.draft.destination import draft
from app.draft.document import MOST_BYTES, TOO_LONG, Document
from app.draft.line import FILL_IN, TO_MAP, Draft
from app.draft.operation import from_operation
from app.draft.validity import check
from app.draft.writing import write
from app.errors import Complaint, InvalidInput

FETCH_SECONDS = 30.0


def import_curl(
    command: Annotated[str, typer.Argument(metavar="COMMAND", help="The whole curl command, in quotes; - is stdin.")],
) -> None:
    """Print a destination to start from, made from a curl command.

    Nothing is sent. Secrets in the command become references to environment variables, which are named on stderr. Properties
    of the body whose names tell which field of a lead they mean are mapped; the others keep the value of the command, marked
    as to be mapped. What of the command has no place in a destination is told.
    """
    text = sys.stdin.read() if command == STDIN else command
    made = draft(read_command(text, lambda name: Path(name).read_bytes()))
    _print(made, origin="a curl command", argument="command", causes=CAUSES)


def _print(made: Draft, *, origin: str, argument: str, causes: Mapping[str, str] = MappingProxyType({})) -> None:
    file = write(made, origin=origin)
    check(file, argument=argument, causes=causes)
    for note in made.notes:
        say(f"[yellow]note:[/yellow] {escape(note)}")
    for name, what in made.variables.items():
        say(f"[yellow]note:[/yellow] set {escape(name)}: {escape(what)}")
    if missing := [one.name for one in made.properties if FILL_IN in one.comment and not one.off]:
        say(f"[yellow]note:[/yellow] to fill in: {escape(', '.join(missing))}")
    same = [one.name for one in made.properties if TO_MAP in one.comment]
    if same:
        say(f"[yellow]note:[/yellow] not mapped yet, the same for every lead: {escape(', '.join(same))}")
    typer.echo(file, nl=False)


def import_openapi(
    document: Annotated[
        str,
        typer.Argument(metavar="DOCUMENT", help="Address or file of an OpenAPI 3 document, JSON or YAML; - is stdin."),
    ],
    operation: Annotated[
        str | None, typer.Option("--operation", help="Its operationId, or method and path: 'POST /leads'.")
    ] = None,
) -> None:
    """Print a destination to start from, made from an operation of an OpenAPI document.

    Without --operation the operations are listed, unless there is only one. Properties that are required, or whose names tell
    which field of a lead they mean, are in the mapping; the others stand there as comments. Places to fill in are marked.
    """
    found = Document(_content(document), document)
    known = found.operations()
    if not known:
        raise InvalidInput([Complaint(field="document", detail="has no operation")])
    if operation is None and len(known) > 1:
        print_table(
            ["operation", "method and path", "what"],
            [tuple(map(escape, (one.id, one.line, one.summary))) for one in known],
        )
        say("choose one: `--operation NAME`")
        return
    chosen = known[0] if operation is None else found.operation(operation)
    origin = f"the operation {chosen.line} of an OpenAPI document"
    _print(from_operation(found, chosen), origin=origin, argument="document")


def _content(document: str) -> bytes:
    if not document.startswith(("http://", "https://")):
        return read_input(document, most_bytes=MOST_BYTES, remedy=TOO_LONG)
    with _session(document, "document") as through:
        return _fetched(through, document, most_bytes=MOST_BYTES, field="document")


def _session(address: str, field: str) -> Session:
    # The person who names an address means it, wherever it is; what it redirects to or imports is another matter. A metadata
    # service has no document of an API, only credentials: whoever names it was talked into it.
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        raise InvalidInput([Complaint(field=field, detail="is not a web address")]) from None
    if is_metadata(host):
        detail = "is at the address of a cloud's metadata service, which is refused"
        raise InvalidInput([Complaint(field=field, detail=detail)])
    try:
        network = NetworkConfig(allow=[host])
    except ValidationError:  # written as no entry of `allow` is: judged as any other then
        network = NetworkConfig()
    return session(LimitsConfig(timeout_seconds=FETCH_SECONDS), network)


def _fetched(through: Session, address: str, *, most_bytes: int, field: str) -> bytes:
    request = through.prepare_request(requests.Request("GET", address))
    answer = exchange(through, request, deadline=through.deadline(), body_cap_bytes=most_bytes)
    if answer.status != requests.codes.ok or answer.truncated:
        what = (
            "is too long" if answer.truncated else f"was answered with HTTP {answer.status}; redirects are not followed"
        )
        raise InvalidInput([Complaint(field=field, detail=what)])
    return answer.body


def describe_wsdl(wsdl: str, *, operation: str | None, port: str | None, as_json: bool) -> None:
    """Print what a WSDL offers, or a destination that calls one of its operations."""
    connectors.load("soap")
    from app.draft.soap import Offer, from_operation, read  # noqa: PLC0415  # its driver is an extra

    if wsdl.startswith(("http://", "https://")):
        with _session(wsdl, "wsdl") as through:
            found = read(wsdl, lambda one: _fetched(through, one, most_bytes=MOST_BYTES, field="wsdl"))
    else:
        found = read(wsdl, None)
    offers = [Offer.of(one) for one in found.operations]
    names = {one.operation for one in offers}
    if as_json:
        print_json(offers)
    elif operation is None and len(names) > 1:
        rows = [(one.service, one.port, one.version, one.operation, one.summary) for one in offers]
        print_table(["service", "port", "soap", "operation", "arguments"], [tuple(map(escape, row)) for row in rows])
        say("choose one: `--operation NAME`")
    else:
        chosen = found.select(None, port, operation)
        origin = f"the operation {chosen.name} of a WSDL"
        _print(from_operation(found, chosen, wsdl), origin=origin, argument="wsdl")
