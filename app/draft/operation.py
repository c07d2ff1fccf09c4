"""An operation of an OpenAPI document as a destination: address, credentials, properties, and rules for its answers."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import quote

from app.draft.destination import draft
from app.draft.document import Document, Operation, listed, mapping
from app.draft.field import field_of
from app.draft.line import FILL_IN, Draft, Property, shown
from app.draft.request import Body, Credential, Request
from app.draft.schema import Properties, beginning, kind_of
from app.redaction import is_secret

UNKNOWN_SERVER = "https://fill-in.example"
_FORM = "application/x-www-form-urlencoded"
_KINDS: Mapping[Any, re.Pattern[str]] = {
    "json": re.compile(r"application/json|\*/\*|.+\+json"),
    "form": re.compile(re.escape(_FORM)),
    "multipart": re.compile("multipart/form-data"),
    "xml": re.compile(r".+(/|\+)xml"),
}
REFERENCE_NAMES = ("id", "lead_id", "leadId", "leadID", "uuid", "reference", "confirmation_id", "transaction_id")
REASON_NAMES = ("reason", "message", "error_message", "errorMessage", "detail", "error_description", "title", "error")
PRICE_NAMES = ("price", "payout", "bid", "bid_price")
OUTCOME_NAMES = ("outcome", "status", "result", "success", "accepted")
GOOD = frozenset({"success", "accepted", "ok", "sold", "approved", "matched", "true", "valid"})


def from_operation(document: Document, operation: Operation) -> Draft:
    """A destination that calls the operation; what a person has to decide is marked and noted."""
    server, path = document.address(operation)
    request = Request(method=operation.method.upper(), url=(server or UNKNOWN_SERVER) + path)
    if server is None:
        request.notes.append(f"the document names no server: {FILL_IN} the address")
    reader = Properties(document)
    properties = _read_body(document, operation, reader, request)
    _read_parameters(document, operation, request, properties)
    _read_security(document, operation, request)
    if left := re.findall(r"(?<!\{)\{([^{}]+)\}(?!\})", request.url):
        request.notes.append(f"{shown(', '.join(left))} in the address: {FILL_IN} what it is")
    request.response = _response(document, operation, reader)
    if request.response:
        request.notes.append("the response rules are guesses from the names in the document: look through them")
    request.notes += dict.fromkeys(reader.notes)
    if document.missing:
        request.notes.append(f"references that lead to nothing in the document: {shown(', '.join(document.missing))}")
    return draft(request, properties)


def _read_body(document: Document, operation: Operation, reader: Properties, request: Request) -> list[Property]:
    contents = mapping(document.resolved(operation.spec.get("requestBody")).get("content"))
    for kind, media in _by_preference(contents):
        content = document.resolved(contents[media])
        example = content.get("example")
        if example is None:
            examples = list(mapping(content.get("examples")).values())
            example = document.resolved(examples[0]).get("value") if examples else None
        schema = reader.merged(content.get("schema"))
        if kind == "json" and kind_of(schema) == "array":
            request.notes.append("the body is an array: `json_array` sends one lead as the only place of it")
            request.body = Body(kind="json", value={"json_array": True})
            return reader.of(schema.get("items"), next(iter(listed(example)), None))
        root = mapping(schema.get("xml")).get("name") if kind == "xml" else None
        request.body = Body(kind=kind, value={"xml_root": root} if isinstance(root, str) else None)
        if media not in {"application/json", _FORM, "multipart/form-data"} and "*" not in media:
            request.headers.append(("Content-Type", media))
        return reader.of(content.get("schema"), example)
    if contents:
        names = ", ".join(map(str, contents))
        request.notes.append(f"a body of type {shown(names)} cannot be written: write it by hand")
    return []


def _by_preference(contents: Mapping[str, Any]) -> Iterator[tuple[Any, str]]:
    """The kinds of body an operation takes, the most usual first."""
    for kind, pattern in _KINDS.items():
        for media in contents:
            if pattern.fullmatch(str(media).partition(";")[0].strip().lower()):
                yield kind, media


def _read_parameters(document: Document, operation: Operation, request: Request, properties: list[Property]) -> None:
    """Parameters of the path and the operation, whose own win (by name and place)."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for node in [*listed(operation.item.get("parameters")), *listed(operation.spec.get("parameters"))]:
        one = document.resolved(node)
        found[str(one.get("name")), str(one.get("in"))] = one
    query: list[Property] = []
    optional: list[str] = []
    for (name, place), one in found.items():
        if not one:  # a reference that led to nothing
            continue
        value, is_meant = beginning(document.resolved(one.get("schema")), one.get("example"))
        required = one.get("required") is True
        if place == "path":
            _read_place(name, value, request)
        elif is_secret(name) and place in {"query", "header"}:
            request.credentials.append(_api_key(name, place))
        elif place == "query" and (required or is_meant or field_of(name)):
            query.append(_parameter(name, value, is_meant=is_meant, required=required))
        elif place == "cookie" and required:
            _add_cookie(name, request)
        elif place == "header" and required:
            _read_header(name, value, request, is_meant=is_meant)
        else:
            optional.append(name)
    if optional:
        request.notes.append(f"parameters that need not be there are left out: {shown(', '.join(optional))}")
    _place(query, request, properties)


