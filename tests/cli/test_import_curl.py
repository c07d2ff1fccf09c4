"""Destinations made from curl commands: what they would send is what curl sends, and no secret is in the file."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from app.cli.main import run
from app.config.yaml import parse
from app.draft.curl import read_command
from app.draft.destination import draft
from app.draft.shell import split
from app.draft.writing import write
from app.errors import InvalidInput
from app.mapping import compile_mapping
from tests.cli.conftest import TREE, Ran, Run
from tests.conftest import lacking
from tests.connectors.fault_server import FaultServer, Received, answer, running

SECRET = "sk-live-7f1c9a"
DOC = TREE / "docs/trying.md"
LEAD = {
    "email": "ann.lee@example.com",
    "first_name": "Ann",
    "last_name": "Lee",
    "phone_1": "+14155550132",
    "postal_code": "02134",
    "comments": "it's fine\nreally",
    "city": "Zürich",
}
JSON = '{"email": "ann.lee@example.com", "n": 3, "rate": 1.5, "ok": true, "none": null, "empty": "", "list": [1, "b"]}'
NESTED = '{"lead": {"contact": {"firstName": "Ann", "zip": "02134"}, "items": [{"a": 1}, {"a": 2, "b": {"c": "x y"}}]}}'
HARD = (
    '{"yes": "no", "true": "true", "nothing": "null", "date": "2026-11-23", "zip code": "02134",'
    ' "a: b": "# x", "quote": "\\"q\\"", "uni": "\\u00e9\\u2028"}'
)

# Forms as API docs, Postman, Insomnia and browsers (Chrome, Firefox) write them. URL stands for the server's address.
COMMANDS: Mapping[str, str] = {
    "docs-json": f"curl -X POST URL/v1/leads -H 'Content-Type: application/json' -d '{JSON}'",
    "docs-nested": f"curl --request POST --url URL/v1/leads --header 'content-type: application/json' --data '{NESTED}'",
    "hard-yaml": f"curl URL/x -H 'Content-Type: application/json' --data-raw '{HARD}'",
    "double-quoted": 'curl URL/x -H "Content-Type: application/json" '
    '-d "{\\"email\\": \\"ann.lee@example.com\\", \\"cost\\": \\"5\\$\\"}"',
    "braces": "curl URL/x -d 'a={{x}} {% y' -d 'b=}}{{' -d 'c={{{'",
    "braces-in-head": "curl -g 'URL/x/%7B%7Ba?b={{c}}' -H 'X-Braces: {{d}} {% e' -d a=1",
    "continued": "curl -X PUT \\\n  'URL/v1/leads/7?src=web' \\\n  -H 'Content-Type: application/json' \\\n"
    '  -d \'{"first_name": "Ann"}\'',
    "continued-crlf": "curl URL/x \\\r\n -H 'Content-Type: application/json' \\\r\n -d '{}'",
    "json-option": 'curl --json \'{"a": {"b": 1}}\' URL/x',
    "json-twice": "curl --json '{\"a\": 1' --json ', \"b\": 2}' URL/x",
    "chrome": "curl 'URL/api/lead' -H 'accept: application/json, text/plain, */*' -H 'accept-language: en-US,en;q=0.9' "
    "-H 'content-type: application/json' -H 'origin: https://forms.example' "
    "-H 'sec-ch-ua: \"Chromium\";v=\"130\"' -H 'sec-fetch-mode: cors' -H 'user-agent: Mozilla/5.0 (X11)' "
    '--data-raw $\'{"comments":"it\\\'s fine\\\\nreally","mark":"\\u0021"}\' --compressed --insecure',
    "form": "curl URL/x -d email=ann.lee@example.com -d 'first_name=Ann&last_name=Lee' --data 'campaign=a b'",
    "form-encoded": "curl URL/x --data-urlencode 'email=ann.lee@example.com' --data-urlencode 'city=Zürich' "
    "--data-urlencode '=x y' --data-urlencode 'sp=a b+c&d'",
    "form-repeats": "curl URL/x -d 'tag=a&tag=b&user%5Bemail%5D=ann.lee%40example.com&a.b=1&blank='",
    "joined-short": "curl -sSXPATCH URL/x -da=1 -HX-One:1",
    "get": "curl -G URL/x -d email=ann.lee@example.com --data-urlencode 'q=a b'",
    "get-query": "curl 'URL/x?first_name=Ann&src=7'",
    "get-joined": "curl -G 'URL/x?src=7' -d last_name=Lee",
    "post-query": "curl -X POST 'URL/x?src=7&a=%20b' -d a=1",
    "delete": "curl -X DELETE URL/x/7",
    "basic": f"curl -u ann:{SECRET} URL/x -d a=1",
    "basic-in-url": f"curl URLUSER/x -d a=1 # ann:{SECRET}",
    "key-as-user": f"curl URL/x -u {SECRET}: -d a=1",
    "basic-header": "curl URL/x -H 'Authorization: Basic YW5uOnNrLWxpdmUtN2YxYzlh' -d a=1",
    "bearer": f'curl URL/x -H "Authorization: Bearer {SECRET}" -d a=1',
    "bearer-option": f"curl URL/x --oauth2-bearer {SECRET} -d a=1",
    "other-scheme": f"curl URL/x -H 'Authorization: Token token={SECRET}' -d a=1",
    "key-header": f"curl URL/x -H 'X-API-Key: {SECRET}' -d a=1",
    "key-query": f"curl 'URL/x?src=7&api_key={SECRET}' -d a=1",
    "two-credentials": f"curl 'URL/x?token={SECRET}' -H 'X-API-Key: {SECRET}' -H 'Authorization: Bearer {SECRET}' -d a=1",
    "cookie": f"curl URL/x -b 'session={SECRET}; a=b' -A agent/1 -e https://ref.example/ -d a=1",
    "variables": 'curl "URL/x?k=${PART}" -H "Authorization: Bearer $PART_TOKEN" -d a=1',
    "headers": "curl URL/x -H 'X-Empty;' -H 'Accept:' -H 'X-One: a: b' -d a=1",
    "xml": "curl URL/x -H 'Content-Type: text/xml' -d '<lead id=\"7\"><email>ann.lee@example.com</email>"
    '<phone type="home">+14155550132</phone><n>1</n><n>2</n><deep><a b="&lt;c"/></deep></lead>\'',
    "soap": "curl URL/x -H 'Content-Type: application/soap+xml; charset=utf-8' -d '<s:Envelope "
    'xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><m:Add xmlns:m="urn:m"><m:zip>02134</m:zip></m:Add>'
    "</s:Body></s:Envelope>'",
    "json-array": 'curl URL/x -H \'Content-Type: application/json\' -d \'[{"email": "ann.lee@example.com"}, {"a": {"b": 1}}]\'',
    "json-list": """curl URL/x --json '[1, "{{b", {"a": 1}]'""",
    "json-null": "curl URL/x --json null",
    "json-dotted": """curl URL/x -d '[{"a.b": 1}]' -H 'Content-Type: application/json; charset=utf-8'""",
    "text-charset": "curl URL/x -H 'Content-Type: text/csv; charset=iso-8859-1' -d 'a;b'",
    "upload": "curl -T BODY URL/x -H 'Content-Type: text/plain'",
    "upload-json": "curl URL/in/ -T BODY -H 'Content-Type: application/json'",
    "upload-by-post": "curl -X POST URL -T BODY -H 'Content-Type: text/csv'",
    "empty": "curl URL/x -d '' -H 'Content-Type: application/json'",
    "text": "curl URL/x -H 'Content-Type: text/csv' -d 'a;b;c'",
    "xml-entity": "curl URL/x -H 'Content-Type: text/xml' -d '<!DOCTYPE a [<!ENTITY x \"y\">]><a b=\"&x;\"><c>&x;</c></a>'",
    "multipart": "curl URL/x -F email=ann.lee@example.com -F 'note=a b;type=text/plain' --form-string 'at=@x'",
}
OURS = {
    "idempotency-key",
    "content-length",
    "host",
    "user-agent",
    "accept",
    "accept-encoding",
    "expect",
    "content-type",
}
ENVIRONMENT = {"PART": "p%20q", "PART_TOKEN": SECRET}


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with running(answer(200, b"{}")) as found:
        yield found


@pytest.fixture
def told(server: FaultServer) -> FaultServer:
    server.received.clear()
    return server


def imported(lonely: Run, command: str, folder: Path) -> tuple[Ran, Path]:
    """The command imported as the only destination of a folder of configuration, which is valid."""
    made = lonely("import-curl", command)
    assert made.code == 0, made.err
    file = folder / "config" / "destinations" / "keen.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(made.out)
    checked = lonely("config", "validate", file.parent.parent)
    assert checked.code == 0, checked.err + made.out
    return made, file


def from_curl(command: str, told: FaultServer) -> Received:
    if shutil.which("curl") is None:
        lacking("curl")
    subprocess.run(
        ["bash", "-c", command], env={**os.environ, **ENVIRONMENT}, check=True, capture_output=True, timeout=30
    )
    return told.received.pop()


def read_body(kind: str, body: bytes) -> Any:
    """A body such that two ways to write it compare equal."""
    if "json" in kind and body:
        return json.loads(body)
    if "xml" in kind:
        return etree.tostring(etree.fromstring(body), method="c14n")
    return sorted(parse_qsl(body.decode(), keep_blank_values=True)) if "urlencoded" in kind else body


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_sent_is_what_curl_sends(
    lonely: Run, told: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    userful = told.url.replace("://", f"://ann:{SECRET}@")
    body = tmp_path / "a b.json"
    body.write_text('{"first_name":\n "Ann"}')
    command = (
        COMMANDS[name].replace("URLUSER", userful).replace("URL", told.url).replace("BODY", shlex.quote(str(body)))
    )
    theirs = from_curl(command.replace("\r\n", "\n"), told)
    made, file = imported(lonely, command, tmp_path)
    assert SECRET not in made.out + made.err
    for variable in [line.split()[1].rstrip(":") for line in made.out.splitlines() if line.startswith("#   ")]:
        monkeypatch.setenv(variable, ENVIRONMENT.get(variable, secret_of(variable, theirs)))
    lead = tmp_path / "lead.json"
    lead.write_text(json.dumps(LEAD))
    shown = lonely("preview", file, lead, "--reveal")
    assert shown.code == 0, shown.err
    assert lonely("test", file, lead).code == 0, made.out
    ours = told.received.pop()
    assert (shown.json["method"], shown.json["url"]) == (ours.method, told.url + ours.target)
    assert ours.method == theirs.method
    assert same_target(ours.target) == same_target(theirs.target)
    for header in theirs.headers.keys() - OURS - {one for one in theirs.headers if one.startswith("sec-")}:
        assert ours.headers[header] == theirs.headers[header], header
    kind = theirs.headers.get("content-type", "")
    if name != "multipart":  # each has a boundary of its own
        assert ours.headers.get("content-type", "").partition(";")[0] == kind.partition(";")[0]
        assert read_body(kind, ours.body) == read_body(kind, theirs.body)


def secret_of(variable: str, theirs: Received) -> str:
    if variable.endswith("_COOKIE"):
        return theirs.headers["cookie"]
    return theirs.headers["authorization"] if variable.endswith("_AUTHORIZATION") else SECRET


def same_target(target: str) -> tuple[str, list[tuple[str, str]]]:
    parts = urlsplit(target)
    return parts.path, sorted(parse_qsl(parts.query, keep_blank_values=True))


def test_fields_are_mapped_by_their_names_and_the_others_are_marked(lonely: Run, tmp_path: Path) -> None:
    made, _ = imported(
        lonely, 'curl https://www.acme.example/in -d "email=a@b.co&user[first-name]=Ann&src=7"', tmp_path
    )
    assert 'email: "{{ lead.email }}" # for example a@b.co' in made.out
    assert '"user[first-name]": "{{ lead.first_name }}"' in made.out
    assert 'src: "7" # to map: now the same for every lead' in made.out
    assert "not mapped yet, the same for every lead: src" in made.err


def test_what_of_a_body_cannot_be_mapped_is_told(lonely: Run, tmp_path: Path) -> None:
    xml = "curl https://acme.example/in -H 'Content-Type: text/xml' -d '<a>x<b/>y</a>'"
    assert "text between the elements" in imported(lonely, xml, tmp_path)[0].err
    doctype = (
        """curl https://acme.example/in -H 'Content-Type: text/xml' -d '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'"""
    )
    told, _ = imported(lonely, doctype, tmp_path / "doctype")
    assert '"#text": "y"' in told.out
    assert "the DOCTYPE of the XML body is left out" in told.err
    outside = doctype.replace('"y"', 'SYSTEM "file:///etc/hostname"')
    assert "taken as text" in imported(lonely, outside, tmp_path / "outside")[0].err
    dotted = """curl https://acme.example/in --json '{"a.b": 1, "": 3, "c": 4}'"""
    made, _ = imported(lonely, dotted, tmp_path / "dotted")
    assert "left out, for a dot in a property's name nests it: a.b" in made.err
    assert "cannot be mapped, so it is left out: property ''" in made.err
    assert "c: 4" in made.out
    both, _ = imported(lonely, "curl https://acme.example/in -d 'a=1&a.b=2&c=4'", tmp_path / "both")
    assert "cannot be mapped, so it is left out: property 'a.b'" in both.err


