"""What kind of document a body is and in which charset, by its Content-Type and by what the document says of itself.

Shared by whoever reads answers and whoever tells what one would mean, so that both mean the same. It may not know what
is in a document.
"""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE, lookup
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

Kind = Literal["json", "xml", "html", "text"]

_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE)
_HEAD_CHARACTERS = 4096
_DECLARED: Mapping[Kind, re.Pattern[str]] = {
    "xml": re.compile(r"""\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*["']([\w.:-]+)"""),
    "html": re.compile(r"""[\s\S]*?<meta\s[^>]{0,500}?charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE),
}
_MARKS = {
    BOM_UTF8: "utf-8",
    BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    BOM_UTF32_BE: "utf-32",
    BOM_UTF16_LE: "utf-16",
    BOM_UTF16_BE: "utf-16",
}
# Python's own notions, and those that can smuggle lone surrogates in, which no database keeps.
_ODD_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"})


@lru_cache(maxsize=256)
def media(content_type: str) -> tuple[Kind, str | None]:
    """The kind of body and the charset, as Python calls it, that a Content-Type names (RFC 6839 for the suffixes)."""
    name = content_type.partition(";")[0].strip().lower()
    found = _CHARSET.search(content_type)
    kind: Kind = "text"
    if name in {"application/json", "text/json"} or name.endswith("+json"):
        kind = "json"
    elif name in {"text/html", "application/xhtml+xml"}:
        kind = "html"
    elif name in {"application/xml", "text/xml"} or name.endswith("+xml"):
        kind = "xml"
    return kind, known(found[1]) if found else None


def known(charset: str) -> str | None:
    """A charset as Python calls it, None for one that is not known or no charset."""
    try:
        name = lookup(charset).name
        return None if name in _ODD_CHARSETS or "".encode(name) is None else name
    except (LookupError, UnicodeError, ValueError):
        return None


def declared(head: str, kind: Kind) -> str | None:
    """The charset that a document names itself: an XML declaration, `<meta charset>` or its older form."""
    found = _DECLARED[kind].match(head[:_HEAD_CHARACTERS]) if kind in _DECLARED else None
    return known(found[1]) if found else None


def decoded(body: bytes, kind: Kind, charset: str | None) -> tuple[str, str]:
    """A body as text, and the charset that it was read in; what cannot be read in it is replaced.

    A byte order mark goes before `charset`, the Content-Type's, and that before what the document declares (RFC 7303, 3; WHATWG
    HTML, 13.2.3), unless the body cannot be in it and can in the next. JSON is UTF-8 wherever it can be (RFC 8259, 8.1).
    """
    for mark, name in _MARKS.items():
        if body.startswith(mark):
            rest = body.removeprefix(BOM_UTF8)  # the codec utf-8-sig is ten times as slow
            return rest.decode(name, errors="replace"), name
    names = _in_turn(body[:_HEAD_CHARACTERS].decode("latin-1"), kind, charset)
    if kind == "json" and b"\0" in body[:4] and charset is not None:  # UTF-16 or 32, whose zeros are valid UTF-8
        names.reverse()
    for name in names:
        try:
            return body.decode(name), name
        except UnicodeDecodeError as error:
            if error.reason == "unexpected end of data":  # cut in the middle of a character
                return body.decode(name, errors="replace"), name
    return body.decode(names[0], errors="replace"), names[0]


def encoded(text: str, kind: Kind, charset: str | None) -> bytes:
    """A text as the body that is read as it; raises `UnicodeEncodeError` for one that its charset cannot hold."""
    return text.encode(_in_turn(text, kind, charset)[0])


def _in_turn(head: str, kind: Kind, charset: str | None) -> list[str]:
    if kind == "json":
        return ["utf-8", charset] if charset not in {None, "utf-8"} else ["utf-8"]
    given = [name for name in (charset, declared(head, kind)) if name is not None]
    return list(dict.fromkeys([*given, "utf-8"])) if given else ["utf-8"]
