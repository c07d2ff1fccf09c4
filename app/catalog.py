"""The running configuration, compiled: what every process looks sources and destinations up in.

A version is compiled once, whole, so that a mistake in it is found when it is applied and never when a lead meets it.
Processes poll for a newer version; what did not change keeps its compiled form, its connections and its threads.
"""

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from pydantic import BaseModel, ValidationError

from app import connectors
from app.config.complaints import complaints_of
from app.config.flow import FallbackConfig
from app.config.network import NetworkConfig
from app.config.reference import ancestors, routed
from app.config.schema import DestinationConfig, Document, SourceConfig
from app.config.secrets import resolve, values
from app.config.suggestion import suggest
from app.connectors.base import Connector, TokenStore
from app.errors import Complaint, ConfigurationFault, InvalidConfig, InvalidTemplate
from app.fields import FieldSpecs
from app.flow.schedule import Schedule, complaint
from app.ledger import Database, version
from app.ledger.acceptance import NOBODY, Subscriptions
from app.ledger.circuit import GateRules
from app.ledger.step import Steps
from app.mapping import CompiledMapping, compile_mapping
from app.routing import Route
from app.rules import Rule, compile_rule
from app.subscription import WHOLE_EVENT, mistakes, subscriptions_of
from app.templated import CompiledSettings
from app.validation import check_connector

_STEP = re.compile(r"""\bsteps(?:\.([a-z][a-z0-9_-]*)|\s*\[\s*['"]([^'"]+)['"]\s*\])""")
_FILLED_IN = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_PROPERTY = re.compile(r"property '([^']+)'")
Place = Callable[[str, str, str, str, str | None], Complaint]
"""(kind, name, field, detail, remedy) -> Complaint, with file and line where they are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A source, ready to read leads."""

    config: SourceConfig
    specs: FieldSpecs
    routes: tuple[Route, ...]
    is_plain: bool
    """Whether every lead simply goes to all of them: no conditions, no steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A destination, ready to be sent to. Two steps with the same digest behave alike.

    `before` names every step it comes after, directly or not. `asked_late`: its `condition` is asked when a delivery is sent,
    for what is asked about is known only then, or the delivery was another's until then.
    """

    config: DestinationConfig
    mapping: CompiledMapping
    templates: CompiledSettings | None
    condition: Rule | None
    schedule: Schedule | None
    gate: GateRules
    digest: str
    before: frozenset[str] = frozenset()
    fallback: FallbackConfig | None = None
    asked_late: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """One configuration version, ready for use."""

    version: int
    document: Document
    sources: Mapping[str, Source]
    steps: Mapping[str, Step]
    chain: Steps = field(default_factory=Steps)
    subscriptions: Subscriptions = NOBODY


def nowhere(kind: str, name: str, field: str, detail: str, remedy: str | None) -> Complaint:
    """A `Place` for configurations that came from no file."""
    return Complaint(field=f"{kind} {name}: {field}", detail=detail, remedy=remedy)


def compile_document(
    document: Document, number: int, *, place: Place = nowhere, before: Compiled | None = None
) -> Compiled:
    """Compile a whole configuration; raises `InvalidConfig` with every complaint there is."""
    complaints: list[Complaint] = []
    steps: dict[str, Step] = {}
    for destination in document.destinations:
        digest = sha256(destination.model_dump_json().encode()).hexdigest()
        known = before.steps.get(destination.name) if before else None
        if known is not None and known.digest == digest:
            steps[destination.name] = known
            continue
        step = _compile_step(destination, digest, place, complaints)
        if step is not None:
            steps[destination.name] = step
    steps = {name: _joined(step, document, place, complaints) for name, step in steps.items()}
    specs = {source.name: _compile_fields(source, place, complaints) for source in document.sources}
    if complaints:
        raise InvalidConfig(complaints)
    sources = {source.name: _compile_source(source, specs[source.name], steps, document) for source in document.sources}
    return Compiled(
        version=number,
        document=document,
        sources=sources,
        steps=steps,
        chain=_chain(document),
        subscriptions=subscriptions_of(document, number),
    )


def connector_settings(config: DestinationConfig, environ: Mapping[str, str]) -> BaseModel:
    """The connection settings with secrets resolved; raises `ConfigurationFault` that names what is wrong."""
    kind = connectors.load(config.type)
    resolved = resolve(config.settings, environ=environ)
    try:
        return kind.Settings.model_validate(resolved)
    except ValidationError as error:
        raise _invalid(f"settings of destination {config.name}", error, kind.Settings, resolved) from None


def network_settings(config: DestinationConfig, environ: Mapping[str, str]) -> NetworkConfig | None:
    """The `network` settings with secrets resolved; raises `ConfigurationFault` that names what is wrong."""
    if config.network is None:
        return None
    resolved = resolve(config.network.model_dump(), environ=environ)
    try:
        return NetworkConfig.model_validate(resolved)
    except ValidationError as error:
        raise _invalid(f"network settings of destination {config.name}", error, NetworkConfig, resolved) from None


def _invalid(what: str, error: ValidationError, model: type[BaseModel], resolved: Any) -> ConfigurationFault:
    """Fields, what is wrong with them and the remedies; no validator repeats a value."""
    found = "; ".join(map(str, complaints_of(error, model, resolved, whole="as a whole")))
    return ConfigurationFault(f"{what} are invalid: {found}")


