"""The files of docs/recipes as they stand, from the lead to the recorded outcome, each against a strict server of its own.

One worker serves all of them. Nothing is added to a file but that the network guard lets it reach this machine.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from decimal import Decimal
from json import loads
from pathlib import Path
from typing import Any

import pytest

from app import operations
from app.broker import dead_queue, delivery_queue
from app.catalog import Catalog
from app.config.loading import load_destination
from app.config.network import NetworkConfig
from app.config.schema import DestinationConfig, Document, SourceConfig
from app.intake import Intake, Receipt, Submission
from app.ledger import Database, operation, query
from app.model import FINAL, State
from app.sandbox.process import Running
from tests.connectors import graphql_server
from tests.tasks.broker import ValkeyBroker
from tests.tasks.conftest import LOCAL, TREE, Fleet, await_that, fleet_on
from tests.tasks.recipe_servers import (
    BatchBuyer,
    Counterpart,
    FormBuyer,
    NumberAndBuyer,
    OauthCrm,
    PingPost,
    SignedWebhook,
    SoapBuyer,
    TextBuyer,
    XmlBuyer,
    serving,
)

RECIPES = TREE / "docs/recipes"
COUNTERPARTS: Mapping[str, type[Counterpart]] = {
    "ping-post": PingPost,
    "xml-price": XmlBuyer,
    "text-answer": TextBuyer,
    "form-redirect": FormBuyer,
    "soap-wss": SoapBuyer,
    "oauth-crm": OauthCrm,
    "signed-webhook": SignedWebhook,
    "lookup-deliver": NumberAndBuyer,
    "batch-array": BatchBuyer,
}
GRAPHQL = "graphql-mutation"


class Kitchen:
    """All recipes at work: a source for each, and a worker that knows every server's address and secret."""

    def __init__(self, fleet: Fleet, crm: graphql_server.Crm) -> None:
        self.fleet = fleet
        self.crm = crm
        self.others: dict[str, Counterpart] = {}
        self.catalog = Catalog(fleet.database)

    def start(self) -> None:
        loaded = {name: _destinations(name) for name in [*self.others, GRAPHQL]}
        sources = [
            SourceConfig(name=name, destinations=[one.name for one in destinations])
            for name, destinations in loaded.items()
        ]
        every = [one for destinations in loaded.values() for one in destinations]
        operations.apply(self.fleet.database, Document(sources=sources, destinations=every), actor="test")
        self.fleet.queues |= {queue(one.name) for one in every for queue in (delivery_queue, dead_queue)}
        self.catalog.refresh()
        environment = {
            "GRAPHQL_CRM_URL": self.crm.url.removesuffix("/graphql"),
            "GRAPHQL_CRM_TOKEN": graphql_server.TOKEN,
        }
        for other in self.others.values():
            environment |= other.environment
        self.fleet.start(**environment)

    def accept(self, recipe: str, *changes: Mapping[str, Any]) -> list[Receipt]:
        """Submit the recipe's sample lead, once for each of these changes."""
        lead = loads((RECIPES / recipe / "lead.json").read_text())
        submissions = [Submission(source=recipe, fields={**lead, **change}) for change in changes]
        answers = Intake(self.fleet.database, self.catalog).accept(submissions)
        receipts = [one for one in answers if isinstance(one, Receipt)]
        assert len(receipts) == len(changes)
        return receipts

    def outcomes(self, receipts: list[Receipt]) -> list[dict[str, query.DeliveryView]]:
        """By destination, for each lead, when all have ended."""
        ids = [receipt.lead_id for receipt in receipts]
        found = query.lead_deliveries
        database = self.fleet.database
        ended = FINAL | {State.DEAD, State.HELD}
        await_that(lambda: all(view.state in ended for view in found(database, ids)), "the leads ended", within=30)
        views = found(database, ids)
        return [{view.destination: view for view in views if view.lead_id == lead} for lead in ids]

    def deliver(self, recipe: str, *changes: Mapping[str, Any]) -> list[dict[str, query.DeliveryView]]:
        """Submit and wait."""
        return self.outcomes(self.accept(recipe, *changes))

    def one(self, recipe: str, **change: Any) -> query.DeliveryView:
        """The same for a recipe of one destination and one lead."""
        [views] = self.deliver(recipe, change)
        [view] = views.values()
        return view


