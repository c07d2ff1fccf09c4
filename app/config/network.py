"""How a destination that speaks HTTP is reached: in-house addresses that it may be at, its proxy, its certificates.

What the text says is checked here; `app.connectors._guard` judges addresses by it, `app.connectors._tls` loads the files.
A `${env:NAME}` or `${file:/path}` in place of a value is let through: it is checked again once it is resolved.
"""

import re
from collections.abc import Callable
from functools import wraps
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from app.config.base import SECRET_REFERENCE, Strict

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
# A name that ends in a number is an address to most resolvers, whatever its spelling.
_HOST = re.compile(rf"(\*\.)?({_LABEL}\.)*(?![0-9]+$|0x[0-9a-f]*$){_LABEL}")
_USER = re.compile("//.*@")
_MAPPED = IPv6Network("::ffff:0:0/96")


def host_name(text: str) -> str:
    """A host name as names are compared: lower case, ASCII (RFC 5890), no dot at its end; raises ValueError."""
    name = text.lower()
    if not name.isascii():
        name = name.encode("idna").decode()  # UnicodeError is a ValueError
    return name.removesuffix(".")


def allowed(entry: str) -> IPv4Network | IPv6Network | str:
    """An entry of `allow`: a network (one address is a network of one), or a host name or pattern; raises ValueError."""
    text = entry.strip()
    try:
        network = ip_network(text)
    except ValueError:
        return _allowed_host(text)
    if "%" in text:
        raise ValueError("write the address without its zone")
    if network.prefixlen == 0:
        raise ValueError("allows every address there is: name the hosts or networks that are meant")
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        raise ValueError("write it as the IPv4 address or network that it stands for")
    return network


def _allowed_host(text: str) -> str:
    if "/" in text:
        try:
            meant = ip_network(text, strict=False)
        except ValueError:
            raise ValueError("not a network in CIDR form, such as 10.20.0.0/16") from None
        raise ValueError(f"the address has bits beyond its prefix: write {meant}")
    try:
        name = host_name(text)
    except ValueError:
        name = ""
    if not _HOST.fullmatch(name):
        raise ValueError("not a host name, *.domain, an IP address or a network such as 10.20.0.0/16")
    return name


def _unless_referred(check: Callable[[str], Any]) -> Callable[[str], str]:
    """A validator that keeps the text as it is; what holds a reference is looked at when its value is there."""

    @wraps(check)
    def validate(text: str) -> str:
        if not SECRET_REFERENCE.search(text):
            check(text)
        return text

    return validate


def _proxy(url: str) -> None:
    try:
        parts = urlsplit(url)
        complete = parts.scheme == "http" and parts.hostname and parts.port
    except ValueError:
        complete = False
    if not complete:
        raise ValueError("not the address of a proxy: write http://HOST:PORT")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("the address of a proxy has no path, query or fragment: write http://HOST:PORT")


def _path(path: str) -> None:
    if not PurePosixPath(path).is_absolute():
        raise ValueError("the path must be absolute: it is read where the worker runs")


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Allowed = Annotated[str, AfterValidator(_unless_referred(allowed))]
Proxy = Annotated[str, AfterValidator(_unless_referred(_proxy))]
File = Annotated[str, AfterValidator(_unless_referred(_path))]


class NetworkConfig(Strict):
    """How a destination that speaks HTTP is reached (docs/network.md)."""

    model_config = ConfigDict(hide_input_in_errors=True)

    allow: Annotated[list[Allowed], BeforeValidator(_as_list, json_schema_input_type=Allowed | list[Allowed])] = Field(
        [], examples=[["crm.corp.example", "10.20.0.0/16"]]
    )
    """Hosts (`*.corp.example` for all below it), addresses and networks that may be in-house; else only public addresses."""
    proxy: Proxy | None = Field(None, examples=["http://proxy.corp.example:3128"])
    """HTTP proxy that all requests go through; without it none is used, whatever the environment says."""
    ca: File | None = Field(None, examples=["/etc/leadrelay/buyer-ca.pem"])
    """PEM file with further certificate authorities that are trusted."""
    certificate: File | None = Field(None, examples=["/etc/leadrelay/client.pem"])
    """PEM file with our client certificate, and those between it and its authority."""
    key: File | None = Field(None, examples=["/run/secrets/client.key"])
    """PEM file with its private key; not needed where the certificate's file holds it."""
    key_password: str | None = Field(None, examples=["${env:CLIENT_KEY_PASSWORD}"], repr=False)
    """Password of the private key."""

    def without_credentials(self) -> "NetworkConfig":
        """The same way with nothing on it that says who we are: no user at the proxy, no certificate of ours."""
        proxy = self.proxy and _USER.sub("//", self.proxy)
        return NetworkConfig(allow=self.allow, proxy=proxy, ca=self.ca)

    @model_validator(mode="after")
    def _key_has_a_certificate(self) -> "NetworkConfig":
        if self.certificate is None and (self.key or self.key_password):
            raise ValueError("certificate: is required beside a key")
        return self
