"""What every answer says in its headers, whichever door it comes through."""

import re
from collections import Counter
from typing import Any

import pytest

from tests.api.harness import LEAD, Api

OTHERS = [
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/nowhere"),
    ("PUT", "/v1/leads"),
    ("GET", "/v1/leads/bulk"),
]
BODIES: dict[str, Any] = {
    "none": {},
    "a lead": {"json": LEAD},
    "too large": {"json": {"email": "a" * 5000}},
    "no JSON": {"data": b"{", "headers": {"Content-Type": "application/json"}},
    "a line": {"data": b'{"email": "ada@example.com"}\n', "headers": {"Content-Type": "application/x-ndjson"}},
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("who", ["all", "partner", "submit"])
def test_no_route_says_a_header_twice(api: Api, who: str, body: dict[str, Any]) -> None:
    document = api.get("/openapi.json").json()
    routes = [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]
    assert ("POST", "/v1/hooks/{source}") in routes
    names = {"source": "web", "name": "crm"}
    for method, path in [*routes, *OTHERS]:
        where = re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], "01990000-0000-7000-8000-000000000000"), path)
        query = "?source=web" if path.startswith("/v1/leads") and "{" not in path else ""
        answer = api.call(method, where + query, who=who, **body)
        told = Counter(name.lower() for name, _ in answer.raw.headers.iteritems())
        assert set(told.values()) == {1}, (method, path, answer.status_code, told)
        assert (answer.headers["X-Content-Type-Options"], answer.headers["Cache-Control"]) == ("nosniff", "no-store")
