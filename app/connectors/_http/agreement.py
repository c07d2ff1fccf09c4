"""What does not go together among the settings of an HTTP destination: each with its place, and what to do.

It may not know how requests are written: only what they would lack or hold twice.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from app.config.base import SECRET_REFERENCE
from app.connectors._http.addition import clash, is_place
from app.connectors._http.charset import codec_of
from app.connectors._http.credentials import ApiKeyAuth, Auth
from app.connectors._http.namespace import undeclared
from app.connectors.base import TEST_HEADER

if TYPE_CHECKING:
    from app.connectors._http.settings import HttpSettings

Place = tuple[str | int, ...]
Complaints = Iterator[tuple[Place, str]]

_SAID_BY_OTHERS = {
    "accept": "tells which answers can be read",
    "accept-encoding": "tells which answers can be read",
    "content-encoding": "tells how the body is compressed",
    "content-type": "tells what the body is",
    "cookie": "carries cookies",
    "soapaction": "names the operation",
    "user-agent": "tells who sends",
}
"""Headers that neither a key nor a credential may take the place of."""


def complaints(settings: "HttpSettings") -> Complaints:
    """All of them, the first of which is usually enough."""
    if settings.method == "GET" and settings.body not in {"query", "none"}:
        yield (), "a GET carries no body: set body to query or none"
    yield from _of_body(settings)
    yield from _of_batch(settings)
    yield from _of_lookup(settings)
    yield from _of_wrap(settings)
    yield from of_headers(settings.headers, settings.auth, settings.idempotency_header)
    names = {name.lower(): name for name in settings.headers}
    for setting, name, used in (
        ("cookies", "cookie", settings.cookies),
        ("compress", "content-encoding", settings.compress is not None),
    ):
        if used and name in names:
            yield ("headers", names[name]), f"{setting} sets this header, too: remove one of the two"
    if settings.body == "multipart" and "content-type" in names:
        yield ("headers", names["content-type"]), "a multipart body says itself what ends its parts: remove the header"
    signature = settings.auth.hmac if settings.auth else None
    if signature and "key" in signature.signed_names() and settings.idempotency_header is None:
        yield ("auth", "hmac", "string"), "signs the key, which is sent nowhere: set idempotency_header"


def of_headers(headers: Mapping[str, Any], auth: Auth | None, idempotency_header: str | None) -> Complaints:
    """Headers that would stand in a request twice, or one in the place of another."""
    names: set[str] = set()
    for name in headers:
        if name.lower() in names:
            yield ("headers", name), "this header stands there twice: remove one of the two"
        if name.lower() == TEST_HEADER.lower():
            yield ("headers", name), "this header marks test leads: remove it"
        names.add(name.lower())
    used: set[str] = set()
    for name in auth.headers() if auth else ():
        lower = name.lower()
        if lower in names:
            yield (
                ("headers", next(one for one in headers if one.lower() == lower)),
                "auth sets this header, too: remove it",
            )
        elif lower in used or lower in _SAID_BY_OTHERS or lower == TEST_HEADER.lower():
            says = _SAID_BY_OTHERS.get(lower, "is set already")
            yield ("auth",), f"the header {name} {says}: name another for the credentials"
        used.add(lower)
    key = idempotency_header.lower() if idempotency_header is not None else ""
    remedy = "name another header, or set it to null"
    if key in used:
        yield ("idempotency_header",), f"auth sets this header, too: {remedy}"
    elif key in _SAID_BY_OTHERS or key == TEST_HEADER.lower():
        yield ("idempotency_header",), f"this header {_SAID_BY_OTHERS.get(key, 'marks test leads')}: {remedy}"
    elif key in names:
        yield ("idempotency_header",), f"headers sets {key}, too: remove it there, or {remedy}"


def of_mapping(settings: "HttpSettings", mapping: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What of a mapping does not go with the settings: dotted place in the destination's file, and complaint."""
    key = key_in_body(settings)
    for name in mapping if key is not None else ():
        if key is not None and (wrong := clash(key.name, name)) is not None:
            yield f"mapping.{name}", wrong
    added = {key.name: ""} if key is not None else {}
    if settings.json_array:
        places = [name for name in (*mapping, *added) if is_place(name.partition(".")[0])]
        others = [name for name in (*mapping, *added) if name not in places]
        if places and others:
            mix = f"whole numbers (places of the array, as in {places[0]}) and names (one object) do not mix"
            yield f"mapping.{others[0]}" if others[0] in mapping else "settings.auth.api_key.name", mix
    if settings.body == "xml":
        for where, prefix in undeclared(settings.xml_root, settings.xml_namespaces, {**mapping, **added}):
            place = "settings.xml_root" if where is None else f"mapping.{where}"
            if key is not None and where == key.name:
                place = "settings.auth.api_key.name"
            yield (
                place,
                f"nothing declares the prefix {prefix}: add it to settings.xml_namespaces, or map @xmlns:{prefix}",
            )


