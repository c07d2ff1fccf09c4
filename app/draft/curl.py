"""A curl command, as browsers' "copy as curl" and API docs have it, read as the request that curl would send."""

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Callable
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

import msgspec

from app.draft.destination import literal
from app.draft.option import Options, read
from app.draft.request import Body, Credential, Request
from app.draft.shell import split
from app.errors import Complaint, InvalidInput
from app.redaction import is_secret

Load = Callable[[str], bytes]
"""The content of a file that the command names; raises `OSError`."""

FORM_TYPE = "application/x-www-form-urlencoded"
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_REFERENCE = re.compile(r"\$\{env:(\w+)\}")
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "expect"})
_BROWSERS = ("sec-", "dnt", "priority", "upgrade-insecure-requests", "pragma", "cache-control", "te")


def read_command(command: str, load: Load) -> Request:
    """The request of a command; raises `InvalidInput`."""
    words, rest = split(command)
    options = read(words)
    request = Request(method="", url=_url(options), notes=options.notes)
    if rest:
        request.notes.append("what follows the command (a pipe, a redirection, another command) is left out")
    _read_time(options, request)
    given = _headers(options, request)
    _read_body(options, request, given.get("content-type"), load)
    _read_url(request)
    _read_user(options, request)
    method = (options.method or _method(options)).upper()
    if method not in _METHODS:
        raise _invalid(f"the method {method[:20]!a} delivers nothing", f"use {', '.join(sorted(_METHODS))}")
    request.method = method
    # Braces of the command are no places that a lead fills in.
    request.url = literal(request.url)
    request.headers = [(name, literal(value)) for name, value in request.headers]
    return request


def _url(options: Options) -> str:
    if not options.urls:
        raise _invalid("names no address")
    if len(options.urls) > 1:
        options.notes.append("only the first of its addresses is taken")
    url = options.urls[0]
    url = url if "://" in url or url.startswith("${env:") else f"http://{url}"  # as curl guesses
    url = url.partition("#")[0]
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        raise _invalid("its address is none") from None
    if scheme not in {"http", "https"} and not url.startswith("${env:"):
        raise _invalid(f"a destination's address is http or https, not {scheme[:20]!a}")
    for query in options.query:
        name, equals, value = query.partition("=")
        encoded = f"{name}={quote(value, safe='')}" if equals and name else quote(value or name, safe="")
        url += ("&" if "?" in url else "?") + encoded
    return url


def _method(options: Options) -> str:
    return "POST" if (options.data or options.forms) and not options.in_query else "GET"


def _read_time(options: Options, request: Request) -> None:
    if options.max_time is None:
        return
    try:
        request.timeout_seconds = float(options.max_time)
    except ValueError:
        raise _invalid("--max-time is no number") from None


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
            request.credentials.append(_basic(b64decode(secret.strip(), validate=True).decode()))
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
    request.credentials.append(_basic(options.user))


def _basic(pair: str) -> Credential:
    """User and password (RFC 7617); of a pair that ends with its colon, the user name is the secret."""
    name, colon, password = pair.partition(":")
    if colon and not password:
        return Credential(kind="basic", suffix="KEY", secret_user=True, variable=variable_of(name))
    return Credential(kind="basic", suffix="PASSWORD", name=name, variable=variable_of(password))


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


def _read_body(options: Options, request: Request, content_type: str | None, load: Load) -> None:
    if options.forms:
        request.body = _multipart(options, request)
        return
    if not options.data:
        _keep_type(request, content_type, None)
        return
    text = _data(options, load)
    if options.in_query:
        request.url += ("&" if "?" in request.url else "?") + text
        _keep_type(request, content_type, None)
        return
    said = content_type
    if said is None and options.data[-1][0] == "json":
        said = "application/json"
        if not any(name.lower() == "accept" for name, _ in request.headers):
            request.headers.append(("Accept", "application/json"))
    request.body = _body(text, said, request)
    usual = {"json": "application/json", "form": FORM_TYPE, "xml": "application/xml; charset=utf-8"}
    _keep_type(request, said, usual.get(request.body.kind))


def _keep_type(request: Request, said: str | None, usual: str | None) -> None:
    """Keep a Content-Type that is not the one its kind of body has anyway."""
    if said is not None and said != usual:
        request.headers.append(("Content-Type", said))


def _data(options: Options, load: Load) -> str:
    """The body that curl puts together of all its data options."""
    text = ""
    for place, (option, value) in enumerate(options.data):
        part = _encoded(value, load) if option == "data-urlencode" else _part(option, value, load)
        text += ("&" if place and option != "json" else "") + part
    return text


def _part(option: str, value: str, load: Load) -> str:
    if not value.startswith("@") or option == "data-raw":
        return value
    content = _file(value[1:], load)
    # As curl does: only --data-binary and --json keep line breaks.
    return (
        content if option in {"data-binary", "json"} else content.replace("\r", "").replace("\n", "").replace("\0", "")
    )


def _encoded(value: str, load: Load) -> str:
    found = re.match(r"([^=@]*)([=@])", value)
    if found is None:
        return quote(value, safe="-._~")
    name, content = found[1], value[found.end() :]
    content = _file(content, load) if found[2] == "@" else content
    return f"{name}={quote(content, safe='')}" if name else quote(content, safe="")


def _file(name: str, load: Load) -> str:
    try:
        return load(name).decode()
    except (OSError, UnicodeDecodeError):
        raise _invalid(
            f"the file {name!a} that it sends cannot be read as text", "put its content into the command"
        ) from None


def _body(text: str, said: str | None, request: Request) -> Body:
    kind = (said or FORM_TYPE).partition(";")[0].strip().lower()
    if kind.endswith(("/json", "+json")) or (said is None and text.lstrip()[:1] in {"{", "["}):
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            request.notes.append("the body is not JSON although its type says so: it is taken as text")
            return Body(kind="text", value=text)
        if said is None:
            request.notes.append("the command names no Content-Type for its JSON body: it is sent as application/json")
        return Body(kind="json", value=value)
    if kind.endswith(("/xml", "+xml")):
        return Body(kind="xml", value=text)
    if kind == FORM_TYPE:
        return Body(kind="form", value=parse_qsl(text, keep_blank_values=True))
    return Body(kind="text", value=text)


def _multipart(options: Options, request: Request) -> Body:
    pairs: list[tuple[str, str]] = []
    files: list[str] = []
    for option, written in options.forms:
        name, equals, value = written.partition("=")
        if not equals:
            raise _invalid(f"--{option} has no = in it")
        if option == "form" and value.startswith(("@", "<")):
            files.append(name)
            request.notes.append(f"{name} is a file in the command: map what holds its content")
            continue
        if option == "form":
            value = re.sub(r";\s*(type|filename|encoder|headers)=.*$", "", value)
        pairs.append((name, value.strip('"') if option == "form" and value.startswith('"') else value))
    return Body(kind="multipart", value=pairs, files=tuple(files))


def variable_of(value: str) -> str | None:
    """The environment variable that a text is, if it is one and nothing else."""
    found = _REFERENCE.fullmatch(value)
    return found[1] if found else None


def _invalid(detail: str, remedy: str | None = None) -> InvalidInput:
    return InvalidInput([Complaint(field="command", detail=detail, remedy=remedy)])
