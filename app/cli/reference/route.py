"""docs/reference/api.md: every route, from the very OpenAPI document that the API serves."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

from app.api.application import create
from app.api.problem import Kind
from app.cli.reference.markdown import code, page, table
from app.cli.reference.shape import Schema, type_of
from app.settings import Settings

INTRODUCTION = """\
A running API shows the same at `/docs`, and as OpenAPI at `/openapi.json`. Send your key as `Authorization: Bearer lr_...` or
`X-API-Key: lr_...`; `leadrelay key create` makes one. Scopes: `submit`, `read`, `operate`, `feedback`. A key bound to a source
sees that source's leads only. Any route may answer with a [problem](#problems) instead of what stands here."""


def openapi() -> dict[str, Any]:
    """The OpenAPI document, asked of the application as a client would; no server has to run."""
    sent: list[Mapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": "/openapi.json", "raw_path": b"/openapi.json", "query_string": b"",
        "headers": [], "http_version": "1.1", "scheme": "http", "server": ("localhost", 80), "client": None,
        "root_path": "", "asgi": {"version": "3.0"},
    }  # fmt: skip
    asyncio.run(create(Settings())(scope, receive, send))
    found: dict[str, Any] = json.loads(b"".join(message.get("body", b"") for message in sent))
    return found


def routes_page() -> str:
    """The whole page."""
    document = openapi()
    schemas = document["components"]["schemas"]
    parts = [INTRODUCTION]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.extend(_operation(path, method.upper(), operation, schemas))
    parts.append("## Shapes")
    for name, schema in sorted(schemas.items()):
        parts.extend(_shape(name, schema, schemas))
    parts += [
        "## Problems",
        "Errors are problem documents (RFC 9457), [ProblemDocument](#problemdocument); `type` is one of these.",
        _problems(),
    ]
    return page("HTTP API", *parts)


def _operation(path: str, method: str, operation: Mapping[str, Any], schemas: Mapping[str, Schema]) -> Iterator[str]:
    yield f"## {method} {path}"
    scopes = sorted({scope for way in operation.get("security", []) for given in way.values() for scope in given})
    signed = any("signature" in way for way in operation.get("security", []))
    needs = f"Scope: {', '.join(code(scope) for scope in scopes)}." if scopes else _open(signed=signed)
    yield f"{operation['summary'].rstrip('.?')}. {' '.join(operation.get('description', '').split())} {needs}"
    rows = [
        (code(one["name"]), one["in"], type_of(one["schema"], schemas, _link), _described(one))
        for one in operation.get("parameters", [])
    ]
    yield table(("parameter", "in", "type", "what"), rows)
    bodies = operation.get("requestBody", {}).get("content", {})
    if bodies:
        yield f"Body: {_contents(bodies, schemas)}."
    answers = [(status, answer) for status, answer in operation["responses"].items() if status != "default"]
    told = [(code(status), _told(answer), _contents(answer.get("content", {}), schemas)) for status, answer in answers]
    yield table(("answer", "what", "body"), told)


def _open(*, signed: bool) -> str:
    return "Needs a signature instead of a key." if signed else "Open to everybody."


def _told(answer: Mapping[str, Any]) -> str:
    """What an answer means; FastAPI's own words say nothing."""
    return "" if answer["description"] == "Successful Response" else " ".join(answer["description"].split())


def _contents(contents: Mapping[str, Any], schemas: Mapping[str, Schema]) -> str:
    """Media types, with the shape where JSON has one of ours."""
    shapes = {name: type_of(one.get("schema") or {}, schemas, _link) for name, one in contents.items()}
    return ", ".join(f"{code(name)} {shape}" if "](#" in shape else code(name) for name, shape in shapes.items())


def _described(parameter: Mapping[str, Any]) -> str:
    default = parameter["schema"].get("default")
    told = parameter.get("description", "") + (f" Default {code(default)}." if default not in (None, []) else "")
    return f"{told} **Required.**" if parameter.get("required") and parameter["in"] != "path" else told


def _shape(name: str, schema: Schema, schemas: Mapping[str, Schema]) -> Iterator[str]:
    yield f"### {name}"
    yield " ".join(schema.get("description", "").split())
    if "enum" in schema:
        yield type_of(schema, schemas, _link)
    yield table(
        ("field", "type", "what"),
        [
            (code(field), type_of(node, schemas, _link), node.get("description", ""))
            for field, node in schema.get("properties", {}).items()
        ],
    )


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _problems() -> str:
    rows = [(code(f"/docs#{kind.slug}"), str(kind.status), kind.title) for kind in Kind]
    return table(("type", "status", "title"), rows)
