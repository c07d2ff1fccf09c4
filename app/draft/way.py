"""How a destination is reached, as curl's options say it: redirects, a proxy, certificates (docs/network.md)."""

import re
from pathlib import PurePosixPath
from urllib.parse import quote

from app.config.network import NetworkConfig
from app.config.secrets import references
from app.draft.credential import prefix_of, reference, variable_of
from app.draft.line import Draft
from app.draft.option import Options, invalid
from app.draft.request import Request

_MOST_REDIRECTS = 10
_PROXY_PORT = "1080"
"""curl's own, where the command names none."""


def read_way(options: Options, request: Request) -> None:
    """Set the way of the request; raises `InvalidInput`."""
    way, given = request.way, options.way
    if options.follows:
        way.redirects = _redirects(given.get("max-redirs"), request)
    if (proxy := given.get("proxy")) is not None:
        _read_proxy(proxy, given.get("proxy-user"), request)
    way.ca = given.get("cacert")
    if "cert" in given:
        found = re.fullmatch(r"((?:[^:\\]|\\.|\$\{env:\w+\})*)(?::(.*))?", given["cert"], re.DOTALL)
        name, password = (found[1], found[2]) if found else (given["cert"], None)
        way.certificate = name.replace("\\:", ":").replace("\\\\", "\\")
        way.key = given.get("key")
        password = given.get("pass", password)
        if password is not None:
            way.key_password = variable_of(password) or ""
    elif given.keys() & {"key", "pass"}:
        request.notes.append("the key of a client certificate is left out: the command has no --cert")


def _redirects(most: str | None, request: Request) -> int:
    if most is None:
        return _MOST_REDIRECTS
    try:
        count = int(most)
    except ValueError:
        raise invalid("--max-redirs is no whole number") from None
    if 0 <= count <= _MOST_REDIRECTS:
        return count
    request.notes.append(f"redirects: at most {_MOST_REDIRECTS} are followed here")
    return _MOST_REDIRECTS


def _read_proxy(given: str, user: str | None, request: Request) -> None:
    if not given:  # curl's way to say that there is none
        return
    scheme, colons, rest = given.rpartition("://")
    before, _, place = rest.rstrip("/").rpartition("@")
    if (colons and scheme != "http") or "/" in place:
        request.notes.append("the option --proxy is left out: only a proxy at http://HOST:PORT can be used")
        return
    if not variable_of(place) and not re.search(r":\d+$", place):
        place += f":{_PROXY_PORT}"
    try:
        NetworkConfig(proxy=f"http://{place}")
    except ValueError:
        raise invalid("its --proxy is none", "write it as http://HOST:PORT") from None
    if user:
        before = ":".join(part if references(part) else quote(part, safe="") for part in user.split(":", 1))
    request.way.proxy, request.way.proxy_user = place, before


def write_way(request: Request, made: Draft) -> None:
    """Settings and network; a path that is not absolute becomes a reference, for nobody knows where the workers have it."""
    way, prefix = request.way, prefix_of(request.url)
    if way.redirects:
        made.settings["redirects"] = way.redirects
        made.notes.append("redirects to another host take no credentials and no headers of the command along")
    network: dict[str, str] = {}
    if way.proxy is not None:
        name, colon, password = way.proxy_user.partition(":")
        if colon:
            hidden = reference(
                made, variable_of(password) or f"{prefix}_PROXY_PASSWORD", "the proxy's password, encoded"
            )
            name = f"{name}:{hidden}"
        network["proxy"] = f"http://{name}@{way.proxy}" if name else f"http://{way.proxy}"
    for setting in ("ca", "certificate", "key"):
        path = getattr(way, setting)
        if path is not None:
            network[setting] = _path(path, f"{prefix}_{setting.upper()}", setting, made)
    if way.key_password is not None:
        network["key_password"] = reference(made, way.key_password or f"{prefix}_KEY_PASSWORD", "the key's password")
    for written in references(network):
        made.variables.setdefault(written[6:-1], "as in the command")
    if network.keys() & {"ca", "certificate", "key"}:
        made.notes.append("certificates and keys are PEM files, read where the workers run")
    if network:
        made.network = {**(made.network or {}), **network}


def _path(path: str, name: str, what: str, made: Draft) -> str:
    if references(path) or PurePosixPath(path).is_absolute():
        return path
    return reference(made, name, f"absolute path of the {what} file")
