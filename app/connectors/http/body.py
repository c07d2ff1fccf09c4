"""Mapped properties as the body of a request: JSON, form or XML.

Pure: nested values in, bytes out. What cannot be written is a `DataFault` that names the property, never its value.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import quote
from uuid import UUID

import msgspec

from app.connectors.http.settings import BodyFormat
from app.errors import DataFault

Encode = Callable[[Mapping[str, Any]], bytes]

CONTENT_TYPES: Mapping[BodyFormat, str] = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "xml": "application/xml; charset=utf-8",
}

_XML_NAME = re.compile(r"[^\W\d][\w.-]*(?::[^\W\d][\w.-]*)?")
# XML 1.0, 2.2: what no escape can write.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_json = msgspec.json.Encoder(decimal_format="number")


def encoder(body: BodyFormat, *, xml_root: str) -> Encode:
    """The function that writes a payload as this kind of body; `query` is written like a form."""
    if body == "json":
        return _encode_json
    if body == "xml":
        return lambda payload: _encode_xml(payload, xml_root)
    return _encode_form if body in {"form", "query"} else lambda _payload: b""


def _encode_json(payload: Mapping[str, Any]) -> bytes:
    try:
        return _json.encode(payload)
    except (TypeError, ValueError, RecursionError):  # UnicodeEncodeError is a ValueError
        raise DataFault(f"property {_unfit(payload) or '?'} cannot be written as JSON") from None


def _encode_form(payload: Mapping[str, Any]) -> bytes:
    """WHATWG's form encoding, but a space is %20: every server reads that one. Nested names are joined by dots."""
    try:
        pairs = [f"{_quoted(name)}={quote(_text(value, name), safe='')}" for name, value in _flat(payload, "")]
    except UnicodeEncodeError:
        raise DataFault(f"property {_unfit(payload) or '?'} cannot be written as a form field") from None
    return "&".join(pairs).encode()


def _encode_xml(payload: Mapping[str, Any], root: str) -> bytes:
    """One element per property; `@name` keys are attributes, `#text` and `#cdata` an element's own text."""
    parts = ['<?xml version="1.0" encoding="UTF-8"?>\n']
    _write_element(parts, root, payload, "")
    return "".join(parts).encode()


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Nested values under dotted names; a list of plain values repeats its name, one of objects counts."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _flat(inner, f"{name}.{place}" if isinstance(inner, Mapping | list) else name)
    else:
        yield name, value


@lru_cache(maxsize=4096)
def _quoted(name: str) -> str:
    return quote(name, safe="")


def _text(value: Any, name: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, int | float | Decimal | UUID):
        return str(value)
    raise DataFault(f"property {name} cannot be written as text")


def _write_element(parts: list[str], name: str, value: Any, path: str) -> None:
    if not _is_name(name):
        raise DataFault(f"property {path or name} is not the name of an XML element")
    if isinstance(value, list):
        for place, item in enumerate(value):
            _write_element(parts, name, item, f"{path}.{place}")
    elif isinstance(value, Mapping):
        content = _gathered(value)
        if content and all(key.isdecimal() for key in content):  # repeats with attributes of their own
            for key in sorted(content, key=int):
                _write_element(parts, name, content[key], f"{path}.{key}")
        else:
            _write_content(parts, name, content, path)
    else:
        text = _escaped(_text(value, path), path)
        parts.append(f"<{name}>{text}</{name}>" if text else f"<{name}/>")


def _write_content(parts: list[str], name: str, content: Mapping[str, Any], path: str) -> None:
    inside: list[str] = []
    attributes: list[str] = []
    for key, value in content.items():
        below = f"{path}.{key}" if path else key
        if key.startswith("@"):
            if not _is_name(key[1:]):
                raise DataFault(f"property {below} is not the name of an XML attribute")
            # A line break in an attribute would be read as a space (XML 1.0, 3.3.3).
            text = (
                _escaped(_text(value, below), below).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")
            )
            attributes.append(f' {key[1:]}="{text}"')
        elif key == "#text":
            inside.append(_escaped(_text(value, below), below))
        elif key == "#cdata":
            text = _permitted(_text(value, below), below).replace("]]>", "]]]]><![CDATA[>")
            inside.append(f"<![CDATA[{text}]]>")
        else:
            _write_element(inside, key, value, below)
    opened = f"<{name}{''.join(attributes)}"
    parts.extend((f"{opened}>", *inside, f"</{name}>") if inside else (f"{opened}/>",))


def _gathered(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """`name@attr`, `name#text` and `name#cdata` moved into the element of that name."""
    if not any(mark in key[1:] for key in value for mark in "@#"):
        return value
    gathered: dict[str, Any] = {}
    for key, inner in value.items():
        place = next((index for index, letter in enumerate(key) if index and letter in "@#"), None)
        name = key[:place]
        if place is None:
            own: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {"#text": inner}
            gathered[name] = {**gathered[name], **own} if name in gathered else inner
            continue
        before = gathered.get(name, {})
        content = before if isinstance(before, Mapping) else {"#text": before}
        gathered[name] = {**content, key[place:]: inner}
    return gathered


@lru_cache(maxsize=4096)
def _is_name(name: str) -> bool:
    return _XML_NAME.fullmatch(name) is not None


def _permitted(text: str, path: str) -> str:
    if _NOT_XML.search(text):
        raise DataFault(f"property {path} holds a character that XML cannot carry")
    return text


def _escaped(text: str, path: str) -> str:
    text = _permitted(text, path).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A bare carriage return would be read as a line feed (XML 1.0, 2.11).
    return text.replace("\r", "&#13;")


def _unfit(value: Any, path: str = "") -> str | None:
    """The first property that cannot be written."""
    children: Sequence[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    for key, inner in children:
        found = _unfit(inner, f"{path}.{key}" if path else str(key))
        if found:
            return found
    if not children:
        try:
            _json.encode(value)
        except (TypeError, ValueError):
            return path
    return None
