"""From what a connector returned or raised to an outcome: the one place where exceptions become outcomes.

It decides nothing about the delivery; `app.policy` does.
"""

from typing import Any

from app.catalog import Step
from app.connectors.base import Connector, Sent, Unbegun
from app.errors import ConfigurationFault, DeliveryFault
from app.model import Fault, Outcome, Result
from app.telemetry import Event, report


def judged(step: Step, connector: Connector[Any], sent: Sent) -> Sent:
    """Driver exceptions become faults by the connector's table; anything else is a defect of the connector."""
    answer = sent.answer
    if isinstance(answer, Outcome | Unbegun | DeliveryFault):
        return sent
    for kind, fault in connector.faults.items():
        if isinstance(answer, kind):
            reason = f"{type(answer).__name__} from the destination's driver"
            return Sent(answer=Outcome(result=Result.ERROR, fault=fault, reason=reason), duration_ms=sent.duration_ms)
    defect = answer if isinstance(answer, Exception) else TypeError("not an answer")
    report(Event.CONNECTOR_DEFECT, defect, destination=step.config.name)
    reason = f"a defect of connector type {step.config.type}: {type(defect).__name__}"
    return Sent(answer=Outcome(result=Result.ERROR, fault=Fault.PERMANENT, reason=reason), duration_ms=sent.duration_ms)


def outcome_of(answer: Outcome | Exception | Unbegun) -> Outcome:
    """A judged answer as an outcome."""
    if isinstance(answer, Outcome):
        return answer
    assert isinstance(answer, DeliveryFault)
    return Outcome(
        result=Result.ERROR,
        fault=answer.fault,
        reason=answer.reason,
        ambiguous=answer.ambiguous,
        retry_after=answer.retry_after,
        transcript=answer.transcript,
    )


def unmade(step: Step, error: Exception) -> ConfigurationFault:
    """Why a connector could not be made."""
    if isinstance(error, ConfigurationFault):
        return error
    report(Event.CONNECTOR_DEFECT, error, destination=step.config.name)
    return ConfigurationFault(f"a connector of type {step.config.type} cannot be made: {type(error).__name__}")


def bare(outcome: Outcome) -> Outcome:
    """The outcome without the words in which it came, which could not be stored."""
    return Outcome(
        result=outcome.result, fault=outcome.fault, reason="the answer could not be stored", ambiguous=outcome.ambiguous
    )
