"""Single values of HTTP settings: what an address, a header or a character set must look like.

What can be wrong with them is found here, when the configuration is applied. A `${env:NAME}` or `${file:/path}` in
place of a value is let through: it is checked again once it is resolved.
"""

import codecs
import re
from typing import Annotated

import requests
from pydantic import AfterValidator, ConfigDict, StringConstraints

from app.config.base import SECRET_REFERENCE, TOKEN, Strict
from app.connectors._http.charset import codec_of
from app.errors import InvalidTemplate
from app.templates import Slot, is_template, slots

XML_NAME = r"^[A-Za-z_][\w.-]*(:[A-Za-z_][\w.-]*)?$"
_PLACE = "leadrelay-place-"
"""Stands for a template while an address is checked."""
# No charset of HTTP, or one that would write a mark of its own.
_ODD_CHARSETS = frozenset(
    {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7", "utf-8-sig"}
)
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection"})


def fixed_address(url: str) -> str:
    """The address in the form it is sent in; raises `ValueError` for one that depends on the lead."""
    if is_template(url):
        raise ValueError("this address is the same for every lead and holds no {{ }}")
    return _address(url)


def _templated_address(url: str) -> str:
    """The address with its templates as they were written, all else in the form it is sent in."""
    if not is_template(url):
        return _address(url)
    try:
        parts = slots(url)
    except InvalidTemplate:  # the compiler of templates complains, with line and column
        return url
    start = SECRET_REFERENCE.sub("x", parts[0])
    _, mark, after = start.partition("://")
    if "{%" in url:
        raise ValueError("an address takes {{ }} only, no tags: put the choice into a field or a filter")
    if isinstance(parts[0], Slot) or not re.search(r"[/?#]", after if mark else start):
        raise ValueError("scheme, host and port are the same for every lead: begin {{ }} after the host's '/'")
    found = [part for part in parts if isinstance(part, Slot)]
    places = [f"{_PLACE}{count}x" for count in range(len(found))]
    waiting = iter(places)
    address = _address("".join(next(waiting) if isinstance(part, Slot) else part for part in parts))
    for place, slot in zip(places, found, strict=True):
        address = address.replace(place, slot, 1)
    return address


def _address(url: str) -> str:
    if SECRET_REFERENCE.search(url):
        return url
    try:
        prepared = requests.Request("GET", url).prepare()
    except requests.RequestException:
        raise ValueError("not an absolute http or https address") from None
    if not (prepared.url or "").startswith(("http://", "https://")):
        raise ValueError("not an absolute http or https address")
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise ValueError("credentials do not belong in the address; use auth.basic")
    return (prepared.url or "").partition("#")[0]


def header_name(name: str) -> str:
    """The name, fit for a header of ours; raises `ValueError`."""
    if not TOKEN.fullmatch(name):
        raise ValueError("not a header name (RFC 9110)")
    if name.lower() in _OURS:
        raise ValueError("this header is set for each request and cannot be configured")
    return name


def header_value(value: str) -> str:
    """The value, fit for a header; raises `ValueError`."""
    if not value.isprintable():
        raise ValueError("a header value holds a line break or another control character")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("a header value holds characters that headers cannot carry") from None
    return value


def _prefix(value: str) -> str:
    if value and (":" in value or not re.fullmatch(XML_NAME, value) or value.lower().startswith("xml")):
        raise ValueError("not a prefix that XML lets one declare")
    return value


def _media_type(value: str) -> str:
    name, slash, subtype = value.partition("/")
    if not (slash and TOKEN.fullmatch(name) and TOKEN.fullmatch(subtype)):
        raise ValueError("not a media type such as text/csv; charset is a setting of its own")
    return value


def _charset(name: str) -> str:
    try:
        codec = codecs.lookup(codec_of(name))
        if codec._is_text_encoding and codec.name not in _ODD_CHARSETS:  # noqa: SLF001  # it has no public name
            return name
    except LookupError:
        pass
    raise ValueError("not a character set that is known here; utf-8 and iso-8859-1 are")


Address = Annotated[str, AfterValidator(_templated_address)]
FixedAddress = Annotated[str, AfterValidator(fixed_address)]
MediaType = Annotated[str, AfterValidator(_media_type)]
Charset = Annotated[str, AfterValidator(_charset)]
Prefix = Annotated[str, AfterValidator(_prefix)]
Namespace = Annotated[str, StringConstraints(min_length=1)]
ParameterName = Annotated[str, StringConstraints(min_length=1)]
HeaderName = Annotated[str, AfterValidator(header_name)]
HeaderValue = Annotated[str, AfterValidator(header_value)]


class Settings(Strict):
    """Values may be secrets: a complaint never repeats them."""

    model_config = ConfigDict(hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)