def _destinations(recipe: str) -> list[DestinationConfig]:
    files: list[Path] = sorted((RECIPES / recipe).glob("*.yaml"))
    loaded = [load_destination(file).document.destinations[0] for file in files]
    return [one.model_copy(update={"network": NetworkConfig.model_validate(LOCAL)}) for one in loaded]


@pytest.fixture(scope="module")
def kitchen(
    module_database_url: str, broker_url: str, sandbox: Running, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kitchen]:
    database, broker = Database(module_database_url, size=4), ValkeyBroker(broker_url)
    with ExitStack() as stack:
        fleet = stack.enter_context(fleet_on(database, broker, sandbox, tmp_path_factory.mktemp("recipes")))
        found = Kitchen(fleet, stack.enter_context(graphql_server.running()))
        for name, kind in COUNTERPARTS.items():
            found.others[name] = stack.enter_context(serving(kind()))
        found.start()
        yield found
    broker.close()
    database.close()


def said(view: query.DeliveryView) -> tuple[State, str | None, Decimal | None, str | None]:
    return view.state, view.reason, view.price, view.reference


def test_every_recipe_is_tried_here() -> None:
    assert {*COUNTERPARTS, GRAPHQL} == {folder.name for folder in RECIPES.iterdir() if folder.is_dir()}


def test_a_good_bid_is_followed_by_the_lead_and_others_are_not(kitchen: Kitchen) -> None:
    good, low, elsewhere = kitchen.deliver("ping-post", {}, {"postal_code": "78702"}, {"postal_code": "10001"})
    assert said(good["ping"]) == (State.DELIVERED, None, None, good["ping"].reference)
    assert said(good["post"]) == (State.DELIVERED, None, Decimal("15.5"), "L-1")
    assert (low["ping"].state, low["post"].state) == (State.DELIVERED, State.SKIPPED)
    assert (elsewhere["ping"].state, elsewhere["ping"].reason) == (State.REJECTED, "no coverage")
    assert (elsewhere["post"].state, elsewhere["post"].reason) == (State.SKIPPED, "step ping is rejected: no coverage")
    [bought] = kitchen.others["ping-post"].took
    assert (bought["ping_id"], bought["email"], bought["phone"]) == (
        good["ping"].reference,
        "ada@example.com",
        "+15125550143",
    )
    [again] = kitchen.deliver("ping-post", {})
    assert said(again["post"]) == (State.REJECTED, "duplicate", None, None)


def test_xml_says_whether_why_and_for_how_much(kitchen: Kitchen) -> None:
    assert said(kitchen.one("xml-price")) == (State.DELIVERED, None, Decimal("18.00"), "6120443")
    assert said(kitchen.one("xml-price", postal_code="10001")) == (State.REJECTED, "Unmatched", None, "900")
    broken = kitchen.one("xml-price", email="", postal_code="")
    assert (broken.state, broken.reason) == (State.REJECTED, "Invalid Email, Invalid Zip")
    [bought] = kitchen.others["xml-price"].took
    assert (bought["Primary_Phone"], bought["Date_Of_Birth"]) == ("5125550143", "12/10/1985")


def test_a_line_of_text_is_understood(kitchen: Kitchen) -> None:
    assert said(kitchen.one("text-answer")) == (State.DELIVERED, None, None, "88412")
    assert said(kitchen.one("text-answer")) == (State.REJECTED, "DUP", None, None)
    assert said(kitchen.one("text-answer", phone_1="")) == (State.REJECTED, "ERR|phone is missing", None, None)


def test_a_form_is_filled_in_up_to_the_thank_you_page(kitchen: Kitchen) -> None:
    leads = kitchen.deliver("form-redirect", {}, {"email": "bo@example.com"})
    assert {said(view) for views in leads for view in views.values()} == {
        (State.DELIVERED, None, None, "Q4711"),
        (State.DELIVERED, None, None, "Q4712"),
    }
    refused = kitchen.one("form-redirect", opt_in="no", postal_code="")
    assert (refused.state, refused.reason) == (
        State.REJECTED,
        "Please agree to be called, Please enter a valid ZIP code",
    )
    assert [one["full_name"] for one in kitchen.others["form-redirect"].took] == ["Ada Lovelace"] * 2


