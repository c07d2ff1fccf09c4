"""Mapped properties as an XML body: dotted names are elements, `@name` attributes, `#text` and `#cdata` an element's text.

Pure. What XML cannot carry is a `DataFault` that names the property, never its value.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from app.connectors._http.charset import iana_name
from app.connectors._http.scalar import to_text
from app.errors import DataFault

_XML_NAME = re.compile(r"[^\W\d][\w.-]*(?::[^\W\d][\w.-]*)?")
# XML 1.0, 2.2: what no escape can write.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class XmlWriter:
    """Writes payloads under one root; `namespaces` are prefixes and their names, "" for the default one."""

    def __init__(self, root: str, *, namespaces: Mapping[str, str], declaration: bool, charset: str) -> None:
        self._root = root
        self._charset = charset
        named = charset.upper() if charset == "utf-8" else iana_name(charset)
        self._declaration = f'<?xml version="1.0" encoding="{named}"?>\n' if declaration else ""
        self._attributes = {f"@xmlns:{prefix}" if prefix else "@xmlns": name for prefix, name in namespaces.items()}

    def encode(self, payload: Mapping[str, Any]) -> bytes:
        """The document; characters that its charset lacks are written as references."""
        parts = [self._declaration]
        self._write(parts, self._root, {**self._attributes, **payload} if self._attributes else payload, "")
        return "".join(parts).encode(self._charset, "xmlcharrefreplace")

    def _write(self, parts: list[str], name: str, value: Any, path: str) -> None:
        if not _is_name(name) or not self._has(name):
            raise DataFault(f"property {path or name} is not the name of an XML element")
        if isinstance(value, list):
            for place, item in enumerate(value):
                self._write(parts, name, item, f"{path}.{place}")
        elif isinstance(value, Mapping):
            content = gathered(value)
            if content and all(key.isdecimal() for key in content):  # repeats with attributes of their own
                for key in sorted(content, key=int):
                    self._write(parts, name, content[key], f"{path}.{key}")
            else:
                self._write_content(parts, name, content, path)
        else:
            text = _escaped(to_text(value, path), path)
            parts.append(f"<{name}>{text}</{name}>" if text else f"<{name}/>")

    def _write_content(self, parts: list[str], name: str, content: Mapping[str, Any], path: str) -> None:
        inside: list[str] = []
        attributes: list[str] = []
        for key, value in content.items():
            below = f"{path}.{key}" if path else key
            if key.startswith("@"):
                if not _is_name(key[1:]) or not self._has(key):
                    raise DataFault(f"property {below} is not the name of an XML attribute")
                attributes.append(f' {key[1:]}="{_attribute(to_text(value, below), below)}"')
            elif key == "#text":
                inside.append(_escaped(to_text(value, below), below))
            elif key == "#cdata":
                text = _permitted(to_text(value, below), below).replace("]]>", "]]]]><![CDATA[>")
                if not self._has(text):
                    raise DataFault(
                        f"property {below} holds characters that {iana_name(self._charset)} cannot carry in CDATA"
                    )
                inside.append(f"<![CDATA[{text}]]>")
            else:
                self._write(inside, key, value, below)
        opened = f"<{name}{''.join(attributes)}"
        parts.extend((f"{opened}>", *inside, f"</{name}>") if inside else (f"{opened}/>",))

    def _has(self, text: str) -> bool:
        """Whether the charset has all the characters, for places where no reference can stand for one."""
        if text.isascii() or self._charset == "utf-8":
            return True
        try:
            text.encode(self._charset)
        except UnicodeEncodeError:
            return False
        return True


def gathered(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """`name@attr`, `name#text` and `name#cdata` moved into the element of that name."""
    if not any(mark in key[1:] for key in value for mark in "@#"):
        return value
    found: dict[str, Any] = {}
    for key, inner in value.items():
        place = next((index for index, letter in enumerate(key) if index and letter in "@#"), None)
        name = key[:place]
        if place is None:
            own: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {"#text": inner}
            found[name] = {**found[name], **own} if name in found else inner
            continue
        before = found.get(name, {})
        content = before if isinstance(before, Mapping) else {"#text": before}
        found[name] = {**content, key[place:]: inner}
    return found


@lru_cache(maxsize=4096)
def _is_name(name: str) -> bool:
    return _XML_NAME.fullmatch(name) is not None


def _permitted(text: str, path: str) -> str:
    if _NOT_XML.search(text):
        raise DataFault(f"property {path} holds a character that XML cannot carry")
    return text


def _attribute(text: str, path: str) -> str:
    # A line break in an attribute would be read as a space (XML 1.0, 3.3.3).
    return _escaped(text, path).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")


def _escaped(text: str, path: str) -> str:
    text = _permitted(text, path).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A bare carriage return would be read as a line feed (XML 1.0, 2.11).
    return text.replace("\r", "&#13;")
