"""Redirects followed, for destinations that ask for it: to where, with what, and how far.

The rules are RFC 9110's (15.4) and the Fetch standard's. It may not know what an answer means beyond its status.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urljoin

from app.connectors._http.cookies import Cookies
from app.connectors._http.request import BODY_METHODS, RequestTemplate
from app.connectors._transport import BODY_CAP_BYTES, Answer, Origin, head
from app.connectors.base import TEST_HEADER
from app.errors import ConfigurationFault, DataFault, DeliveryFault
from app.model import Item

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OF_BODIES = frozenset({"content-type", "content-encoding"})
_FOR_ANYONE = frozenset({"user-agent", "accept", "accept-encoding", TEST_HEADER.lower(), *_OF_BODIES})
"""Who takes a test lead must know that it is one, wherever it goes."""


@dataclass(slots=True, kw_only=True)
class Walk:
    """One lead's way from its address to where the redirects lead.

    `handed_over`: an answer on the way (301, 302, 303) said that what was sent has been dealt with and its result is to be
    fetched elsewhere; whatever fails from then on, the destination may have the lead. `trail` is for the transcript.
    `send_home` is `Session.send_message` with the credentials that are made for each request, `send` without them.
    """

    send: Callable[..., Answer]
    send_home: Callable[..., Answer]
    request: RequestTemplate
    item: Item
    content: bytes
    cookies: Cookies | None = None
    handed_over: bool = False
    trail: list[str] = field(default_factory=list)

    def follow(self, answer: Answer, *, most: int, deadline: float) -> Answer:
        """The answer at the end of the way, a redirect only where it does not say to where.

        Raises `ConfigurationFault` for more than `most` redirects, a circle, https to http, no web address, or a body with
        secrets for another host; and whatever sending raises. All are ambiguous if the lead was handed over.
        """
        url, method, home = self.request.address(self.item), self.request.method, True
        seen = {(method, url)}
        try:
            while answer.status in REDIRECTS and (location := answer.headers.get("location")):
                target = target_of(url, location, said="redirected")
                if _becomes_get(answer.status, method):
                    method, self.handed_over = "GET", True
                if len(self.trail) == most:
                    circle = " in a circle" if (method, target) in seen else f" more than {most} times"
                    raise ConfigurationFault(f"HTTP {answer.status}: redirected{circle}; correct the address")
                seen.add((method, target))
                home = home and self.is_home(target)
                self.trail.append(f"{answer.status} {self.request.masked(target)}")
                url = target
                answer = self.ask(method, url, deadline, home=home)
        except DeliveryFault as fault:
            fault.ambiguous = fault.ambiguous or self.handed_over
            raise
        return answer

    def is_home(self, url: str) -> bool:
        """Whether it is at the host that the credentials are for."""
        return self.request.origin.is_same_host(Origin.of(url))

    def ask(
        self, method: str, url: str, deadline: float, *, home: bool, body_cap_bytes: int = BODY_CAP_BYTES
    ) -> Answer:
        """Send the same request, or what is left of it, to an address that the destination named; raises faults."""
        content = b"" if self.handed_over or self.request.body_in_query else self.request.compressed(self.content)
        if content and not home and self.request.holds_secret(self.item):
            raise ConfigurationFault("redirected to another host, and the body holds a secret; correct the address")
        headers = dict(self._headers(home=home, bodiless=not content))
        cookie = self.cookies.header(url) if self.cookies is not None else None
        if cookie is not None:
            headers["Cookie"] = cookie
        if content or method in BODY_METHODS:
            headers["Content-Length"] = str(len(content))
        try:
            message = head(method, url, headers) + content
        except DataFault:
            raise ConfigurationFault("redirected to what is no web address; correct the address") from None
        send = self.send_home if home else self.send
        answer = send(Origin.of(url), message, deadline=deadline, keep=False, body_cap_bytes=body_cap_bytes)
        if self.cookies is not None:
            self.cookies.store(url, answer.headers.get("set-cookie"))
        return answer

    def _headers(self, *, home: bool, bodiless: bool) -> Mapping[str, str]:
        """To another host goes nothing that was meant for this one."""
        found = {
            name: value
            for name, value in self.request.fields(self.item).items()
            if (home or name.lower() in _FOR_ANYONE) and not (bodiless and name.lower() in _OF_BODIES)
        }
        if self.request.key_name is not None:
            found[self.request.key_name] = self.item.key
        return found


def _becomes_get(status: int, method: str) -> bool:
    return status == 303 or (status in {301, 302} and method == "POST")  # noqa: PLR2004  # RFC 9110, 15.4.2 to 15.4.4


def target_of(url: str, location: str, *, said: str) -> str:
    """Where an answer from `url` points; raises `ConfigurationFault` in the words `said` of how it does."""
    problem = f"{said} to what is no web address; correct the address"
    try:
        # It came as Latin-1, whatever it is (RFC 9110, 5.5).
        target = urljoin(url, quote(location.encode("latin-1"), safe="!#$%&'()*+,/:;=?@[]~")).partition("#")[0]
        origin = Origin.of(target)
    except (ValueError, ConfigurationFault):
        raise ConfigurationFault(problem) from None
    if "@" in target.partition("://")[2].partition("/")[0]:
        raise ConfigurationFault(problem)
    if url.startswith("https:") and origin.scheme != "https":
        raise ConfigurationFault(f"{said} from https to http at {origin.host}; correct the address")
    return target
