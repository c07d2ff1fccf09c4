"""The contract of a connector: it turns payloads into outcomes and knows nothing of retries, the ledger or Celery.

A connector type is one module (or folder) of this package, found by its name, that sets `CONNECTOR` to its class.
Modules with a leading underscore, and this one, are shared parts. An instance belongs to one destination in one
process and is used by several threads at once.
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Flag, auto
from math import inf
from time import monotonic
from typing import Any, ClassVar, Generic, Required, TypedDict, TypeVar

from pydantic import BaseModel

from app.config.network import NetworkConfig
from app.config.schema import LimitsConfig, ResponseConfig
from app.connectors._concealment import Concealment
from app.connectors._token_store import ProcessTokens, TokenStore
from app.errors import DeliveryFault
from app.model import Fault, Item, Outcome
from app.redaction import MASK, is_secret, mask_secrets

S = TypeVar("S", bound=BaseModel)
A = TypeVar("A")

TEST_HEADER = "X-Leadrelay-Test"
"""Marks what is sent for a test lead, with the value `true`: over HTTP and in messages."""


class Capability(Flag):
    """What a connector type can do beyond delivering."""

    NONE = 0
    IDEMPOTENT = auto()
    """Every send carries the delivery's key, by which the destination can recognise a repeat."""
    BULK = auto()
    """`deliver_many` takes several leads in one request."""
    CHECK = auto()
    """`check` can tell whether the destination is reachable and the credentials hold."""
    DESCRIBE = auto()
    """`describe` lists the destination's own fields."""
    RESPONSE = auto()
    """Takes `response` rules."""
    NETWORK = auto()
    """Speaks HTTP through `_transport`: takes `network` settings."""
    HTTP = auto()
    """A lead is one HTTP request: `request` tells its parts, `interpret` reads an answer to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One field of the destination's own schema."""

    name: str
    type: str
    required: bool = False
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbegun:
    """A delivery that was not sent because the group's time was up; it goes back unattempted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What came of one item: the outcome or the exception, and how long the destination took."""

    answer: Outcome | Exception | Unbegun
    duration_ms: float = 0.0


class Given(TypedDict, total=False):
    """What a connector is made with beside its name and settings."""

    limits: Required[LimitsConfig]
    response: ResponseConfig | None
    network: NetworkConfig | None
    tokens: TokenStore | None


