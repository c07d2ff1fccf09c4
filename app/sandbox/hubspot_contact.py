"""The contacts of the HubSpot stand-in: their properties, what HubSpot checks, and where they are kept.

Knows nothing of HTTP, receipts or faults. Sources: HubSpot developer docs "Contacts" (default properties) and "Property
validations" (the form of a complaint).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.sandbox.memory import Recent

CONTACTS = 100_000

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_STAGES = ("subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer", "other")
_STATUSES = (
    "NEW",
    "OPEN",
    "IN_PROGRESS",
    "OPEN_DEAL",
    "UNQUALIFIED",
    "ATTEMPTED_TO_CONTACT",
    "CONNECTED",
    "BAD_TIMING",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One contact property; `type` in HubSpot's words, `options` the values an enumeration allows."""

    name: str
    label: str
    type: str = "string"
    options: tuple[str, ...] = ()
    custom: bool = False

    def document(self) -> dict[str, Any]:
        """The property as the properties API shows it."""
        field_types = {"enumeration": "select", "number": "number"}
        return {
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": field_types.get(self.type, "text"),
            "groupName": "contactinformation",
            "description": "",
            "options": [{"label": value, "value": value, "hidden": False} for value in self.options],
            "hasUniqueValue": self.name == "email",
            "hubspotDefined": not self.custom,
            "hidden": False,
            "formField": True,
        }


PROPERTIES: Mapping[str, Property] = {
    item.name: item
    for item in (
        Property(name="email", label="Email"),
        Property(name="firstname", label="First Name"),
        Property(name="lastname", label="Last Name"),
        Property(name="salutation", label="Salutation"),
        Property(name="phone", label="Phone Number"),
        Property(name="mobilephone", label="Mobile Phone Number"),
        Property(name="fax", label="Fax Number"),
        Property(name="company", label="Company Name"),
        Property(name="jobtitle", label="Job Title"),
        Property(name="website", label="Website URL"),
        Property(name="address", label="Street Address"),
        Property(name="city", label="City"),
        Property(name="state", label="State/Region"),
        Property(name="zip", label="Postal Code"),
        Property(name="country", label="Country/Region"),
        Property(name="message", label="Message"),
        Property(name="industry", label="Industry"),
        Property(name="annualrevenue", label="Annual Revenue"),
        Property(name="hs_lead_status", label="Lead Status", type="enumeration", options=_STATUSES),
        Property(name="lifecyclestage", label="Lifecycle Stage", type="enumeration", options=_STAGES),
        Property(name="lead_source", label="Lead source", custom=True),
        Property(name="lead_score", label="Lead score", type="number", custom=True),
        Property(name="leadrelay_id", label="leadrelay delivery", custom=True),
    )
}


class Invalid(Exception):
    """Property values HubSpot would not store; `reason` is the code of the first complaint."""

    def __init__(self, complaints: list[dict[str, Any]]) -> None:
        self.reason = str(complaints[0]["error"])
        super().__init__(f"Property values were not valid: {json.dumps(complaints, separators=(',', ':'))}")


@dataclass(slots=True, kw_only=True)
class Contact:
    """One stored contact."""

    id: str
    created_at: str
    updated_at: str
    properties: dict[str, str]

    def document(self) -> dict[str, Any]:
        """The contact as the objects API shows it."""
        stamps = {"createdate": self.created_at, "lastmodifieddate": self.updated_at, "hs_object_id": self.id}
        return {
            "id": self.id,
            "properties": {**self.properties, **stamps},
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "archived": False,
        }


class Contacts:
    """The newest `CONTACTS` contacts, by id and by e-mail."""

    def __init__(self) -> None:
        self._by_id: Recent[str, Contact] = Recent(CONTACTS)
        self._by_email: Recent[str, Contact] = Recent(CONTACTS)
        self._created = 0

    def forget(self) -> None:
        """Lose all contacts."""
        self._by_id.clear()
        self._by_email.clear()

    def get(self, contact_id: str) -> Contact | None:
        """The contact of that id."""
        return self._by_id.get(contact_id)

    def find(self, email: str) -> Contact | None:
        """The contact of that e-mail; case does not matter."""
        contact = self._by_email.get(email.lower())
        # An entry under an e-mail the contact no longer has is stale, not a find.
        return contact if contact and contact.properties.get("email", "").lower() == email.lower() else None

    def save(self, contact: Contact | None, values: Mapping[str, Any]) -> Contact:
        """Store checked values in that contact, or in a new one."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if contact is None:
            self._created += 1
            contact = Contact(id=str(100_000_000 + self._created), created_at=now, updated_at=now, properties={})
        contact.updated_at = now
        contact.properties.update({name: "" if value is None else str(value) for name, value in values.items()})
        self._by_id[contact.id] = contact
        if contact.properties.get("email"):
            self._by_email[contact.properties["email"].lower()] = contact
        return contact


def check_properties(values: Mapping[str, Any]) -> None:
    """Raise `Invalid` with a complaint for each value HubSpot would not store."""
    complaints = [found for name, value in values.items() if (found := _complain(name, value))]
    if complaints:
        raise Invalid(complaints)


def make_complaint(name: str, error: str, message: str) -> dict[str, Any]:
    """One complaint in HubSpot's form."""
    return {"isValid": False, "message": message, "error": error, "name": name}


def _complain(name: str, value: Any) -> dict[str, Any] | None:
    known = PROPERTIES.get(name)
    text = "" if value is None else str(value)
    if known is None:
        return make_complaint(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist')
    if name == "email" and not _EMAIL.fullmatch(text):
        return make_complaint(name, "INVALID_EMAIL", f"Email address {text} is invalid")
    if text and known.options and text not in known.options:
        message = f"{text} was not one of the allowed options: [{', '.join(known.options)}]"
        return make_complaint(name, "INVALID_OPTION", message)
    if text and known.type == "number" and not _NUMBER.fullmatch(text):
        return make_complaint(name, "INVALID_LONG", f"{text} was not a valid number")
    return None
