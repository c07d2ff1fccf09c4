"""Bodies of answers read as JSON, XML, HTML or text, and paths into them.

A body that does not parse as what it says it is, is text: destinations lie about types, and a rule can still search
the text. Everything here treats the body as hostile. It may not know statuses, rules or outcomes.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from cssselect import HTMLTranslator, SelectorError
from lxml import etree

from app.connectors._cost import Cost
from app.errors import InvalidTemplate
from app.media import Kind, declared, decoded, media

Format = Literal["auto", "json", "xml", "html", "text"]

DOCUMENT_BYTES = 16_384
"""A longer document is not kept as captured data: later steps use values, not archives."""
_LEVELS = 64
"""Deeper JSON is text: whoever walks or stores it later must not run out of stack."""
_PREFIXED = re.compile(r"\w:(?!:)")

_SELECTORS = HTMLTranslator()
# A name in JSON may be an HTML element's, too. These are looked for in pages; `code`, `data` or `title` rather in JSON.
_PAGE_ELEMENT = re.compile(
    "html|div|span|p|h[1-6]|a|b|i|u|em|strong|small|font|center|ul|ol|li|dl|dt|dd|table|thead|tbody|tfoot|tr|td|th|"
    "caption|form|fieldset|legend|label|input|button|select|textarea|pre|blockquote|section|article|main|nav|aside|"
    "header|footer|img|hr"
)
_NAMES = re.compile(r"([^\W\d][\w-]*)(?:\.(?:[\w-]+|\*))*")
_NAME_OF_KIND: Mapping[Kind, str] = {"json": "JSON", "xml": "XML", "html": "HTML"}
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,60}/[\w!#$&^.+-]{1,60}", re.ASCII)


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


class TooLong(TimeoutError):
    """A path would take too long on this document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compiled:
    xpath: etree.XPath
    cost: Cost


class Path:
    """A path compiled once for every kind of body it can mean something in.

    JSON: names and indexes joined by dots, `*` for any. XML: XPath 1.0, with the prefixes the document declares. HTML: a
    CSS selector, or XPath where it is none (`//td[2]`). Raises `InvalidTemplate` when it is valid in none of those that
    `format` allows.
    """

    __slots__ = ("_css", "_json", "_kinds", "_prefixed", "_xpath", "text")

    def __init__(self, text: str, *, format: Format = "auto") -> None:  # noqa: A002  # the word of the configuration
        self.text = text
        segments = text.split(".")
        self._json = segments if format in {"auto", "json"} and all(segments) and not text.startswith("/") else None
        self._xpath = _compiled(str, text) if format in {"auto", "xml", "html"} else None
        self._css = _compiled(_SELECTORS.css_to_xpath, text) if format in {"auto", "html"} else None
        self._prefixed = _PREFIXED.search(text) is not None
        if not (self._json or self._xpath or self._css):
            raise InvalidTemplate(f"{text!r} is not a path into {'a response' if format == 'auto' else format}")
        self._kinds = self._meant(format)

    def values(self, parsed: Parsed) -> Sequence[Any]:
        """What the path finds: JSON values, elements or strings; nothing in a body of another kind.

        Raises `TooLong` where that would take longer than about a second.
        """
        if parsed.kind == "json" and self._json is not None:
            return _walk(parsed.value, self._json)
        if parsed.kind == "html" and self._css is not None:
            return _evaluate(self._css, parsed, prefixed=None)
        if parsed.kind in {"xml", "html"} and self._xpath is not None:
            return _evaluate(self._xpath, parsed, prefixed=self.text if self._prefixed else None)
        return ()

    def complaint(self, parsed: Parsed, content_type: str) -> str | None:
        """Why a body that is not empty is none that the path could find something in, if so: it says what came.

        `content_type` is the one that the body came with.
        """
        if parsed.kind in self._kinds or not parsed.text.strip() or self.values(parsed):
            return None
        declared = content_type.partition(";")[0].strip().lower()
        came = declared if _MEDIA_TYPE.fullmatch(declared) else "of no known type"
        if parsed.kind == "text" and media(content_type)[0] in self._kinds:
            came = f"unreadable {came}"
        wanted = " or ".join(name for kind, name in _NAME_OF_KIND.items() if kind in self._kinds)
        return f"the answer is {came}, no {wanted}"

    def _meant(self, format: Format) -> frozenset[Kind]:  # noqa: A002  # as above
        """The kinds of body it is a path into: one that begins with no element's name (`outcome.code`) is none into HTML."""
        if format != "auto":
            return frozenset({format})
        kinds: set[Kind] = set()
        names = _NAMES.fullmatch(self.text) if self._json is not None else None
        if self._json is not None:
            kinds.add("json")
        if self._xpath is not None:
            kinds.add("xml")
        if (self._css is not None or self._xpath is not None) and (names is None or _PAGE_ELEMENT.fullmatch(names[1])):
            kinds.add("html")
        return frozenset(kinds)


