"""Destinations made from operations of OpenAPI documents: valid, marked where a person decides, whatever the document is."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.cli.reference.route import openapi
from app.draft.document import MOST_BYTES, Document
from app.draft.operation import from_operation
from app.draft.writing import write
from app.errors import LeadrelayError
from tests.cli.conftest import LEAD, Ran, Run
from tests.connectors.fault_server import answer, running

LEADS: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Leads", "version": "1"},
    "servers": [{"url": "https://{region}.acme.example/v2/", "variables": {"region": {"default": "eu"}}}],
    "security": [{"key": []}],
    "paths": {
        "/leads": {
            "parameters": [
                {
                    "name": "campaign",
                    "in": "query",
                    "required": True,
                    "schema": {"type": "string", "default": "spring 1"},
                },
                {"name": "trace", "in": "query", "schema": {"type": "string"}},
            ],
            "post": {
                "operationId": "createLead",
                "summary": "Submit a lead",
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Lead"}}}},
                "responses": {
                    "200": {"$ref": "#/components/responses/Taken"},
                    "4XX": {
                        "content": {
                            "application/problem+json": {
                                "schema": {
                                    "properties": {
                                        "errors": {
                                            "type": "array",
                                            "items": {"properties": {"message": {"type": "string"}}},
                                        }
                                    }
                                }
                            }
                        }
                    },
                },
            },
            "get": {"parameters": [{"name": "zip", "in": "query", "schema": {"type": "string"}}], "responses": {}},
        },
        "/leads/{lead_id}/consent": {
            "put": {
                "operationId": "consent",
                "security": [{"token": ["leads", "consents"]}],
                "parameters": [
                    {"name": "lead_id", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "X-Version", "in": "header", "required": True, "schema": {"enum": ["2"]}},
                ],
                "requestBody": {
                    "content": {
                        "application/x-www-form-urlencoded": {
                            "schema": {
                                "required": ["opt_in", "password"],
                                "properties": {"opt_in": {"type": "boolean"}, "password": {"type": "string"}},
                            }
                        }
                    }
                },
                "responses": {},
            }
        },
    },
    "components": {
        "securitySchemes": {
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "token": {
                "type": "oauth2",
                "flows": {"clientCredentials": {"tokenUrl": "https://acme.example/token", "scopes": {}}},
            },
        },
        "responses": {
            "Taken": {
                "content": {
                    "application/json": {
                        "schema": {
                            "properties": {
                                "status": {"type": "string", "enum": ["rejected", "accepted"]},
                                "lead": {"type": "object", "properties": {"id": {"type": "string"}}},
                                "price": {"type": "number"},
                            }
                        }
                    }
                }
            }
        },
        "schemas": {
            "Lead": {
                "allOf": [
                    {"$ref": "#/components/schemas/Person"},
                    {
                        "required": ["source_id", "consent", "product"],
                        "properties": {
                            "id": {"type": "string", "readOnly": True},
                            "source_id": {"type": "integer", "description": "Your number: as agreed"},
                            "consent": {"type": ["boolean", "null"], "const": True},
                            "product": {"type": "string", "enum": ["home", "auto"]},
                            "remark": {"type": "string", "nullable": True},
                            "parent": {"$ref": "#/components/schemas/Lead"},
                        },
                    },
                ]
            },
            "Person": {
                "type": "object",
                "required": ["email", "address"],
                "properties": {
                    "email": {"type": "string", "format": "email"},
                    "address": {
                        "type": "object",
                        "required": ["zip"],
                        "properties": {"zip": {"type": "string"}, "unit": {"type": "string"}},
                    },
                    "phones": {
                        "type": "array",
                        "items": {"required": ["number"], "properties": {"phoneNumber": {"type": "string"}}},
                    },
                },
            },
        },
    },
}


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "leads.yaml"
    path.write_text(yaml.safe_dump(LEADS, sort_keys=False))
    return path


def valid(lonely: Run, made: Ran, folder: Path) -> Path:
    """The file of a destination that `config validate` accepts."""
    assert made.code == 0, made.err
    file = folder / "config" / "destinations" / "keen.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(made.out)
    checked = lonely("config", "validate", file.parent.parent)
    assert checked.code == 0, checked.err + made.out
    return file


def test_an_operation_becomes_a_destination(lonely: Run, document: Path, tmp_path: Path) -> None:
    made = lonely("import-openapi", document, "--operation", "createLead")
    file = valid(lonely, made, tmp_path)
    found = yaml.safe_load(made.out)
    assert found["settings"] == {
        "url": "https://eu.acme.example/v2/leads?campaign=spring%201",
        "auth": {"api_key": {"name": "X-API-Key", "value": "${env:ACME_KEY}"}},
    }
    assert found["mapping"] == {
        "email": "{{ lead.email }}",
        "address.zip": "{{ lead.postal_code }}",
        "phones.0.phoneNumber": "{{ lead.phone_1 }}",
        "source_id": 0,
        "consent": True,
        "product": "home",
    }
    assert found["response"] == {
        "search": {"path": "status", "term": "accepted"},
        "reason": "errors.*.message",
        "price": "price",
        "reference": "lead.id",
    }
    assert "  source_id: 0 # fill in, required: integer; Your number: as agreed" in made.out
    assert "  product: home # fill in, required: string; one of home, auto" in made.out
    assert '  # address.unit: "" # optional: string' in made.out
    assert "  # parent: {} # optional: object" in made.out
    assert "# id:" not in made.out
    for note in ("set ACME_KEY", "to fill in: source_id, product", "guesses", "left out: trace"):
        assert note in made.err
    shown = lonely("preview", file, "-", stdin=json.dumps({**LEAD, "postal_code": "02134"})).json
    assert json.loads(shown["body"])["address"] == {"zip": "02134"}


def test_parameters_forms_and_tokens_are_written(lonely: Run, document: Path, tmp_path: Path) -> None:
    made = lonely("import-openapi", document, "--operation", "put /leads/{lead_id}/consent")
    valid(lonely, made, tmp_path)
    assert yaml.safe_load(made.out)["settings"] == {
        "url": "https://eu.acme.example/v2/leads/{{ lead.lead_id }}/consent",
        "method": "PUT",
        "body": "form",
        "headers": {"X-Version": "2"},
        "auth": {
            "oauth2": {
                "token_url": "https://acme.example/token",
                "client_id": "fill in",
                "client_secret": "${env:ACME_CLIENT_SECRET}",
                "scope": "leads consents",
            }
        },
    }
    assert "opt_in: false # fill in, required: boolean" in made.out
    assert "password" not in yaml.safe_load(made.out)["mapping"]
    for note in ("lead_id in the path", "auth.oauth2.client_id: fill in", "password is left out: a secret in the body"):
        assert note in made.err


def test_a_get_carries_its_parameters_as_a_query(lonely: Run, document: Path, tmp_path: Path) -> None:
    made = lonely("import-openapi", document, "--operation", "GET /leads")
    valid(lonely, made, tmp_path)
    found = yaml.safe_load(made.out)
    assert (found["settings"]["method"], found["settings"]["body"]) == ("GET", "query")
    assert found["mapping"] == {"campaign": "spring 1", "zip": "{{ lead.postal_code }}"}


def alone(spec: dict[str, Any], **parts: Any) -> str:
    """A document of one operation."""
    servers = [{"url": "https://api.acme.example"}]
    return json.dumps({"openapi": "3.1.0", "servers": servers, "paths": {"/in": {"post": spec}}, **parts})


@pytest.mark.parametrize(
    ("scheme", "written", "note"),
    [
        (
            {"type": "http", "scheme": "Digest"},
            {"settings": {"auth": {"digest": {"username": "fill in", "password": "${env:ACME_PASSWORD}"}}}},
            "auth.digest.username: fill in the user name",
        ),
        (
            {"type": "oauth2", "flows": {"authorizationCode": {"tokenUrl": "https://acme.example/token"}}},
            {"settings": {"auth": {"bearer": {"token": "${env:ACME_TOKEN}"}}}},
            "OAuth 2.0, token address https://acme.example/token",
        ),
        (
            {"type": "mutualTLS"},
            {"network": {"certificate": "${env:ACME_CERTIFICATE}", "key": "${env:ACME_KEY}"}},
            "set ACME_CERTIFICATE: absolute path of the certificate file",
        ),
        (
            {"type": "apiKey", "in": "cookie", "name": "sid"},
            {"settings": {"headers": {"Cookie": "${env:ACME_COOKIE}"}}},
            "the cookie sid is required: write sid=VALUE",
        ),
        ({"type": "http", "scheme": "hoba"}, {}, "credentials of kind hoba are left out"),
        ({"$ref": "#/nowhere"}, {}, "credentials way, which the document does not describe, are left out"),
    ],
)
def test_ways_to_sign_on_are_written(
    lonely: Run, tmp_path: Path, scheme: dict[str, Any], written: dict[str, Any], note: str
) -> None:
    components = {"securitySchemes": {"way": scheme}}
    made = lonely("import-openapi", "-", stdin=alone({"security": [{"way": []}]}, components=components))
    found = yaml.safe_load(valid(lonely, made, tmp_path).read_text())
    settings = {"url": "https://api.acme.example/in", "body": "none", **written.get("settings", {})}
    assert found == {"type": "http", **written, "settings": settings}
    assert note in made.err


def test_required_cookies_are_one_header(lonely: Run, tmp_path: Path) -> None:
    parameters = [{"name": name, "in": "cookie", "required": name != "c"} for name in "abc"]
    made = lonely("import-openapi", "-", stdin=alone({"parameters": parameters}))
    found = yaml.safe_load(valid(lonely, made, tmp_path).read_text())
    assert found["settings"]["headers"] == {"Cookie": "${env:ACME_COOKIE}"}
    assert "write b=VALUE into the Cookie header's variable" in made.err
    assert "left out: c" in made.err


def test_references_to_nothing_are_told(lonely: Run, tmp_path: Path) -> None:
    schema = {"properties": {"email": {"$ref": "#/components/schemas/Mail"}, "a": {"$ref": "types.yaml#/A"}}}
    spec = {
        "parameters": [{"$ref": "#/components/parameters/P"}],
        "requestBody": {"content": {"application/json": {"schema": schema}}},
    }
    made = lonely("import-openapi", "-", stdin=alone(spec))
    assert yaml.safe_load(valid(lonely, made, tmp_path).read_text())["mapping"] == {"email": "{{ lead.email }}"}
    assert "references that lead to nothing in the document: #/components/" in made.err
    assert "None" not in made.err


def test_what_stands_twice_is_written_once(lonely: Run, tmp_path: Path) -> None:
    inner = {"required": ["b"], "properties": {"b": {"const": 2}}}
    schema = {"required": ["a", "a.b"], "properties": {"a.b": {"const": 1}, "a": inner}}
    spec = {"requestBody": {"content": {"application/json": {"schema": schema}}}}
    made = lonely("import-openapi", "-", stdin=alone(spec))
    assert yaml.safe_load(valid(lonely, made, tmp_path).read_text())["mapping"] == {"a.b": 1}
    assert "a.b stands there twice: the first is written" in made.err


def test_a_key_in_the_body_is_written(lonely: Run, tmp_path: Path) -> None:
    properties = {"a": {"type": "string"}, "api_key": {"type": "string"}}
    content = {"application/json": {"schema": {"required": ["a", "api_key"], "properties": properties}}}
    document = {
        "openapi": "3.1.0",
        "servers": [{"url": "https://api.acme.example"}],
        "paths": {"/in": {"post": {"requestBody": {"content": content}}}},
    }
    file = tmp_path / "keyed.json"
    file.write_text(json.dumps(document))
    made = lonely("import-openapi", file)
    found = yaml.safe_load(valid(lonely, made, tmp_path).read_text())
    assert found["settings"]["auth"] == {"api_key": {"in": "body", "name": "api_key", "value": "${env:ACME_KEY}"}}
    assert "api_key" not in found["mapping"]


def test_operations_are_listed_and_a_wrong_name_is_told(lonely: Run, document: Path) -> None:
    listed = lonely("import-openapi", document)
    assert listed.code == 0
    assert [line.split()[:3] for line in listed.out.splitlines()[1:]] == [
        ["createLead", "POST", "/leads"],
        ["GET", "/leads", "GET"],
        ["consent", "PUT", "/leads/{lead_id}/consent"],
    ]
    wrong = lonely("import-openapi", document, "--operation", "creatLead")
    assert (wrong.code, wrong.out) == (1, "")
    assert 'did you mean "createLead"?' in wrong.err


def test_of_many_operations_the_nearest_are_told(lonely: Run) -> None:
    paths = {f"/{place}": {"post": {"operationId": f"createLead{place}"}} for place in range(200)}
    found = lonely("import-openapi", "-", "--operation", "Lead", stdin=alone({}, paths=paths))
    assert (found.code, found.out) == (1, "")
    assert "nearest of 200 are: createLead" in found.err
    assert found.err.count("createLead") == 5


def test_a_document_that_is_too_long_names_a_remedy_that_helps(lonely: Run) -> None:
    found = lonely("import-openapi", "-", stdin=" " * (MOST_BYTES + 1))
    assert found.code == 2
    assert "larger than 20000000 bytes (leave out operations and schemas that are not needed)" in found.err


def test_a_document_comes_from_an_address_too_and_its_servers_may_be_relative(lonely: Run, tmp_path: Path) -> None:
    content = {**LEADS, "servers": [{"url": "/v3"}], "paths": {"/leads": {"post": LEADS["paths"]["/leads"]["post"]}}}
    with running(answer(200, json.dumps(content).encode())) as server:
        made = lonely("import-openapi", f"{server.url}/docs/openapi.json")
        valid(lonely, made, tmp_path)
        assert yaml.safe_load(made.out)["settings"]["url"] == f"{server.url}/v3/leads"
    with running(answer(404)) as server:
        missing = lonely("import-openapi", server.url)
    assert missing.code == 1
    assert "HTTP 404" in missing.err


def test_a_document_without_a_server_leaves_a_place_to_fill_in(lonely: Run, tmp_path: Path) -> None:
    content = {"openapi": "3.1.0", "paths": {"/leads": {"post": {"responses": {}}}}}
    made = lonely("import-openapi", "-", stdin=json.dumps(content))
    valid(lonely, made, tmp_path)
    assert yaml.safe_load(made.out)["settings"]["url"] == "https://fill-in.example/leads"
    assert "the document names no server: fill in the address" in made.err


def test_the_document_of_our_own_api_can_be_imported(lonely: Run, tmp_path: Path) -> None:
    path = tmp_path / "ours.json"
    path.write_text(json.dumps(openapi()))
    made = lonely("import-openapi", path, "--operation", "POST /v1/destinations/{name}/interpret")
    valid(lonely, made, tmp_path)
    assert "status: 0 # fill in, required: integer" in made.out


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "100.100.100.200", "0xA9FEA9FE", "2852039166"],
)
@pytest.mark.parametrize("command", [("import-openapi",), ("describe", "soap")])
def test_no_document_is_asked_of_a_metadata_service(lonely: Run, command: tuple[str, ...], host: str) -> None:
    found = lonely(*command, f"http://{host}/latest/meta-data/?wsdl")
    assert (found.code, found.out) == (1, "")
    assert "a cloud's metadata service, which is refused" in found.err


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"swagger": "2.0"}', "convert it to OpenAPI 3 first"),
        ("{}", "is no OpenAPI 3 document"),
        ("[]", "is no OpenAPI 3 document"),
        ('{"openapi": "3.0.0"}', "has no operation"),
        (
            '{"openapi": "3.0.0", "paths": {"/": {"put": {"parameters": [{"name": "X A", "in": "header", "required": true}]}}}}',
            "gives no valid destination: settings.headers.X A: not a header name",
        ),
        ("a: [", "is not YAML"),
        ("a: &a [*a]", "aliases counted in full"),
    ],
)
def test_what_is_no_document_is_refused(lonely: Run, content: str, complaint: str) -> None:
    found = lonely("import-openapi", "-", stdin=content)
    assert (found.code, found.out) == (1, "")
    assert complaint in found.err


def test_schemas_that_hold_each_other_end() -> None:
    names = [f"S{place}" for place in range(12)]
    every = {name: {"$ref": f"#/components/schemas/{name}"} for name in names}
    schemas = {name: {"allOf": list(every.values()), "properties": every} for name in names}
    body = {"content": {"application/json": {"schema": every["S0"]}}}
    content = {
        "openapi": "3.1.0",
        "paths": {"/x": {"post": {"requestBody": body}}},
        "components": {"schemas": {**schemas, "Self": {"$ref": "#/components/schemas/Self"}}},
    }
    document = Document(json.dumps(content).encode(), "x.json")
    made = from_operation(document, document.operation("POST /x"))
    assert len(made.properties) <= 400
    assert document.resolved({"$ref": "#/components/schemas/Self"}) == {}


names = st.sampled_from(
    [
        "paths",
        "/x",
        "post",
        "get",
        "parameters",
        "requestBody",
        "content",
        "application/json",
        "schema",
        "properties",
        "items",
        "$ref",
        "allOf",
        "oneOf",
        "type",
        "name",
        "in",
        "required",
        "enum",
        "default",
        "example",
        "security",
        "components",
        "securitySchemes",
        "servers",
        "url",
        "responses",
        "200",
        "email",
        "id",
        "status",
    ]
)
leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | names | st.just("#/paths/~1x/post")
nodes = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(parts=st.dictionaries(names, nodes), spec=st.dictionaries(names, nodes))
def test_whatever_a_document_holds_is_written_or_refused(parts: dict[str, Any], spec: dict[str, Any]) -> None:
    content = {**parts, "openapi": "3.1.0", "paths": {"/x": {"post": spec}}}
    try:
        document = Document(json.dumps(content).encode(), "x.json")
        made = from_operation(document, document.operations()[0])
    except LeadrelayError:
        return
    assert isinstance(yaml.safe_load(write(made, origin="an OpenAPI document")), dict)
