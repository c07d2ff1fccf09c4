"""curl's options as far as they say what is sent; the others are told, none is dropped silently.

Names and meanings are those of curl's manual (curl.se/docs/manpage.html), versions 7 and 8.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.errors import Complaint, InvalidInput


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LONG = {
    "X": "request", "H": "header", "d": "data", "F": "form", "u": "user", "A": "user-agent", "e": "referer",
    "b": "cookie", "G": "get", "m": "max-time", "I": "head", "T": "upload-file", "L": "location", "k": "insecure",
    "s": "silent", "S": "show-error", "v": "verbose", "i": "include", "f": "fail", "N": "no-buffer", "#": "progress-bar",
    "g": "globoff", "q": "disable", "o": "output", "w": "write-out", "D": "dump-header", "c": "cookie-jar",
    "O": "remote-name", "J": "remote-header-name", "x": "proxy", "U": "proxy-user", "E": "cert", "K": "config",
    "4": "ipv4", "6": "ipv6", "0": "http1.0", "n": "netrc", "1": "tlsv1", "2": "sslv2", "3": "sslv3", "r": "range",
    "C": "continue-at", "z": "time-cond", "Z": "parallel", ":": "next", "j": "junk-session-cookies",
}  # fmt: skip
UPLOAD = "upload-file"
DATA = frozenset({"data", "data-ascii", "data-raw", "data-binary", "data-urlencode", "json", UPLOAD})
FORM = frozenset({"form", "form-string"})
_VALUES = (
    DATA
    | FORM
    | {"request", "header", "user", "user-agent", "referer", "cookie", "max-time", "url", "oauth2-bearer", "url-query"}
)
"""Options that say what is sent, each with a value."""
_WAY = _words("proxy proxy-user cert key pass cacert max-redirs")
"""Options that say how it gets there, each with a value."""
_TOLD_VALUES = _words(
    "output write-out dump-header cookie-jar capath config connect-timeout retry "
    "retry-delay retry-max-time resolve connect-to interface limit-rate range continue-at time-cond "
    "cert-type key-type ciphers tls-max tls13-ciphers noproxy preproxy socks4 socks4a socks5 socks5-hostname "
    "unix-socket abstract-unix-socket dns-servers doh-url netrc-file trace trace-ascii stderr output-dir aws-sigv4 "
    "request-target proto proto-default proto-redir rate pinnedpubkey max-filesize keepalive-time local-port "
    "speed-limit speed-time create-file-mode alt-svc hsts etag-compare etag-save proxy-header proxy-cacert "
    "expect100-timeout happy-eyeballs-timeout-ms variable expand-data expand-header expand-url"
)
_SWITCHES = {"get": "in_query", "digest": "digest", "location": "follows", "location-trusted": "follows"}
"""What those without a value set."""
_QUIET = _words(
    "silent show-error verbose include no-progress-meter progress-bar no-buffer globoff disable compressed basic "
    "output write-out dump-header fail fail-with-body fail-early http1.1 remote-name remote-header-name styled-output "
    "no-styled-output trace trace-ascii trace-time stderr output-dir create-dirs tlsv1.2 path-as-is keepalive-time "
    "tcp-nodelay no-keepalive"
)
"""What is shown, and what holds anyway: nothing to tell."""
_WHY = {
    "insecure": "certificates are always checked",
    "retry": "`retry` says when to try again",
    "cert-type": "certificates and keys are PEM files",
    "key-type": "certificates and keys are PEM files",
    "aws-sigv4": "requests signed for AWS",
}
_REFUSED = {
    "next": "only the first request can be taken; give each command by itself",
    "head": "a HEAD request delivers nothing",
    "config": "the options are in a file; give them in the command",
}


@dataclass(slots=True, kw_only=True)
class Options:
    """What a command says, in its order; the values of `data` and `form` with the option they stood under."""

    urls: list[str] = field(default_factory=list)
    method: str | None = None
    headers: list[str] = field(default_factory=list)
    data: list[tuple[str, str]] = field(default_factory=list)
    forms: list[tuple[str, str]] = field(default_factory=list)
    query: list[str] = field(default_factory=list)
    user: str | None = None
    bearer: str | None = None
    max_time: str | None = None
    in_query: bool = False
    digest: bool = False
    follows: bool = False
    way: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read(words: Sequence[str]) -> Options:
    """The options of a command's words, `curl` first; raises `InvalidInput`."""
    if not words or words[0].rpartition("/")[2].lower() not in {"curl", "curl.exe"}:
        raise invalid("is no curl command", "copy it whole, beginning with curl")
    found, rest = Options(), list(words[1:])
    while rest:
        word = rest.pop(0)
        if word == "--":
            found.urls += rest
            break
        if word.startswith("--"):
            _take(found, word[2:], rest, word)
        elif word.startswith("-") and word != "-":
            _take_short(found, word[1:], rest)
        else:
            found.urls.append(word)
    return found


def _take_short(found: Options, letters: str, rest: list[str]) -> None:
    """One or more letters; the first that takes a value has the rest of the word for it."""
    for place, letter in enumerate(letters):
        name = _LONG.get(letter)
        if name is None:
            found.notes.append(f"the option -{letter} is left out: it is not known here")
        elif _takes_value(name):
            if inside := letters[place + 1 :]:
                rest.insert(0, inside)
            _take(found, name, rest, f"-{letter}")
            return
        else:
            _take(found, name, rest, f"-{letter}")


def _takes_value(name: str) -> bool:
    return name in _VALUES or name in _WAY or name in _TOLD_VALUES


def _take(found: Options, name: str, rest: list[str], written: str) -> None:
    if name in _REFUSED:
        raise invalid(_REFUSED[name])
    takes = _takes_value(name)
    if takes and not rest:
        raise invalid(f"{written} has no value")
    value = rest.pop(0) if takes else ""
    if name in _SWITCHES:
        setattr(found, _SWITCHES[name], True)
    elif name in _WAY:
        found.way[name] = value
    elif name in _VALUES:
        _keep(found, name, value)
    elif name not in _QUIET:
        why = _WHY.get(name)
        known = name in _TOLD_VALUES or name in _LONG.values() or why is not None
        told = f": {why}" if why else "" if known else ": it is not known here"
        found.notes.append(f"the option --{name} is left out{told}")


def _keep(found: Options, name: str, value: str) -> None:
    match name:
        case _ if name in DATA:
            found.data.append((name, value))
        case _ if name in FORM:
            found.forms.append((name, value))
        case "request":
            found.method = value
        case "header" | "user-agent" | "referer" | "cookie":
            _keep_header(found, name, value)
        case "user":
            found.user = value
        case "oauth2-bearer":
            found.bearer = value
        case "max-time":
            found.max_time = value
        case "url":
            found.urls.append(value)
        case _:
            found.query.append(value)


def _keep_header(found: Options, name: str, value: str) -> None:
    if name == "cookie" and "=" not in value:
        found.notes.append("cookies from a file are left out")
        return
    start = {"user-agent": "User-Agent: ", "referer": "Referer: ", "cookie": "Cookie: "}.get(name, "")
    found.headers.append(start + (value.removesuffix(";auto") if name == "referer" else value))


def invalid(detail: str, remedy: str | None = None) -> InvalidInput:
    """A complaint about the command."""
    return InvalidInput([Complaint(field="command", detail=detail, remedy=remedy)])
