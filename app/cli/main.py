"""The entry of `leadrelay`: every command's name, and how what goes wrong is said.

A command's module is imported when it is called and not before, so that `leadrelay --help` stays fast; help comes from
the table below. Exit codes: 0 ok, 1 said no, 2 usage, 3 a server of ours is out of reach, or the ledger's tables too old.
"""

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from app.cli.output import say_error

OK, NO, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where a command's code is (`module:name` of a function or of a group), and its line and panel in the help."""

    place: str
    panel: str
    help: str


STACK, LEADS, OPERATION, PARTS = "Stack", "Leads", "Operation", "Parts, for production"
CONFIGURATION, TRIAL = "Configuration", "Try a destination"

COMMANDS = {
    "up": Entry(place="stack:up", panel=STACK, help="Start the whole stack on this machine; Ctrl-C stops it."),
    "demo": Entry(
        place="demo:demo", panel=STACK, help="Deliver sample leads to four stand-in destinations and show the figures."
    ),
    "send": Entry(place="send:send", panel=LEADS, help="Submit one lead, a JSON object."),
    "import": Entry(place="importing:import_", panel=LEADS, help="Submit many leads from a CSV or NDJSON file."),
    "show": Entry(place="show:show", panel=LEADS, help="Show a lead with its deliveries, every attempt, and feedback."),
    "feedback": Entry(
        place="feedback:give", panel=LEADS, help="Report what became of a lead: a conversion or a return."
    ),
    "tail": Entry(place="tail:tail", panel=LEADS, help="Follow deliveries as they end, one line each."),
    "destinations": Entry(place="destination:destinations", panel=OPERATION, help="Show how every destination stands."),
    "pause": Entry(place="destination:pause", panel=OPERATION, help="Stop sending to a destination; its leads wait."),
    "resume": Entry(
        place="destination:resume", panel=OPERATION, help="Send to a destination again; also closes its circuit."
    ),
    "dlq": Entry(
        place="dead:commands", panel=OPERATION, help="Look at, replay or discard dead letters and held deliveries."
    ),
    "reconcile": Entry(
        place="reconciliation:reconcile", panel=OPERATION, help="Prove that every accepted delivery is accounted for."
    ),
    "config": Entry(
        place="config:commands", panel=CONFIGURATION, help="Check, compare, apply and roll back the configuration."
    ),
    "preview": Entry(
        place="trial:preview", panel=TRIAL, help="Show what a destination would be sent for a lead; sends nothing."
    ),
    "interpret": Entry(place="trial:interpret", panel=TRIAL, help="Tell what a destination's answer would mean."),
    "test": Entry(place="trial:try_out", panel=TRIAL, help="Send a lead for real, once, marked as a test."),
    "check": Entry(place="trial:check", panel=TRIAL, help="Reach a destination and log in, changing nothing."),
    "describe": Entry(place="trial:describe", panel=TRIAL, help="Show what fields the other side has."),
    "import-curl": Entry(
        place="drafting:import_curl",
        panel=CONFIGURATION,
        help="Print a destination to start from, made from a curl command.",
    ),
    "import-openapi": Entry(
        place="drafting:import_openapi",
        panel=CONFIGURATION,
        help="Print a destination to start from, made from an operation of an OpenAPI document.",
    ),
    "key": Entry(place="key:commands", panel=CONFIGURATION, help="Make, list and revoke keys of the HTTP API."),
    "api": Entry(place="part:api", panel=PARTS, help="Run the HTTP API."),
    "worker": Entry(place="part:worker", panel=PARTS, help="Run one worker process."),
    "flower": Entry(place="part:flower", panel=PARTS, help="Run Flower, read-only and behind a password."),
    "sandbox": Entry(place="part:sandbox", panel=PARTS, help="Run the stand-in destinations."),
    "migrate": Entry(place="part:migrate", panel=PARTS, help="Bring the ledger's tables up to this version."),
}


def load(name: str) -> Any:
    """The real command of a name, as typer runs it; imports its module."""
    entry = COMMANDS[name]
    module, _, attribute = entry.place.partition(":")
    found = getattr(import_module(f"app.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        group = get_command(found)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return get_command(alone)


class Commands(TyperGroup):
    """The commands by their lines in the table; the one that is called is put in its place."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The called command."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS else found, rest

    def invoke(self, ctx: Any) -> Any:
        """What the command returns. A broken pipe is kept from typer, which would end the process with 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise Enough from None


class Enough(Exception):
    """Whoever read us has read enough, as `head` does."""


def _group() -> Any:
    app = typer.Typer(
        cls=Commands,
        help="leadrelay takes inbound leads and delivers each one to every destination it is routed to.",
        epilog="Settings are environment variables: docs/reference/settings.md. Exit codes: 0 ok, 1 said no, 2 usage, "
        "3 a server of ours is out of reach, or the ledger's tables are too old.",
    )
    for name, entry in COMMANDS.items():
        app.command(name, help=entry.help, rich_help_panel=entry.panel)(_outline)
    return get_command(app)


def _outline() -> None:
    """Stands for a command that is not imported."""


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code."""
    # Libraries' own words are for whoever asked for them; ours leave through `say_error`.
    logging.basicConfig(level=logging.DEBUG if _debugging() else logging.CRITICAL)
    try:
        code = _group().main(args=list(arguments) or ["--help"], prog_name="leadrelay", standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except (BrokenPipeError, Enough):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:  # the edge of the process: whatever it is, a person reads it
        if _debugging():
            raise
        return _explain(error)
    return code if isinstance(code, int) else OK


def _explain(error: Exception) -> int:
    """Say what went wrong, a line for each thing; the exit code it deserves."""
    from app.api.problem import Problem  # noqa: PLC0415  # not needed for --help
    from app.errors import InvalidInput, LeadrelayError, Unavailable  # noqa: PLC0415  # as above

    match error:
        case typer.TyperException():
            if message := error.format_message():  # else help was shown instead
                say_error(f"{_in_our_words(message)}; see {_help_command(error)}")
            return USAGE
        case typer.Abort():
            say_error("nothing was done")
            return NO
        case InvalidInput() | Problem(complaints=(_, *_)):
            for complaint in error.complaints:
                say_error(str(complaint))
            return NO
        case Unavailable():
            say_error(str(error))
            return UNREACHABLE
        case LeadrelayError():
            say_error(str(error))
            return NO
        case _:
            say_error(f"a defect of leadrelay: {_place(error)}; LEADRELAY_LOG_LEVEL=debug shows the traceback")
            return NO


def _in_our_words(message: str) -> str:
    for theirs, ours in (("Invalid value: ", ""), ("Value error, ", ""), ("Input should be", "must be")):
        message = message.replace(theirs, ours)
    return message.rstrip(".?")


def _help_command(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f"`{context.command_path if context else 'leadrelay'} --help`"


def _place(error: Exception) -> str:
    """Kind and place of a defect; its text may hold values."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f" at {os.path.relpath(frame.tb_frame.f_code.co_filename)}:{frame.tb_lineno}" if frame else ""
    return f"{type(error).__name__}{where}"


def _debugging() -> bool:
    return os.environ.get("LEADRELAY_LOG_LEVEL", "").lower() == "debug"


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