class Connector(Generic[S]):
    """One destination in one process.

    Subclasses set `Settings`, `capabilities` and `faults` and write `deliver` (or `deliver_many`). `deliver` returns
    what the destination answered and raises for faults: a `DeliveryFault`, or a driver's exception named in `faults`.
    """

    Settings: ClassVar[type[BaseModel]]
    capabilities: ClassVar[Capability] = Capability.NONE
    faults: ClassVar[Mapping[type[Exception], Fault]] = {}
    templated: ClassVar[Sequence[str]] = ()
    """Settings that may hold templates, as dotted paths with `*` for any name; their texts come in `Item.rendered`."""

    def __init__(
        self,
        name: str,
        settings: S,
        *,
        limits: LimitsConfig,
        response: ResponseConfig | None = None,
        network: NetworkConfig | None = None,
        tokens: TokenStore | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self.limits = limits
        self.response = response
        self.network = network
        self.notice: str | None = None
        """What the destination said of its interface's end, for people; taken by `app.delivery`."""
        self.tokens = tokens or ProcessTokens()
        self._threads = ThreadPoolExecutor(max_workers=limits.concurrency, thread_name_prefix=f"send-{name}")
        # Several groups may be under way at once, each with a thread of its own; together they keep to the limit.
        self._slots = threading.Semaphore(limits.concurrency)
        self._latency = 0.0
        self._stopping = False
        self._concealment = Concealment()

    def keep_secret(self, values: Iterable[str]) -> None:
        """Have these values stand nowhere in what comes of sending: transcripts, reasons, captured data."""
        self._concealment = Concealment(values)

    def secrets(self) -> Sequence[str]:
        """More values to keep so: credentials that were made or obtained for what this thread sent last."""
        return ()

    def concealed(self, answer: A) -> A:
        """An outcome or a fault without those values."""
        return self._concealment.of(answer, self.secrets())

    def deliver(self, item: Item) -> Outcome:
        """Send one payload; returns the destination's answer, raises for faults."""
        raise NotImplementedError

    def deliver_many(self, items: Sequence[Item], *, until: float) -> list[Sent]:
        """Send a group on this destination's own threads; one `Sent` per item, in order.

        No item is begun after `until` (a `time.monotonic()` instant): the rest come back `Unbegun`.
        """
        results: list[Sent] = [Sent(answer=Unbegun())] * len(items)
        places = iter(range(len(items)))
        lock = threading.Lock()
        helpers: list[Future[None]] = []
        if self._latency == 0.0:  # how long the first answer takes tells how many threads are worth having
            self._send_each(items, results, places, lock, until, most=1)
        with suppress(RuntimeError):  # closed in the meantime: this thread sends alone
            for _ in range(self._runners(len(items)) - 1):
                helpers.append(self._threads.submit(self._send_each, items, results, places, lock, until))  # noqa: PERF401  # what was submitted before is kept
        self._send_each(items, results, places, lock, until)
        for helper in helpers:
            if not helper.cancel():  # one that has not started finds nothing left to send
                helper.result()
        return results

    def check(self) -> None:
        """Reach the destination and log in, changing nothing; raises as `deliver` does."""
        raise NotImplementedError

    def describe(self) -> list[Property]:
        """The destination's own fields."""
        raise NotImplementedError

    def request(self, item: Item, *, reveal: bool) -> Mapping[str, Any]:
        """What `deliver` would send, without sending it; secrets are masked unless `reveal`. Raises as `deliver` does.

        `method`, `url`, `headers` and `body` for a type that speaks HTTP, the mapped `payload` where nothing else is said.
        """
        return {"payload": item.payload if reveal else mask_secrets(item.payload)}

    def interpret(self, status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
        """What an answer would mean (HTTP); `headers` has lower-cased names. Raises as `deliver` does."""
        raise NotImplementedError

    @classmethod
    def unread(cls, settings: S) -> Sequence[str]:  # noqa: ARG003  # for those that are described elsewhere
        """Addresses of documents without which `request` and `interpret` can tell nothing."""
        return ()

    def learn(self, network: NetworkConfig | None) -> None:
        """Fetch these documents over `network`, without any credentials; raises as `deliver` does."""

    @classmethod
    def check_response(cls, response: ResponseConfig) -> None:
        """Compile response rules without a connection; raises `InvalidTemplate` naming the rule (RESPONSE)."""
        raise NotImplementedError

    @classmethod
    def check_mapping(cls, settings: S, mapping: Mapping[str, Any]) -> Sequence[tuple[str, str]]:  # noqa: ARG003  # for those that know their properties
        """What is wrong with a mapping, without a connection: the dotted place in the destination's file, and what it is."""
        return ()

    @classmethod
    def writes_attributes(cls, settings: S) -> bool:  # noqa: ARG003  # for those that write XML
        """Whether places of a list may have attributes of their own (`b.0@id` beside `b.0`)."""
        return False

    def complaints(self, mapping: Mapping[str, Any]) -> Sequence[tuple[str, str]]:  # noqa: ARG002  # for those that can ask
        """The same by what the destination says of itself; asked after `check`, raises as that does."""
        return ()

    def stop(self) -> None:
        """Begin nothing more: what waits in groups under way comes back `Unbegun`."""
        self._stopping = True

    def close(self) -> None:
        """Give back threads and connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _runners(self, count: int) -> int:
        """As many threads as finish a group in about a quarter of a second at the latency last seen.

        More would only contend for the interpreter: a destination that answers in a millisecond needs one.
        """
        wanted = round(count * self._latency / 0.25) + 1
        return max(1, min(wanted, count, self.limits.concurrency))

    def _send_each(
        self,
        items: Sequence[Item],
        results: list[Sent],
        places: Iterator[int],
        lock: threading.Lock,
        until: float,
        *,
        most: float = inf,
    ) -> None:
        while most > 0 and self._slots.acquire(timeout=max(0.0, until - monotonic())):
            most -= 1
            try:
                with lock:
                    place = next(places, None)
                begun = monotonic()
                if place is None or begun >= until or self._stopping:
                    return
                results[place] = self._send_one(items[place], begun)
                if _ends_the_group(results[place].answer):
                    with lock:  # the rest goes back unattempted
                        deque(places, maxlen=0)
            finally:
                self._slots.release()

    def _send_one(self, item: Item, begun: float) -> Sent:
        answer: Outcome | Exception
        try:
            answer = self.deliver(item)
            if answer.quota is not None and not self.limits.obey_rate_headers:
                answer = replace(answer, quota=None)
        except Exception as error:  # noqa: BLE001  # carried to answer.py, which alone translates exceptions
            answer = error
        took = monotonic() - begun
        self._latency = took if self._latency == 0.0 else 0.8 * self._latency + 0.2 * took
        return Sent(answer=self.concealed(answer), duration_ms=took * 1000)


def _ends_the_group(answer: Outcome | Exception | Unbegun) -> bool:
    """Whether nothing more will work until a person mends it, or may go until the destination's rate limit begins anew."""
    quota = getattr(answer, "quota", None)
    return getattr(answer, "fault", None) is Fault.CONFIGURATION or (quota is not None and quota.remaining == 0)


def mask(headers: Mapping[str, Any], *secret: str) -> dict[str, str]:
    """Headers fit for a transcript: values of secret names, and of the ones given (case does not matter), are masked."""
    hidden = {name.lower() for name in secret}
    return {name: MASK if is_secret(name) or name.lower() in hidden else str(value) for name, value in headers.items()}


__all__ = [
    "TEST_HEADER",
    "Capability",
    "Connector",
    "DeliveryFault",
    "Given",
    "Property",
    "Sent",
    "TokenStore",
    "Unbegun",
    "mask",
]