def test_files_keep_their_names_and_types(lonely: Run, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("kept as it is;\n")
    command = (
        f"""curl https://acme.example/in -F 'cv=@a/cv.bin;type=application/pdf;filename="my \\"cv\\".pdf"' """
        f"-F 'photo=@b/me.PNG' -F 'log=@\"c.txt\"' -F 'other=@d.csv' -F 'note=<{note};type=text/plain'"
    )
    made, _ = imported(lonely, command, tmp_path)
    written = yaml.safe_load(made.out)
    assert written["settings"]["files"] == {
        "cv": {"filename": 'my "cv".pdf', "content_type": "application/pdf"},
        "photo": {"filename": "me.PNG", "content_type": "image/png"},
        "log": {"filename": "c.txt", "content_type": "text/plain", "encoding": "text"},
        "other": {"filename": "d.csv", "content_type": "application/octet-stream"},
    }
    assert written["mapping"]["note"] == "kept as it is;\n"
    assert 'cv: "" # fill in: what the file holds, in base64' in made.out


def test_a_time_that_is_none_or_too_long_is_written_as_can_be(lonely: Run, tmp_path: Path) -> None:
    made, _ = imported(lonely, "curl https://acme.example/in -m 0", tmp_path)
    assert "limits" not in yaml.safe_load(made.out)
    most, _ = imported(lonely, "curl https://acme.example/in -m 900", tmp_path / "most")
    assert yaml.safe_load(most.out)["limits"] == {"timeout_seconds": 300}
    assert "limits.timeout_seconds is from 0.1 to 300: 300 is written" in most.err


def test_secrets_become_references_and_are_named(lonely: Run, tmp_path: Path) -> None:
    made, _ = imported(lonely, f"curl https://api.acme.example/in -u ann:{SECRET} -d password={SECRET}&a=1", tmp_path)
    assert SECRET not in made.out + made.err
    assert 'password: "${env:ACME_PASSWORD}"' in made.out
    assert "set ACME_PASSWORD: the password" in made.err
    assert "password is left out: a secret in the body" in made.err


def test_how_a_destination_is_reached_is_written(lonely: Run, tmp_path: Path) -> None:
    command = (
        "curl -L --max-redirs 4 -x proxy.example:3128 -U 'an n:" + SECRET + "' --cacert ca.pem "
        "-E client.pem:" + SECRET + " --key $CLIENT_KEY https://api.acme.example/in -d a=1"
    )
    made, _ = imported(lonely, command, tmp_path)
    assert SECRET not in made.out + made.err
    written = yaml.safe_load(made.out)
    assert written["settings"]["redirects"] == 4
    assert written["network"] == {
        "proxy": "http://an%20n:${env:ACME_PROXY_PASSWORD}@proxy.example:3128",
        "ca": "${env:ACME_CA}",
        "certificate": "${env:ACME_CERTIFICATE}",
        "key": "${env:CLIENT_KEY}",
        "key_password": "${env:ACME_KEY_PASSWORD}",
    }
    assert "set ACME_CERTIFICATE: absolute path of the certificate file" in made.err
    assert "left out" not in made.err
    most, _ = imported(lonely, "curl -L --proxy p.example http://localhost/in -d a=1", tmp_path / "most")
    assert yaml.safe_load(most.out)["settings"]["redirects"] == 10
    assert yaml.safe_load(most.out)["network"] == {"allow": ["localhost"], "proxy": "http://p.example:1080"}


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("""-H 'Content-Type: application/json' -d '{"a": 1, "partner": {"api_key": "SECRET"}}'""", "partner.api_key"),
        ("-d a=1 -d token=SECRET", "token"),
        ("-F a=1 -F token=SECRET", "token"),
        ("""-H 'Content-Type: application/xml; charset=utf-8' -d '<lead token="SECRET"><a>1</a></lead>'""", "@token"),
    ],
)
@pytest.mark.parametrize("head", ["", "-H 'Authorization: Bearer abc' ", "-H 'X-API-Key: abc' "])
def test_a_key_in_the_body_is_written(lonely: Run, tmp_path: Path, head: str, body: str, name: str) -> None:
    command = f"curl https://api.acme.example/in {head}{body}".replace("SECRET", SECRET)
    made, _ = imported(lonely, command, tmp_path)
    assert SECRET not in made.out + made.err
    written = yaml.safe_load(made.out)["settings"]
    key = written["auth"]["api_key"]
    assert (key["in"], key["name"]) == ("body", name)
    assert f"set {key['value'][6:-1]}: {name} in the body" in made.err
    assert "left out" not in made.err
    assert list(written.get("headers", {})) == ([head.split("'")[1].partition(":")[0]] if head else [])


