"""Bodies of answers read as JSON, XML, HTML or text, and paths into them.

A body that does not parse as what it says it is, is text: destinations lie about types, and a rule can still search
the text. Everything here treats the body as hostile. It may not know statuses, rules or outcomes.
"""

import re
from codecs import BOM_UTF8, lookup
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import msgspec
from lxml import etree
from lxml.cssselect import CSSSelector

from app.errors import InvalidTemplate

Format = Literal["auto", "json", "xml", "html", "text"]
Kind = Literal["json", "xml", "html", "text"]

DOCUMENT_BYTES = 16_384
"""A longer document is not kept as captured data: later steps use values, not archives."""
_LEVELS = 64
"""Deeper JSON is text: whoever walks or stores it later must not run out of stack."""
_PREFIXED = re.compile(r"\w:(?!:)")
_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE)

# Python's own notions, and those that can smuggle lone surrogates in, which no database keeps.
_ODD_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A body read: `value` is the JSON value or the root element, None for text; `text` is the whole body decoded."""

    kind: Kind
    value: Any
    text: str

    def document(self) -> Any:
        """The body as later steps see it, plain JSON values; None when there is none or it is too long.

        An element becomes an object of its children and `@attributes`, a list where a name repeats, or its text.
        """
        if not self.text or len(self.text) > DOCUMENT_BYTES:
            return None
        if self.kind == "json":
            return self.value
        return _plain(self.value) if self.kind == "xml" else self.text


class Path:
    """A path compiled once for every kind of body it can mean something in.

    JSON: names and indexes joined by dots, `*` for any. XML: XPath 1.0, with the prefixes the document declares. HTML: a
    CSS selector, or XPath where it is none (`//td[2]`). Raises `InvalidTemplate` when it is valid in none of those that
    `format` allows.
    """

    __slots__ = ("_css", "_json", "_prefixed", "_xpath", "text")

    def __init__(self, text: str, *, format: Format = "auto") -> None:  # noqa: A002  # the word of the configuration
        self.text = text
        segments = text.split(".")
        self._json = segments if format in {"auto", "json"} and all(segments) and not text.startswith("/") else None
        self._xpath = _compiled(etree.XPath, text) if format in {"auto", "xml", "html"} else None
        self._css = (
            _compiled(lambda path: CSSSelector(path, translator="html"), text) if format in {"auto", "html"} else None
        )
        self._prefixed = _PREFIXED.search(text) is not None
        if not (self._json or self._xpath or self._css):
            raise InvalidTemplate(f"{text!r} is not a path into {'a response' if format == 'auto' else format}")

    def values(self, parsed: Parsed) -> Sequence[Any]:
        """What the path finds: JSON values, elements or strings; nothing in a body of another kind."""
        if parsed.kind == "json" and self._json is not None:
            return _walk(parsed.value, self._json)
        if parsed.kind == "xml" and self._xpath is not None:
            return _evaluate(self._xpath, parsed.value, prefixed=self.text if self._prefixed else None)
        if parsed.kind == "html" and self._css is not None:
            found: Sequence[Any] = self._css(parsed.value)
            return found
        if parsed.kind == "html" and self._xpath is not None:
            return _evaluate(self._xpath, parsed.value, prefixed=self.text if self._prefixed else None)
        return ()


def parse(body: bytes, content_type: str, *, format: Format = "auto") -> Parsed:  # noqa: A002  # as above
    """Read a body as `format`, or as its Content-Type says; one that does not parse so is text."""
    kind, charset = _media(content_type)
    if format != "auto":
        kind = format
    text = _decoded(body, charset)
    value: Any = None
    try:
        if kind == "json":
            value = _json(text)
        elif kind == "xml":
            value = _xml(body, charset)
        elif kind == "html":
            value = _html(text)
    except (msgspec.DecodeError, RecursionError, etree.LxmlError, LookupError, ValueError):
        return Parsed(kind="text", value=None, text=text)
    return Parsed(kind=kind, value=value, text=text)


def readable(body: bytes, content_type: str) -> str:
    """A body as text for people, in the charset its Content-Type names."""
    return _decoded(body, _media(content_type)[1])


def as_text(value: Any) -> str:
    """A found value as text: an element's whole text, a JSON scalar as JSON writes it, "" for null."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, etree._Element):  # noqa: SLF001  # lxml has no public name for the class of elements
        return "".join(map(str, value.itertext()))
    return msgspec.json.encode(value).decode()


