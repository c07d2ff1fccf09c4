"""A draft as the YAML file that people go on writing: in the order of the documentation, with a comment where one is needed."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.draft.line import Draft, Property

_PLAIN = re.compile(r"[A-Za-z_][\w./@-]*(?: [\w./@-]+)*", re.ASCII)
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def write(draft: Draft, *, origin: str) -> str:
    """The file; `origin` says in its first line what it was made from."""
    lines = [f"# Made from {origin}: a beginning, to be looked through. All settings: docs/connectors/{draft.type}.md."]
    if draft.variables:
        lines.append("# Set before it is used:")
        lines += [f"#   {name}: {what}" for name, what in draft.variables.items()]
    lines += [f"type: {draft.type}", "", "settings:", *_block(draft.settings, 1)]
    if draft.network:
        lines += ["", "network:", *_block(draft.network, 1)]
    if draft.properties:
        # All of it is a comment where nothing is on: YAML takes no key of a mapping that is written as empty.
        start = "" if any(not one.off for one in draft.properties) else "# "
        lines += ["", f"{start}mapping:", *(_line(one) for one in draft.properties)]
    if draft.response:
        lines += ["", "response:", *_block(draft.response, 1)]
    if draft.limits:
        lines += ["", "limits:", *_block(draft.limits, 1)]
    return "\n".join(lines) + "\n"


def _line(one: Property) -> str:
    comment = f" # {one.comment}" if one.comment else ""
    return f"  {'# ' if one.off else ''}{scalar(one.name)}: {scalar(one.value)}{comment}"


def _block(values: Mapping[str, Any], level: int) -> Iterator[str]:
    for name, value in values.items():
        start = "  " * level + scalar(name) + ":"
        if isinstance(value, Mapping) and value:
            yield start
            yield from _block(value, level + 1)
        else:
            yield f"{start} {scalar(value)}"


def scalar(value: Any) -> str:
    """A value on one line, such that it is read back as it is: text plain where nothing else could be meant."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    # JSON is YAML, but for what YAML does not allow unescaped, or takes for the end of a line.
    return re.sub(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", _escaped, json.dumps(value, ensure_ascii=False))


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
