"""A lead as one HTTP request, and its answer as an outcome.

It may not know how connections are made, how a request is written, which endpoint's turn it is or what the response
rules say: it joins them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any, ClassVar, Unpack

from pydantic import BaseModel

from app.config.schema import ResponseConfig
from app.connectors._authentication import Authenticated, Authenticator
from app.connectors._concealment import Carried
from app.connectors._endpoints import Endpoints
from app.connectors._http.agreement import of_mapping
from app.connectors._http.asking import Asking
from app.connectors._http.authentication import TEMPLATED_CLAIMS, LeadClaims, authenticator
from app.connectors._http.bulk import Batch, for_each, said
from app.connectors._http.cache import Cache
from app.connectors._http.cookies import Cookies
from app.connectors._http.filling import NOTHING
from app.connectors._http.head import fixed_secrets
from app.connectors._http.pages import Pages
from app.connectors._http.redirect import REDIRECTS, Walk
from app.connectors._http.request import Content, RequestTemplate
from app.connectors._http.settings import HttpSettings
from app.connectors._http.transcript import begun, shown
from app.connectors._lifetime import notice
from app.connectors._quota import QUOTA_HEADERS, quota_of
from app.connectors._response import Interpreter, ResponseRules, elsewhere
from app.connectors._transport import Answer, session
from app.connectors.base import Capability, Connector, Given, Sent
from app.errors import ConfigurationFault, Conflict, DeliveryFault, TransientFault
from app.model import Item, Outcome, Result

# Gateways say these of a server behind them that they cannot reach (RFC 9110, 15.6.3 to 15.6.5).
_FROM_BEFORE_IT = frozenset({502, 503, 504})
_CONNECT_SECONDS = 5.0


class HttpConnector(Connector[HttpSettings]):
    """One HTTP destination in one process.

    `rules` read its answers where those of `response` alone do not; `how` puts credentials into its requests where those of
    the settings do not; `writer` writes its bodies where the settings cannot say how.
    """

    Settings: ClassVar[type[BaseModel]] = HttpSettings
    capabilities = (
        Capability.IDEMPOTENT
        | Capability.BULK
        | Capability.CHECK
        | Capability.RESPONSE
        | Capability.NETWORK
        | Capability.HTTP
    )
    templated: ClassVar[Sequence[str]] = (
        "url",
        "standby",
        "standby.*",
        "endpoints.*.url",
        "query.*",
        "headers.*",
        "form.*",
        "template",
        "files.*.filename",
        *TEMPLATED_CLAIMS,
    )

    def __init__(
        self,
        name: str,
        settings: HttpSettings,
        *,
        rules: Interpreter | None = None,
        how: Authenticator | None = None,
        writer: Content | None = None,
        **given: Unpack[Given],
    ) -> None:
        super().__init__(name, settings, **given)
        self._rules = for_each(rules or ResponseRules(self.response), settings.batch)
        self._session = session(self.limits, self.network)
        how = how or authenticator(settings, destination=name, through=self._session, store=self.tokens)
        self._authenticator = how
        self._claims = LeadClaims.of(settings)
        self._carried = Carried()
        self._send_message = self._signed_by(how) if how else self._session.send_message
        self._fixed_secrets = fixed_secrets(settings)
        self._cookies = Cookies() if settings.cookies else None
        self._pages = Pages(settings.pages) if settings.pages else None
        self._cache = Cache(settings.cache) if settings.cache else None
        template = partial(RequestTemplate, settings, cookies=self._cookies, writer=writer)
        shared = [(template(url), weight) for url, weight in settings.addresses()]
        standby = [template(url) for url in settings.standby]
        self._requests = [*(request for request, _ in shared), *standby]
        self._first = self._requests[0]
        self.asking = Asking(
            settings, self._session, self._send_message, [request.origin for request in self._requests]
        )
        self._batch = Batch(settings.batch, self._first) if settings.batch else None
        self._endpoints = (
            Endpoints(shared, standby=standby, spread=settings.spread) if len(self._requests) > 1 else None
        )

    @classmethod
    def check_response(cls, response: ResponseConfig) -> None:
        """Compile response rules; raises `InvalidTemplate` naming what is wrong."""
        ResponseRules(response)

    @classmethod
    def check_mapping(cls, settings: HttpSettings, mapping: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Properties that leave no place for others, and names that the body cannot have."""
        return list(of_mapping(settings, mapping))

    @classmethod
    def writes_attributes(cls, settings: HttpSettings) -> bool:
        """In XML."""
        return settings.body == "xml"

    def deliver(self, item: Item) -> Outcome:
        """Send one lead.

        Raises `TransientFault`, `ConfigurationFault` (certificate not accepted) and `DataFault` (a property that the
        body's kind cannot carry). A fault on the way carries the request in its transcript.
        """
        content = self._first.content(item)
        if self._cache is None:
            return self._exchange(item, content)[0]
        return self._cache.look_up(
            (content, item.test, tuple((item.rendered or {}).items())),  # all that a lead's request has of the lead
            lambda condition: self._exchange(item, content, condition),
            request=lambda: self._first.shown(item, content),
            deadline=item.deadline,
            conditional=self._pages is None,
        )

    def _exchange(self, item: Item, content: bytes, fields: Mapping[str, str] | None = None) -> tuple[Outcome, Answer]:
        """Ask the destination, with these headers added; what the answer that decides means."""
        deadline = min(item.deadline, self._session.deadline())
        more = "".join([f"{name}: {value}\r\n" for name, value in fields.items()]).encode() if fields else b""
        if self._authenticator is not None:  # before an endpoint's turn: what fails here says nothing of any of them
            self._authenticator.prepare(deadline)
        send = self._send_message if self._claims is None else self._signed_for(item, self._claims)
        if self._endpoints is not None:
            return self._exchange_with_one(self._endpoints, item, content, more, send, deadline=deadline)
        message = self._first.message(item, content, more)
        try:
            answer = send(self._first.origin, message, deadline=deadline)
        except DeliveryFault as fault:
            fault.transcript = {"request": self._first.shown(item, content), **(fault.transcript or {})}
            raise
        told = {"request": self._first.shown(item, content)}
        return self._outcome(answer, told, self._first, item, content, deadline=deadline)

    def deliver_many(self, items: Sequence[Item], *, until: float) -> list[Sent]:
        """Send a group: a request for each lead, or for as many as a batch holds."""
        send = super().deliver_many
        if self._batch is None:
            return send(items, until=until)
        return self._batch.deliver_many(items, lambda joined: send(joined, until=until))

    def _exchange_with_one(
        self,
        endpoints: Endpoints[RequestTemplate],
        item: Item,
        content: bytes,
        more: bytes,
        send: Callable[..., Answer],
        *,
        deadline: float,
    ) -> tuple[Outcome, Answer]:
        """Send to the endpoint whose turn it is; what nothing has left of yet goes on to the next one."""
        tried: dict[RequestTemplate, str] = {}
        while True:
            with endpoints.choose(without=tried) as lease:
                request = lease.endpoint
                others = len(self._requests) - len(tried) - 1
                try:
                    answer = send(
                        request.origin,
                        request.message(item, content, more),
                        deadline=deadline,
                        connect_by=_share(deadline, others) if others else None,
                    )
                except (TransientFault, ConfigurationFault) as fault:
                    lease.absent()
                    if fault.unsent and others and monotonic() < deadline:
                        tried[request] = fault.reason
                        continue
                    fault.transcript = {
                        **begun(request.shown(item, content), _addresses(tried)),
                        **(fault.transcript or {}),
                    }
                    raise
                if answer.status in _FROM_BEFORE_IT:
                    lease.absent()
                else:
                    lease.there()
            told = begun(request.shown(item, content), _addresses(tried))
            return self._outcome(answer, told, request, item, content, deadline=deadline)

    def _outcome(
        self,
        answer: Answer,
        transcript: dict[str, Any],
        request: RequestTemplate,
        item: Item,
        content: bytes,
        *,
        deadline: float,
    ) -> tuple[Outcome, Answer]:
        if self._cookies is not None:
            self._cookies.store(request.address(item), answer.headers.get("set-cookie"))
        redirected = self.settings.redirects and answer.status in REDIRECTS
        paged = self._pages is not None and 200 <= answer.status < 300 and not answer.truncated  # noqa: PLR2004  # RFC 9110, 15.3
        if not (redirected or paged):
            return self._judged(answer, transcript), answer
        walk = Walk(
            send=self._session.send_message,
            send_home=self._send_message if self._claims is None else self._signed_for(item, self._claims),
            request=request,
            item=item,
            content=content,
            cookies=self._cookies,
        )
        answer = self._walked(walk, answer, transcript, deadline=deadline)
        outcome = self._judged(answer, transcript)
        if walk.handed_over and outcome.result is Result.ERROR:
            outcome = replace(outcome, ambiguous=True)
        return outcome, answer

    def _walked(self, walk: Walk, answer: Answer, transcript: dict[str, Any], *, deadline: float) -> Answer:
        try:
            if self._pages is not None:
                told = transcript["pages"] = {}
                return self._pages.gather(answer, walk, told, deadline=deadline)
            transcript["redirects"] = walk.trail
            return walk.follow(answer, most=self.settings.redirects, deadline=deadline)
        except DeliveryFault as fault:
            fault.transcript = transcript
            raise

    def _judged(self, answer: Answer, transcript: dict[str, Any]) -> Outcome:
        transcript |= {"response": shown(answer), "ms": round(answer.ms, 2)}
        if "deprecation" in answer.headers or "sunset" in answer.headers:
            self.notice = transcript["notice"] = notice(answer.headers)
        outcome = self._rules.interpret(
            answer.status, answer.headers, answer.body, transcript, truncated=answer.truncated
        )
        return outcome if QUOTA_HEADERS.isdisjoint(answer.headers) else replace(outcome, quota=quota_of(answer.headers))

    def _signed_for(self, item: Item, claims: LeadClaims) -> Callable[..., Answer]:
        return self._signed_by(claims.token(item.rendered or NOTHING))

    def _signed_by(self, how: Authenticator) -> Callable[..., Answer]:
        return Authenticated(self._session, how, self._carried).send_message

    def secrets(self) -> Sequence[str]:
        """Credentials of the requests that this thread sent last."""
        return self._fixed_secrets + self._carried.values

    def request(self, item: Item, *, reveal: bool) -> Mapping[str, Any]:
        """The request to the first address, whole; that of a batch for this lead alone."""
        return self._first.whole(item if self._batch is None else self._batch.joined([item]), reveal=reveal)

    def interpret(self, status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
        """What the response rules make of an answer to one lead; raises `Conflict` for a redirect that would be followed."""
        if self.settings.redirects and status in REDIRECTS and "location" in headers:
            to = elsewhere(headers["location"])
            raise Conflict(f"HTTP {status}: a send would follow this redirect{to}; interpret the answer at its end")
        return said(self._rules.interpret(status, headers, body), 0, 1)

    def check(self) -> None:
        """Sign on, reach every endpoint and ask `check_url` with the destination's credentials; raises as `deliver` does."""
        if self._authenticator is not None:
            self._authenticator.prepare(self._session.deadline())
        self.asking.check()

    def close(self) -> None:
        """Give back threads and connections."""
        super().close()
        self._session.close()


def _share(deadline: float, others: int) -> float:
    """When a connection must stand so that others can still be tried in time."""
    now = monotonic()
    return now + min(_CONNECT_SECONDS, (deadline - now) / (others + 1))


def _addresses(tried: Mapping[RequestTemplate, str]) -> dict[str, str]:
    return {request.shown_url: reason for request, reason in tried.items()}
