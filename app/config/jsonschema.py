"""JSON Schema of the configuration files, for editors that complete and check while one types.

`schema` gives one for source files and one for destination files; in the latter the connector's `type` decides what
`settings` may hold. Put one's address in a comment at the top of a file: `# yaml-language-server: $schema=...`.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.config.schema import DestinationConfig, SourceConfig

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(settings_models: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """`{"source": ..., "destination": ...}`; `settings_models` maps each connector type to its settings."""
    return {"source": _of_file(SourceConfig), "destination": _destination(settings_models)}


def _of_file(model: type[BaseModel]) -> dict[str, Any]:
    found = model.model_json_schema()
    # The file's name is the default.
    found["required"] = [name for name in found.get("required", []) if name != "name"]
    return {"$schema": DIALECT, **found}


def _destination(settings_models: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    found = _of_file(DestinationConfig)
    pointers, definitions = models_json_schema([(model, "validation") for model in settings_models.values()])
    found["$defs"] = {**found.get("$defs", {}), **definitions.get("$defs", {})}
    found["properties"]["type"] = {**found["properties"]["type"], "enum": sorted(settings_models)}
    found["allOf"] = [
        {
            "if": {"properties": {"type": {"const": type_}}, "required": ["type"]},
            "then": {"properties": {"settings": pointers[model, "validation"]}},
        }
        for type_, model in sorted(settings_models.items())
    ]
    return found
