"""The exported JSON Schema says what the loader takes."""

from pydantic import BaseModel

from app.config.jsonschema import schema
from app.config.schema import DestinationConfig, ExtractConfig, LimitsConfig, SourceConfig


def test_destination_schema_picks_the_settings_by_type() -> None:
    models: dict[str, type[BaseModel]] = {"http": LimitsConfig, "email": ExtractConfig}
    destination = schema(models)["destination"]
    assert destination["properties"]["type"]["enum"] == ["email", "http"]
    chosen = {
        part["if"]["properties"]["type"]["const"]: part["then"]["properties"]["settings"]["$ref"]
        for part in destination["allOf"]
    }
    assert chosen == {"http": "#/$defs/LimitsConfig", "email": "#/$defs/ExtractConfig"}
    assert {"LimitsConfig", "ExtractConfig", "RetryConfig"} <= destination["$defs"].keys()


def test_name_may_be_left_to_the_file() -> None:
    exported = schema({})
    assert exported["destination"]["required"] == ["type"]
    assert exported["source"]["required"] == []


def test_every_setting_is_described() -> None:
    exported = schema({})
    for kind, model in (("source", SourceConfig), ("destination", DestinationConfig)):
        assert exported[kind]["properties"].keys() == model.model_fields.keys()
        assert all(setting.get("description") for setting in exported[kind]["properties"].values())