def test_digest_credentials_stay_digest(lonely: Run, tmp_path: Path) -> None:
    made, _ = imported(lonely, f"curl --digest -u ann:{SECRET} https://api.acme.example/in -d a=1", tmp_path)
    auth = yaml.safe_load(made.out)["settings"]["auth"]
    assert auth == {"digest": {"username": "ann", "password": "${env:ACME_PASSWORD}"}}
    assert SECRET not in made.out + made.err
    assert "left out" not in made.err
    nobody = lonely("import-curl", f"curl --digest -u :{SECRET} https://api.acme.example/in -d a=1")
    assert (nobody.code, nobody.out) == (1, "")
    assert "--digest has no user name" in nobody.err


@pytest.mark.parametrize(
    ("more", "note"),
    [
        ("-L --max-redirs 40", "redirects: at most 10 are followed here"),
        ("-L", "take no credentials and no headers"),
        ("-k", "--insecure is left out: certificates are always checked"),
        ("--frobnicate", "--frobnicate is left out: it is not known here"),
        ("-y7", "-y is left out: it is not known here"),
        ("-x socks5://proxy.example:1", "--proxy is left out"),
        ("--key client.key", "the command has no --cert"),
        ("| jq .", "what follows the command"),
        ("-H 'Host: other.example'", "left out: Host"),
        ("-H @file", "headers from a file are left out"),
        ("https://other.example", "only the first of its addresses is taken"),
    ],
)
def test_what_has_no_place_is_told(lonely: Run, tmp_path: Path, more: str, note: str) -> None:
    made, _ = imported(lonely, f"curl https://acme.example/in -d a=1 {more}", tmp_path)
    assert note in made.err


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("wget https://acme.example", "is no curl command"),
        ("", "is no curl command"),
        ("curl", "names no address"),
        ("curl https://acme.example -d", "-d has no value"),
        ("curl 'https://acme.example", "a ' is not closed"),
        ("curl $'https://acme.example", "a $' is not closed"),
        ('curl "https://acme.example', 'a " is not closed'),
        ("curl https://acme.example -d $(cat x)", "runs another program"),
        ("curl https://acme.example -d `cat x`", "runs another program"),
        ('curl ^"https://acme.example^" ^\r\n  -H ^"accept: */*^"', 'copy it as "cURL (bash)"'),
        ("curl -I https://acme.example", "a HEAD request delivers nothing"),
        ("curl https://a.example --next https://b.example", "only the first request"),
        ("curl https://acme.example -d @/nowhere/at/all", "cannot be read as text"),
        ("curl https://acme.example -X BREW", "the method 'BREW' delivers nothing"),
        ("curl https://acme.example -m soon", "--max-time is no number"),
        ("curl https://acme.example -m -5", "--max-time is no length of time (give seconds, 300 at most)"),
        ("curl https://acme.example -m nan", "--max-time is no length of time"),
        ("curl https://acme.example -T x -d a=1", "--upload-file does not go with other data"),
        ("curl https://acme.example -F 'a=</nowhere/at/all'", "cannot be read as text"),
        ("curl https://acme.example -F 'a=@'", "--form names no file for 'a'"),
        ("curl https://acme.example -F a=@x -F a=1", "--form has 'a' twice, and a file"),
        ("curl ftp://acme.example", "is http or https, not 'ftp'"),
        ("curl 'http://[x'", "its address is none"),
        ("curl https://acme.example:99999", "its address gives no valid destination: settings.url: not an absolute"),
        ("curl https://acme.example:x", "its address gives no valid destination: settings.url"),
        ("curl https:///in", "its address gives no valid destination: settings.url"),
        (
            "curl https://acme.example -H 'X One: a'",
            "-H gives no valid destination: settings.headers.X One: not a header",
        ),
        ("curl https://acme.example -H 'X API-Key: a'", "settings.auth.api_key.name: not a header name"),
        ("curl https://acme.example -H 'X-A: 1' -H 'x-a: 2'", "settings.headers.x-a: this header stands there twice"),
        ("curl https://acme.example -H 'Content-Type: x' -d a", "-H gives no valid destination: settings.content_type"),
        ("curl https://acme.example -F a", "--form has no = in it"),
    ],
)
def test_a_command_that_cannot_be_taken_says_why(lonely: Run, command: str, complaint: str) -> None:
    found = lonely("import-curl", command)
    assert (found.code, found.out) == (1, "")
    assert complaint in found.err


