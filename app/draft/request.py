"""A request as somebody else described it: what a draft of a destination is made from. Values only."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A part of a multipart body that is a file."""

    name: str
    filename: str
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a request carries.

    `value` is the JSON value, (name, value) pairs of a form, a query or a multipart body, the text of XML or of anything
    else; where only its properties are known, further settings. `files` are the multipart parts that are files.
    """

    kind: Literal["json", "form", "multipart", "xml", "text", "query", "none"]
    value: Any = None
    files: tuple[File, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """How the request shows who it is: what stands for `auth` in the settings, with the secret's place in `suffix`.

    `suffix` ends the name of the environment variable; `variable` is that name itself where the description has one.
    """

    kind: Literal["basic", "digest", "bearer", "api_key", "oauth2"]
    suffix: str
    name: str = ""
    """User name or client id, or name of the header, query parameter or property of the body."""
    place: Literal["header", "query", "body"] = "header"
    variable: str | None = None
    secret_user: bool = False
    """Of Basic and Digest: the user name is the secret, and there is no password."""
    token_url: str = ""
    """Of OAuth 2.0: the token endpoint."""
    scope: str = ""


@dataclass(slots=True, kw_only=True)
class Way:
    """How the request gets there; files by the paths that the description has."""

    redirects: int = 0
    proxy: str | None = None
    """HOST:PORT."""
    proxy_user: str = ""
    """User name and password as they stand in an address."""
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_password: str | None = None
    """The environment variable that holds it; empty where the description has the password itself."""


@dataclass(slots=True, kw_only=True)
class Request:
    """One request; `notes` tell what a person has to know of it."""

    method: str
    url: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: Body = field(default_factory=lambda: Body(kind="none"))
    credentials: list[Credential] = field(default_factory=list)
    secret_headers: list[tuple[str, str, str]] = field(default_factory=list)
    way: Way = field(default_factory=Way)
    timeout_seconds: float | None = None
    response: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