def _read_place(name: str, value: Any, request: Request) -> None:
    """A parameter of the path."""
    known = field_of(name)
    written = quote(str(value), safe="") if value and not known else f"{{{{ lead.{known or _plain(name)} }}}}"
    request.url = request.url.replace(f"{{{name}}}", written)
    request.notes.append(f"{name} in the path of the address: {FILL_IN} what it is")


def _read_header(name: str, value: Any, request: Request, *, is_meant: bool) -> None:
    if name.lower() in {"accept", "content-type", "authorization"}:  # by the specification they are said elsewhere
        return
    request.headers.append((name, str(value) or FILL_IN))
    if not is_meant:
        request.notes.append(f"the header {name}: {FILL_IN} its value")


def _parameter(name: str, value: Any, *, is_meant: bool, required: bool) -> Property:
    if known := field_of(name):
        return Property(name=name, value=f"{{{{ lead.{known} }}}}")
    return Property(name=name, value=value, comment=f"{FILL_IN}, required" if required and not is_meant else "")


def _place(query: list[Property], request: Request, properties: list[Property]) -> None:
    """Write the query into the mapping where it is all there is, else into the address."""
    if request.body.kind == "none" and query:
        request.body = Body(kind="query")
        properties += query
    elif query:
        request.url += "?" + "&".join(f"{quote(one.name, safe='')}={_in_address(one)}" for one in query)
        request.notes += [
            f"{one.name} in the query of the address: {FILL_IN} what it is" for one in query if one.comment
        ]


def _in_address(one: Property) -> str:
    return str(one.value) if "{{" in str(one.value) else quote(str(one.value), safe="")


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in name) or "id"


def _api_key(name: str, place: str) -> Credential:
    return Credential(kind="api_key", suffix="KEY", name=name, place="query" if place == "query" else "header")


def _read_security(document: Document, operation: Operation, request: Request) -> None:
    """The credentials of the first way in that is more than none."""
    ways = operation.spec.get("security", document.root.get("security"))
    schemes = mapping(mapping(document.root.get("components")).get("securitySchemes"))
    for name, scopes in next((mapping(way) for way in listed(ways) if way), {}).items():
        scheme = document.resolved(schemes.get(name))
        kind, http = scheme.get("type"), str(scheme.get("scheme", "")).lower()
        if kind == "http" and http == "bearer":
            request.credentials.append(Credential(kind="bearer", suffix="TOKEN"))
        elif kind == "http" and http in {"basic", "digest"}:
            pair: Literal["basic", "digest"] = "digest" if http == "digest" else "basic"
            request.credentials.append(Credential(kind=pair, suffix="PASSWORD", name=FILL_IN))
            request.notes.append(f"auth.{http}.username: {FILL_IN} the user name")
        elif kind == "apiKey" and scheme.get("in") == "cookie":
            _add_cookie(str(scheme.get("name", "")), request)
        elif kind == "mutualTLS":
            request.way.certificate, request.way.key = "certificate.pem", "key.pem"
        elif kind == "apiKey" and scheme.get("in") in {"query", "header"}:
            request.credentials.append(_api_key(str(scheme.get("name", "")), str(scheme["in"])))
        elif kind in {"oauth2", "openIdConnect"}:
            _read_oauth(document, mapping(scheme.get("flows")), listed(scopes), request)
        else:
            what = f"of kind {http or kind}" if kind else f"{name}, which the document does not describe,"
            request.notes.append(f"credentials {shown(what)} are left out")


