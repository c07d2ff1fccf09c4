"""The body that curl makes of its data and form options."""

import re
from collections.abc import Callable
from urllib.parse import parse_qsl, quote

import msgspec

from app.draft.body import is_flat_object
from app.draft.option import Options, invalid
from app.draft.request import Body, Request

Load = Callable[[str], bytes]
"""The content of a file that the command names; raises `OSError`."""

_FORM_TYPE = "application/x-www-form-urlencoded"


def read_body(options: Options, request: Request, content_type: str | None, load: Load) -> None:
    """Set the body of the request; raises `InvalidInput`."""
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
    usual = {"json": "application/json", "form": _FORM_TYPE, "xml": "application/xml; charset=utf-8"}
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
        raise invalid(
            f"the file {name!a} that it sends cannot be read as text", "put its content into the command"
        ) from None


def _body(text: str, said: str | None, request: Request) -> Body:
    kind = (said or _FORM_TYPE).partition(";")[0].strip().lower()
    if kind.endswith(("/json", "+json")) or (said is None and text.lstrip()[:1] in {"{", "["}):
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            request.notes.append("the body is not JSON although its type says so: it is taken as text")
            return Body(kind="text", value=text)
        if said is None:
            request.notes.append("the command names no Content-Type for its JSON body: it is sent as application/json")
        if isinstance(value, dict) or (isinstance(value, list) and value and all(map(is_flat_object, value))):
            return Body(kind="json", value=value)
        request.notes.append("the JSON body has no properties that can be mapped: it is taken as text")
        if said is None:
            request.headers.append(("Content-Type", "application/json"))
        return Body(kind="text", value=text)
    if kind.endswith(("/xml", "+xml")):
        return Body(kind="xml", value=text)
    if kind == _FORM_TYPE:
        return Body(kind="form", value=parse_qsl(text, keep_blank_values=True))
    return Body(kind="text", value=text)


def _multipart(options: Options, request: Request) -> Body:
    pairs: list[tuple[str, str]] = []
    files: list[str] = []
    for option, written in options.forms:
        name, equals, value = written.partition("=")
        if not equals:
            raise invalid(f"--{option} has no = in it")
        if option == "form" and value.startswith(("@", "<")):
            files.append(name)
            request.notes.append(f"{name} is a file in the command: map what holds its content")
            continue
        if option == "form":
            value = re.sub(r";\s*(type|filename|encoder|headers)=.*$", "", value)
        pairs.append((name, value.strip('"') if option == "form" and value.startswith('"') else value))
    return Body(kind="multipart", value=pairs, files=tuple(files))