def parse(body: bytes, content_type: str, *, format: Format = "auto") -> Parsed:  # noqa: A002  # as above
    """Read a body as `format`, or as its Content-Type says; one that does not parse so is text."""
    kind, charset = media(content_type)
    if format != "auto":
        kind = format
    text, charset = _decoded(body, kind, charset)
    value: Any = None
    try:
        if kind == "json":
            value = _json(text)
        elif kind == "xml":
            # The parser's own name of the charset where the document has one: it knows more of them.
            value = _xml(body, None if charset == declared(text, kind) else charset)
        elif kind == "html":
            value = _html(text)
    except (msgspec.DecodeError, RecursionError, etree.LxmlError, LookupError, ValueError):
        return Parsed(kind="text", value=None, text=text)
    return Parsed(kind=kind, value=value, text=text)


def readable(body: bytes, content_type: str) -> str:
    """A body as text for people, in the charset its Content-Type names."""
    return _decoded(body, *media(content_type))[0]


def as_text(value: Any) -> str:
    """A found value as text: an element's whole text, a JSON scalar as JSON writes it, "" for null."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, etree._Element):  # noqa: SLF001  # lxml has no public name for the class of elements
        return etree.tostring(value, method="text", encoding="unicode", with_tail=False)
    return msgspec.json.encode(value).decode()


def _decoded(body: bytes, kind: Kind, charset: str | None) -> tuple[str, str]:
    """The body as text, and its charset; NUL, which PostgreSQL cannot keep, is dropped."""
    text, charset = decoded(body, kind, charset)
    if "\\u0000" in text:
        text = text.replace("\\u0000", "")
    return text.replace("\0", ""), charset


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


def _compiled(expression: Callable[[str], str], text: str) -> _Compiled | None:
    try:
        xpath = expression(text)
        return _Compiled(xpath=_xpath(xpath), cost=Cost(xpath))
    except (etree.XPathError, SelectorError, ValueError):
        return None


def _xpath(expression: str, prefixes: Mapping[str, str] | None = None) -> etree.XPath:
    return etree.XPath(expression, namespaces=prefixes, regexp=False)  # nothing bounds EXSLT's regular expressions


def _evaluate(compiled: _Compiled, parsed: Parsed, *, prefixed: str | None) -> Sequence[Any]:
    """What an XPath finds; one that has prefixes is given as text and compiled with those that the document declares."""
    if not compiled.cost.is_bearable(parsed.value, len(parsed.text)):
        raise TooLong
    prefixes: dict[str, str] = {}
    if prefixed is not None:
        for _, (prefix, uri) in etree.iterwalk(parsed.value, events=("start-ns",)):
            if prefix:
                prefixes[prefix] = uri  # the last one, where several are declared
    xpath = _xpath(prefixed, prefixes) if prefixed and prefixes else compiled.xpath
    try:
        found = xpath(parsed.value)
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


__all__ = ["Format", "Kind", "Parsed", "Path", "TooLong", "as_text", "parse", "readable"]
