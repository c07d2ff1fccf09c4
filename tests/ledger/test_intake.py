"""Intake on a real ledger: what a process that has only just started does."""

import pytest

from app import operations
from app.catalog import Catalog
from app.config.schema import Document, SourceConfig
from app.errors import InvalidLead, Unavailable
from app.intake import Intake, Receipt, Submission
from app.ledger import Database
from app.ledger.balance import balance

LEAD = Submission(source="web", fields={"email": "ann@example.com"})


def test_a_process_that_only_just_started_takes_up_the_configuration_before_it_judges(database: Database) -> None:
    operations.apply(database, Document(sources=[SourceConfig(name="web")]), actor="test")
    [answer] = Intake(database, Catalog(database)).accept([LEAD])
    assert isinstance(answer, Receipt)


def test_without_any_configuration_a_lead_is_not_refused_but_asked_to_come_again(database: Database) -> None:
    with pytest.raises(Unavailable, match="config apply"):
        Intake(database, Catalog(database)).accept([LEAD])


def test_an_unknown_source_is_refused_with_the_known_ones(database: Database) -> None:
    operations.apply(database, Document(sources=[SourceConfig(name="web")]), actor="test")
    [answer] = Intake(database, Catalog(database)).accept([Submission(source="wbe", fields={})])
    assert isinstance(answer, InvalidLead)
    assert answer.complaints[0].remedy == "known sources: web"
    assert balance(database).accepted == 0
