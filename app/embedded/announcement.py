"""What is said when the stack is ready: to programs (`stack.json`) and to a person (the banner).

The banner shows secrets on a terminal only; in a log file it names the private file they stand in instead.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from app.embedded.home import write_private
from app.settings import STACK_FILE

SAMPLE_LEAD = {"first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com", "phone_1": "+1 415 555 0132"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Where everything of a running stack is.

    `api_key` and `source`: a key that may submit, and a source to submit under, if the stack was told of them.
    `environment` is what its configuration's references find in it and is no secret, such as where the sandbox is.
    """

    database_url: str
    broker_url: str
    api_url: str
    flower_url: str
    flower_user: str
    flower_password: str
    sandbox_url: str
    api_key: str | None
    source: str | None
    environment: Mapping[str, str] = field(default_factory=dict)


def publish(stack: Stack, home: Path) -> None:
    """Write `<home>/stack.json`, from which other commands learn where the stack is."""
    write_private(home / STACK_FILE, json.dumps(asdict(stack), indent=2) + "\n")


def withdraw(home: Path) -> None:
    """Remove `<home>/stack.json`: there is no stack (any more)."""
    (home / STACK_FILE).unlink(missing_ok=True)


def banner(stack: Stack, home: Path, *, took_seconds: float, terminal: bool) -> str:
    """Where to go and how to send the first lead; ends in an empty line."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if terminal else ("", "")
    secret_file = home / STACK_FILE
    password = stack.flower_password if terminal else f"in {secret_file}"
    key = (stack.api_key or "YOUR-KEY") if terminal else "KEY"
    lead = shlex.quote(json.dumps(SAMPLE_LEAD))
    return f"""
  {bold}leadrelay is ready{plain} in {took_seconds:.1f} s

    API      {stack.api_url}/docs
    Flower   {stack.flower_url}  (user {stack.flower_user}, password {password})
    Sandbox  {stack.sandbox_url}
    Data     {home}

  Send a lead{"" if terminal else f" (KEY: api_key in {secret_file})"}:

    curl '{stack.api_url}/v1/leads?source={stack.source or "SOURCE"}' -H 'Authorization: Bearer {key}' \\
      -H 'Content-Type: application/json' -d {lead}

  Ctrl-C stops everything.

"""
