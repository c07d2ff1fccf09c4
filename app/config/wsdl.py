"""A WSDL with all that it imports, wherever it lies: bounded in number and size, and without any DOCTYPE.

Knows how the documents name each other (WSDL 1.1, 2.1.1; XML Schema part 1, 4.2), nothing of what they say, and reads
nothing by itself: whoever asks says how.
"""

import posixpath
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

from lxml import etree

MOST_DOCUMENTS = 200
MOST_BYTES = 10_000_000
"""All documents together. The largest public ones (eBay, Salesforce) come to half of this."""
XSD = "http://www.w3.org/2001/XMLSchema"
WSDL = "http://schemas.xmlsoap.org/wsdl/"
SOAP_ENCODING = "http://schemas.xmlsoap.org/soap/encoding/"
XML = "http://www.w3.org/XML/1998/namespace"
KNOWN = frozenset({XSD, SOAP_ENCODING, XML})
"""Namespaces whose schemas need no fetching: every reader of WSDLs has them."""
ROOT = "file:///" + "_/" * 16 + "main.wsdl"
"""Place of a WSDL given as text; what it imports is named relative to it."""

_DEFINITIONS = f"{{{WSDL}}}definitions"
_SCHEMA = f"{{{XSD}}}schema"
_OTHERS = tuple(f"{{{XSD}}}{name}" for name in ("import", "include", "redefine", "override"))

Read = Callable[[str], bytes | str | None]
"""From a document's place to its content; None for one that is left for later."""


def gather(place: str, read: Read) -> dict[str, str]:
    """The texts of a WSDL and of all that it imports, by their places; imports of known namespaces are none.

    Raises `ValueError` saying what is wrong with which document, and whatever `read` raises.
    """
    texts: dict[str, str] = {}
    seen = {place}
    waiting, size = [place], 0
    for one in waiting:
        content = read(one)
        if content is None:
            continue
        size += len(content)
        if size > MOST_BYTES:
            raise ValueError(f"comes with its imports to more than {MOST_BYTES:,} bytes")
        root = _parsed(content, one, is_first=one == place)
        for named in _imports(root, one):
            if named not in seen:
                seen.add(named)
                waiting.append(named)
        if len(seen) > MOST_DOCUMENTS:
            raise ValueError(f"imports more than {MOST_DOCUMENTS} documents")
        texts[one] = etree.tostring(root, encoding="unicode")
    return texts


def relative(place: str) -> str:
    """A place as a WSDL given as text names it: relative to that WSDL, or an address."""
    if not place.startswith("file:"):
        return place
    return posixpath.relpath(urlsplit(place).path, posixpath.dirname(urlsplit(ROOT).path))


def absolute(name: str) -> str:
    """The reverse of `relative`."""
    return urljoin(ROOT, name)


def is_address(wsdl: str) -> bool:
    """Whether a `wsdl` setting is where the WSDL lies, not the WSDL itself or the name of a file."""
    return wsdl.startswith(("http://", "https://", "${"))


def is_text(wsdl: str) -> bool:
    """Whether it is the WSDL itself."""
    return "<" in wsdl


def _parsed(content: bytes | str, place: str, *, is_first: bool) -> etree._Element:
    named = "it" if is_first else f"what it imports from {relative(place)[:200]}"
    encoding = None
    if isinstance(content, str):  # it is Unicode now, whatever it declares
        content = content.lstrip("\ufeff \r\n\t")
        content = (content.partition("?>")[2] if content.startswith("<?xml") else content).encode("utf-8", "replace")
        encoding = "utf-8"
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        encoding=encoding,
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        detail = getattr(error, "msg", None) or "no document"
        raise ValueError(f"{named} is not XML: {' '.join(str(detail).split())[:200]}") from None
    information: Any = root.getroottree().docinfo  # the stubs of lxml do not know `doctype`
    if information.doctype:
        raise ValueError(f"{named} has a DOCTYPE, which is not read")
    if root.tag != _DEFINITIONS and (is_first or root.tag != _SCHEMA):
        found = etree.QName(root)
        version = " (WSDL 2.0 is not understood)" if found.localname == "description" else ""
        raise ValueError(
            f"{named} is no WSDL 1.1{'' if is_first else ' or schema'}: its root is {found.localname[:60]}{version}"
        )
    return root


def _imports(root: etree._Element, place: str) -> Iterator[str]:
    """Places of the documents that one names. Those of known namespaces are named by their namespace instead."""
    for element in root.iter(f"{{{WSDL}}}import", *_OTHERS):
        key = "location" if element.tag.startswith(f"{{{WSDL}}}") else "schemaLocation"
        location = (element.get(key) or "").strip()
        if element.get("namespace") in KNOWN:
            element.set(key, element.get("namespace", ""))
        elif location:
            element.set(key, location)
            yield urljoin(place, location)
