"""POST /v1/feedback against a real API and ledger."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.ledger import feedback, key, operation, query
from app.model import Outcome, Result, State
from tests.api.harness import Api, finish, running, wait_until

NOBODY = "01a2081d-b4e6-75b6-a9b7-8b23e7bc3076"


@pytest.fixture(scope="module")
def api(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(module_database_url, tmp_path_factory.mktemp("home")) as found:
        yield found


def deliver(api: Api, reference: str | None = None, query_string: str = "source=web") -> str:
    """A delivery that was taken by its destination."""
    delivery: str = api.submit(query=query_string)["deliveries"][0]["id"]
    finish(api.database, [delivery], Outcome(result=Result.SUCCESS, reference=reference), State.DELIVERED)
    return delivery


def give(api: Api, body: Any, who: str = "feedback", query_string: str = "") -> requests.Response:
    return api.post(f"/v1/feedback{query_string}", json=body, who=who)


def heard(api: Api, delivery: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"/v1/deliveries/{delivery}").json()["feedback"]
    return found


def errors(answer: requests.Response) -> list[str]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    return [one["field"] for one in answer.json()["errors"]]


def test_a_conversion_and_a_return_stand_on_the_timeline(api: Api) -> None:
    delivery = deliver(api)
    at = "2026-11-01T12:00:00+02:00"
    won = {"type": "conversion", "value": "1250.50", "currency": "USD", "occurred_at": at, "id": "deal-1"}
    answer = give(api, {"delivery_id": delivery, **won})
    assert (answer.status_code, answer.json()["delivery_id"], answer.json()["repeated"]) == (201, delivery, False)
    assert give(api, {"delivery_id": delivery, "type": "return", "reason": "Wrong number"}).status_code == 201
    first, second = heard(api, delivery)
    assert (first["type"], first["value"], first["currency"], first["reason"]) == ("conversion", "1250.50", "USD", None)
    assert datetime.fromisoformat(first["occurred_at"]) == datetime(2026, 11, 1, 10, tzinfo=UTC)
    assert (first["id"], first["actor"]) == (answer.json()["id"], "key:feedback")
    assert (second["type"], second["reason"], second["occurred_at"]) == ("return", "Wrong number", None)
    lead = api.get(f"/v1/deliveries/{delivery}").json()["lead_id"]
    [seen] = api.get(f"/v1/leads/{lead}").json()["deliveries"]
    assert seen["feedback"] == [first, second]
    assert seen["state"] == "delivered", "feedback moves nothing"


def test_the_destinations_own_record_id_names_the_delivery(api: Api) -> None:
    delivery = deliver(api, "crm-é-1")
    named = give(api, {"destination": "crm", "reference": "crm-é-1", "type": "conversion"})
    assert (named.status_code, named.json()["delivery_id"]) == (201, delivery)
    long = "x" * 150
    deliver(api, long + "a")
    second = deliver(api, long + "b")
    assert give(api, {"destination": "crm", "reference": long + "b", "type": "return"}).json()["delivery_id"] == second
    for entry in ({"destination": "crm", "reference": "nothing"}, {"destination": "mcr", "reference": "crm-é-1"}):
        answer = give(api, {**entry, "type": "return"})
        assert (answer.status_code, answer.json()["type"]) == (404, "/docs#not-found")


def test_a_record_id_of_several_deliveries_names_none(api: Api) -> None:
    deliver(api, "shared")
    delivery = deliver(api, "shared")
    answer = give(api, {"destination": "crm", "reference": "shared", "type": "return"})
    assert (answer.status_code, "delivery_id" in answer.json()["detail"]) == (409, True)
    assert heard(api, delivery) == []


def test_the_same_id_is_taken_once(api: Api) -> None:
    delivery = deliver(api)
    entry = {"delivery_id": delivery, "type": "conversion", "value": 10, "currency": "EUR", "id": str(uuid4())}
    first = give(api, entry)
    again = give(api, {**entry, "value": "10.00"})
    assert (again.status_code, again.json()) == (200, {**first.json(), "repeated": True})
    other = give(api, {**entry, "value": 11})
    assert (other.status_code, other.json()["type"]) == (409, "/docs#conflict")
    elsewhere = give(api, {**entry, "delivery_id": deliver(api)})
    assert elsewhere.status_code == 409
    assert len(heard(api, delivery)) == 1


def test_two_givers_may_use_the_same_id_for_different_things(api: Api) -> None:
    own, other = deliver(api, query_string="source=partner"), deliver(api, query_string="source=partner")
    entry = {"type": "conversion", "id": str(uuid4())}
    answers = {}
    for who, delivery in (("feedback", own), ("partner", other)):
        answers[who] = give(api, {**entry, "delivery_id": delivery}, who=who)
        assert answers[who].status_code == 201
    for who, delivery in (("feedback", own), ("partner", other)):
        again = give(api, {**entry, "delivery_id": delivery}, who=who)
        assert (again.status_code, again.json()) == (200, {**answers[who].json(), "repeated": True})
        used = give(api, {**entry, "delivery_id": delivery, "type": "return"}, who=who)
        assert (used.status_code, used.json()["type"]) == (409, "/docs#conflict")
        assert "use a new id" in used.json()["detail"]
    assert [len(heard(api, delivery)) for delivery in (own, other)] == [1, 1]


def test_keys_of_one_name_for_two_sources_are_two_givers(api: Api) -> None:
    entry = {"type": "conversion", "id": str(uuid4())}
    for source in ("web", "partner"):
        scopes = frozenset({"feedback"})
        secret = key.create(api.database, name="acme", scopes=scopes, source=source, actor="test")
        headers = {"Authorization": f"Bearer {secret}"}
        body = {**entry, "delivery_id": deliver(api, query_string=f"source={source}")}
        answers = [requests.post(f"{api.url}/v1/feedback", json=body, headers=headers, timeout=20) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 200]


def test_without_an_id_the_same_words_are_taken_once(api: Api) -> None:
    delivery = deliver(api)
    entry = {"delivery_id": delivery, "type": "return", "reason": "Wrong number"}
    assert [give(api, entry).status_code for _ in range(3)] == [201, 200, 200]
    assert give(api, entry, who="all").status_code == 200, "whoever says them"
    assert give(api, {**entry, "reason": "Not interested"}).status_code == 201
    assert len(heard(api, delivery)) == 2


def test_many_at_once_with_one_id_are_one(api: Api) -> None:
    delivery = deliver(api)
    entry = {"delivery_id": delivery, "type": "return", "id": str(uuid4())}
    headers = {"Authorization": f"Bearer {api.keys['feedback']}"}

    def post(_: int) -> str:
        answer = requests.post(f"{api.url}/v1/feedback", json=[entry] * 3, headers=headers, timeout=20)
        [found] = {line["id"] for line in answer.json()["lines"]}
        return str(found)

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(post, range(8)))) == 1
    assert len(heard(api, delivery)) == 1


def test_a_leadconduit_form_is_understood(api: Api) -> None:
    for content_type, body in (
        ("application/x-www-form-urlencoded", "type=return&reason=Wrong+number"),
        ("text/xml", "<feedback><type>return</type><reason>Wrong number</reason></feedback>"),
        ("application/json", '{"type": "return", "reason": "Wrong number"}'),
    ):
        delivery = deliver(api)
        answer = api.post(
            f"/v1/feedback?delivery_id={delivery}", data=body, headers={"Content-Type": content_type}, who="feedback"
        )
        assert answer.status_code == 201, answer.text
        [one] = heard(api, delivery)
        assert (one["type"], one["reason"]) == ("return", "Wrong number")


def test_a_wrong_line_of_a_list_stops_no_other(api: Api) -> None:
    delivery = deliver(api)
    answer = give(
        api,
        [
            {"delivery_id": delivery, "type": "conversion"},
            {"delivery_id": NOBODY, "type": "return"},
            {"delivery_id": delivery, "type": "refund"},
            "nothing",
            {"delivery_id": delivery, "type": "return", "id": "1"},
            {"delivery_id": delivery, "type": "conversion", "id": "1"},
        ],
    )
    found = answer.json()
    assert (answer.status_code, found["accepted"], found["rejected"]) == (200, 2, 4)
    assert [line["status"] for line in found["lines"]] == [
        "accepted", "rejected", "rejected", "rejected", "accepted", "rejected",
    ]  # fmt: skip
    problems = [line["problem"] for line in found["lines"] if line["status"] == "rejected"]
    assert [one["status"] for one in problems] == [404, 422, 422, 409]
    assert NOBODY in problems[0]["detail"]
    assert problems[1]["errors"][0]["field"] == "type"
    assert len(heard(api, delivery)) == 2


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"type": "refund"}, "type"),
        ({"type": None}, "type"),
        ({"delivery_id": "7"}, "delivery_id"),
        ({"destination": "crm", "reference": "x"}, "feedback"),
        ({"delivery_id": None}, "feedback"),
        ({"delivery_id": None, "reference": "x"}, "feedback"),
        ({"value": "a"}, "value"),
        ({"value": -1, "currency": "USD"}, "value"),
        ({"value": "1e30", "currency": "USD"}, "value"),
        ({"value": "Infinity", "currency": "USD"}, "value"),
        ({"value": 1}, "feedback"),
        ({"value": 1, "currency": "usd"}, "currency"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"occurred_at": "2026-11-01T12:00:00"}, "occurred_at"),
        ({"occurred_at": (datetime.now(UTC) + timedelta(days=2)).isoformat()}, "occurred_at"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "occurred_at"),
        ({"id": ""}, "id"),
        ({"id": "x" * 256}, "id"),
        ({"id": "a\x00b"}, "id"),
        ({"id": "\ud800"}, "id"),
        ({"reason": "x" * 2001}, "reason"),
        ({"reason": "\ud800"}, "reason"),
        ({"reason": 7}, "reason"),
        ({"reasn": "x"}, "reasn"),
        ({"a\ud800": "x"}, "feedback"),
    ],
)
def test_what_is_wrong_is_named(api: Api, entry: Mapping[str, Any], field: str) -> None:
    body = {"delivery_id": NOBODY, "type": "return", **entry}
    if body["delivery_id"] is None:
        del body["delivery_id"]
    answer = give(api, body)
    assert (answer.status_code, answer.json()["type"]) == (422, "/docs#invalid-feedback")
    assert errors(answer) == [field]


@pytest.mark.parametrize(
    ("more", "remedy"),
    [
        ({"value": 1, "currency": "usd"}, "such as USD (ISO 4217)"),
        ({"value": 1, "currency": "Euro"}, "such as USD (ISO 4217)"),
        ({"destination": "crm", "reference": "x"}, "leave destination and reference out"),
        ({"reference": "x"}, "leave reference out"),
        ({"curency": "USD"}, 'did you mean "currency"?'),
    ],
)
def test_what_is_wrong_is_told_with_its_remedy(api: Api, more: Mapping[str, Any], remedy: str) -> None:
    assert remedy in give(api, {"delivery_id": NOBODY, "type": "return", **more}).text.replace("\\", "")


@pytest.mark.parametrize(
    ("body", "content_type", "kind"),
    [
        (b"{", "application/json", "malformed-body"),
        (b'{"type": "return", "type": "conversion"}', "application/json", "malformed-body"),
        (b"x", "text/plain", "unsupported-type"),
        (b"7", "application/json", "invalid-feedback"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(api: Api, body: bytes, content_type: str, kind: str) -> None:
    answer = api.post("/v1/feedback", data=body, headers={"Content-Type": content_type})
    assert answer.json()["type"] == f"/docs#{kind}"


def test_the_delivery_stands_in_one_place(api: Api) -> None:
    for body in ([{"type": "return"}], {"type": "return", "delivery_id": NOBODY}, "text"):
        answer = give(api, body, query_string=f"?delivery_id={NOBODY}")
        assert (answer.status_code, errors(answer)) == (422, ["delivery_id"])
    assert give(api, {"type": "return"}, query_string="?deliveryid=1").status_code == 422


def test_control_characters_do_not_reach_a_terminal(api: Api) -> None:
    delivery = deliver(api)
    give(api, {"delivery_id": delivery, "type": "return", "reason": "a\x1b[31mb\x00\r\nc"})
    assert heard(api, delivery)[0]["reason"] == "a[31mb\nc"


def test_a_key_bound_to_a_source_reports_on_its_own_only(api: Api) -> None:
    own, foreign = deliver(api, "own", "source=partner"), deliver(api, "foreign")
    assert give(api, {"delivery_id": own, "type": "return"}, who="partner").status_code == 201
    assert give(api, {"delivery_id": foreign, "type": "return"}, who="partner").status_code == 404
    named = give(api, {"destination": "crm", "reference": "foreign", "type": "return"}, who="partner")
    assert (named.status_code, foreign in named.text) == (404, False)
    deliver(api, "own")
    assert give(api, {"destination": "crm", "reference": "own", "type": "return"}, who="partner").status_code == 200, (
        "for it there is only one"
    )


def test_ten_thousand_lines_are_taken_in_one_request_and_no_more(api: Api) -> None:
    delivery = deliver(api)
    lines = [{"delivery_id": delivery, "type": "return", "id": f"line-{place}"} for place in range(10_000)]
    lines[5000] = {"delivery_id": NOBODY, "type": "return"}
    answer = give(api, lines)
    assert answer.status_code == 200, answer.text[:300]
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (9999, 1)
    again = give(api, lines)
    assert all(line.get("repeated") for line in again.json()["lines"] if line["status"] == "accepted")
    beyond = give(api, [{}] * 10_001)
    assert (beyond.status_code, beyond.json()["type"]) == (413, "/docs#too-large")
    longer = give(api, [{"reason": "x" * 1000}] * 2000)
    assert (longer.status_code, longer.json()["type"]) == (413, "/docs#too-large")


def test_it_is_audited_and_counted_without_a_word_of_the_reason(api: Api) -> None:
    delivery = deliver(api)

    def figure(name: str, **labels: str) -> float:
        shown = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
        page = requests.get(f"{api.url}/metrics", timeout=10).text
        found = [line for line in page.splitlines() if line.startswith(f"leadrelay_{name}_total{{{shown}}}")]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    count = figure("feedback", destination="crm", type="conversion")
    worth = figure("feedback_value", currency="CHF", destination="crm", type="conversion")
    entry = {
        "delivery_id": delivery,
        "type": "conversion",
        "value": "2.5",
        "currency": "CHF",
        "reason": "ada@example.com",
    }
    assert [give(api, entry).status_code for _ in range(2)] == [201, 200]
    wait_until(lambda: figure("feedback", destination="crm", type="conversion") == count + 1, "it is counted once")
    assert figure("feedback_value", destination="crm", type="conversion", currency="CHF") == worth + 2.5
    audit = api.database.fetch("select actor, action, detail from audit where subject = %s", (delivery,))
    [(actor, action, detail)] = audit
    assert (actor, action, detail["type"]) == ("key:feedback", "delivery.feedback", "conversion")
    assert "ada" not in json.dumps(detail)


def test_feedback_goes_with_its_lead_and_its_figures_stay(api: Api) -> None:
    delivery = UUID(deliver(api))
    give(api, {"delivery_id": str(delivery), "type": "return"})
    before = feedback.figures(api.database)
    found = query.delivery(api.database, delivery)
    assert found is not None
    api.database.fetch(
        "update leads set received_at = now() - interval '91 days' where id = %s returning 1", (found.lead_id,)
    )
    assert operation.forget(api.database, older_than_days=90, limit=100) == 1
    assert api.database.fetch("select count(*) from feedback where delivery_id = %s", (delivery,)) == [(0,)]
    assert feedback.figures(api.database) == before
    assert sum(one.value for one in before) >= Decimal(0)


def test_a_reference_is_found_by_an_index(api: Api) -> None:
    deliver(api, "by index")
    with api.database.transaction() as connection:
        connection.execute("set local enable_seqscan = off")
        plan = connection.execute(
            b"explain " + feedback._BY_REFERENCE,
            {"places": [0], "destinations": ["crm"], "references": ["x"], "source": None, "destination": None},
        ).fetchall()
    assert any("deliveries_reference" in row[0] for row in plan), plan


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["delivery_id", "type", "reason", "value", "currency", "occurred_at", "id", "reference", "x"]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=8,
    )
)
def test_whatever_comes_is_answered_and_never_a_defect(api: Api, body: Any) -> None:
    assert give(api, body).status_code < 500
