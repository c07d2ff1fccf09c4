"""Whether an answer is what its destination promised: JSON Schema or XSD, compiled once, nothing fetched from anywhere.

It may not know statuses or outcomes. A complaint says where and by which rule, never what was there.
"""

import threading
from typing import Any

from lxml import etree

from app.config.schema import SchemaConfig
from app.connectors._parsing import Kind, Parsed
from app.errors import InvalidTemplate

_XSD = "{http://www.w3.org/2001/XMLSchema}"
_ELSEWHERE = frozenset({f"{_XSD}{name}" for name in ("import", "include", "redefine", "override")})


class AnswerSchema:
    """The schema of a destination's answers; used by many threads. Raises `InvalidTemplate` for one that is wrong."""

    def __init__(self, config: SchemaConfig) -> None:
        self.kind: Kind = "json" if config.json_schema is not None else "xml"
        self._find = _json_rules(config.json_schema) if self.kind == "json" else _xml_rules(config.xsd or "")

    def complaint(self, parsed: Parsed) -> str | None:
        """What does not fit, if anything."""
        if parsed.kind != self.kind:
            return f"it is no {'JSON' if self.kind == 'json' else 'XML'}"
        found: str | None = self._find(parsed.value)
        return found


def _json_rules(schema: Any) -> Any:
    import jsonschema_rs  # noqa: PLC0415  # for the destinations that have one

    if isinstance(schema, str):
        raise InvalidTemplate(
            "schema.json: a file's name is known only where a folder is applied; give the schema itself"
        )
    try:
        validator = jsonschema_rs.validator_for(schema, offline=True, pattern_options=jsonschema_rs.RegexOptions())
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        detail = str(getattr(error, "message", error)).partition("\n")[0][:200]
        raise InvalidTemplate(f"schema.json: not a JSON Schema that can be used: {detail}") from None

    def find(value: Any) -> str | None:
        if validator.is_valid(value):
            return None
        error = next(validator.iter_errors(value))
        return f"{'.'.join(map(str, error.instance_path)) or 'the whole'} breaks '{error.kind.name}'"

    return find


def _xml_rules(text: str) -> Any:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise InvalidTemplate(f"schema.xsd: not XML: {error.msg}") from None
    information: Any = root.getroottree().docinfo  # the stubs of lxml do not know `doctype`
    if information.doctype:
        raise InvalidTemplate("schema.xsd: a DOCTYPE is not read; leave it out")
    if any(element.get("schemaLocation") for element in root.iterchildren(*_ELSEWHERE)):
        raise InvalidTemplate("schema.xsd: other schemas are not fetched; put what it includes into this one")
    try:
        schema = etree.XMLSchema(root)
    except etree.XMLSchemaParseError as error:
        raise InvalidTemplate(f"schema.xsd: not an XML schema that can be used: {str(error)[:200]}") from None
    lock = threading.Lock()

    def find(value: Any) -> str | None:
        with lock:  # the log of errors belongs to the schema
            if schema.validate(value):
                return None
            log: Any = schema.error_log  # the stubs of lxml do not know that it is a list
            first = log[0]
            return f"{first.path} breaks {first.type_name}"

    return find
