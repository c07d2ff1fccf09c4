"""Cookies of one destination in one process, for those that ask for them (RFC 6265), kept few and to the host that set them.

It may not know requests or answers beyond their addresses.
"""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from time import time
from urllib.parse import urlsplit

MOST_COOKIES = 50
"""Of all hosts; the oldest goes when there are more."""
MOST_CHARACTERS = 4096
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x20-\x3a\x3c-\x7e]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cookie:
    value: str
    secure: bool
    expires: float | None


class Cookies:
    """What the destination's hosts have set; any thread may use it."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str], _Cookie] = {}
        """(host, path, name), oldest first."""
        self._lock = threading.Lock()

    def header(self, url: str) -> str | None:
        """The Cookie header for a request to `url`; longest paths first."""
        if not self._kept:
            return None
        host, path, secure = _place(url)
        now = time()
        with self._lock:
            fitting = [
                (of_path, name, cookie.value)
                for (of_host, of_path, name), cookie in self._kept.items()
                if of_host == host
                and _covers(of_path, path)
                and (secure or not cookie.secure)
                and (cookie.expires is None or cookie.expires > now)
            ]
        fitting.sort(key=lambda one: -len(one[0]))
        return "; ".join(f"{name}={value}" for _, name, value in fitting) or None

    def store(self, url: str, set_cookie: str | None) -> None:
        """Take in what an answer from `url` sets: Set-Cookie lines joined by line breaks. What is odd is left out."""
        if not set_cookie:
            return
        host, path, _ = _place(url)
        with self._lock:
            for name, of_path, cookie in _read(set_cookie, host, path):
                key = (host, of_path, name)
                self._kept.pop(key, None)
                if cookie.expires is None or cookie.expires > time():
                    self._kept[key] = cookie
                while len(self._kept) > MOST_COOKIES:
                    del self._kept[next(iter(self._kept))]


def _read(set_cookie: str, host: str, path: str) -> Iterator[tuple[str, str, _Cookie]]:
    for line in set_cookie.split("\n"):
        pair, *attributes = [part.strip() for part in line.split(";")]
        name, equals, value = (part.strip() for part in pair.partition("="))
        if len(pair) > MOST_CHARACTERS or not (equals and _NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            continue
        found = {key.strip().lower(): text.strip() for key, _, text in (one.partition("=") for one in attributes)}
        domain = found.get("domain", "").lstrip(".").lower()
        name_only = host.partition(":")[0]
        if domain and name_only != domain and not name_only.endswith(f".{domain}"):
            continue
        of_path = found.get("path", "")
        if not of_path.startswith("/"):
            of_path = path.rpartition("/")[0] or "/"
        yield name, of_path, _Cookie(value=value, secure="secure" in found, expires=_expiry(found))


def _expiry(attributes: dict[str, str]) -> float | None:
    age = attributes.get("max-age", "")
    if re.fullmatch(r"-?\d{1,10}", age):
        return time() + int(age)
    try:
        moment = parsedate_to_datetime(attributes["expires"])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None


def _place(url: str) -> tuple[str, str, bool]:
    """Host, path and whether it is https; another port than the web's own is another host, whatever RFC 6265 (8.5) allows."""
    parts = urlsplit(url)
    port = "" if parts.port in {None, 80, 443} else f":{parts.port}"
    return f"{parts.hostname}{port}", parts.path or "/", parts.scheme == "https"


def _covers(cookie_path: str, path: str) -> bool:
    """RFC 6265, 5.1.4."""
    return path == cookie_path or path.startswith(cookie_path if cookie_path.endswith("/") else f"{cookie_path}/")
