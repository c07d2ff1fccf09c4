"""What sources and destinations say of each other: names that do not exist, circles, steps nobody takes."""

from typing import Any

import pytest

from app.catalog import compile_document
from app.config.reference import mistakes, routed
from app.config.schema import DestinationConfig, Document, SourceConfig
from app.errors import InvalidConfig

PLAIN = {"type": "http", "settings": {"url": "https://crm.example.com"}}


def document(destinations: dict[str, dict[str, Any]], wanted: Any = "all") -> Document:
    made = [
        DestinationConfig.model_validate({"name": name, **PLAIN, **special}) for name, special in destinations.items()
    ]
    return Document(sources=[SourceConfig(name="web", destinations=wanted)], destinations=made)


def told(found: Document) -> list[str]:
    known = [one.name for one in found.destinations]
    return [f"{kind} {name}: {field}: {detail}" for kind, name, field, detail, _ in mistakes(found, known)]


@pytest.mark.parametrize(
    ("destinations", "complaint"),
    [
        ({"a": {"after": ["b"]}}, "destination a: after.0: there is no step 'b'"),
        ({"a": {}, "b": {"after": ["a", "a"]}}, "destination b: after.1: 'a' stands twice"),
        ({"a": {"after": ["a"]}}, "destination a: after.0: steps wait for each other in a circle: a -> a"),
        (
            {"a": {"after": ["c"]}, "b": {"after": ["a"]}, "c": {"after": ["b"]}},
            "destination a: after.0: steps wait for each other in a circle: a -> c -> b -> a",
        ),
        ({"a": {"fallback": "b"}}, "destination a: fallback.destination: there is no destination 'b'"),
        (
            {"a": {"fallback": "b"}, "b": {"fallback": "a"}},
            "destination a: fallback.destination: a lead would go round in a circle: a -> b -> a",
        ),
        (
            {"a": {"fallback": "c"}, "b": {}, "c": {"after": ["b"]}},
            "destination a: fallback.destination: 'c' comes after other steps and cannot take a lead over",
        ),
        (
            {"a": {"fallback": {"destination": "b", "on": ["age"], "age_seconds": 86_400}}, "b": {}},
            "destination a: fallback.age_seconds: comes after the deadline (retry.deadline_seconds 86400): never",
        ),
        (
            {"a": {"fallback": "b"}, "b": {}, "c": {"after": ["b"]}},
            "source web: destinations: 'c' comes after 'b', which only takes over from others",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(destinations: dict[str, dict[str, Any]], complaint: str) -> None:
    assert complaint in told(document(destinations))


@pytest.mark.parametrize(
    ("destinations", "wanted", "complaint"),
    [
        (
            {"a": {}, "b": {"after": ["a"]}},
            ["b"],
            "destinations.0: 'b' comes after 'a', which this source's leads do not go to",
        ),
        (
            {"a": {"fallback": "b"}, "b": {}},
            ["a", "b"],
            "destinations.0: 'a' falls back to 'b', which gets these leads anyway: it would have them twice",
        ),
    ],
)
def test_a_source_is_told_what_its_destinations_need(
    destinations: dict[str, dict[str, Any]], wanted: list[str], complaint: str
) -> None:
    assert told(document(destinations, wanted)) == [f"source web: {complaint}"]


def test_steps_are_put_in_order_and_who_stands_by_gets_nothing_of_all() -> None:
    found = document(
        {"mail": {"after": ["crm"]}, "crm": {"after": ["verify"], "fallback": "spare"}, "verify": {}, "spare": {}}
    )
    assert routed(found.sources[0], found.destinations) == ["verify", "crm", "mail"]
    assert told(found) == []


@pytest.mark.parametrize(
    "special", [{"when": "steps.verify.score > 50"}, {"mapping": {"score": "{{ steps.verify.score }}"}}]
)
def test_only_steps_that_come_before_may_be_asked(special: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig, match=r"uses steps.verify, which it does not come after") as refused:
        compile_document(document({"verify": {}, "crm": special}), 1)
    assert refused.value.complaints[0].remedy == "add verify to `after`"
    compile_document(document({"verify": {}, "crm": {**special, "after": ["verify"]}}), 1)
    compile_document(document({"verify": {}, "x": {"after": ["verify"]}, "crm": {**special, "after": ["x"]}}), 1)
    compile_document(Document(destinations=document({"crm": {**special, "after": ["x"]}}).destinations), 1)


def test_a_step_that_ends_elsewhere_is_awaited_there_too() -> None:
    found = compile_document(
        document({"a": {"fallback": "b", "optional": True}, "b": {"fallback": "c"}, "c": {}, "d": {"after": ["a"]}}), 1
    )
    assert found.chain.awaited == {"a", "b", "c"}
    assert found.chain.optional == {"a"}
