"""HTTP Digest access authentication (RFC 7616) with MD5 and SHA-256 and qop auth; without qop as in RFC 2069.

The first request to a host asks for a challenge by being refused; those after it reuse its nonce. requests' own
`HTTPDigestAuth` is not used: it works on prepared requests, and takes no second look at a nonce that went stale. It may
not know settings or connections.
"""

import hashlib
import os
import re
import threading
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from app.connectors._authentication import UNAUTHORIZED, Request, Send
from app.connectors._transport import Answer
from app.errors import ConfigurationFault

ALGORITHMS: Mapping[str, str] = {"md5": "md5", "sha-256": "sha256"}
_BY_SETTING: Mapping[str, tuple[str, str]] = {"basic": ("Basic", "basic"), "bearer": ("Bearer", "bearer")}
"""Schemes that another setting is for."""
_CHALLENGE = re.compile(
    r"[\s,]*(?:(?P<scheme>[\w-]+)[ \t]+(?=[\w-]+[ \t]*=)|(?P<name>[\w-]+)[ \t]*=[ \t]*"
    r'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"]*))|(?P<other>[^\s,]+))'
)


class Challenge:
    """A server's challenge, and how often its nonce was used; threads share it."""

    def __init__(self, said: Mapping[str, str]) -> None:
        self.realm = said.get("realm", "")
        self.nonce = said["nonce"]
        self._opaque = said.get("opaque")
        self._algorithm = said.get("algorithm")
        self._with_qop = "qop" in said
        self._hash = ALGORITHMS[(self._algorithm or "MD5").lower()]
        self._lock = threading.Lock()
        self._count = 0

    def authorization(self, request: Request, username: str, password: str, *, cnonce: str | None = None) -> str:
        """The value of the Authorization header (RFC 7616, 3.4)."""
        with self._lock:
            self._count += 1
            count = f"{self._count:08x}"
        cnonce = cnonce or os.urandom(16).hex()
        account = self._h(f"{username}:{_unquoted(self.realm)}:{password}")
        asked = self._h(f"{request.method}:{request.target}")
        nonce = _unquoted(self.nonce)
        between = f"{nonce}:{count}:{cnonce}:auth" if self._with_qop else nonce
        plain = username.isascii() and username.isprintable()
        quoted = username.replace("\\", "\\\\").replace('"', '\\"')
        name = f'username="{quoted}"' if plain else f"username*=UTF-8''{quote(username, safe='')}"
        fields = [name, f'realm="{self.realm}"', f'uri="{request.target}"', f'nonce="{self.nonce}"']
        if self._algorithm is not None:
            fields.append(f"algorithm={self._algorithm}")
        if self._with_qop:
            fields += [f"nc={count}", f'cnonce="{cnonce}"', "qop=auth"]
        fields.append(f'response="{self._h(f"{account}:{between}:{asked}")}"')
        if self._opaque is not None:
            fields.append(f'opaque="{self._opaque}"')
        return f"Digest {', '.join(fields)}"

    def _h(self, text: str) -> str:
        return hashlib.new(self._hash, text.encode(), usedforsecurity=False).hexdigest()


class Digest:
    """User and password of a destination, shown to each of its hosts as that asks for it."""

    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._password = password
        self._challenges: dict[str, Challenge] = {}

    def prepare(self, deadline: float) -> None:
        """Nothing is needed before a challenge."""

    def exchange(self, send: Send, request: Request, _deadline: float) -> Answer:
        """Send by the challenge that served last; answer a new one once, whether or not it says that the nonce was stale.

        Others use a challenge only when its first answer was accepted, so that a wrong password is not tried twice, and a
        nonce that serves once serves the request it was given to.
        """
        host = request.header("host")
        known = self._challenges.get(host)
        answer = send({} if known is None else self._answering(known, request))
        if answer.status != UNAUTHORIZED:
            return answer
        if known is not None and self._challenges.get(host) is known:
            self._challenges.pop(host, None)
        header = answer.headers.get("www-authenticate", "")
        challenge = chosen(header)
        if challenge is None:
            _complain_of_others(header)
            return answer
        answer = send(self._answering(challenge, request))
        if answer.status != UNAUTHORIZED:
            self._challenges[host] = challenge
        return answer

    def _answering(self, challenge: Challenge, request: Request) -> dict[str, str]:
        return {"Authorization": challenge.authorization(request, self._username, self._password)}


def chosen(header: str) -> Challenge | None:
    """The first challenge that can be met (RFC 7616, 3.7); None if there is none for Digest.

    Raises `ConfigurationFault` if Digest is asked for only in forms that are not supported.
    """
    asked = [said for scheme, said in challenges(header) if scheme == "digest" and "nonce" in said]
    for said in asked:
        qop = said.get("qop")
        if said.get("algorithm", "MD5").lower() in ALGORITHMS and (
            qop is None or "auth" in (one.strip().lower() for one in qop.split(","))
        ):
            return Challenge(said)
    if asked:
        raise ConfigurationFault("the destination asks for Digest other than MD5 or SHA-256 with qop auth")
    return None


def _complain_of_others(header: str) -> None:
    """Raise `ConfigurationFault` where other schemes than Digest are asked for: another password would change nothing."""
    asked = [scheme for scheme, _ in challenges(header) if scheme != "digest"]
    if asked and len(asked) == len(list(challenges(header))):
        known = _BY_SETTING.get(asked[0])
        names = f"{known[0]} authentication" if known else "another kind of authentication"
        remedy = f"set auth.{known[1]} in place of auth.digest" if known else "ask which, and set auth"
        shown = {"status": UNAUTHORIZED, "headers": {"www-authenticate": header}}
        reason = f"HTTP {UNAUTHORIZED}: the destination asks for {names}, not for Digest: {remedy}"
        raise ConfigurationFault(reason, transcript={"response": shown})


def challenges(header: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Schemes and parameters of WWW-Authenticate, names in lower case (RFC 9110, 11.6.1); quoted pairs stay as they are."""
    scheme, said = "", {}
    for found in _CHALLENGE.finditer(header):
        if found["name"] is not None:
            said[found["name"].lower()] = found["quoted"] if found["quoted"] is not None else found["plain"]
            continue
        if scheme:
            yield scheme, said
        scheme, said = (found["scheme"] or found["other"]).lower(), {}
    if scheme:
        yield scheme, said


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
