"""Which page is written from what, and the check that none is stale."""

import inspect
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app import connectors, telemetry
from app.api import metrics
from app.cli.output import say, say_error
from app.cli.reference.command import commands_page
from app.cli.reference.markdown import between, code, page, table
from app.cli.reference.route import routes_page
from app.cli.reference.shape import settings as settings_of
from app.config.jsonschema import schema as config_schema
from app.config.schema import DestinationConfig, SourceConfig
from app.settings import Settings

ROOT = Path(__file__).parents[3]
BEGIN, END = "<!-- settings:begin -->", "<!-- settings:end -->"
HEADINGS = ("setting", "type", "default", "what")


def pages() -> Mapping[str, str]:
    """Every generated file of the repository: its path from the root and what it should hold."""
    models = {name: connectors.load(name).Settings for name in connectors.types()}
    reference = {
        "settings.md": _settings_page(),
        "config.md": _config_page(),
        "cli.md": commands_page(),
        "api.md": routes_page(),
        "events.md": _docstring_page("Log events", telemetry),
        "metrics.md": _docstring_page("Metrics", metrics),
        **{f"{name}.schema.json": _json(schema) for name, schema in config_schema(models).items()},
    }
    tables = {f"docs/connectors/{name}.md": _rows(model.model_json_schema()) for name, model in models.items()}
    return {
        **{f"docs/reference/{name}": text for name, text in reference.items()},
        **{name: _completed(ROOT / name, rows) for name, rows in tables.items()},
    }


def _settings_page() -> str:
    rows = [(code(f"LEADRELAY_{name.upper()}"), *rest) for name, *rest in settings_of(Settings.model_json_schema())]
    return page(
        "Settings",
        "Settings of an installation are environment variables. Without `LEADRELAY_DATABASE_URL` the addresses of a stack "
        "that runs in `LEADRELAY_HOME` are used.",
        table(HEADINGS, rows),
    )


def _config_page() -> str:
    return page(
        "Configuration files",
        "What sources and destinations may hold; how it is used is in [configuration](../configuration.md). `name` is the "
        "file's. The same for editors: [source.schema.json](source.schema.json), "
        "[destination.schema.json](destination.schema.json).",
        "## sources/NAME.yaml",
        _rows(SourceConfig.model_json_schema()),
        "## destinations/NAME.yaml",
        "What stands under `settings` is told by the connector's page: "
        + ", ".join(f"[{name}](../connectors/{name}.md)" for name in connectors.types())
        + ".",
        _rows(DestinationConfig.model_json_schema()),
    )


def _docstring_page(title: str, module: Any) -> str:
    """A module whose docstring is the table."""
    return page(title, inspect.getdoc(module) or "")


def _rows(schema: Mapping[str, Any]) -> str:
    return table(HEADINGS, [(code(name), *rest) for name, *rest in settings_of(schema) if name != "name"])


def _completed(path: Path, rows: str) -> str:
    try:
        return between(path.read_text(encoding="utf-8"), BEGIN, END, rows)
    except (FileNotFoundError, ValueError):
        sys.exit(f"error: {path.relative_to(ROOT)} must be there and hold the lines {BEGIN} and {END}")


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def stale(wanted: Mapping[str, str]) -> list[str]:
    """Generated files that do not hold what they should, and files in their folder that nothing writes."""
    found = {f"docs/reference/{path.name}" for path in (ROOT / "docs/reference").glob("*")}
    return sorted((found - wanted.keys()) | {name for name, text in wanted.items() if not _holds(ROOT / name, text)})


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` only name those that are stale; the exit code."""
    if arguments not in ([], ["--check"]):
        say_error("usage: python -m app.cli.reference [--check]")
        return 2
    wanted = pages()
    names = stale(wanted)
    if arguments:
        for name in names:
            say_error(f"{name} is stale; run `make docs`")
        return 1 if names else 0
    (ROOT / "docs/reference").mkdir(exist_ok=True)
    for name in names:
        if name in wanted:
            (ROOT / name).write_text(wanted[name], encoding="utf-8")
            say(f"{name} written")
        else:
            (ROOT / name).unlink()
            say(f"{name} removed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
