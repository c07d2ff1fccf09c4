"""What a destination would be sent and what an answer of it would mean, told without sending a lead or a credential.

Shared by CLI and API. Nobody is reached but where a destination is described at an address, such as that of a WSDL: that
document is fetched then, the way the destination's requests go but without anything that says who we are.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from app import connectors
from app.answer import judged, outcome_of
from app.catalog import Step, create_connector, network_settings
from app.config.network import NetworkConfig
from app.config.standin import StandIns
from app.connectors.base import Capability, Connector, Sent
from app.errors import Complaint, ConfigurationFault, Conflict, DataFault, InvalidConfig
from app.reply import Answer
from app.trial import Trial, Verdict, opened, require


def fetches(step: Step) -> bool:
    """Whether `preview` and `interpret` have to fetch something. Raises `InvalidConfig` for settings that make no request."""
    with _told():
        kind = connectors.load(step.config.type)
        return bool(kind.unread(StandIns().settings(kind.Settings, step.config.settings)))


def preview(step: Step, trial: Trial, *, environ: Mapping[str, str], reveal: bool = False) -> Any:
    """The request (or message) that would be sent; with `reveal` the environment's secrets are in it, else they are masked.

    Masked, no reference is resolved: `${env:NAME}` stands as it is written. Raises `InvalidConfig` for a payload or settings
    that make no request, and `DeliveryFault` where what describes the destination cannot be fetched at the moment.
    """
    with _told():
        if reveal:
            with opened(create_connector(step, environ)) as connector:
                _learn(connector, step, environ)
                return connector.request(trial.item, reveal=True)
        with _unsecret(step, environ) as (connector, stand_ins):
            return stand_ins.put_back(connector.request(trial.item, reveal=False))


def interpret(step: Step, answer: Answer, *, environ: Mapping[str, str]) -> Verdict:
    """What an answer would mean; a body given as text is that text, in whatever charset its headers or it itself name.

    Raises `Conflict` for a destination that does not speak HTTP and a redirect that a send would follow, `InvalidInput` for a
    body that its charset cannot hold, else as `preview` does.
    """
    require(step, Capability.HTTP, "do not answer over HTTP: there is nothing to interpret")
    rules = step.config.response
    headers, body = answer.parts(rules.format if rules is not None else "auto")
    with _told(), _unsecret(step, environ) as (connector, _):
        try:
            outcome = connector.interpret(answer.status, headers, body)
        except Conflict:  # there is nothing to interpret yet
            raise
        except Exception as error:  # noqa: BLE001  # translated where deliveries' are
            outcome = outcome_of(judged(step, connector, Sent(answer=error)).answer)
        return Verdict.of(outcome)


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong with mapping or settings is told as such."""
    try:
        yield
    except (ConfigurationFault, DataFault) as fault:
        place = "mapping" if isinstance(fault, DataFault) else "settings"
        raise InvalidConfig([Complaint(field=place, detail=fault.reason)]) from None


@contextmanager
def _unsecret(step: Step, environ: Mapping[str, str]) -> Iterator[tuple[Connector[Any], StandIns]]:
    """A connector that knows no secret, and what stands in for them."""
    kind, stand_ins = connectors.load(step.config.type), StandIns()
    config = step.config
    settings = stand_ins.settings(kind.Settings, config.settings)
    for address in kind.unread(settings):
        if (written := stand_ins.put_back(address)) != address:
            reason = f"{written} is not fetched: what its references stand for may be secret. Name a file instead"
            raise ConfigurationFault(f"{reason}, or use `leadrelay preview --reveal`")
    # Without `network`: proxies and certificates are secrets or need them, and leads go nowhere.
    with opened(kind(config.name, settings, limits=config.limits, response=config.response)) as connector:
        _learn(connector, step, environ)
        yield connector, stand_ins


def _learn(connector: Connector[Any], step: Step, environ: Mapping[str, str]) -> None:
    """Have the connector fetch what it needs."""
    if connector.unread(connector.settings):
        connector.learn(_way(step, environ))


def _way(step: Step, environ: Mapping[str, str]) -> NetworkConfig | None:
    """How the destination is reached, without credentials; of an address of a proxy that is a reference they are known last."""
    if step.config.network is None:
        return None
    plain = step.config.model_copy(update={"network": step.config.network.without_credentials()})
    found = network_settings(plain, environ)
    return None if found is None else found.without_credentials()
