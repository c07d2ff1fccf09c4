"""What every connector must do, whatever it speaks: each type's test subclasses `ConnectorContract`.

A `Stage` is a destination under the test's control. What a connector declares in `capabilities` decides which tests
apply; a skipped one names the capability or the verb that is missing.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from time import monotonic, sleep
from typing import Any, ClassVar

import pytest

from app.config.schema import LimitsConfig
from app.connectors.base import Capability, Connector, Unbegun
from app.errors import ConfigurationFault, DeliveryFault, TransientFault
from app.model import Fault, Item, Outcome, Result

LIMITS = LimitsConfig(concurrency=4, timeout_seconds=1.0)


class Stage(ABC):
    """A destination under control. Verbs say how it behaves from now on; one it cannot play calls `pytest.skip`."""

    payload: Mapping[str, Any]
    """A payload that is accepted; every text in it is personal data."""
    poison: Mapping[str, Any]
    """One that cannot be delivered while the destination is well."""
    secrets: Sequence[str]
    """Credentials in the settings, in every form they take on the wire."""

    @abstractmethod
    def connector(self, limits: LimitsConfig) -> Connector[Any]:
        """A connector for the destination."""

    @abstractmethod
    def unreachable(self, limits: LimitsConfig) -> Connector[Any]:
        """A connector for a destination that nobody listens at."""

    @abstractmethod
    def succeed(self) -> None: ...

    @abstractmethod
    def reject(self) -> None:
        """The destination's business says no."""

    @abstractmethod
    def fail(self) -> None:
        """The destination is in trouble and says so."""

    @abstractmethod
    def refuse_credentials(self) -> None: ...

    @abstractmethod
    def hang(self) -> None:
        """A lead is taken and nothing is answered."""

    @abstractmethod
    def vanish(self) -> None:
        """The connection is reset when a whole lead has been read."""

    @abstractmethod
    def keys(self) -> Sequence[str]:
        """Idempotency keys received, in order."""

    @abstractmethod
    def connections(self) -> int:
        """Connections open now."""


def judged(connector: Connector[Any], answer: Outcome | Exception | Unbegun) -> Outcome:
    """An answer as an outcome, exceptions translated as delivery does."""
    if isinstance(answer, Outcome):
        return answer
    assert isinstance(answer, Exception), "nothing was sent"
    if isinstance(answer, DeliveryFault):
        return Outcome(
            result=Result.ERROR,
            fault=answer.fault,
            reason=answer.reason,
            retry_after=answer.retry_after,
            ambiguous=answer.ambiguous,
            transcript=answer.transcript,
        )
    for kind in type(answer).__mro__:
        if kind in connector.faults:
            return Outcome(result=Result.ERROR, fault=connector.faults[kind], reason=str(answer))
    raise answer


