"""What a body holds, under the names that a mapping has for it (docs/connectors/http.md, Bodies)."""

from collections.abc import Iterator, Mapping
from typing import Any

from lxml import etree


def elements(element: Any, path: str) -> Iterator[tuple[str, str]]:
    """What an XML element holds: elements inside, `@attributes`, declared namespaces, `#text`, repeats by number."""
    inherited = element.getparent().nsmap if element.getparent() is not None else {}
    for prefix, uri in element.nsmap.items():
        if inherited.get(prefix) != uri:
            yield f"{path}@xmlns{f':{prefix}' if prefix else ''}", uri
    for name, value in element.attrib.items():
        yield f"{path}@{tag(element, name)}", value
    children = list(element)
    text = (element.text or "").strip()
    if not children and path:
        attributes = bool(element.attrib) or element.nsmap != inherited
        yield (f"{path}#text" if attributes else path), element.text or ""
    elif text:
        yield f"{path}#text", text
    names = [tag(child) for child in children]
    for place, (child, name) in enumerate(zip(children, names, strict=True)):
        place_among = f".{names[:place].count(name)}" if names.count(name) > 1 else ""
        yield from elements(child, f"{path}.{name}{place_among}" if path else f"{name}{place_among}")


def tag(element: Any, name: str | None = None) -> str:
    """A name with the prefix it is written with."""
    found = etree.QName(element if name is None else name)
    if found.namespace is None:
        return str(found.localname)
    if name is None:
        prefix = element.prefix
    else:
        prefix = next((one for one, uri in element.nsmap.items() if uri == found.namespace and one), "xml")
    return f"{prefix}:{found.localname}" if prefix else str(found.localname)


def flat(value: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """An object's values under dotted names; what dots cannot name stays nested in one value."""
    for name, inner in value.items():
        below = f"{path}.{name}" if path else name
        if isinstance(inner, dict) and inner and all(_is_segment(key) for key in inner):
            yield from flat(inner, below)
        elif isinstance(inner, list) and inner and all(is_flat_object(one) for one in inner):
            for place, one in enumerate(inner):
                yield from flat(one, f"{below}.{place}")
        else:
            yield below, inner


def is_flat_object(value: Any) -> bool:
    """Whether it is an object, not empty, whose names are parts of dotted ones."""
    return isinstance(value, dict) and bool(value) and all(_is_segment(key) for key in value)


def _is_segment(key: str) -> bool:
    return key != "" and "." not in key and not (key.isascii() and key.isdigit())
