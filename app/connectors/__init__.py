"""Connector types, one module or folder each, found by name and imported only when used."""

import importlib
import pkgutil
from typing import Any

from app.connectors._tls import unusable_files
from app.connectors.base import Connector
from app.errors import Complaint, InvalidConfig


def types() -> list[str]:
    """Names of every connector type this installation has code for."""
    return sorted(
        module.name
        for module in pkgutil.iter_modules(__path__)
        if not module.name.startswith("_") and module.name != "base"
    )


def load(name: str) -> type[Connector[Any]]:
    """The connector class of a type; raises `InvalidConfig` for an unknown type or a driver that is not installed."""
    if name not in types():
        raise InvalidConfig(
            [
                Complaint(
                    field="type",
                    detail=f"there is no connector type {name!r}",
                    remedy="use one of " + ", ".join(types()),
                )
            ]
        )
    try:
        connector: type[Connector[Any]] = importlib.import_module(f"app.connectors.{name}").CONNECTOR
    except ModuleNotFoundError as error:
        raise InvalidConfig(
            [
                Complaint(
                    field="type",
                    detail=f"the driver {error.name!r} of connector type {name!r} is not installed",
                    remedy=f"pip install 'leadrelay[{name}]'",
                )
            ]
        ) from error
    return connector


__all__ = ["load", "types", "unusable_files"]
