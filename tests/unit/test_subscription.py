"""Destinations that are told of events: what of their configuration cannot be meant, and what they may ask."""

from typing import Any, get_args

import pytest

from app import dry_run, trial
from app.catalog import compile_document
from app.config.event import EventPattern, matched
from app.config.loading import load_document
from app.errors import InvalidConfig, InvalidLead
from app.model import EventType
from app.reply import Answer

HOOK: dict[str, Any] = {
    "name": "hook",
    "type": "webhook",
    "events": ["delivery.*"],
    "settings": {"url": "https://partner.example.com/", "secrets": ["${env:HOOK}"]},
}
CRM: dict[str, Any] = {"name": "crm", "type": "http", "settings": {"url": "https://crm.example.com/"}}
STEP = compile_document(load_document({"destinations": [HOOK]}).document, 1).steps["hook"]


def told(*destinations: dict[str, Any], sources: list[dict[str, Any]] | None = None) -> list[str]:
    try:
        loaded = load_document({"sources": sources or [], "destinations": list(destinations)})
        compile_document(loaded.document, 1, place=loaded.complaint)
    except InvalidConfig as invalid:
        return [str(complaint) for complaint in invalid.complaints]
    return []


def test_every_event_can_be_named_and_every_name_names_one() -> None:
    patterns = get_args(EventPattern)
    assert {one.value for one in EventType} <= set(patterns)
    assert all(matched([pattern]) for pattern in patterns)
    assert matched(["*"]) == set(EventType)
    assert matched(["lead.*", "delivery.dead"]) == {EventType.LEAD_ACCEPTED, EventType.DEAD}


@pytest.mark.parametrize(
    ("destinations", "complaint"),
    [
        ([{**HOOK, "events": []}], "destinations.0.events: the list is empty: name one event at least"),
        ([{**HOOK, "events": ["delivery.ded"]}], '(did you mean "delivery.dead"?)'),
        (
            [{**HOOK, "after": ["crm"]}, CRM],
            "hook: after: an event comes after no steps (take `after` out, or `events`)",
        ),
        ([HOOK, {**CRM, "after": ["hook"]}], "crm: after.0: 'hook' takes events, no leads: nothing comes after it"),
        ([HOOK, {**CRM, "fallback": "hook"}], "crm: fallback.destination: 'hook' takes events, no leads"),
        ([{**HOOK, "fallback": "crm"}, CRM], "hook: fallback.destination: 'crm' takes leads, no events"),
        ([{**HOOK, "when": "lead.state == 'CA'"}], "hook: when: uses lead, and events come here"),
        (
            [{**HOOK, "mapping": {"x": "{{ event.reasn }}"}}],
            'hook: mapping.x: there is no event.reasn (did you mean "reason"?)',
        ),
        ([{**CRM, "when": "event.type == 'x'"}], "crm: when: uses event, and leads come here"),
        ([{**CRM, "mapping": {"x": "{{ event.type }}"}}], "crm: mapping.x: uses event, and leads come here"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_field(destinations: list[dict[str, Any]], complaint: str) -> None:
    [found] = told(*destinations)
    assert complaint in found


def test_sources_name_no_subscription_and_none_is_called_events() -> None:
    found = told(HOOK, CRM, sources=[{"name": "web", "destinations": ["crm", "hook"]}, {"name": "events"}])
    assert found == [
        "source web: destinations.1: 'hook' takes events, no leads (take hook out of destinations)",
        "source events: name: is the source that our own events come from (give it another name)",
    ]


def test_names_in_quotes_and_fields_of_the_same_name_are_not_mistaken() -> None:
    assert not told({**HOOK, "when": "event.type != 'lead.accepted' && event.lead_id != ''"})
    assert not told({**CRM, "when": "lead.event == 'event.type'", "mapping": {"event": "{{ lead.event }}"}})


def test_an_email_can_tell_of_events() -> None:
    settings = {"host": "mail.example.com", "from": "ops@example.com", "to": ["team@example.com"]}
    mail = {"name": "mail", "type": "email", "events": ["destination.*"], "settings": settings}
    assert not told({**mail, "mapping": {"subject": "{{ event.type }}", "text": "{{ event.reason }}"}})
    [found] = told({**mail, "mapping": {"subject": "{{ lead.email }}", "text": "It is so."}})
    assert "mail: mapping.subject: uses lead, and events come here" in found


def test_leads_of_all_destinations_go_to_no_subscription() -> None:
    loaded = load_document({"sources": [{"name": "web"}], "destinations": [HOOK, CRM]})
    compiled = compile_document(loaded.document, 1)
    assert [one.destination for one in compiled.sources["web"].routes] == ["crm"]


def test_an_event_may_be_tried_like_a_lead() -> None:
    event = {"type": "delivery.dead", "lead_id": "l-1", "price": "1.50", "attempts": 3, "test": False}
    made = trial.prepare(STEP, event, said={})
    assert (made.skipped, made.notes, made.item.type) == (None, (), "delivery.dead")
    assert event.items() <= dict(made.item.payload).items()
    shown = dry_run.preview(STEP, made, environ={})
    assert shown["headers"]["webhook-signature"] == "***"
    assert '"type":"delivery.dead"' in shown["body"]
    assert trial.prepare(STEP, {"type": "lead.accepted"}, said={}).skipped == "it is not told of lead.accepted"


@pytest.mark.parametrize("event", [{}, {"type": "delivery.ded"}, {"email": "ann@example.com"}])
def test_what_is_no_event_cannot_be_tried(event: dict[str, Any]) -> None:
    with pytest.raises(InvalidLead, match="type: "):
        trial.prepare(STEP, event, said={})


def test_a_gone_endpoint_waits_for_a_person() -> None:
    assert dry_run.interpret(STEP, Answer(status=410), environ={}).fault == "configuration"
