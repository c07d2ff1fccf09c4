"""`leadrelay preview`, `interpret`, `test`, `check` and `describe`: a destination tried before it goes live.

A destination is a YAML file, or the name of a running one. With a file and no --source nothing has to run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape

from app import dry_run, operations, trial
from app.api.body import read_json
from app.catalog import Step
from app.cli.drafting import describe_wsdl
from app.cli.file import read_input
from app.cli.output import Json, print_json, print_table, say
from app.cli.session import ledger
from app.config.complaints import complaints_of
from app.config.schema import Document
from app.errors import InvalidInput
from app.ledger.token import Tokens
from app.model import Result
from app.reply import Answer
from app.settings import secret_environment, settings
from app.trial import Trial

SUFFIXES = frozenset({".yaml", ".yml"})

Dest = Annotated[str, typer.Argument(metavar="DEST", help="A destination's YAML file, or the name of a running one.")]
Lead = Annotated[str, typer.Argument(metavar="LEAD", help="File with a JSON object of fields; - is stdin.")]
Source = Annotated[str | None, typer.Option("--source", "-s", help="Read the lead as this running source does.")]
Steps = Annotated[
    str | None, typer.Option(metavar="FILE", help="File with a JSON object of what earlier steps say, by their names.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """A destination, and of the ledger the running configuration and the tokens that workers share."""

    step: Step
    running: Document = field(default_factory=Document)
    tokens: Tokens | None = None


def preview(
    destination: Dest,
    lead: Lead,
    source: Source = None,
    steps: Steps = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Put the secrets in; they must be there.")] = False,
) -> None:
    """Show what a destination would be sent for a lead; sends nothing.

    Prints JSON: method, url, headers and body of the request; for a destination of type email the message, its sender and
    recipients. Without --reveal no secret has to be there: those under secret names are masked, and elsewhere references stand
    as they are written. For a destination that comes after others, --steps says what these captured, such as
    {"verify": {"outcome": "success", "score": 72}}. That the lead would be skipped is said on stderr.
    A WSDL at an address is fetched for it, without credentials.
    """
    given = _read(lead, steps)
    with _trying(destination, source) as tried:
        made = _prepared(tried, given, source)
    if made.skipped is not None:
        say(f"[yellow]note:[/yellow] this lead would be skipped: {escape(made.skipped)}")
    print_json(dry_run.preview(tried.step, made, environ=secret_environment(), reveal=reveal))


def interpret(
    destination: Dest,
    response: Annotated[
        str, typer.Argument(metavar="RESPONSE", help="File with an answer as a JSON object; - is stdin.")
    ],
) -> None:
    """Tell what a destination's answer would mean.

    The answer is {"status": 200, "headers": {"Content-Type": "application/json"}, "body": "..."}; a body that is no text
    is taken as JSON. Prints JSON: outcome, reason, price, reference, captured, fault.
    """
    given = read_json(read_input(response, most_bytes=settings().max_body_bytes))
    try:
        answer = Answer.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(complaints_of(error, Answer, given)) from None
    with _trying(destination) as tried:
        print_json(dry_run.interpret(tried.step, answer, environ=secret_environment()))


def try_out(destination: Dest, lead: Lead, source: Source = None, steps: Steps = None) -> None:
    """Send a lead for real, once, marked as a test.

    The mark is a header X-Leadrelay-Test: true, "[TEST]" before an e-mail's subject, and {{ delivery.test }} for whatever
    else the mapping makes of it. Nothing enters the ledger; pause, limits and circuit are not asked. Prints JSON: outcome,
    reason, price, reference, captured, fault, ambiguous, ms and the transcript with secrets masked. The exit code is 0 only
    if the lead was delivered.
    """
    given = _read(lead, steps)
    with _trying(destination, source) as tried:
        made = _prepared(tried, given, source, as_test=True)
        found = trial.send(tried.step, made, secret_environment(), tried.tokens)
    print_json(found)
    if found.outcome != Result.SUCCESS:
        raise typer.Exit(1)


def check(destination: Dest) -> None:
    """Reach a destination and log in, changing nothing.

    Prints JSON: ok, fault, reason, ms. The exit code is 0 only if it let us in.
    """
    with _trying(destination) as tried:
        found = trial.check(tried.step, secret_environment(), tried.tokens)
    print_json(found)
    if not found.ok:
        raise typer.Exit(1)


def describe(
    destination: Dest,
    wsdl: Annotated[
        str | None, typer.Argument(metavar="[WSDL]", help="After `soap` instead of DEST: a WSDL's address or file.")
    ] = None,
    operation: Annotated[str | None, typer.Option(help="Of the WSDL: write a destination that calls it.")] = None,
    port: Annotated[
        str | None, typer.Option(help="Of the WSDL: the port to use, which decides on SOAP 1.1 or 1.2.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what fields the other side has.

    Asks the destination itself where it can tell: Salesforce's fields of the object, HubSpot's properties. `describe soap WSDL`
    lists what a WSDL offers; with --operation, or where there is only one, it prints a destination that calls it, its arguments
    with their types in a mapping to fill in.
    """
    if wsdl is not None and destination == "soap":
        describe_wsdl(wsdl, operation=operation, port=port, as_json=as_json)
        return
    if wsdl is not None or operation is not None or port is not None:
        raise typer.BadParameter("a WSDL and its options go with `describe soap WSDL`")
    with _trying(destination) as tried:
        found = trial.describe(tried.step, secret_environment(), tried.tokens)
    if as_json:
        print_json(found)
        return
    rows = [(one.name, one.type, "required" if one.required else "", one.label) for one in found]
    print_table(["field", "type", "", "label"], [tuple(map(escape, row)) for row in rows])


def _read(lead: str, steps: str | None) -> tuple[Any, Any]:
    """The fields of a lead, and what earlier steps say."""
    most = settings().max_body_bytes
    return read_json(read_input(lead, most_bytes=most)), read_json(read_input(steps, most_bytes=most)) if steps else {}


def _prepared(tried: _Tried, given: tuple[Any, Any], source: str | None, *, as_test: bool = False) -> Trial:
    """A lead ready for a destination; what is odd about it is said."""
    fields, said = given
    reads = trial.source_of_name(tried.running, source)
    made = trial.prepare(tried.step, fields, source=reads, said=said, test=as_test)
    for note in made.notes:
        say(f"[yellow]note:[/yellow] {escape(note)}")
    return made


@contextmanager
def _trying(destination: str, source: str | None = None) -> Iterator[_Tried]:
    """A destination, with the ledger as far as it is asked for."""
    from_file = Path(destination).suffix in SUFFIXES
    if from_file and source is None:
        yield _Tried(step=trial.step_of_file(Path(destination)))
        return
    with ledger() as database:
        running = operations.running(database)
        step = trial.step_of_file(Path(destination)) if from_file else trial.step_of_name(running, destination)
        yield _Tried(step=step, running=running, tokens=Tokens(database))
