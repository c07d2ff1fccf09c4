"""The records of the Salesforce stand-in: Leads, found by id, by any custom field or by Email.

Knows what Salesforce would store and refuse, nothing of HTTP, receipts or faults.
"""

from collections.abc import Mapping
from typing import Any

from app.sandbox.memory import Recent
from app.sandbox.salesforce_object import Refused, check_required, check_values, make_id

RECORDS = 100_000


class Org:
    """One org, remembering its newest `RECORDS` Leads."""

    def __init__(self) -> None:
        self._records: Recent[str, dict[str, Any]] = Recent(RECORDS)
        self._by_value: Recent[tuple[str, str], list[str]] = Recent(RECORDS)
        self._created = 0

    def forget(self) -> None:
        """Lose all records."""
        self._records.clear()
        self._by_value.clear()

    def record(self, record_id: str) -> Mapping[str, Any]:
        """The fields of a record; empty if there is none of that id."""
        return self._records.get(record_id) or {}

    def find(self, field: str, value: str) -> list[str]:
        """Ids of the records with that value in that field; case does not matter, as for Salesforce's external ids."""
        if field == "Id":
            return [value] if value in self._records else []
        return self._by_value.get((field, value.casefold())) or []

    def find_same_email(self, values: Mapping[str, Any]) -> list[str]:
        """Ids of the records that have the Email of these values."""
        return self.find("Email", str(values["Email"])) if values.get("Email") else []

    def check(self, values: Mapping[str, Any], *, record_id: str | None, external: Mapping[str, str]) -> None:
        """Raise `Refused` if Salesforce would not store these values in that record, or in a new one."""
        for field in external:
            if field in values:
                message = f"The {field} field should not be specified in the sobject data."
                raise Refused(400, "INVALID_FIELD", message)
        check_values({**external, **values})
        check_required({**(self.record(record_id) if record_id else {}), **values})

    def save(self, values: Mapping[str, Any], *, record_id: str | None, external: Mapping[str, str]) -> str:
        """Store checked values in that record, or in a new one; returns its id."""
        if record_id is None:
            self._created += 1
            record_id = make_id(self._created)
        before = self.record(record_id)
        after = {**before, **values, **external, "Id": record_id}
        self._records[record_id] = after
        self._index(record_id, before, after)
        return record_id

    def _index(self, record_id: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        for field in {name for name in after if name.endswith("__c") or name == "Email"}:
            old, new = (str(values.get(field) or "").casefold() for values in (before, after))
            if old and old != new:
                self._by_value[field, old] = [other for other in self.find(field, old) if other != record_id]
            if new and record_id not in self.find(field, new):
                self._by_value[field, new] = [*self.find(field, new), record_id]
