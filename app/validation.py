"""What is wrong with a destination's settings, its templates there and its response rules, found before any lead comes.

Asks the connector type, which knows; makes no connection and reads no secret.
"""

import re
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app import connectors
from app.config.complaints import complaints_of
from app.config.schema import DestinationConfig
from app.config.secrets import clear_secrets, references
from app.connectors.base import Capability, Connector
from app.errors import InvalidConfig, InvalidTemplate
from app.mapping import MIX, marked_places
from app.templated import CompiledSettings, compile_settings

Complain = Callable[..., None]
"""Takes the dotted place of a setting, what is wrong with it and, where one is known, the remedy."""

_RULE = re.compile(r"[a-z]+(?:\.\w+)*(?=: )")


def check_connector(config: DestinationConfig, complain: Complain) -> CompiledSettings | None:
    """Complain of what is wrong with settings and response rules; the templates in the settings."""
    try:
        kind = connectors.load(config.type)
    except InvalidConfig as error:
        complain("type", error.complaints[0].detail, error.complaints[0].remedy)
        return None
    _check_settings(kind, config, complain)
    _check_response(kind, config, complain)
    try:
        return compile_settings(config.settings, kind.templated)
    except InvalidConfig as error:
        for one in error.complaints:
            complain(one.field, one.detail)
        return None


def _check_settings(kind: type[Connector[Any]], config: DestinationConfig, complain: Complain) -> None:
    network = {} if config.network is None else config.network.model_dump()
    for path in clear_secrets({"settings": config.settings, "network": network}):
        complain(path, "a secret stands here in clear", "use ${env:NAME} or ${file:/path}")
    if config.network is not None and Capability.NETWORK not in kind.capabilities:
        complain("network", f"destinations of type {config.type} take no network settings", "remove it")
    try:
        # A reference stands for its value: the schema is checked now, the value when it is used. What holds references
        # further inside is complained about all the same: something is missing there, or does not fit together.
        settings = kind.Settings.model_validate(config.settings)
        if not kind.writes_attributes(settings):
            for name in marked_places(config.mapping):
                complain(f"mapping.{name}", MIX, "only an XML body repeats an element that has attributes")
        for place, detail in kind.check_mapping(settings, config.mapping):
            complain(place, detail)
    except ValidationError as error:
        for one in complaints_of(error, kind.Settings, config.settings, whole="", counts=_is_known):
            complain(f"settings.{one.field}".rstrip("."), one.detail, one.remedy)


def _is_known(problem: ErrorDetails) -> bool:
    return not isinstance(problem["input"], str) or not references(problem["input"])


def _check_response(kind: type[Connector[Any]], config: DestinationConfig, complain: Complain) -> None:
    if config.response is None:
        return
    if Capability.RESPONSE not in kind.capabilities:
        complain("response", f"destinations of type {config.type} take no response rules", "remove it")
        return
    try:
        kind.check_response(config.response)
    except InvalidTemplate as error:
        found = _RULE.match(str(error))
        complain(f"response.{found[0]}" if found else "response", str(error))
