"""Bodies of a single lead: JSON, form, multipart form or flat XML in, fields out. Pure.

Strict where leniency would lose data: what could be read in two ways is refused with a place and a remedy. Texts of
errors name fields, never values.
"""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml import DefusedXmlException
from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, parse_options_header

from app.api.problem import Kind, Problem, malformed, shown

Fields = dict[str, Any]
Reader = Callable[[bytes], Fields]

MOST_FORM_FIELDS = 1000
FORM_TYPE = "application/x-www-form-urlencoded"
_MULTIPART_TYPE = "multipart/form-data"
_REMEDY_TYPE = (
    f"send Content-Type: application/json, application/xml, {FORM_TYPE} or {_MULTIPART_TYPE}; "
    "application/x-ndjson and text/csv belong to /v1/leads/bulk"
)


@lru_cache(maxsize=256)
def reader(content_type: str) -> Reader:
    """How bodies of a Content-Type are read; raises `Problem` (415) for one that is not taken."""
    name, parameters = media_type(content_type)
    subtype = name.partition("/")[2]
    if name in {"application/json", "text/json"} or subtype.endswith("+json"):
        return read_json
    if name == FORM_TYPE:
        return read_form
    if name == _MULTIPART_TYPE:
        return _multipart_reader(parameters)
    if name in {"application/xml", "text/xml"} or subtype.endswith("+xml"):
        return read_xml
    what = f"bodies of type {shown(name)} are not taken" if name else "the Content-Type is missing"
    raise Problem(Kind.UNSUPPORTED_TYPE, f"{what}; {_REMEDY_TYPE}")


def media_type(content_type: str) -> tuple[str, Mapping[bytes, bytes]]:
    """The lower-case name and the parameters; raises `Problem` (415) for a charset other than UTF-8."""
    name, parameters = parse_options_header(content_type)
    charset = parameters.get(b"charset", b"utf-8").decode("latin-1").strip().lower()
    if charset not in {"utf-8", "utf8", "us-ascii"}:
        raise Problem(Kind.UNSUPPORTED_TYPE, "bodies are taken in UTF-8 only; leave the charset out and send UTF-8")
    return name.decode("latin-1").strip().lower(), parameters


def read_json(raw: bytes) -> Fields:
    """The fields of a JSON object; raises as `read_value`."""
    value = read_value(raw)
    if not isinstance(value, dict):
        raise malformed("must be a JSON object of fields", 'send {"email": "...", ...}')
    return value


def read_value(raw: bytes) -> Any:
    """A JSON value (RFC 8259); refuses names that appear twice, NaN and bad UTF-8."""
    try:
        return _json.decode(text(raw))
    except json.JSONDecodeError as error:
        several = error.msg == "Extra data"
        raise malformed(
            f"is not JSON: {error.msg} at {_place(error.lineno, error.colno)}",
            "send one; POST /v1/leads/bulk and `leadrelay import` take a lead a line" if several else None,
        ) from None
    except RecursionError:
        raise malformed("is nested too deeply") from None
    except ValueError:  # Python's own limit, 4,300 digits
        raise malformed("has a number with thousands of digits", "send it as text") from None


def read_form(raw: bytes) -> Fields:
    """The fields of a form (WHATWG URL, 5.1); a repeated name becomes a list."""
    if raw[:1] in {b"{", b"[", b"<"}:
        raise Problem(Kind.UNSUPPORTED_TYPE, f"the body is no form although its type says so; {_REMEDY_TYPE}")
    try:
        pairs = parse_qsl(text(raw), keep_blank_values=True, errors="strict", max_num_fields=MOST_FORM_FIELDS)
    except UnicodeDecodeError:
        raise malformed("has percent-encoded bytes that are not UTF-8") from None
    except ValueError:
        raise _too_many_fields() from None
    fields: Fields = {}
    for name, value in pairs:
        _add(fields, name, value)
    return fields


def read_xml(raw: bytes) -> Fields:
    """The fields of an XML document: one element each below the root; a repeated name becomes a list.

    A document type declaration is refused, and with it every entity and external reference (CWE-611, CWE-776).
    """
    try:
        root: Element = defusedxml.ElementTree.fromstring(raw, forbid_dtd=True)
    except ParseError as error:
        line, column = error.position
        raise malformed(f"is not well-formed XML at {_place(line, column + 1)}") from None
    except DefusedXmlException:
        raise malformed("has a document type declaration", "leave <!DOCTYPE ...> and entities out") from None
    except (LookupError, ValueError):
        raise malformed("is in an encoding that is not taken", "send UTF-8") from None
    fields: Fields = {}
    _no_text(root.text)
    for element in root:
        name = _local(element.tag)
        if len(element):
            raise malformed("has elements inside; one element is one field", field=shown(name))
        if element.attrib:
            raise malformed("has attributes; a field is an element with text", field=shown(name))
        _add(fields, name, element.text or "")
        _no_text(element.tail)
    return fields


def text(raw: bytes) -> str:
    """UTF-8 without a byte order mark; raises `Problem` that says where it is not."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise malformed(f"is not UTF-8 at byte {error.start + 1}") from None


def _multipart_reader(parameters: Mapping[bytes, bytes]) -> Reader:
    boundary = parameters.get(b"boundary")
    if not boundary:
        raise Problem(Kind.UNSUPPORTED_TYPE, "the multipart boundary is missing in the Content-Type")

    def read_multipart(raw: bytes) -> Fields:
        fields: Fields = {}
        ended: list[bool] = []

        def take(field: Field) -> None:
            _add(fields, _part_text(field.field_name), _part_text(field.value))

        parser = FormParser(
            _MULTIPART_TYPE,
            take,
            _refuse_file,
            on_end=lambda: ended.append(True),
            boundary=boundary,
            config={"MAX_FIELDS": MOST_FORM_FIELDS},
        )
        try:
            parser.write(raw)
            parser.finalize()
        except FormParserError as error:
            raise malformed(f"is not a multipart form at byte {getattr(error, 'offset', -1) + 1}") from None
        if not ended:
            raise malformed("ends in the middle of a multipart form")
        return fields

    return read_multipart


def _refuse_file(file: File) -> None:
    file.close()
    name = (file.field_name or b"").decode("utf-8", "replace")
    raise malformed("is a file; leads have text fields only", field=shown(name))


def _part_text(raw: bytes | None) -> str:
    try:
        return (raw or b"").decode()
    except UnicodeDecodeError:
        raise malformed("has a field that is not UTF-8") from None


def _object(pairs: list[tuple[str, Any]]) -> Fields:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise malformed("appears twice", "send each name once, several values as a list", field=shown(twice))
    return found


def _no_constant(name: str) -> None:
    raise malformed(f"is not JSON: {name} is no JSON number")


def _add(fields: Fields, name: str, value: str) -> None:
    before = fields.get(name)
    if before is None:
        fields[name] = value
    elif isinstance(before, list):
        before.append(value)
    else:
        fields[name] = [before, value]


def _no_text(between: str | None) -> None:
    if between and not between.isspace():
        raise malformed("has text outside the elements of its fields")


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _place(line: int, column: int) -> str:
    return f"column {column}" if line == 1 else f"line {line}, column {column}"


def _too_many_fields() -> Problem:
    return malformed(f"has more than {MOST_FORM_FIELDS} fields")


_json = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)
