"""From a request that somebody described to what a destination's file says: settings, mapping, and notes for a person.

Secrets become references to the environment. A property whose name tells which field of a lead it means is mapped to it;
the others keep the value they have in the description, marked, as long as nobody maps them.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from lxml import etree

from app.config.secrets import references
from app.connectors._guard import Guard
from app.draft.body import elements, flat, tag
from app.draft.credential import variable_of, write_body_key, write_credentials
from app.draft.field import field_of
from app.draft.line import FILL_IN, TO_MAP, Draft, Property, literal, shown
from app.draft.request import Body, File, Request
from app.draft.way import write_way
from app.errors import ConfigurationFault, InvalidTemplate
from app.mapping import compile_mapping
from app.media import media
from app.redaction import is_secret

_LOOK = "the body stands in `template` as it is: look whether a secret is in it"


def draft(request: Request, properties: Sequence[Property] | None = None) -> Draft:
    """A destination to start from; `properties` where they are known, else they are those of the request's body."""
    made = Draft(notes=list(request.notes), response=request.response)
    url = write_credentials(request, made)
    made.settings = {"url": url, **made.settings}
    method = request.method
    if method == "GET" and request.body.kind not in {"query", "none"}:
        made.notes.append("a GET carries no body here: the method is written as POST")
        method = "POST"
    if method != "POST":
        made.settings["method"] = method
    if properties is None:
        _write_body(request, made)
    else:
        made.settings["body"] = request.body.kind
        made.settings |= request.body.value or {}
        made.properties = list(properties)
    write_body_key(made, request)
    _check(made)
    if made.settings.get("body") == "json":
        del made.settings["body"]
    # Credentials last: they are what the reader looks for.
    if "auth" in made.settings:
        made.settings["auth"] = made.settings.pop("auth")
    if host := in_house(url):
        made.network = {"allow": [host]}
        made.notes.append(f"{host} is in-house: network.allow names it, since only public addresses are reached else")
    write_way(request, made)
    if request.timeout_seconds is not None:
        seconds = min(max(request.timeout_seconds, 0.1), 300)
        if seconds != request.timeout_seconds:
            made.notes.append(f"limits.timeout_seconds is from 0.1 to 300: {seconds:g} is written")
        made.limits = {"timeout_seconds": seconds}
    return made


def in_house(url: str) -> str | None:
    """The host of an address that can be none of the internet's, as `network.allow` names it."""
    try:
        host = urlsplit(url).hostname or ""
        ip_address(host)
    except ValueError:  # no address but a name
        local = re.fullmatch(r"[a-z][a-z0-9-]*|.+\.(local|localhost|internal|lan)", host)
        return host if local else None
    try:
        Guard().check(host, [host])
    except ConfigurationFault:
        return host
    return None


def _write_body(request: Request, made: Draft) -> None:
    body, settings = request.body, made.settings
    settings["body"] = body.kind
    match body.kind:
        case "json":
            _write_json(body.value, made)
        case "form" | "query" | "multipart":
            _write_pairs(body, made)
        case "xml":
            _write_xml(body.value, made)
        case "text":
            settings["template"] = literal(body.value)
            made.notes.append(_LOOK)
            types = [name for name in settings.get("headers", {}) if name.lower() == "content-type"]
            if types:
                said = settings["headers"].pop(types[0])
                settings["content_type"] = said.partition(";")[0].strip()
                charset = media(said)[1]
                if charset not in {None, "utf-8"}:
                    settings["charset"] = charset
            if not settings.get("headers", True):
                del settings["headers"]


def _write_json(value: Any, made: Draft) -> None:
    if isinstance(value, dict):
        if dotted := [name for name in value if "." in name]:
            made.notes.append(f"left out, for a dot in a property's name nests it: {shown(', '.join(dotted))}")
        named = {name: inner for name, inner in value.items() if "." not in name}
        made.properties = [_property(name, found) for name, found in flat(named, "")]
    else:
        made.settings["json_array"] = True
        made.properties = [
            _property(f"{place}.{name}" if name else str(place), found)
            for place, one in enumerate(value)
            for name, found in flat(one, "")
        ]