class ConnectorContract:
    """Subclasses give a fixture `stage`; the rest is here."""

    limits: ClassVar[LimitsConfig] = LIMITS

    @pytest.fixture
    def connector(self, stage: Stage) -> Any:
        stage.succeed()
        connector = stage.connector(self.limits)
        yield connector
        connector.close()

    def item(
        self, payload: Mapping[str, Any], key: str = "0199c8e2-0000-7000-8000-000000000001", attempt: int = 1
    ) -> Item:
        deadline = monotonic() + self.limits.timeout_seconds
        return Item(payload=payload, key=key, attempt=attempt, deadline=deadline)

    def send(self, connector: Connector[Any], item: Item) -> Outcome:
        sent = connector.deliver_many([item], until=monotonic() + 10)
        assert len(sent) == 1
        return judged(connector, sent[0].answer)

    def test_accepted_lead_is_a_success(self, stage: Stage, connector: Connector[Any]) -> None:
        outcome = self.send(connector, self.item(stage.payload))
        assert (outcome.result, outcome.fault, outcome.ambiguous) == (Result.SUCCESS, None, False)
        assert outcome.transcript

    def test_business_rejection_is_a_failure_and_no_fault(self, stage: Stage, connector: Connector[Any]) -> None:
        stage.reject()
        outcome = self.send(connector, self.item(stage.payload))
        assert (outcome.result, outcome.fault) == (Result.FAILURE, None)
        assert outcome.reason

    def test_destination_in_trouble_is_a_transient_error(self, stage: Stage, connector: Connector[Any]) -> None:
        stage.fail()
        outcome = self.send(connector, self.item(stage.payload))
        assert (outcome.result, outcome.fault) == (Result.ERROR, Fault.TRANSIENT)

    def test_refused_credentials_are_a_configuration_error(self, stage: Stage, connector: Connector[Any]) -> None:
        stage.refuse_credentials()
        outcome = self.send(connector, self.item(stage.payload))
        assert (outcome.result, outcome.fault) == (Result.ERROR, Fault.CONFIGURATION)

    def test_unreachable_destination_is_transient_and_not_ambiguous(self, stage: Stage) -> None:
        connector = stage.unreachable(self.limits)
        outcome = self.send(connector, self.item(stage.payload))
        connector.close()
        assert (outcome.fault, outcome.ambiguous) == (Fault.TRANSIENT, False)

    def test_hang_ends_by_the_deadline(self, stage: Stage, connector: Connector[Any]) -> None:
        stage.hang()
        begun = monotonic()
        outcome = self.send(connector, self.item(stage.payload))
        assert monotonic() - begun < self.limits.timeout_seconds + 1
        assert (outcome.fault, outcome.ambiguous) == (Fault.TRANSIENT, True)

    def test_lost_answer_is_ambiguous(self, stage: Stage, connector: Connector[Any]) -> None:
        stage.vanish()
        outcome = self.send(connector, self.item(stage.payload))
        assert (outcome.fault, outcome.ambiguous) == (Fault.TRANSIENT, True)

    def test_group_comes_back_in_order_one_result_per_item(self, stage: Stage, connector: Connector[Any]) -> None:
        payloads = [stage.poison if place % 3 == 1 else stage.payload for place in range(10)]
        items = [
            self.item(payload, key=f"0199c8e2-0000-7000-8000-{place:012}") for place, payload in enumerate(payloads)
        ]
        sent = connector.deliver_many(items, until=monotonic() + 10)
        results = [judged(connector, one.answer).result for one in sent]
        assert [result is Result.SUCCESS for result in results] == [payload is stage.payload for payload in payloads]

    def test_nothing_is_begun_when_the_time_of_the_group_is_up(self, stage: Stage, connector: Connector[Any]) -> None:
        sent = connector.deliver_many([self.item(stage.payload), self.item(stage.payload)], until=monotonic() - 0.001)
        assert [type(one.answer) for one in sent] == [Unbegun, Unbegun]
        assert not stage.keys()

    def test_every_retry_carries_the_same_key(self, stage: Stage, connector: Connector[Any]) -> None:
        needs(connector, Capability.IDEMPOTENT)
        stage.vanish()
        self.send(connector, self.item(stage.payload, key="0199c8e2-0000-7000-8000-00000000abcd"))
        stage.succeed()
        self.send(connector, self.item(stage.payload, key="0199c8e2-0000-7000-8000-00000000abcd", attempt=2))
        assert list(stage.keys()) == ["0199c8e2-0000-7000-8000-00000000abcd"] * 2

    @pytest.mark.parametrize("verb", ["succeed", "fail", "refuse_credentials", "vanish"])
    def test_transcript_and_reason_hold_no_credentials(
        self, stage: Stage, connector: Connector[Any], verb: str
    ) -> None:
        getattr(stage, verb)()
        outcome = self.send(connector, self.item(stage.payload))
        told = f"{outcome.transcript} {outcome.reason}"
        assert not [secret for secret in stage.secrets if secret in told]

    @pytest.mark.parametrize("verb", ["hang", "vanish"])
    def test_exceptions_hold_no_values_of_the_lead(self, stage: Stage, connector: Connector[Any], verb: str) -> None:
        getattr(stage, verb)()
        for payload in (stage.payload, stage.poison):
            sent = connector.deliver_many([self.item(payload)], until=monotonic() + 10)
            told = _chain(sent[0].answer)
            assert not [value for value in _texts(payload) if value in told]

    def test_closing_gives_back_threads_and_connections(self, stage: Stage) -> None:
        stage.succeed()
        connector = stage.connector(self.limits)
        connector.deliver_many(
            [self.item(stage.payload, key=f"key-{place}") for place in range(8)], until=monotonic() + 10
        )
        connector.close()
        assert _within(lambda: stage.connections() == 0)
        assert _within(
            lambda: not [one for one in threading.enumerate() if one.name.startswith(f"send-{connector.name}_")]
        )

    def test_closing_amid_a_group_loses_no_result(self, stage: Stage) -> None:
        stage.hang()
        connector = stage.connector(self.limits)
        closing = threading.Timer(0.2, connector.close)
        closing.start()
        sent = connector.deliver_many([self.item(stage.payload) for _ in range(6)], until=monotonic() + 0.5)
        closing.join()
        stage.succeed()
        assert len(sent) == 6
        assert {judged(connector, one.answer).result for one in sent if not isinstance(one.answer, Unbegun)} == {
            Result.ERROR
        }

    def test_check_passes_where_leads_are_taken(self, stage: Stage, connector: Connector[Any]) -> None:
        needs(connector, Capability.CHECK)
        connector.check()
        assert not stage.keys()

    def test_check_tells_refused_credentials(self, stage: Stage, connector: Connector[Any]) -> None:
        needs(connector, Capability.CHECK)
        stage.refuse_credentials()
        with pytest.raises(ConfigurationFault):
            connector.check()

    def test_check_tells_an_unreachable_destination(self, stage: Stage) -> None:
        connector = stage.unreachable(self.limits)
        needs(connector, Capability.CHECK)
        with pytest.raises(Exception) as caught:  # a driver's own exception may be declared in `faults`
            connector.check()
        connector.close()
        assert isinstance(caught.value, TransientFault) or judged(connector, caught.value).fault is Fault.TRANSIENT

    def test_describe_lists_the_fields_of_the_destination(self, connector: Connector[Any]) -> None:
        needs(connector, Capability.DESCRIBE)
        properties = connector.describe()
        assert properties
        assert len({found.name for found in properties}) == len(properties)

    def test_what_would_be_sent_is_shown_without_sending_it_and_without_secrets(
        self, stage: Stage, connector: Connector[Any]
    ) -> None:
        connections, item = stage.connections(), self.item(stage.payload)
        shown = connector.request(item, reveal=False)
        revealed = connector.request(item, reveal=True)
        assert shown.keys() == revealed.keys()
        assert not [secret for secret in stage.secrets if secret in str(shown)]
        assert (list(stage.keys()), stage.connections()) == ([], connections)
        if Capability.HTTP in connector.capabilities:
            assert list(shown) == ["method", "url", "headers", "body"]
            assert revealed["url"].startswith("http")

    def test_an_answer_is_interpreted_without_asking(self, stage: Stage, connector: Connector[Any]) -> None:
        needs(connector, Capability.HTTP)
        stage.refuse_credentials()  # whoever were asked would say so
        try:
            outcome = connector.interpret(503, {"content-type": "text/html"}, b"<h1>away</h1>")
        except DeliveryFault as fault:
            outcome = judged(connector, fault)
        assert (outcome.result, outcome.fault, outcome.ambiguous) == (Result.ERROR, Fault.TRANSIENT, False)


def needs(connector: Connector[Any], capability: Capability) -> None:
    """Skip the test where the connector does not declare it."""
    if capability not in connector.capabilities:
        pytest.skip(f"{type(connector).__name__} declares no {capability.name}")


def _within(true: Any, seconds: float = 2.0) -> bool:
    ends = monotonic() + seconds
    while not true() and monotonic() < ends:
        sleep(0.005)
    return bool(true())


def _chain(error: object) -> str:
    """An exception and all it came from, as a log would show them."""
    told = ""
    while isinstance(error, BaseException):
        told += f" {error!r} {error}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return told


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) and len(value) > 2 else []
