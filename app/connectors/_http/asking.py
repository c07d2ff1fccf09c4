"""What is asked of an HTTP destination without a lead: whether it is there and lets us in, and documents about itself.

It may not know leads or what becomes of a fault.
"""

from collections.abc import Callable, Mapping, Sequence

from app.connectors._http.head import check_request
from app.connectors._http.settings import HttpSettings
from app.connectors._response import ResponseRules
from app.connectors._transport import BODY_CAP_BYTES, Answer, Origin, Session, head
from app.errors import ConfigurationFault, DeliveryFault, TransientFault
from app.model import Fault


class Asking:
    """Asks one destination, whose addresses are `origins`; `send` carries its credentials."""

    def __init__(
        self, settings: HttpSettings, session: Session, send: Callable[..., Answer], origins: Sequence[Origin]
    ) -> None:
        self._settings = settings
        self._session = session
        self._send = send
        self._origins = origins

    def check(self) -> None:
        """Reach every address and ask `check_url`; with one address, asking is enough. Raises as a delivery does."""
        request = check_request(self._settings)
        if len(self._origins) > 1 or request is None:
            self._reach_all()
        if request is not None:
            self._ask(*request)

    def post(self, content: bytes, *, body_cap_bytes: int = BODY_CAP_BYTES) -> Answer:
        """Ask `check_url` something that changes nothing, with the destination's credentials and no lead."""
        request = check_request(self._settings)
        if request is None:
            raise ConfigurationFault("there is no check_url to ask")
        url, headers = request
        message = head("POST", url, {**headers, "Content-Length": str(len(content))}) + content
        return self._send(Origin.of(url), message, deadline=self._session.deadline(), body_cap_bytes=body_cap_bytes)

    def get(self, url: str, *, deadline: float, body_cap_bytes: int = BODY_CAP_BYTES) -> Answer:
        """Ask for a document; the destination's credentials go to its own host only."""
        if Origin.of(url) != self._origins[0]:
            message = head("GET", url, {"User-Agent": "leadrelay", "Accept": "*/*"})
            return self._session.send_message(Origin.of(url), message, deadline=deadline, body_cap_bytes=body_cap_bytes)
        _, headers = check_request(self._settings.model_copy(update={"check_url": url})) or (url, {})
        return self._send(Origin.of(url), head("GET", url, headers), deadline=deadline, body_cap_bytes=body_cap_bytes)

    def _reach_all(self) -> None:
        faults: list[DeliveryFault] = []
        for origin in self._origins:
            try:
                self._session.reach(origin, deadline=self._session.deadline())
            except DeliveryFault as fault:
                faults.append(fault)
        if faults:
            worst = next((fault for fault in faults if fault.fault is Fault.CONFIGURATION), faults[0])
            raise type(worst)("; ".join(dict.fromkeys(fault.reason for fault in faults)))

    def _ask(self, url: str, headers: Mapping[str, str]) -> None:
        message = head(self._settings.check_method, url, headers)
        answer = self._send(Origin.of(url), message, deadline=self._session.deadline())
        outcome = ResponseRules(None).interpret(answer.status, answer.headers, answer.body)
        if outcome.fault is Fault.TRANSIENT:
            raise TransientFault(outcome.reason or "", retry_after=outcome.retry_after)
        if outcome.reason is not None:  # any other answer than 2xx has one
            raise ConfigurationFault(outcome.reason)