def _read_oauth(document: Document, flows: Mapping[str, Any], scopes: list[Any], request: Request) -> None:
    """Our own credentials where a flow takes them; what a person signs on for is a token that somebody has to get."""
    url = document.absolute(str(mapping(flows.get("clientCredentials")).get("tokenUrl", "")))
    if url is None:
        urls = [str(mapping(flow)["tokenUrl"]) for flow in flows.values() if mapping(flow).get("tokenUrl")]
        at = f", token address {urls[0]}" if urls else ""
        request.credentials.append(Credential(kind="bearer", suffix="TOKEN"))
        request.notes.append(f"the API signs on by OAuth 2.0{at}: a bearer token is written in its place")
        return
    scope = " ".join(map(str, scopes))
    request.credentials.append(
        Credential(kind="oauth2", suffix="CLIENT_SECRET", name=FILL_IN, token_url=url, scope=scope)
    )
    request.notes.append(f"auth.oauth2.client_id: {FILL_IN} who we are to {url}")


def _add_cookie(name: str, request: Request) -> None:
    """One header for all cookies; whether one is a secret, no document says."""
    if not any(header == "Cookie" for header, _, _ in request.secret_headers):
        request.secret_headers.append(("Cookie", "COOKIE", ""))
    request.notes.append(
        f"the cookie {shown(name)} is required: write {shown(name)}=VALUE into the Cookie header's variable"
    )


def _response(document: Document, operation: Operation, reader: Properties) -> dict[str, Any] | None:
    """Rules that the names in the answers' schemas give a hint of."""
    good: dict[str, Any] = {}
    bad: dict[str, Any] = {}
    for status, node in mapping(operation.spec.get("responses")).items():
        contents = mapping(document.resolved(node).get("content"))
        for kind, media in _by_preference(contents):
            if kind == "json":
                schema = reader.merged(mapping(contents[media]).get("schema"))
                (good if str(status).startswith("2") else bad).setdefault("schema", schema)
                break
    accepted, refused = good.get("schema", {}), bad.get("schema", {})
    rules: dict[str, Any] = {}
    if search := _search(reader, accepted):
        rules["search"] = search
    for rule, names, schemas in (
        ("reason", REASON_NAMES, (accepted, refused)),
        ("price", PRICE_NAMES, (accepted,)),
        ("reference", REFERENCE_NAMES, (accepted,)),
    ):
        found = next((path for schema in schemas if (path := _path(reader, schema, names))), None)
        if found:
            rules[rule] = found
    return rules or None


def _search(reader: Properties, schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Where an answer says that it took the lead, if its values tell so."""
    for name in OUTCOME_NAMES:
        inner = reader.merged(mapping(schema.get("properties")).get(name))
        if kind_of(inner) == "boolean" and name in {"success", "accepted"}:
            return {"path": name, "term": "true"}
        term = next((str(one) for one in listed(inner.get("enum")) if str(one).lower() in GOOD), None)
        if term:
            return {"path": name, "term": term}
    return None


def _path(reader: Properties, schema: Mapping[str, Any], names: tuple[str, ...], levels: int = 2) -> str | None:
    """The dotted path of the first property of one of these names that is no object; the nearest level counts."""
    properties = mapping(schema.get("properties"))
    for name in names:
        inner = reader.merged(properties.get(name)) if name in properties else None
        if inner is not None and kind_of(inner) not in {"object", "array"}:
            return name
    for name, node in properties.items() if levels else ():
        inner = reader.merged(node)
        if kind_of(inner) == "array":
            inner, name = reader.merged(inner.get("items")), f"{name}.*"  # noqa: PLW2901  # the path into each place
        if found := _path(reader, inner, names, levels - 1):
            return f"{name}.{found}"
    return None
