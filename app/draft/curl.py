"""A curl command, as browsers' "copy as curl" and API docs have it, read as the request that curl would send."""

from base64 import b64decode
from binascii import Error
from math import inf
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from app.draft.credential import variable_of
from app.draft.line import literal
from app.draft.option import UPLOAD, Options, invalid, read
from app.draft.payload import Load, read_body
from app.draft.request import Body, Credential, Request
from app.draft.shell import split
from app.draft.way import read_way
from app.redaction import is_secret

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "expect"})
_BROWSERS = ("sec-", "dnt", "priority", "upgrade-insecure-requests", "pragma", "cache-control", "te")


CAUSES = {
    "settings.url": "its address",
    "settings.headers": "-H",
    "settings.content_type": "-H",
    "settings.auth": "-H, -u or the query of the address",
    "settings.files": "-F",
    "settings.template": "its data",
    "network": "-x, -E, --key or --cacert",
    "mapping": "its data",
}
"""What of a command its settings come from."""


def read_command(command: str, load: Load) -> Request:
    """The request of a command; raises `InvalidInput`."""
    words, rest = split(command)
    options = read(words)
    request = Request(method="", url=_url(options), notes=options.notes)
    if rest:
        request.notes.append("what follows the command (a pipe, a redirection, another command) is left out")
    _read_time(options, request)
    read_way(options, request)
    given = _headers(options, request)
    read_body(options, request, given.get("content-type"), load)
    _read_url(request)
    _read_user(options, request)
    method = (options.method or _method(options)).upper()
    if method not in _METHODS:
        raise invalid(f"the method {method[:20]!a} delivers nothing", f"use {', '.join(sorted(_METHODS))}")
    request.method = method
    # Braces of the command are no places that a lead fills in.
    request.url = literal(request.url)
    request.headers = [(name, literal(value)) for name, value in request.headers]
    return request


def _url(options: Options) -> str:
    if not options.urls:
        raise invalid("names no address")
    if len(options.urls) > 1:
        options.notes.append("only the first of its addresses is taken")
    url = options.urls[0]
    url = url if "://" in url or url.startswith("${env:") else f"http://{url}"  # as curl guesses
    url = url.partition("#")[0]
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        raise invalid("its address is none") from None
    if scheme not in {"http", "https"} and not url.startswith("${env:"):
        raise invalid(f"a destination's address is http or https, not {scheme[:20]!a}")
    for query in options.query:
        name, equals, value = query.partition("=")
        encoded = f"{name}={quote(value, safe='')}" if equals and name else quote(value or name, safe="")
        url += ("&" if "?" in url else "?") + encoded
    return url


def _method(options: Options) -> str:
    if any(option == UPLOAD for option, _ in options.data):
        return "PUT"
    return "POST" if (options.data or options.forms) and not options.in_query else "GET"


def _read_time(options: Options, request: Request) -> None:
    if options.max_time is None:
        return
    try:
        seconds = float(options.max_time)
    except ValueError:
        raise invalid("--max-time is no number") from None
    if not 0 <= seconds < inf:
        raise invalid("--max-time is no length of time", "give seconds, 300 at most")
    request.timeout_seconds = seconds or None  # 0 is curl's way to say that there is none


def _headers(options: Options, request: Request) -> dict[str, str]:
    """Sort headers into credentials, secrets and others; all of them by lower-case name."""
    given: dict[str, str] = {}
    left_out: list[str] = []
    for written in options.headers:
        if written.startswith("@"):
            request.notes.append("headers from a file are left out")
            continue
        name, colon, value = written.partition(":")
        if not colon and written.endswith(";"):
            name, value = written[:-1], ""
        elif not value.strip():  # curl leaves such a header of its own out
            continue
        name, value = name.strip(), value.strip()
        given[name.lower()] = value
        if name.lower() in _OURS or name.lower().startswith(_BROWSERS):
            left_out.append(name)
        elif name.lower() == "authorization":
            _read_authorization(name, value, request)
        elif name.lower() != "content-type":
            _read_header(name, value, request)
    if left_out:
        request.notes.append(f"headers of a browser or of the connection are left out: {', '.join(left_out)}")
    if options.bearer is not None:
        _read_authorization("Authorization", f"Bearer {options.bearer}", request)
    return given


def _read_header(name: str, value: str, request: Request) -> None:
    if not is_secret(name):
        request.headers.append((name, value))
    elif name.lower() == "cookie":
        request.secret_headers.append((name, "COOKIE", ""))
    else:
        request.credentials.append(Credential(kind="api_key", suffix="KEY", name=name, variable=variable_of(value)))


def _read_authorization(name: str, value: str, request: Request) -> None:
    scheme, _, secret = value.partition(" ")
    if scheme.lower() == "bearer" and secret.strip():
        request.credentials.append(Credential(kind="bearer", suffix="TOKEN", variable=variable_of(secret.strip())))
        return
    if scheme.lower() == "basic":
        try:
            request.credentials.append(_pair(b64decode(secret.strip(), validate=True).decode(), "basic"))
        except (Error, ValueError):  # not what it says it is
            pass
        else:
            return
    request.secret_headers.append((name, "AUTHORIZATION", ""))


def _read_user(options: Options, request: Request) -> None:
    parts = urlsplit(request.url)
    if "@" in parts.netloc:
        user, _, host = parts.netloc.rpartition("@")
        request.url = urlunsplit(parts._replace(netloc=host))
        options.user = options.user or unquote(user)
    if options.user is None or any(one.kind != "api_key" for one in request.credentials):
        return
    if options.digest and not options.user.partition(":")[0]:
        raise invalid("--digest has no user name", "give it as -u NAME:PASSWORD")
    request.credentials.append(_pair(options.user, "digest" if options.digest else "basic"))


def _pair(pair: str, kind: Literal["basic", "digest"]) -> Credential:
    """User and password (RFC 7617, RFC 7616); of a pair that ends with its colon, the user name is the secret."""
    name, colon, password = pair.partition(":")
    if colon and not password:
        return Credential(kind=kind, suffix="KEY", secret_user=True, variable=variable_of(name))
    return Credential(kind=kind, suffix="PASSWORD", name=name, variable=variable_of(password))


def _read_url(request: Request) -> None:
    """Take secrets out of the query; without a body, the rest of the query is what is mapped."""
    start, mark, query = request.url.partition("?")
    if not mark:
        return
    kept: list[str] = []
    for parameter in query.split("&"):
        name, equals, value = parameter.partition("=")
        if equals and value and is_secret(unquote(name)):
            place, variable = unquote(name), variable_of(value)
            request.credentials.append(
                Credential(kind="api_key", suffix="KEY", name=place, place="query", variable=variable)
            )
        elif parameter:
            kept.append(parameter)
    if request.body.kind == "none":
        pairs = parse_qsl("&".join(kept), keep_blank_values=True)
        request.body = Body(kind="query", value=pairs) if pairs else request.body
        kept = []
    request.url = f"{start}?{'&'.join(kept)}" if kept else start