def create_connector(step: Step, environ: Mapping[str, str], tokens: TokenStore | None = None) -> Connector[Any]:
    """A connector for a destination, whose access tokens are shared through `tokens`; raises `ConfigurationFault`."""
    try:
        kind = connectors.load(step.config.type)
        settings = connector_settings(step.config, environ)
        network = network_settings(step.config, environ)
        config = step.config
        made = kind(
            config.name,
            settings,
            limits=config.limits,
            response=config.response,
            network=network,
            tokens=tokens,
        )
    except (InvalidConfig, InvalidTemplate) as error:
        raise ConfigurationFault(str(error)) from None
    given = [config.settings, config.network.model_dump() if config.network else {}]
    made.keep_secret(values(given, environ=environ))
    return made


class Catalog:
    """The running configuration of this process; `refresh` takes up a newer version."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._current = Compiled(version=0, document=Document(), sources={}, steps={})

    @property
    def current(self) -> Compiled:
        """The version in use."""
        return self._current

    def refresh(self) -> bool:
        """Take up the newest version; whether there was one. Raises `Unavailable`, or `InvalidConfig` (the old stays)."""
        with self._lock:
            if version.newest(self._database) == self._current.version:
                return False
            found = version.read(self._database)
            document = _understood(found)
            self._current = compile_document(document, found.version, before=self._current)
            return True


def _understood(found: version.Version) -> Document:
    try:
        return Document.model_validate(found.document)
    except ValidationError as error:
        detail = f"version {found.version} holds what this release does not understand: {_fields(error)}"
        raise InvalidConfig([Complaint(field="configuration", detail=detail)]) from None


def _fields(error: ValidationError) -> str:
    return ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False))


def _compile_fields(source: SourceConfig, place: Place, complaints: list[Complaint]) -> FieldSpecs:
    try:
        return FieldSpecs(source)
    except InvalidConfig as error:
        complaints += [place("source", source.name, one.field, one.detail, one.remedy) for one in error.complaints]
        return FieldSpecs(source.model_copy(update={"defaults": {}}))


def _compile_source(source: SourceConfig, specs: FieldSpecs, steps: Mapping[str, Step], document: Document) -> Source:
    routes = []
    for name in routed(source, document.destinations):
        step = steps[name]
        # What later steps ask about is known only when these have ended.
        condition = step.condition.matches if step.condition and not step.config.after else None
        after = tuple(one for one in step.config.after if steps[one].config.enabled or not steps[one].config.optional)
        if step.config.enabled:
            routes.append(Route(destination=name, condition=condition, after=after, optional=step.config.optional))
    plain = not any(one.condition or one.after for one in routes)
    return Source(config=source, specs=specs, routes=tuple(routes), is_plain=plain)


def _joined(step: Step, document: Document, place: Place, complaints: list[Complaint]) -> Step:
    """The step with what other destinations have to do with it."""
    configs = {one.name: one for one in document.destinations}
    before = ancestors(step.config.name, configs)
    stands_by = any(one.fallback and one.fallback.destination == step.config.name for one in document.destinations)
    texts = {"when": step.config.when or ""}
    texts |= {f"mapping.{name}": " ".join(_FILLED_IN.findall(str(one))) for name, one in step.config.mapping.items()}
    if step.templates is not None:
        texts |= {f"settings.{name}": " ".join(_FILLED_IN.findall(one)) for name, one in step.templates.texts.items()}
    for setting, text in texts.items():
        complaints += [place("destination", step.config.name, setting, *found) for found in mistakes(step.config, text)]
    # Of a step that is not known here, it is not known either what it comes after.
    for setting, text in texts.items() if before <= configs.keys() else ():
        for name in sorted({dotted or quoted for dotted, quoted in _STEP.findall(text)} - before):
            remedy = f"add {name} to `after`" if name in configs else suggest(name, before or configs)
            detail = f"uses steps.{name}, which it does not come after"
            complaints.append(place("destination", step.config.name, setting, detail, remedy))
    fallback = step.config.fallback
    other = configs.get(fallback.destination) if fallback else None
    takes_over = fallback if other and other.enabled else None
    return replace(step, before=before, fallback=takes_over, asked_late=bool(before) or stands_by)


def _chain(document: Document) -> Steps:
    awaited = {name for one in document.destinations for name in one.after}
    fallbacks = {one.name: one.fallback.destination for one in document.destinations if one.fallback}
    for name in list(awaited):  # and whoever takes over from them
        while (name := fallbacks.get(name, "")) and name not in awaited:
            awaited.add(name)
    optional = frozenset(one.name for one in document.destinations if one.optional)
    return Steps(optional=optional, awaited=frozenset(awaited))


def _compile_step(config: DestinationConfig, digest: str, place: Place, complaints: list[Complaint]) -> Step | None:
    before = len(complaints)

    def complain(field: str, detail: str, remedy: str | None = None) -> None:
        complaints.append(place("destination", config.name, field, detail, remedy))

    templates = check_connector(config, complain)
    mapping = condition = None
    try:
        mapping = compile_mapping(config.mapping or (WHOLE_EVENT if config.events else {}))
    except InvalidTemplate as error:
        found = _PROPERTY.match(str(error))
        complain(f"mapping.{found[1]}" if found else "mapping", str(error))
    try:
        condition = compile_rule(config.when) if config.when else None
    except InvalidTemplate as error:
        complain("when", str(error))
    schedule = Schedule(config.schedule, config.time_zone) if config.schedule else None
    if config.schedule and (never := complaint(config.schedule, config.time_zone)):
        complain("schedule", never, "give it hours on a day that is no holiday, or leave the schedule out")
    if mapping is None or len(complaints) > before:
        return None
    gate = GateRules(
        circuit=config.circuit, rejections=config.rejections, longest_wait_seconds=config.retry.max_seconds
    )
    return Step(
        config=config,
        mapping=mapping,
        templates=templates,
        condition=condition,
        schedule=schedule,
        gate=gate,
        digest=digest,
    )
