"""An OpenAPI document (3.0, 3.1; spec.openapis.org): read within bounds, its references followed, its operations listed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import msgspec

from app.config.suggestion import suggest
from app.config.yaml import Bounds, parse
from app.errors import Complaint, InvalidInput, NotFound

MOST_BYTES = 20_000_000
TOO_LONG = "leave out operations and schemas that are not needed"
_BOUNDS = Bounds(bytes=MOST_BYTES, depth=64, values=1_000_000)
_METHODS = ("post", "put", "patch", "delete", "get")
_REFERENCES = 32
"""So many that lead from one to the next are followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation with what its path says for all of them."""

    id: str
    method: str
    path: str
    summary: str
    item: Mapping[str, Any]
    spec: Mapping[str, Any]

    @property
    def line(self) -> str:
        """Method and path, by which an operation can be named too."""
        return f"{self.method.upper()} {self.path}"


class Document:
    """A document and where it came from; raises `InvalidInput` for one that is not OpenAPI 3.

    `missing` holds the references that were followed and led to nothing in it.
    """

    def __init__(self, content: bytes, place: str) -> None:
        self.place = place
        self.missing: dict[str, None] = {}
        self.root = _read(content, place)
        if str(self.root.get("swagger", "")).startswith("2"):
            raise invalid("is of Swagger 2.0", "convert it to OpenAPI 3 first (editor.swagger.io does)")
        if not str(self.root.get("openapi", "")).startswith("3."):
            raise invalid("is no OpenAPI 3 document: `openapi: 3.x` is missing")

    def operations(self) -> list[Operation]:
        """Every operation, in the document's order."""
        return list(self._operations())

    def operation(self, name: str) -> Operation:
        """The operation of an id, or of a line such as `POST /leads`; raises `NotFound`."""
        known = self.operations()
        for one in known:
            if name in {one.id, one.line} or name.lower() == one.line.lower():
                return one
        raise NotFound(f"there is no operation {name!a}: {suggest(name, {one.id for one in known})}")

    def resolved(self, node: Any) -> Mapping[str, Any]:
        """What a node is once its `$ref`s are followed; empty for one that is no mapping or leads out of the document."""
        reference: Any = None
        for _ in range(_REFERENCES):
            if not isinstance(node, Mapping):
                break
            following = node.get("$ref")
            if not isinstance(following, str):
                return node
            reference = following
            beside = {name: value for name, value in node.items() if name != "$ref"}
            found = self._pointed(reference)
            node = {**found, **beside} if isinstance(found, Mapping) else found
        if reference is not None:
            self.missing[reference] = None
        return {}

    def address(self, operation: Operation) -> tuple[str | None, str]:
        """The first server's address (RFC 3986; None when the document names none), and the path below it."""
        servers = operation.spec.get("servers") or operation.item.get("servers") or self.root.get("servers") or []
        server = self.resolved(servers[0]) if isinstance(servers, list) and servers else {}
        url = str(server.get("url", ""))
        for name, variable in mapping(server.get("variables")).items():
            url = url.replace(f"{{{name}}}", str(mapping(variable).get("default", "")))
        found = self.absolute(url or "/")
        return (found.rstrip("/") if found else None), operation.path

    def absolute(self, url: str) -> str | None:
        """An address of the document, which may be relative to where that came from."""
        try:
            found = urljoin(self.place, url) if self.place.startswith(("http://", "https://")) else url
            return found if urlsplit(found).scheme in {"http", "https"} else None
        except ValueError:
            return None

    def _operations(self) -> Iterator[Operation]:
        for path, node in mapping(self.root.get("paths")).items():
            item = self.resolved(node)
            for method in _METHODS:
                spec = item.get(method)
                if isinstance(spec, Mapping):
                    line = f"{method.upper()} {path}"
                    summary = str(spec.get("summary") or spec.get("description") or "").strip().split("\n")[0]
                    given = str(spec.get("operationId") or line)
                    yield Operation(id=given, method=method, path=str(path), summary=summary, item=item, spec=spec)

    def _pointed(self, reference: str) -> Any:
        """What a JSON pointer (RFC 6901) leads to."""
        if not reference.startswith("#/"):
            return None
        node: Any = self.root
        for part in reference[2:].split("/"):
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(node, Mapping):
                node = node.get(key)
            elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
                node = node[int(key)]
            else:
                return None
        return node


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def _read(content: bytes, place: str) -> Mapping[str, Any]:
    if len(content) > MOST_BYTES:
        raise invalid(f"is longer than {MOST_BYTES} bytes", TOO_LONG)
    if content.lstrip()[:1] == b"{":
        try:
            return mapping(msgspec.json.decode(content))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # YAML may begin with a brace too; its reader tells line and column
    return mapping(parse(content, place, _BOUNDS).value)


def invalid(detail: str, remedy: str | None = None) -> InvalidInput:
    """A complaint about the document."""
    return InvalidInput([Complaint(field="document", detail=detail, remedy=remedy)])
