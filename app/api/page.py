"""The OpenAPI document as one HTML page. No script and nothing from elsewhere: it works on a machine without a network.

Also where the `type` of a problem leads to. Pure.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from app.api.problem import Kind

_REFERENCE = "#/components/schemas/"
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code, pre { font: 13px/1.45 ui-monospace, monospace } pre { padding: .6rem; overflow-x: auto; background: #8881 }
h2 { margin-top: 3rem } h3 { margin: 2rem 0 0; border-top: 1px solid #8884; padding-top: 1rem }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 } td, th { text-align: left; vertical-align: top;
padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #8883 } .method { font-weight: 700 }
"""


def render(document: Mapping[str, Any]) -> str:
    """The whole page."""
    return "\n".join(_page(document))


def _page(document: Mapping[str, Any]) -> Iterator[str]:
    info = document["info"]
    yield f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])} API</title>'
    yield f"<style>{_STYLE}</style><h1>{escape(info['title'])} API {escape(info['version'])}</h1>"
    yield f'<p>{escape(info.get("summary", ""))} <a href="/openapi.json">OpenAPI document</a></p>'
    yield "<p>Send your key as <code>Authorization: Bearer lr_...</code> or <code>X-API-Key: lr_...</code>.</p>"
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield from _operation(path, method.upper(), operation)
    yield "<h2>Shapes</h2>"
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield from _shape(name, schema)
    yield from _problems()


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f'<h3 id="{escape(operation["operationId"])}"><span class="method">{method}</span> <code>{escape(path)}</code></h3>'
    scopes = sorted({scope for way in operation.get("security", []) for scopes in way.values() for scope in scopes})
    needs = f" Scope: <code>{escape(', '.join(scopes))}</code>." if scopes else " Open."
    yield f"<p><b>{escape(operation.get('summary', ''))}.</b> {_prose(operation.get('description', ''))}{needs}</p>"
    if operation.get("parameters"):
        rows = [
            (f"<code>{escape(one['name'])}</code>", one["in"], _type(one["schema"]), _described(one))
            for one in operation["parameters"]
        ]
        yield _table(("parameter", "in", "type", ""), rows)
    for name, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Body <code>{escape(name)}</code>: {_type(content.get('schema', {}))}</p>{_example(content)}"
    for status, response in operation["responses"].items():
        contents = list(response.get("content", {}).items())
        shapes = ", ".join(f"<code>{escape(name)}</code> {_type(one.get('schema', {}))}" for name, one in contents)
        yield f"<p>Answer <code>{escape(status)}</code>: {_prose(response['description'])} {shapes}</p>"
        yield from (_example(one) for _, one in contents)


def _shape(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f'<h3 id="{escape(name)}"><code>{escape(name)}</code></h3><p>{_prose(schema.get("description", ""))}</p>'
    if "enum" in schema:
        yield f"<p>{', '.join(f'<code>{escape(str(value))}</code>' for value in schema['enum'])}</p>"
    if "properties" in schema:
        rows = [
            (f"<code>{escape(field)}</code>", _type(one), _described(one))
            for field, one in schema["properties"].items()
        ]
        yield _table(("field", "type", ""), rows)


def _problems() -> Iterator[str]:
    yield "<h2>Problems</h2><p>Every error is an <code>application/problem+json</code> (RFC 9457) of one of these kinds.</p>"
    rows = [
        (f'<span id="{kind.slug}"></span><code>{kind.slug}</code>', str(kind.status), escape(kind.title))
        for kind in Kind
    ]
    yield _table(("type", "status", "title"), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    names = "".join(f"<th>{name}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{names}</tr>{body}</table>"


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(_REFERENCE))
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    name = schema.get("format") or schema.get("type") or "anything"
    return escape(str(schema.get("const", name)))


def _described(one: Mapping[str, Any]) -> str:
    return _prose(one.get("description") or one.get("schema", {}).get("description") or "")


def _prose(text: str) -> str:
    """Escaped text whose `code` is marked up."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def _example(content: Mapping[str, Any]) -> str:
    if "example" not in content:
        return ""
    example = content["example"]
    return f"<pre>{escape(example if isinstance(example, str) else json.dumps(example, indent=2))}</pre>"