def test_a_command_may_come_from_stdin_and_name_files(lonely: Run, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text('{\n"email": "a@b.co"}')
    command = f"curl https://acme.example/in -m 7 -H 'Content-Type: application/json' -d @{body}"
    found = lonely("import-curl", "-", stdin=command)
    assert 'email: "{{ lead.email }}"' in found.out
    assert "timeout_seconds: 7.0" in found.out


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


@settings(deadline=None)
@given(words=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1))
def test_words_are_cut_as_they_were_quoted(words: list[str]) -> None:
    command = shlex.join(words)
    if not re.search(r'\^\r?\n|\s\^"', command):  # taken for the escapes of another shell
        assert split(command) == (words, "")


@settings(deadline=None)
@given(command=st.text(st.sampled_from("curl -dHXF'\"\\$({`@:=&a1 \n;|<>") | st.characters(exclude_categories=["Cs"])))
def test_whatever_is_given_is_read_or_refused(command: str) -> None:
    for text in (command, f"curl {command}", f"curl https://acme.example {command}"):
        try:
            made = draft(read_command(text, lambda _: b""))
        except InvalidInput:
            continue
        assert isinstance(parse(write(made, origin="a curl command").encode(), "keen.yaml").value, dict)


options = st.sampled_from(
    ["-X", "-H", "-d", "--data-raw", "--json", "-F", "-u", "-G", "-b", "--data-urlencode", "--url-query", "-m"]
)
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=15) | st.sampled_from(
    [
        "Content-Type: application/json",
        "Content-Type: text/xml",
        '{"a": {"b.c": 1, "": 2}, "1": {"2": 3}}',
        '<a xmlns="u"><b c="1"/>x</a>',
        "a.b=1&a=2&..=3",
        "token=x",
        "{{x",
        "{%x",
    ]
)


