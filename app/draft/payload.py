"""The body that curl makes of its data and form options."""

import re
from collections.abc import Callable, Mapping
from posixpath import basename, splitext
from urllib.parse import parse_qsl, quote

import msgspec

from app.draft.body import is_flat_object
from app.draft.option import UPLOAD, Options, invalid
from app.draft.request import Body, File, Request

Load = Callable[[str], bytes]
"""The content of a file that the command names; raises `OSError`."""

_FORM_TYPE = "application/x-www-form-urlencoded"
_TYPES = {
    ".gif": "image/gif", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".svg": "image/svg+xml",
    ".txt": "text/plain", ".htm": "text/html", ".html": "text/html", ".pdf": "application/pdf", ".xml": "application/xml",
}  # fmt: skip
"""curl's own, by the ends of names."""


def read_body(options: Options, request: Request, content_type: str | None, load: Load) -> None:
    """Set the body of the request; raises `InvalidInput`."""
    uploads = any(option == UPLOAD for option, _ in options.data)
    if uploads and (len(options.data) > 1 or options.forms or options.in_query):
        raise invalid("--upload-file does not go with other data", "leave one of them out")
    if options.forms:
        request.body = _multipart(options, request, load)
        return
    if not options.data:
        _keep_type(request, content_type, None)
        return
    text = _data(options, load)
    if uploads:
        _name_upload(options.data[0][1], request)
    if options.in_query:
        request.url += ("&" if "?" in request.url else "?") + text
        _keep_type(request, content_type, None)
        return
    said = content_type
    if said is None and options.data[-1][0] == "json":
        said = "application/json"
        if not any(name.lower() == "accept" for name, _ in request.headers):
            request.headers.append(("Accept", "application/json"))
    default = "text/plain" if uploads else _FORM_TYPE
    if text or (said or default) == _FORM_TYPE:
        request.body = _body(text, said, default, request)
    usual = {"json": "application/json", "form": _FORM_TYPE, "xml": "application/xml; charset=utf-8"}
    _keep_type(request, said, usual.get(request.body.kind))


def _name_upload(name: str, request: Request) -> None:
    """As curl does, end an address that ends with a slash by the file's name."""
    host, _, path = request.url.partition("://")[2].partition("/")
    if "?" not in host + path and (not path or path.endswith("/")):
        request.url = f"{request.url.removesuffix('/')}/{quote(basename(name), safe='')}"


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
    if option == UPLOAD:
        return _file(value, load)
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


def _body(text: str, said: str | None, usual: str, request: Request) -> Body:
    """The body by its type; `usual` is what a command sends that says none."""
    kind = (said or usual).partition(";")[0].strip().lower()
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


def _multipart(options: Options, request: Request, load: Load) -> Body:
    pairs: list[tuple[str, str]] = []
    files: list[File] = []
    for option, written in options.forms:
        name, equals, value = written.partition("=")
        if not equals:
            raise invalid(f"--{option} has no = in it")
        if option != "form":
            pairs.append((name, value))
            continue
        content, further = _parameters(value)
        if content.startswith("@"):
            files.append(_file_part(name, content[1:], further))
            request.notes.append(f"{name} is a file in the command: map what holds its content")
        else:
            pairs.append((name, _file(_unquoted(content[1:]), load) if content.startswith("<") else _unquoted(content)))
    names = [one.name for one in files]
    if twice := next((one for one in names if [*names, *(name for name, _ in pairs)].count(one) > 1), None):
        raise invalid(f"--form has {twice[:20]!a} twice, and a file", "a mapping has each name once: leave one out")
    return Body(kind="multipart", value=pairs, files=tuple(files))


def _parameters(value: str) -> tuple[str, dict[str, str]]:
    """What a form option holds, and what it says of that: type, filename."""
    found = re.search(r";\s*(?:type|filename|encoder|headers)=", value)
    if found is None:
        return value, {}
    further = re.findall(r';\s*(\w+)=("(?:[^"\\]|\\.)*"|[^;]*)', value[found.start() :])
    return value[: found.start()], {name: _unquoted(one) for name, one in further}


def _file_part(name: str, path: str, further: Mapping[str, str]) -> File:
    """The file as curl names it and takes its type from the name."""
    filename = further.get("filename") or basename(_unquoted(path))
    if not filename:
        raise invalid(f"--form names no file for {name[:20]!a}")
    content_type = further.get("type") or _TYPES.get(splitext(filename)[1].lower(), "application/octet-stream")
    return File(name=name, filename=filename, content_type=content_type)


def _unquoted(text: str) -> str:
    found = re.fullmatch(r'"((?:[^"\\]|\\.)*)"', text.strip(), re.DOTALL)
    return re.sub(r'\\(["\\])', r"\1", found[1]) if found else text