def key_in_body(settings: "HttpSettings") -> ApiKeyAuth | None:
    """The API key that is a property of the body."""
    return settings.auth.body_key() if settings.auth is not None and settings.wrap is None else None


def _of_body(settings: "HttpSettings") -> Complaints:
    """Settings of bodies that the kind of body knows nothing of would silently do nothing."""
    known: dict[str, tuple[bool, set[str]]] = {
        "json_array": (settings.json_array, {"json"}),
        "xml_namespaces": (bool(settings.xml_namespaces), {"xml"}),
        "xml_declaration": (not settings.xml_declaration, {"xml"}),
        "template": (settings.template is not None, {"text"}),
        "wrap": (settings.wrap is not None, {"json", "xml", "text"}),
        "files": (bool(settings.files), {"multipart"}),
        "charset": (codec_of(settings.charset) != "utf-8", {"form", "query", "xml", "text"}),
        "compress": (settings.compress is not None, {"json", "form", "multipart", "xml", "text"}),
    }
    for name, (used, bodies) in known.items():
        if used and settings.body not in bodies:
            yield (name,), f"{name} is for body: {', '.join(sorted(bodies))}; this one is {settings.body}"
    if settings.body == "text" and not settings.template:
        yield ("template",), "a body of text needs a template"
    if settings.template is not None and SECRET_REFERENCE.search(settings.template):
        yield ("template",), "a secret would stand in every transcript; put it in a header, the query or auth"
    if (settings.body in {"form", "query"} or settings.form) and b"a&=%".decode(
        codec_of(settings.charset), "replace"
    ) != "a&=%":
        yield ("charset",), f"a form cannot be written in {settings.charset}"


def _of_batch(settings: "HttpSettings") -> Complaints:
    if settings.batch is None:
        return
    claims = settings.auth.jwt.claims if settings.auth and settings.auth.jwt else {}
    yield from settings.batch.complaints(
        body=settings.body,
        json_array=settings.json_array,
        addresses=settings.places(),
        tables={
            ("query",): settings.query,
            ("headers",): settings.headers,
            ("form",): settings.form,
            ("auth", "jwt", "claims"): claims,
        },
        adds_key=key_in_body(settings) is not None,
    )


def _of_lookup(settings: "HttpSettings") -> Complaints:
    """What does not go with pages or a cache."""
    for name in ("pages", "cache"):
        if getattr(settings, name) is not None and settings.method != "GET":
            yield (name,), f"only a GET is a look-up, and this is a {settings.method}: remove it, or set method to GET"
    if settings.cache is not None and settings.cookies:
        yield ("cache",), "answers to requests with cookies are not kept: remove it, or set cookies to false"
    if settings.pages is None:
        return
    if settings.redirects:
        yield ("redirects",), "pages are asked for without redirects: set it to 0"
    asked_by = settings.pages.parameter or settings.pages.kind
    if settings.pages.kind != "link" and asked_by in settings.query:
        yield ("query", asked_by), "pages sets this parameter: remove it"


def _of_wrap(settings: "HttpSettings") -> Complaints:
    """A field of one name twice, fields beside nothing, and a key without a place."""
    if settings.form and settings.wrap is None:
        yield ("form",), "these are fields beside that of wrap: set wrap, or map them as properties"
    if settings.wrap is not None and settings.wrap in settings.form:
        yield ("form", settings.wrap), "wrap is the field of this name: rename one of the two"
    key = settings.auth.body_key() if settings.auth is not None else None
    if key is None:
        return
    if settings.wrap is not None and key.name in {settings.wrap, *settings.form}:
        yield ("auth", "api_key", "name"), "another form field has this name: rename one of the two"
    if settings.wrap is None and settings.body in {"none", "text"}:
        remedy = "put it in a header or the query, or choose a body of properties"
        yield ("auth", "api_key", "in"), f"a body of {settings.body} has no properties: {remedy}"