@settings(deadline=None)
@given(pairs=st.lists(st.tuples(options, words), max_size=4), path=words)
def test_what_is_written_is_read_back_and_can_be_mapped(pairs: list[tuple[str, str]], path: str) -> None:
    command = shlex.join(["curl", f"https://acme.example/{path}", *(word for pair in pairs for word in pair)])
    try:
        made = draft(read_command(command, lambda _: b"x"))
    except InvalidInput:
        return
    found = parse(write(made, origin="a curl command").encode(), "keen.yaml").value
    mapping = {one.name: one.value for one in made.properties if not one.off}
    assert (found["settings"], found.get("mapping") or {}) == (made.settings, mapping)
    compile_mapping(mapping)


names = st.text(st.sampled_from("abcdefgh_- :#'\"&=é"), min_size=1, max_size=8).filter(str.strip)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    line=st.tuples(st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]), st.text(st.sampled_from("abc/"), max_size=6)),
    headers=st.dictionaries(st.sampled_from(["X-A", "X-B", "Accept"]), st.sampled_from(["1", "a: b", "é"]), max_size=3),
    body=st.dictionaries(names, values, min_size=1, max_size=4),
)
def test_a_command_made_of_random_parts_gives_the_request_of_its_parts(
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
    line: tuple[str, str],
    headers: dict[str, str],
    body: dict[str, Any],
) -> None:
    method, path = line
    words = ["curl", "-X", method, f"https://acme.example/{path}", "-H", "Content-Type: application/json"]
    for name, value in headers.items():
        words += ["-H", f"{name}: {value}"]
    capsys.readouterr()
    assert run(["import-curl", shlex.join([*words, "--data-raw", json.dumps(body)])]) == 0
    folder = tmp_path_factory.mktemp("made")
    (folder / "keen.yaml").write_text(capsys.readouterr().out)
    (folder / "lead.json").write_text("{}")
    assert run(["preview", str(folder / "keen.yaml"), str(folder / "lead.json")]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["method"], shown["url"]) == (method, f"https://acme.example/{path}")
    assert headers.items() <= shown["headers"].items()
    assert json.loads(shown["body"]) == body


def test_the_example_of_the_docs_is_what_comes_out(lonely: Run) -> None:
    text = DOC.read_text(encoding="utf-8")
    begun = text.index("$ leadrelay import-curl")
    written = text[text.index("```yaml\n", begun) + 8 :].partition("```")[0]
    command = shlex.split(text[begun:].partition(" > ")[0][2:].replace("\\\n", " "))
    assert lonely(*command[1:]).out.partition("\n\n")[2] == written.partition("\n\n")[2]


@pytest.mark.parametrize(
    ("host", "in_house"),
    [
        ("localhost:8080", "localhost"),
        ("10.1.2.3", "10.1.2.3"),
        ("[::1]:80", "::1"),
        ("crm.internal", "crm.internal"),
        ("crm", "crm"),
        ("acme.example", None),
        ("8.8.8.8", None),
    ],
)
def test_an_address_that_is_in_house_is_named(lonely: Run, tmp_path: Path, host: str, in_house: str | None) -> None:
    made, _ = imported(lonely, f"curl http://{host}/in -d a=1", tmp_path)
    assert yaml.safe_load(made.out).get("network") == (None if in_house is None else {"allow": [in_house]})
