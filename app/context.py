"""What templates and conditions see. Pure.

`lead` holds the fields; `lead.id`, `lead.source` and `lead.received_at` are ours unless the lead has fields of that name.
`source` is the submitter, `delivery` the id, destination and attempt while delivering, `steps` what earlier steps captured.
`event` holds the fields of an event, which is a lead of a source of ours, and is empty for any other.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app.model import EVENTS


def context(
    fields: Mapping[str, Any],
    *,
    lead_id: UUID,
    received_at: datetime,
    source: str,
    description: str = "",
    delivery: Mapping[str, Any] | None = None,
    steps: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The values a template or condition may use."""
    return {
        "lead": {"id": str(lead_id), "source": source, "received_at": received_at.isoformat(), **fields},
        "source": {"name": source, "description": description},
        "delivery": delivery or {},
        "steps": steps or {},
        "event": _event(fields, lead_id, received_at) if source == EVENTS else {},
    }


def _event(fields: Mapping[str, Any], event_id: UUID, received_at: datetime) -> dict[str, Any]:
    return {"id": str(event_id), "occurred_at": received_at.astimezone(UTC).isoformat(), **fields}
