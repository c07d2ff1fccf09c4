"""`leadrelay preview`: the payload a destination would be sent for a lead. Sends nothing and reads no secret."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from uuid_utils.compat import uuid7

from app import operations
from app.api.body import read_json
from app.catalog import Step, compile_document
from app.cli.file import read_input
from app.cli.output import print_json, say
from app.cli.session import ledger
from app.config.complaints import complaints_of
from app.config.embedding import embed
from app.config.loading import Loaded, Origin
from app.config.schema import DestinationConfig, Document, SourceConfig
from app.config.suggestion import suggest
from app.config.yaml import parse
from app.context import context
from app.errors import Complaint, DataFault, InvalidConfig, NotFound
from app.fields import FieldSpecs
from app.routing import Route, route
from app.settings import settings

SUFFIXES = frozenset({".yaml", ".yml"})
NO_SOURCE = SourceConfig(name="preview")


def preview(
    destination: Annotated[
        str, typer.Argument(metavar="DEST", help="A destination's YAML file, or the name of a running one.")
    ],
    lead: Annotated[str, typer.Argument(metavar="LEAD", help="File with a JSON object of fields; - is stdin.")],
    source: Annotated[
        str | None, typer.Option("--source", "-s", help="Read the lead as this running source does.")
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="File with a JSON object of what earlier steps say, by their names."),
    ] = None,
) -> None:
    """Show what a destination would be sent for a lead.

    Prints JSON: destination, type, why the lead would be skipped (or null), and the payload the mapping renders. With a
    YAML file and no --source nothing has to run. For a destination that comes after others, --steps says what these
    captured, such as {"verify": {"outcome": "success", "score": 72}}.
    """
    fields = read_json(read_input(lead, most_bytes=settings().max_body_bytes))
    from_file = Path(destination).suffix in SUFFIXES
    running = Document()
    if not from_file or source is not None:
        with ledger() as database:
            running = operations.running(database)
    config = _source(running, source)
    step = _step_of_file(Path(destination)) if from_file else _step_of_name(running, destination)
    said = read_json(read_input(steps, most_bytes=settings().max_body_bytes)) if steps is not None else {}
    if unsaid := sorted(step.before - said.keys()):
        say(f"[yellow]note:[/yellow] what {', '.join(unsaid)} will say is taken as nothing; give it with --steps")
    print_json(_render(step, config, fields, said))


def _render(step: Step, source: SourceConfig, fields: dict[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    read = FieldSpecs(source).read(fields)
    for name, complaint in read.invalid.items():
        say(f"[yellow]note:[/yellow] {name} {complaint}; it is taken as text")
    lead_id, delivery_id, now = uuid7(), uuid7(), datetime.now(UTC)
    seen = partial(
        context,
        read.fields,
        lead_id=lead_id,
        received_at=now,
        source=source.name,
        description=source.description,
        steps=said,
    )
    condition = step.condition.matches if step.condition else None
    [decision] = route([Route(destination=step.config.name, condition=condition)], seen())
    delivery = {
        "id": str(delivery_id),
        "lead_id": str(lead_id),
        "destination": step.config.name,
        "attempt": 1,
    }
    try:
        payload = step.mapping.render(seen(delivery=delivery))
    except DataFault as fault:
        raise InvalidConfig([Complaint(field="mapping", detail=fault.reason)]) from None
    return {
        "destination": step.config.name,
        "type": step.config.type,
        "skipped": decision.skipped,
        "payload": payload,
    }


def _source(running: Document, name: str | None) -> SourceConfig:
    if name is None:
        return NO_SOURCE
    found = running.source(name)
    if found is None:
        raise NotFound(f"there is no source '{name}': {suggest(name, {one.name for one in running.sources})}")
    return found


def _step_of_name(running: Document, name: str) -> Step:
    if running.destination(name) is None:
        known = {one.name for one in running.destinations}
        raise NotFound(f"there is no running destination '{name}': {suggest(name, known)}")
    return compile_document(running, 0).steps[name]


def _step_of_file(path: Path) -> Step:
    file = str(path)
    try:
        parsed = parse(path.read_bytes(), file)
    except OSError as error:
        raise InvalidConfig([Complaint(field="file", detail=f"cannot be read: {error.strerror}", file=file)]) from None
    if not isinstance(parsed.value, dict):
        raise InvalidConfig([Complaint(field="file", detail="must be a mapping of settings", file=file, line=1)])
    origin = Origin(file=file, lines={".".join(place): line for place, line in parsed.lines.items()})
    data = embed({"name": path.stem, **parsed.value}, path, line=origin.line("response.schema"))
    try:
        config = DestinationConfig.model_validate(data)
    except ValidationError as error:
        raise InvalidConfig(complaints_of(error, DestinationConfig, data, origin)) from None
    loaded = Loaded(document=Document(destinations=[config]), origins={("destination", config.name): origin})
    return compile_document(loaded.document, 0, place=loaded.complaint).steps[config.name]
