"""The fields of one source, compiled: which type each name is read as, what is required, what fills the gaps.

Knows the source's configuration and the readers, nothing of intake or storage.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.config.schema import FieldConfig, FieldType, SourceConfig
from app.errors import Complaint, InvalidConfig, InvalidLead
from app.fields.names import WELL_KNOWN
from app.fields.phone import read_phone
from app.fields.place import read_postal_code, read_state
from app.fields.scalar import read_boolean, read_date, read_email, read_ip, read_number, read_url
from app.fields.text import (
    MAX_FIELDS,
    MAX_NAME_CHARACTERS,
    Unreadable,
    Unstorable,
    as_text,
    clean_value,
    is_name,
    raw_text,
)

Reader = Callable[[str], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFields:
    """The typed fields of one lead; a name in `invalid` has its raw text in `fields` and its complaint here."""

    fields: dict[str, Any]
    invalid: dict[str, str]


class FieldSpecs:
    """How the leads of one source are read; compiled once, used by many threads.

    Raises `InvalidConfig` if a default cannot be read as its own field's type.
    """

    def __init__(self, source: SourceConfig) -> None:
        types = dict(WELL_KNOWN) | {name: _type_of(name, config) for name, config in source.fields.items()}
        self._readers = {name: _reader(type_, _region(source, name)) for name, type_ in types.items()}
        self._required = tuple(name for name, config in source.fields.items() if config.required)
        self._defaults: Mapping[str, Any] = self._read_defaults(source.defaults)

    def read(self, raw: Mapping[str, Any]) -> ReadFields:
        """The fields of a lead as submitted; raises `InvalidLead` with a complaint for each field that forbids taking it.

        Empty text and null mean absent. A required field must be there and be valid; any other invalid value keeps its
        raw text.
        """
        if len(raw) > MAX_FIELDS:
            raise InvalidLead([Complaint(field="lead", detail=f"has more than {MAX_FIELDS} fields")])
        fields: dict[str, Any] = {}
        invalid: dict[str, str] = {}
        complaints: list[Complaint] = []
        readers = self._readers
        for name, value in raw.items():
            reader = readers.get(name)
            if reader is None and not is_name(name):
                complaints.append(_bad_name(name))
                continue
            try:
                try:
                    read = _read(reader, value)
                except Unreadable as unreadable:
                    read, invalid[name] = raw_text(value), str(unreadable)
            except Unstorable as unstorable:
                complaints.append(Complaint(field=name, detail=str(unstorable)))
                continue
            if read is not None:
                fields[name] = read
        for name, value in self._defaults.items():
            fields.setdefault(name, value)
        self._check_required(fields, invalid, complaints)
        return ReadFields(fields=fields, invalid=invalid)

    def _check_required(
        self, fields: Mapping[str, Any], invalid: Mapping[str, str], complaints: list[Complaint]
    ) -> None:
        told = {complaint.field for complaint in complaints}
        for name in self._required:
            if name in invalid:
                complaints.append(Complaint(field=name, detail=invalid[name]))
            elif name not in fields and name not in told:
                complaints.append(Complaint(field=name, detail="is required"))
        if complaints:
            raise InvalidLead(complaints)

    def _read_defaults(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        read: dict[str, Any] = {}
        complaints: list[Complaint] = []
        for name, value in defaults.items():
            try:
                read[name] = _read(self._readers.get(name), value)
            except (Unreadable, Unstorable) as problem:
                complaints.append(Complaint(field=f"defaults.{name}", detail=str(problem)))
        if complaints:
            raise InvalidConfig(complaints)
        return {name: value for name, value in read.items() if value is not None}


def _read(reader: Reader | None, value: Any) -> Any:
    """The typed value, None if absent."""
    if value is None:
        return None
    if reader is None:
        return clean_value(value) or (value if value in (0, False) else None)
    text = as_text(value)
    return reader(text) if text else None


def _bad_name(name: object) -> Complaint:
    shown = ascii(name)[1:41] if isinstance(name, str) else type(name).__name__
    return Complaint(
        field=shown, detail=f"is not a field name: 1 to {MAX_NAME_CHARACTERS} printable characters are one"
    )


def _type_of(name: str, config: FieldConfig) -> FieldType:
    return config.type or WELL_KNOWN.get(name, FieldType.TEXT)


def _region(source: SourceConfig, name: str) -> str:
    return (source.fields.get(name) or FieldConfig()).region


def _reader(type_: FieldType, region: str) -> Reader:
    regional: Mapping[FieldType, Callable[[str, str], Any]] = {
        FieldType.PHONE: read_phone,
        FieldType.POSTAL_CODE: read_postal_code,
        FieldType.STATE: read_state,
        FieldType.DATE: read_date,
    }
    anywhere: Mapping[FieldType, Reader] = {
        FieldType.TEXT: str,
        FieldType.EMAIL: read_email,
        FieldType.BOOLEAN: read_boolean,
        FieldType.NUMBER: read_number,
        FieldType.IP: read_ip,
        FieldType.URL: read_url,
    }
    if type_ in regional:
        return partial(_in_region, regional[type_], region)
    return anywhere[type_]


def _in_region(read: Callable[[str, str], Any], region: str, text: str) -> Any:
    return read(text, region)
