"""The beginning of a connector: `python -m app.cli.scaffold NAME` (`make new-connector NAME=...`) writes its three files.

Code, test on the shared contract, docs page. The tests are red until `deliver` is written and the stage can be played.
"""

import keyword
import re
import sys
from pathlib import Path
from string import Template

from app import connectors
from app.cli.output import say, say_error

ROOT = Path(__file__).parents[2]
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

MODULE = '''\
"""Destinations of type $name: WHAT THEY ARE, and the page of the vendor that this follows."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, SecretStr

from app.config.base import Strict
from app.connectors.base import Capability, Connector
from app.model import Fault, Item, Outcome


class ${title}Settings(Strict):
    """Connection settings of a destination of type `$name`."""

    url: str = Field(examples=["https://$host.example.com"])
    """Address of the destination."""
    token: SecretStr = Field(examples=["$${env:${upper}_TOKEN}"])
    """Credentials."""


class ${title}Connector(Connector[${title}Settings]):
    """One $name destination in one process."""

    Settings: ClassVar[type[${title}Settings]] = ${title}Settings
    capabilities = Capability.NONE
    faults: ClassVar[Mapping[type[Exception], Fault]] = {}

    def deliver(self, item: Item) -> Outcome:
        """Send one lead; returns what the destination answered, raises for faults."""
        raise NotImplementedError


CONNECTOR = ${title}Connector
'''

TEST = '''\
"""The $name connector against the contract, and what is its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from app.config.schema import LimitsConfig
from app.connectors import $name
from app.connectors.base import Connector
from tests.connectors.contract import ConnectorContract, Stage
from tests.connectors.fault_server import LOCAL


class ${title}Stage(Stage):
    payload: Mapping[str, Any] = {"email": "ann.lee@example.com"}
    poison: Mapping[str, Any] = {"email": object()}
    secrets: Sequence[str] = ("tok-5f1c9a",)

    def connector(self, limits: LimitsConfig) -> Connector[Any]:
        return _connector("http://127.0.0.1:1", limits)

    def unreachable(self, limits: LimitsConfig) -> Connector[Any]:
        return _connector("http://127.0.0.1:1", limits)

    def succeed(self) -> None:
        raise NotImplementedError

    def reject(self) -> None:
        raise NotImplementedError

    def fail(self) -> None:
        raise NotImplementedError

    def refuse_credentials(self) -> None:
        raise NotImplementedError

    def hang(self) -> None:
        raise NotImplementedError

    def vanish(self) -> None:
        raise NotImplementedError

    def keys(self) -> Sequence[str]:
        raise NotImplementedError

    def connections(self) -> int:
        raise NotImplementedError


def _connector(url: str, limits: LimitsConfig) -> $name.${title}Connector:
    settings = $name.${title}Settings.model_validate({"url": url, "token": "tok-5f1c9a"})
    return $name.${title}Connector("$host", settings, limits=limits, network=LOCAL)


class TestContract(ConnectorContract):
    @pytest.fixture
    def stage(self) -> Stage:
        return ${title}Stage()
'''

PAGE = """\
# $name

WHAT IT SENDS WHERE, and when to use it.

## Example

```yaml
name: $host
type: $name
mapping:
  email: "{{ lead.email }}"
settings:
  url: https://$host.example.com
  token: $${env:${upper}_TOKEN}
```

## Settings

<!-- settings:begin -->
<!-- settings:end -->

## How answers are classed

| answer | outcome | source |
|---|---|---|

## Limits, and what is not supported
"""


def files(name: str) -> dict[str, str]:
    """The three files by their paths from the root."""
    words = {
        "name": name,
        "title": name.title().replace("_", ""),
        "upper": name.upper(),
        "host": name.replace("_", "-"),
    }
    return {
        f"app/connectors/{name}.py": Template(MODULE).substitute(words),
        f"tests/connectors/test_{name}.py": Template(TEST).substitute(words),
        f"docs/connectors/{name}.md": Template(PAGE).substitute(words),
    }


def complaint(name: str) -> str | None:
    """Why no connector can be begun under a name."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name == "base":
        return f"{name!r} cannot be a connector's name: lower-case letters, digits and _, a letter first"
    if name in connectors.types():
        return f"there is a connector {name!r} already"
    return next((f"{path} exists already" for path in files(name) if (ROOT / path).exists()), None)


def main(arguments: list[str]) -> int:
    """Write the files; the exit code."""
    if len(arguments) != 1:
        say_error("say which: make new-connector NAME=acme")
        return 2
    [name] = arguments
    if problem := complaint(name):
        say_error(problem)
        return 1
    for path, text in files(name).items():
        (ROOT / path).write_text(text, encoding="utf-8")
        say(f"{path} written")
    say(
        f"Now: add app.connectors.{name} to the independence contract in pyproject.toml, and its driver as an extra; play the "
        "stage, write deliver(), then `make docs`. CONTRIBUTING.md lists what a connector must have."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
