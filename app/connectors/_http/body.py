"""Mapped properties as the body of a request: JSON, form, multipart, XML or a text of its own.

Pure: nested values in, bytes out. What cannot be written is a `DataFault` that names the property, never its value.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any
from urllib.parse import quote

import msgspec

from app.connectors._http.addition import Addition
from app.connectors._http.charset import codec_of, iana_name
from app.connectors._http.filling import NOTHING, fill
from app.connectors._http.multipart import BOUNDARY, MultipartWriter
from app.connectors._http.scalar import flat, to_text
from app.connectors._http.settings import HttpSettings
from app.connectors._http.xml import XmlWriter
from app.errors import DataFault
from app.redaction import MASK, is_secret
from app.templates import Slot, slots

Encode = Callable[[Mapping[str, Any], Mapping[str, str]], bytes]
"""From a payload, and the texts of the templates in the settings, to a body."""

_json = msgspec.json.Encoder(decimal_format="number")


def encoder(settings: HttpSettings, *, masked: bool = False) -> Encode:
    """The function that writes bodies as the settings say; `query` is written like a form.

    An API key that goes into the body is put there, beside what is wrapped; its mask, and that of form fields with secret names,
    if `masked`.
    """
    encode = _encoder(settings)
    key = settings.auth.body_key() if settings.auth else None
    added = {key.name: MASK if masked else key.value.get_secret_value()} if key is not None else {}
    if settings.wrap is not None:
        fields = {name: MASK if masked and is_secret(name) else text for name, text in settings.form.items()}
        beside = _FormFields(added, fields, codec_of(settings.charset))
        encode = _wrapped(encode, settings.wrap, beside)
    else:
        for name, value in added.items():
            encode = _added(encode, Addition(name, value))
    return _transliterated(encode) if settings.ascii else encode


def content_type(settings: HttpSettings) -> str | None:
    """What the body is said to be; None where there is none."""
    if settings.body in {"none", "query"}:
        return None
    charset = iana_name(settings.charset)
    named = "" if charset == "utf-8" else f"; charset={charset}"
    if settings.wrap is not None or settings.body == "form":
        return f"application/x-www-form-urlencoded{named}"
    if settings.body == "multipart":
        return f"multipart/form-data; boundary={BOUNDARY}"
    if settings.body == "json":
        return "application/json"
    return f"{'application/xml' if settings.body == 'xml' else settings.content_type}; charset={charset}"


def written_in(settings: HttpSettings) -> str:
    """Python's name of the character set that a body's text is read in; what is percent-encoded is ASCII."""
    return codec_of(settings.charset) if settings.body in {"xml", "text"} and settings.wrap is None else "utf-8"


def _encoder(settings: HttpSettings) -> Encode:
    charset = codec_of(settings.charset)
    if settings.body == "json":
        in_place = settings.batch is not None and settings.batch.property is None
        return _encode_json_array if settings.json_array or in_place else encode_json
    if settings.body == "xml":
        declared, namespaces = settings.xml_declaration, settings.xml_namespaces
        writer = XmlWriter(settings.xml_root, namespaces=namespaces, declaration=declared, charset=charset)
        return lambda payload, _rendered: writer.encode(payload)
    if settings.body == "multipart":
        return MultipartWriter(settings.files).encode
    if settings.body == "text":
        return partial(_encode_text, slots(settings.template or ""), charset)
    return partial(_encode_form, charset) if settings.body in {"form", "query"} else lambda _payload, _rendered: b""


def encode_json(payload: Any, _rendered: Mapping[str, str] = NOTHING) -> bytes:
    """A payload as JSON; raises `DataFault` naming the property that JSON cannot hold."""
    try:
        return _json.encode(payload)
    except (TypeError, ValueError, RecursionError):  # UnicodeEncodeError is a ValueError
        raise DataFault(f"property {_unfit(payload) or '?'} cannot be written as JSON") from None


def _encode_json_array(payload: Mapping[str, Any], _rendered: Mapping[str, str]) -> bytes:
    """The properties as one object in a list; where all names begin with whole numbers, these are the list's places."""
    if payload and all(name.isascii() and name.isdigit() for name in payload):
        return encode_json([payload[name] for name in sorted(payload, key=int)])
    return encode_json([payload])


def _encode_form(charset: str, payload: Mapping[str, Any], _rendered: Mapping[str, str]) -> bytes:
    """WHATWG's form encoding, but a space is %20: every server reads that one. Nested names are joined by dots."""
    pairs = []
    for name, value in flat(payload):
        try:
            pairs.append(f"{_quoted(name, charset)}={quote(to_text(value, name), safe='', encoding=charset)}")
        except UnicodeEncodeError:
            raise DataFault(f"property {name} cannot be written as a form field in {iana_name(charset)}") from None
    return "&".join(pairs).encode()


def _encode_text(parts: Sequence[str], charset: str, _payload: Mapping[str, Any], rendered: Mapping[str, str]) -> bytes:
    try:
        return fill(parts, rendered, "template").encode(charset)
    except UnicodeEncodeError:
        raise DataFault(f"setting 'template': the text cannot be written in {iana_name(charset)}") from None


def _added(encode: Encode, addition: Addition) -> Encode:
    return lambda payload, rendered: encode(addition.to(payload), rendered)


class _FormFields:
    """The fields that stand beside a wrapped body: some as they are, others with templates."""

    def __init__(self, fixed: Mapping[str, str], templated: Mapping[str, str], charset: str) -> None:
        self._charset = charset
        self._fixed = [f"{_quoted(name, charset)}={_quoted(text, charset)}" for name, text in fixed.items()]
        self._fields = [(name, slots(text)) for name, text in templated.items()]

    def pairs(self, rendered: Mapping[str, str]) -> list[str]:
        """Them all for a lead; one whose templates render to nothing is left out."""
        found = [*self._fixed]
        for name, parts in self._fields:
            text = fill(parts, rendered, f"form field {name}")
            try:
                if text or not any(isinstance(part, Slot) for part in parts):
                    found.append(f"{_quoted(name, self._charset)}={quote(text, safe='', encoding=self._charset)}")
            except UnicodeEncodeError:
                raise DataFault(f"form field {name} cannot be written in {iana_name(self._charset)}") from None
        return found


def _wrapped(encode: Encode, name: str, beside: _FormFields) -> Encode:
    def wrapped(payload: Mapping[str, Any], rendered: Mapping[str, str]) -> bytes:
        content = f"{quote(name, safe='')}={quote(encode(payload, rendered), safe='')}"
        return "&".join([*beside.pairs(rendered), content]).encode()

    return wrapped


def _transliterated(encode: Encode) -> Encode:
    from anyascii import anyascii  # noqa: PLC0415  # its tables are for the few destinations that ask for it

    def plain(value: Any) -> Any:
        if isinstance(value, str):
            return value if value.isascii() else anyascii(value)
        if isinstance(value, Mapping):
            return {name: plain(inner) for name, inner in value.items()}
        return [plain(inner) for inner in value] if isinstance(value, list) else value

    return lambda payload, rendered: encode(plain(payload), plain(rendered))


@lru_cache(maxsize=4096)
def _quoted(name: str, charset: str) -> str:
    return quote(name, safe="", encoding=charset)


def _unfit(value: Any, path: str = "") -> str | None:
    """The first property that cannot be written."""
    children: Sequence[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    for key, inner in children:
        found = _unfit(inner, f"{path}.{key}" if path else str(key))
        if found:
            return found
    if not children:
        try:
            _json.encode(value)
        except (TypeError, ValueError):
            return path
    return None
