"""The Lead object of the Salesforce stand-in: its fields, what Salesforce checks, and the errors it answers with.

Pure: knows neither HTTP nor what is stored. Fields, lengths and codes follow Salesforce's "Object Reference" (Lead) and "REST
API Developer Guide" (Status Codes and Error Responses). Any name ending in `__c` is taken as a custom text field, so that
no org has to be set up first.
"""

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CUSTOM_LENGTH = 255
ID_PREFIX = "00Q"

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_CUSTOM = re.compile(r"[A-Za-z]\w*__c")
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BASE32 = string.ascii_uppercase + "012345"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field as `describe` shows it; `type` in Salesforce's words, `length` in characters (0 where it has none)."""

    name: str
    label: str
    type: str = "string"
    length: int = 0
    required: bool = False

    def describe(self) -> dict[str, Any]:
        """The field's part of a describe answer."""
        return {
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "length": self.length,
            "nillable": not self.required,
            "createable": self.name != "Id",
            "updateable": self.name != "Id",
            "defaultedOnCreate": self.name in {"Status", "Id"},
            "custom": self.name.endswith("__c"),
            "externalId": self.name.endswith("__c"),
            "unique": False,
            "idLookup": self.name in {"Id", "Email"} or self.name.endswith("__c"),
            "picklistValues": [],
            "referenceTo": [],
        }


class Refused(Exception):
    """A request Salesforce would answer with an error: its status, code and message, and the fields at fault."""

    def __init__(self, status: int, code: str, message: str, fields: tuple[str, ...] = (), **extra: Any) -> None:
        self.status = status
        self.code = code
        self.fields = fields
        self.extra = extra
        super().__init__(message)


LEAD: Mapping[str, Field] = {
    field.name: field
    for field in (
        Field(name="Id", label="Lead ID", type="id", length=18),
        Field(name="LastName", label="Last Name", length=80, required=True),
        Field(name="FirstName", label="First Name", length=40),
        Field(name="Salutation", label="Salutation", type="picklist", length=40),
        Field(name="Company", label="Company", length=255, required=True),
        Field(name="Title", label="Title", length=128),
        Field(name="Email", label="Email", type="email", length=80),
        Field(name="Phone", label="Phone", type="phone", length=40),
        Field(name="MobilePhone", label="Mobile Phone", type="phone", length=40),
        Field(name="Fax", label="Fax", type="phone", length=40),
        Field(name="Website", label="Website", type="url", length=255),
        Field(name="Street", label="Street", type="textarea", length=255),
        Field(name="City", label="City", length=40),
        Field(name="State", label="State/Province", length=80),
        Field(name="PostalCode", label="Zip/Postal Code", length=20),
        Field(name="Country", label="Country", length=80),
        Field(name="Description", label="Description", type="textarea", length=32_000),
        Field(name="LeadSource", label="Lead Source", type="picklist", length=255),
        Field(name="Status", label="Status", type="picklist", length=255),
        Field(name="Industry", label="Industry", type="picklist", length=255),
        Field(name="Rating", label="Rating", type="picklist", length=255),
        Field(name="AnnualRevenue", label="Annual Revenue", type="currency"),
        Field(name="NumberOfEmployees", label="Employees", type="int"),
        Field(name="HasOptedOutOfEmail", label="Email Opt Out", type="boolean"),
        Field(name="HasOptedOutOfFax", label="Fax Opt Out", type="boolean"),
        Field(name="DoNotCall", label="Do Not Call", type="boolean"),
        Field(name="External_Id__c", label="External Id", length=CUSTOM_LENGTH),
        Field(name="Leadrelay_Id__c", label="leadrelay delivery", length=CUSTOM_LENGTH),
    )
}


def find_field(name: str) -> Field | None:
    """The field of that name; any custom name counts as text."""
    if name in LEAD:
        return LEAD[name]
    return Field(name=name, label=name, length=CUSTOM_LENGTH) if _CUSTOM.fullmatch(name) else None


def check_values(values: Mapping[str, Any]) -> None:
    """Raise `Refused` for the first value that Salesforce would not store."""
    for name, value in values.items():
        field = find_field(name)
        if field is None:
            raise Refused(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type Lead", ())
        if name == "Id":
            raise Refused(400, "INVALID_FIELD", "The Id field should not be specified in the sobject data.", ())
        if value is not None:
            _check_value(field, value)


def check_required(record: Mapping[str, Any]) -> None:
    """Raise `Refused` if the record as it would be stored lacks a required field."""
    missing = tuple(name for name, field in LEAD.items() if field.required and not record.get(name))
    if missing:
        message = f"Required fields are missing: [{', '.join(missing)}]"
        raise Refused(400, "REQUIRED_FIELD_MISSING", message, missing)


def make_id(number: int) -> str:
    """The 18-character id of the n-th record: 15 that mind case and 3 that check it, as Salesforce's ids do."""
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    short = ID_PREFIX + "5e" + digits.rjust(10, "0")
    checks = (
        sum(1 << place for place, letter in enumerate(short[start : start + 5]) if letter.isupper())
        for start in (0, 5, 10)
    )
    return short + "".join(_BASE32[check] for check in checks)


def _check_value(field: Field, value: Any) -> None:
    if field.type == "boolean" and not isinstance(value, bool):
        raise Refused(
            400, "JSON_PARSER_ERROR", f"Cannot deserialize instance of boolean from the value of {field.name}"
        )
    if field.type in {"int", "currency"} and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise Refused(400, "JSON_PARSER_ERROR", f"Cannot deserialize instance of {field.type} from {field.name}")
    if field.length and len(str(value)) > field.length:
        message = f"{field.label}: data value too large: {str(value)[:100]} (max length={field.length})"
        raise Refused(400, "STRING_TOO_LONG", message, (field.name,))
    if field.type == "email" and not _EMAIL.fullmatch(str(value)):
        message = f"{field.label}: invalid email address: {value}"
        raise Refused(400, "INVALID_EMAIL_ADDRESS", message, (field.name,))