@lru_cache(maxsize=256)
def _media(content_type: str) -> tuple[Kind, str | None]:
    """The kind of body and the charset that a Content-Type names (RFC 6839 for the suffixes)."""
    name = content_type.partition(";")[0].strip().lower()
    found = _CHARSET.search(content_type)
    try:
        charset = lookup(found[1]).name if found else None
    except LookupError:
        charset = None
    kind: Kind = "text"
    if name in {"application/json", "text/json"} or name.endswith("+json"):
        kind = "json"
    elif name in {"text/html", "application/xhtml+xml"}:
        kind = "html"
    elif name in {"application/xml", "text/xml"} or name.endswith("+xml"):
        kind = "xml"
    return kind, None if charset in {"utf-8", *_ODD_CHARSETS} else charset


def _decoded(body: bytes, charset: str | None) -> str:
    """The body as text; undecodable bytes are replaced, NUL (which PostgreSQL cannot keep) is dropped."""
    text = body.removeprefix(BOM_UTF8).decode(
        charset or "utf-8", errors="replace"
    )  # the codec utf-8-sig is ten times as slow
    if "\\u0000" in text:
        text = text.replace("\\u0000", "")
    return text.replace("\0", "")


def _json(text: str) -> Any:
    value = msgspec.json.decode(text)
    if text.count("[") + text.count("{") > _LEVELS and not _shallow(value, _LEVELS):
        raise RecursionError
    return value


def _xml(body: bytes, charset: str | None) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, encoding=charset
    )
    root = etree.fromstring(body, parser)
    information: Any = root.getroottree().docinfo  # the stubs of lxml do not know `doctype`
    if information.doctype:
        raise ValueError("documents with a DOCTYPE are not read")
    return root


def _html(text: str) -> etree._Element:
    # As bytes of a known encoding: lxml refuses text that declares one itself.
    parser = etree.HTMLParser(no_network=True, huge_tree=False, remove_comments=True, encoding="utf-8")
    root = etree.fromstring(text.encode("utf-8", errors="replace"), parser)
    if root is None:
        raise ValueError("an empty document")
    return root


def _compiled(compiler: Callable[[str], Any], text: str) -> Any:
    try:
        return compiler(text)
    except (etree.XPathError, SyntaxError, ValueError):  # cssselect's errors are SyntaxErrors
        return None


def _evaluate(xpath: etree.XPath, root: etree._Element, *, prefixed: str | None) -> Sequence[Any]:
    """What an XPath finds; one that has prefixes is given as text and compiled with those that the document declares."""
    prefixes: dict[str, str] = {}
    if prefixed is not None:
        prefixes = {prefix: uri for element in root.iter() for prefix, uri in element.nsmap.items() if prefix}
    try:
        found = etree.XPath(prefixed, namespaces=prefixes)(root) if prefixed and prefixes else xpath(root)
    except etree.XPathError:  # a prefix this document does not declare finds nothing in it
        return ()
    return found if isinstance(found, list) else (found,)


def _walk(value: Any, segments: Sequence[str]) -> Sequence[Any]:
    for place, segment in enumerate(segments):
        if isinstance(value, dict) and segment in value:
            value = value[segment]
        elif segment == "*" and isinstance(value, dict | list):
            each = value.values() if isinstance(value, dict) else value
            return [found for child in each for found in _walk(child, segments[place + 1 :])]
        elif isinstance(value, list) and segment.isdecimal() and int(segment) < len(value):
            value = value[int(segment)]
        else:
            return ()
    return (value,)


def _shallow(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    children = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_shallow(child, levels - 1) for child in children)


def _plain(element: etree._Element, levels: int = _LEVELS) -> Any:
    children: dict[str, Any] = {f"@{etree.QName(str(name)).localname}": value for name, value in element.attrib.items()}
    for child in element.iterchildren(etree.Element):
        name = etree.QName(child).localname
        value = _plain(child, levels - 1) if levels else as_text(child)
        if name not in children:
            children[name] = value
        elif isinstance(children[name], list):
            children[name].append(value)
        else:
            children[name] = [children[name], value]
    text = (element.text or "").strip()
    if not children:
        return text
    return {**children, "#text": text} if text else children


__all__ = ["Format", "Kind", "Parsed", "Path", "as_text", "parse", "readable"]
