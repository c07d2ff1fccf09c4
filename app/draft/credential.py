"""Who a request shows to be, written as `auth`, headers and parameters that refer to the environment; no secret is kept."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from app.config.secrets import references
from app.connectors._http.addition import clash, property_name
from app.draft.line import Draft
from app.draft.request import Credential, Request

UNNAMED = "imported"
_REFERENCE = re.compile(r"\$\{env:(\w+)\}")
_KEYED = frozenset({"json", "form", "multipart", "xml"})
"""Bodies that have a place for a key."""
_PAIRS = frozenset({"basic", "digest"})
"""Those of a user name and a password."""
_WHOLE = _PAIRS | {"oauth2"}
"""Those that can be written as `auth` only."""
_PLAIN_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def write_credentials(request: Request, made: Draft) -> str:
    """Write credentials and headers; returns the address."""
    url, prefix = request.url, prefix_of(request.url)
    headers = dict(request.headers)
    for name, suffix, text in request.secret_headers:
        headers[name] = text + reference(made, f"{prefix}_{suffix}", f"the {name} header")
    # A user name and password cannot be written as a header: they are encoded.
    for one in sorted(request.credentials, key=lambda credential: credential.kind not in _WHOLE):
        where = _where(one)
        written = reference(made, one.variable or f"{prefix}_{one.suffix}", where)
        if "auth" not in made.settings:
            made.settings["auth"] = {one.kind: _auth(one, written)}
        elif one.kind == "api_key" and one.place == "query":
            url += f"{'&' if '?' in url else '?'}{quote(one.name, safe='')}={written}"
        elif one.kind == "api_key":
            headers[one.name] = written
        elif "api_key" in made.settings["auth"]:
            headers["Authorization"] = f"Bearer {written}"
        else:
            made.notes.append(f"the command has several credentials: {where} is left out")
            del made.variables[written[6:-1]]
    if headers:
        made.settings["headers"] = headers
    for found in references({"url": url, **headers}):
        made.variables.setdefault(found[6:-1], "as in the command")
    return url


def _where(one: Credential) -> str:
    """What a variable holds, for people."""
    if one.kind in _PAIRS:
        return f"the user name of the {one.kind.title()} credentials" if one.secret_user else "the password"
    named = {"bearer": "the bearer token", "oauth2": "the client secret"}
    return named.get(one.kind) or f"{one.name} in the {one.place}"


def _auth(one: Credential, reference: str) -> dict[str, Any]:
    if one.kind == "oauth2":
        made = {"token_url": one.token_url, "client_id": one.name, "client_secret": reference}
        return made | ({"scope": one.scope} if one.scope else {})
    if one.kind == "bearer":
        return {"token": reference}
    if one.kind in _PAIRS:
        return (
            {"username": reference, "password": ""}
            if one.secret_user
            else {"username": one.name, "password": reference}
        )
    return {"name": one.name, "value": reference, **({"in": "query"} if one.place == "query" else {})}


def write_body_key(made: Draft, request: Request) -> None:
    """The first secret of the body as `auth.api_key`, if its kind of body has a place for one; takes it from the properties."""
    if made.settings.get("body") not in _KEYED or made.settings.get("json_array"):
        return
    mapped = [one.name for one in made.properties if not one.off]
    for place, one in enumerate(made.properties):
        if one.key is None or not _fits(one.name, mapped):
            continue
        if "auth" in made.settings and (one.key == "optional" or not _make_room(made)):
            return
        written = reference(made, one.variable or f"{prefix_of(request.url)}_KEY", f"{one.name} in the body")
        made.settings["auth"] = {"api_key": {"in": "body", "name": one.name, "value": written}}
        del made.properties[place]
        return


def _fits(name: str, mapped: Sequence[str]) -> bool:
    try:
        property_name(name)
    except ValueError:
        return False
    return not any(clash(name, other) for other in mapped)


def _make_room(made: Draft) -> bool:
    """Write what stands in `auth` as a header or parameter, if it can be."""
    [(kind, auth)] = made.settings["auth"].items()
    if kind == "bearer":
        header = {"Authorization": f"Bearer {auth['token']}"}
    elif kind == "api_key" and auth.get("in") != "query":
        header = {auth["name"]: auth["value"]}
    else:
        return False
    made.settings["headers"] = {**made.settings.get("headers", {}), **header}
    return True


def reference(made: Draft, name: str, what: str) -> str:
    """A reference to an environment variable of this name, or of the next that is free."""
    free = name
    count = 2
    while free in made.variables:
        free, count = f"{name}_{count}", count + 1
    made.variables[free] = what
    return f"${{env:{free}}}"


def variable_of(value: str) -> str | None:
    """The environment variable that a text is, if it is one and nothing else."""
    found = _REFERENCE.fullmatch(value)
    return found[1] if found else None


def prefix_of(url: str) -> str:
    """What the names of a destination's environment variables begin with."""
    return re.sub(r"[^A-Z0-9]", "_", name_of(url).upper())


def name_of(url: str) -> str:
    """A destination's name by the host of its address."""
    try:
        labels = (urlsplit(url).hostname or "").split(".")
    except ValueError:
        labels = []
    name = labels[-2] if len(labels) > 1 and not labels[-1].isdigit() else ""
    return name if _PLAIN_NAME.fullmatch(name) else UNNAMED