def _write_pairs(body: Body, made: Draft) -> None:
    values: dict[str, Any] = {}
    for name, value in body.value or ():
        before = values.get(name)
        values[name] = value if name not in values else [*(before if isinstance(before, list) else [before]), value]
    made.properties = [_property(name, value) for name, value in values.items()]
    for name in values:
        if any(part.isdigit() for part in name.split(".")[1:]):
            made.notes.append(f"{shown(name)}: a number between dots makes a list, whose places are not written")
    if body.kind == "multipart" and body.files:
        _write_files(body.files, made)


def _write_files(files: Sequence[File], made: Draft) -> None:
    made.settings["files"] = {}
    for one in files:
        is_text = one.content_type.startswith("text/")
        written = {"filename": literal(one.filename), "content_type": one.content_type}
        made.settings["files"][one.name] = written | ({"encoding": "text"} if is_text else {})
        holds = f"{FILL_IN}: what the file holds{'' if is_text else ', in base64'}"
        made.properties.append(Property(name=one.name, value="", comment=holds))


def _write_xml(text: str, made: Draft) -> None:
    # Entities that the document itself declares are read as their text; nothing else is, and not without measure.
    entities: Any = "internal"  # the stubs do not know it
    parser = etree.XMLParser(resolve_entities=entities, no_network=True, remove_comments=True, remove_pis=True)
    try:
        root: Any = etree.fromstring(text.encode(), parser)
    except (etree.XMLSyntaxError, ValueError):
        made.settings |= {"body": "text", "template": literal(text), "content_type": "application/xml"}
        made.notes.append("the body is not well-formed XML: it is taken as text")
        made.notes.append(_LOOK)
        return
    made.settings["xml_root"] = tag(root)
    if root.getroottree().docinfo.doctype:
        made.notes.append("the DOCTYPE of the XML body is left out: a mapping has no place for it")
    made.properties = [_property(name, value) for name, value in elements(root, "")]
    if any("." in tag(one) for one in root.iter()):
        made.notes.append("elements with a dot in their name cannot be mapped: the dot nests them")
    if any((one.tail or "").strip() for one in root.iterdescendants()):
        made.notes.append("text between the elements of the XML body is left out: a mapping has no place for it")


def _property(name: str, value: Any) -> Property:
    known = field_of(name) if isinstance(value, str) and value else None
    if (is_secret(name) and value not in ("", None)) or (not known and references(value)):
        comment = f"{FILL_IN}: a secret, which a mapping cannot refer to"
        is_text = isinstance(value, str)
        variable = variable_of(value) if is_text else None
        return Property(
            name=name, value="", comment=comment, off=True, key="sent" if is_text else None, variable=variable
        )
    if known:
        return Property(name=name, value=f"{{{{ lead.{known} }}}}", comment=f"for example {shown(value)}")
    if isinstance(value, str | list | dict):
        value = literal(value)
    return Property(name=name, value=value, comment=TO_MAP)


def _check(made: Draft) -> None:
    """Turn off what a mapping cannot have, saying so, and say which properties are secrets."""
    kept: dict[str, Any] = {}
    for place, one in enumerate(made.properties):
        if one.off and FILL_IN in one.comment:
            why = "a secret in the body; a mapping cannot refer to one" if is_secret(one.name) else one.comment
            made.notes.append(f"{shown(one.name)} is left out: {why}")
        if one.off:
            continue
        if one.name in kept:
            made.properties[place] = replace(one, comment=FILL_IN, off=True)
            made.notes.append(f"{shown(one.name)} stands there twice: the first is written")
            continue
        try:
            compile_mapping({**kept, one.name: one.value})
        except InvalidTemplate as error:
            made.properties[place] = replace(one, comment=FILL_IN, off=True)
            made.notes.append(f"cannot be mapped, so it is left out: {error}")
        else:
            kept[one.name] = one.value