def test_a_soap_message_shows_the_digest_of_a_password_and_fits_the_schema(kitchen: Kitchen) -> None:
    view = kitchen.one("soap-wss")
    assert said(view) == (State.DELIVERED, None, Decimal("21.50"), "S-1")
    assert said(kitchen.one("soap-wss")) == (State.REJECTED, "duplicate", None, None)
    wrong = kitchen.one("soap-wss", email="")
    assert (wrong.state, wrong.fault) == (State.DEAD, "data")
    [kept] = kitchen.others["soap-wss"].took
    assert (kept["externalId"], kept["born"], kept["campaign"]) == (str(view.id), "1985-12-10", "4711")


def test_a_crm_gives_one_token_for_all_leads_and_knows_what_it_has(kitchen: Kitchen) -> None:
    crm = kitchen.others["oauth-crm"]
    assert isinstance(crm, OauthCrm)
    view = kitchen.one("oauth-crm")
    assert said(view) == (State.DELIVERED, None, None, "00c-1")
    assert said(kitchen.one("oauth-crm")) == (State.REJECTED, "a lead with this email exists", None, None)
    missing = kitchen.one("oauth-crm", email="bo@example.com", first_name="")
    assert (missing.state, missing.reason) == (State.REJECTED, "firstName is required")
    assert crm.tokens == ["t-1"]
    [kept] = crm.took
    assert (kept["externalId"], kept["phones"]) == (str(view.id), [{"type": "mobile", "number": "+15125550143"}])


def test_a_mutation_creates_a_lead_and_user_errors_are_a_rejection(kitchen: Kitchen) -> None:
    view = kitchen.one(GRAPHQL)
    assert said(view) == (State.DELIVERED, None, Decimal("12.5"), "L-1")
    assert said(kitchen.one(GRAPHQL)) == (State.REJECTED, "Email has been taken", None, None)
    [kept] = kitchen.crm.leads
    assert (kept.external_id, kept.age, kept.consent, kept.address.city) == (str(view.id), 41, True, "Austin")


def test_a_signed_webhook_is_taken(kitchen: Kitchen) -> None:
    view = kitchen.one("signed-webhook")
    assert said(view) == (State.DELIVERED, None, None, "T-903")
    assert said(kitchen.one("signed-webhook", email="")) == (State.REJECTED, "email is missing", None, None)
    [event] = kitchen.others["signed-webhook"].took
    assert (event["id"], event["lead"]["email"]) == (str(view.id), "ada@example.com")


def test_what_was_looked_up_decides_and_a_service_that_is_away_stops_nothing(kitchen: Kitchen) -> None:
    mobile, voip, invalid, away = kitchen.deliver(
        "lookup-deliver", {}, {"phone_1": "5125550144"}, {"phone_1": "5125550145"}, {"phone_1": "5125550199"}
    )
    assert [one["number"].state for one in (mobile, voip, invalid, away)] == [
        State.DELIVERED,
        State.DELIVERED,
        State.REJECTED,
        State.DEAD,
    ]
    assert [one["mobile-buyer"].state for one in (mobile, voip, invalid, away)] == [
        State.DELIVERED,
        State.SKIPPED,
        State.SKIPPED,
        State.DELIVERED,
    ]
    told = {lead["phone"]["number"]: lead["phone"] for lead in kitchen.others["lookup-deliver"].took}
    assert told["+15125550143"]["type"] == "mobile"
    assert told["+15125550143"]["checked_by"] == "n-77"
    assert told["+15125550199"] == {"number": "+15125550199", "type": "unknown"}


def test_leads_share_a_request_and_each_has_an_answer(kitchen: Kitchen) -> None:
    buyer = kitchen.others["batch-array"]
    assert isinstance(buyer, BatchBuyer)
    operation.pause(kitchen.fleet.database, "batch-buyer", paused=True, actor="test")
    emails = ["a@example.com", "b@example.com", "a@example.com", "c@example.com"]
    receipts = kitchen.accept("batch-array", *({"email": email} for email in emails), {"postal_code": ""})
    operation.pause(kitchen.fleet.database, "batch-buyer", paused=False, actor="test")
    views = [views["batch-buyer"] for views in kitchen.outcomes(receipts)]
    assert (sum(buyer.requests), max(buyer.requests) > 1) == (5, True)
    taken = [view for view in views if view.state is State.DELIVERED]
    assert {(view.reference, view.price) for view in taken} == {
        (f"A-{email}", Decimal("4.25")) for email in sorted(set(emails))
    }
    assert sorted(view.reason or "" for view in views if view.state is State.REJECTED) == ["duplicate", "incomplete"]
    assert {lead["id"] for lead in buyer.took} == {str(view.id) for view in taken}
