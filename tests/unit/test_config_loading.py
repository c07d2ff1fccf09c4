"""Configuration files: every mistake with file, line, field and remedy; no file can do harm."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.loading import load_document, load_folder
from app.config.schema import Document
from app.config.yaml import parse
from app.errors import InvalidConfig


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "sources/web.yaml", "fields:\n  email: {required: true}\ndestinations: [crm]\n")
    write(
        tmp_path,
        "destinations/crm.yaml",
        "type: http\nsettings:\n  url: https://crm.example.com\nmapping:\n  contact.email: '{{ lead.email }}'\n",
    )
    return tmp_path


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def complaints(folder: Path) -> list[str]:
    with pytest.raises(InvalidConfig) as refused:
        load_folder(folder)
    return [str(complaint).removeprefix(f"{folder}/") for complaint in refused.value.complaints]


def test_folder_loads_and_names_come_from_the_files(folder: Path) -> None:
    document = load_folder(folder).document
    assert [source.name for source in document.sources] == ["web"]
    assert document.sources[0].fields["email"].required
    assert document.destinations[0].mapping == {"contact.email": "{{ lead.email }}"}


def test_place_of_a_setting_is_its_line_or_that_of_what_holds_it(folder: Path) -> None:
    loaded = load_folder(folder)
    file = str(folder / "destinations/crm.yaml")
    assert loaded.place("destination", "crm", "settings.url") == (file, 3)
    assert loaded.place("destination", "crm", "mapping.contact.email") == (file, 5)
    assert loaded.place("destination", "crm", "settings.token") == (file, 2)
    assert loaded.place("destination", "crm", "when") == (file, 1)
    complaint = loaded.complaint("destination", "crm", "settings.url", "is wrong", "mend it")
    assert str(complaint) == f"{file}:3: settings.url: is wrong (mend it)"


def test_every_mistake_of_every_file_is_told_at_once(folder: Path) -> None:
    write(folder, "sources/web.yaml", "fields:\n  email:\n    typ: email\n  phone: {type: fone}\ndestinations: [crn]\n")
    write(folder, "destinations/crm.yaml", "type: http\nretry:\n  attempts: 1000\nwen: x\nlimits: 5\n")
    assert complaints(folder) == [
        'sources/web.yaml:3: fields.email.typ: is not a known setting (did you mean "type"?)',
        "sources/web.yaml:4: fields.phone.type: must be 'text', 'email', 'phone', 'postal_code', 'state', 'date', "  # noqa: ISC004  # one line
        "'boolean', 'number', 'ip' or 'url' (did you mean \"phone\"?)",
        "destinations/crm.yaml:3: retry.attempts: must be less than or equal to 100",
        'destinations/crm.yaml:4: wen: is not a known setting (did you mean "when"?)',
        "destinations/crm.yaml:5: limits: must be a mapping of settings",
    ]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("destinations/crm.yaml", "type: http\ntype: email\n", "crm.yaml:2: file: the key 'type' stands twice"),
        ("destinations/crm.yaml", "type: [http\n", "crm.yaml:2: file: is not YAML"),
        ("destinations/crm.yaml", "- type: http\n", "crm.yaml:1: file: must be a mapping"),
        ("destinations/crm.yaml", "", "crm.yaml:1: file: must be a mapping"),
        ("destinations/crm.yaml", b"type: http\n# \xff\n", "crm.yaml:2: file: is not UTF-8"),
        ("destinations/crm.yaml", "type: http\nx: \x07\n", "crm.yaml:2: file: has a character"),
        (
            "destinations/crm.yaml",
            "type: http\nname: other\n",
            "crm.yaml:2: name: differs from the file's (rename the file",
        ),
        ("destinations/crm.yaml", "description: x\n", "crm.yaml:1: type: is required"),
        ("destinations/crm.yaml", "type: !!python/name:os.system x\n", "crm.yaml:1: file: has the tag"),
        (
            "destinations/crm.yaml",
            "type: http\nresponse:\n  reason: {pth: x}\n",
            'crm.yaml:3: response.reason.pth: is not a known setting (did you mean "path"?)',
        ),
        ("destinations/crm.yaml", "type: http\nresponse:\n  reason: {}\n", "crm.yaml:3: response.reason: "),
        (
            "destinations/crm.yaml",
            "type: http\nretry: {max_seconds: 1}\n",
            "crm.yaml:2: retry: max_seconds must not be below base_seconds",
        ),
        ("destinations/CRM2.yaml", "type: http\n", "CRM2.yaml:1: name: must be lower-case"),
        ("sources/web.yaml", "destinations: [crm, crm]\n", "web.yaml:1: destinations.1: 'crm' stands twice"),
        (
            "sources/web.yaml",
            "destinations:\n  - crm\n  - crmm\n",
            "web.yaml:3: destinations.1: there is no destination 'crmm' (did you mean \"crm\"?)",
        ),
        ("sources/web.yaml", "destinations: none\n", "web.yaml:1: destinations: must be a list or must be 'all'"),
        ("sources/web.yaml", "fields: {'a b': {}}\n", "web.yaml:1: fields.a b: must be letters"),
        ("sources/web.yml", "{}\n", "web.yml: name: another file defines 'web'"),
        ("stray.txt", "x", "stray.txt: folder: is not known here (put it in sources/ or destinations/)"),
        ("destination/x.yaml", "x", 'destination: folder: is not known here (did you mean "destinations"?)'),
        ("sources/notes.txt", "x", "notes.txt: folder: is not known here"),
    ],
)
def test_mistake_is_told_with_its_place_and_remedy(
    folder: Path, name: str, content: str | bytes, complaint: str
) -> None:
    write(folder, name, content)
    assert complaint in "\n".join(complaints(folder))


def test_source_of_a_broken_destination_is_not_blamed(folder: Path) -> None:
    write(folder, "destinations/crm.yaml", "type: [\n")
    assert [complaint.partition(":")[0] for complaint in complaints(folder)] == ["destinations/crm.yaml"]


def test_hidden_files_and_readmes_may_lie_about(folder: Path) -> None:
    write(folder, ".gitignore", "x")
    write(folder, "README.md", "x")
    write(folder, "sources/.web.yaml.swp", "x")
    assert load_folder(folder).document.sources


def test_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="there is no such folder"):
        load_folder(tmp_path / "nowhere")


def test_missing_subfolders_are_an_empty_configuration(tmp_path: Path) -> None:
    assert load_folder(tmp_path).document.sources == []


def test_document_that_is_data_already_is_checked_the_same_way() -> None:
    loaded = load_document(
        {"sources": [{"name": "web", "destinations": ["crm"]}], "destinations": [{"name": "crm", "type": "http"}]}
    )
    assert loaded.place("source", "web", "fields") == (None, None)
    assert str(loaded.complaint("source", "web", "fields", "is odd")) == "source web: fields: is odd"
    with pytest.raises(InvalidConfig) as refused:
        load_document({"sources": [{"name": "a", "destinations": ["x"]}, {"name": "a"}]})
    assert [str(complaint) for complaint in refused.value.complaints] == [
        "source a: name: two sources have this name (rename one)",
        "source a: destinations.0: there is no destination 'x' (none is known here)",
    ]


@pytest.mark.parametrize("data", [None, [], {"sources": {}}, {"sources": [3]}, {"x": 1}])
def test_data_that_is_no_configuration_is_refused(data: Any) -> None:
    with pytest.raises(InvalidConfig):
        load_document(data)


def test_value_that_may_be_one_of_several_things_gets_one_complaint(folder: Path) -> None:
    write(folder, "destinations/crm.yaml", "type: http\nresponse:\n  reason: {pth: x}\n")
    assert complaints(folder) == [
        'destinations/crm.yaml:3: response.reason.pth: is not a known setting (did you mean "path"?)'
    ]


def test_loaded_document_survives_a_round_trip_through_json(folder: Path) -> None:
    document = load_folder(folder).document
    assert load_document(document.model_dump(mode="json")).document == document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("yes", "yes"),
        ("02134", "02134"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"),
        ("123456789012345678901234", "123456789012345678901234"),
        ("true", True),
        ("~", None),
        ("", None),
        ("42", 42),
        ("-1.5", -1.5),
        ("'42'", "42"),
        ("!!str 42", "42"),
    ],
)
def test_plain_scalars_mean_what_they_look_like(text: str, value: Any) -> None:
    parsed = parse(f"a: {text}\n".encode(), "f").value["a"]
    assert parsed == value
    assert type(parsed) is type(value)


def test_anchors_and_merges_work() -> None:
    text = b"base: &base {a: 1, b: 2}\nown:\n  <<: *base\n  b: 3\ncopy: *base\n"
    assert parse(text, "f").value == {"base": {"a": 1, "b": 2}, "own": {"a": 1, "b": 3}, "copy": {"a": 1, "b": 2}}


@pytest.mark.parametrize(
    "text",
    [
        "&a [*a]",
        "x: &a {<<: *a}",
        "[" * 100_000,
        "{a: " * 100_000,
        "\n".join([f"a{i}: &a{i} [{', '.join(['*a' + str(i - 1) if i else 'x'] * 10)}]" for i in range(9)]),
        "x" * 2_000_000,
    ],
    ids=["itself", "merges itself", "deep list", "deep mapping", "laughs", "long"],
)
def test_yaml_made_to_hurt_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfig):
        parse(text.encode(), "f")


scraps = st.sampled_from(
    [
        "a",
        ": ",
        "\n",
        "  ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&x ",
        "*x",
        "<<: ",
        "!t ",
        "'",
        '"',
        "|",
        "#",
        "?",
        "1",
        "~",
    ]
)


@given(st.lists(scraps, max_size=20).map("".join).map(str.encode) | st.binary(max_size=40))
def test_any_bytes_parse_or_are_refused(content: bytes) -> None:
    with suppress(InvalidConfig):
        parse(content, "f")


def test_response_schemas_are_read_into_the_version(tmp_path: Path) -> None:
    (tmp_path / "destinations").mkdir()
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas/a.json").write_text('{"type": "object"}')
    (tmp_path / "schemas/b.xsd").write_text("<a/>")
    for name, schema in (
        ("a", "json: ../schemas/a.json"),
        ("b", "xsd: ../schemas/b.xsd"),
        ("c", "json: {type: array}"),
    ):
        text = f"type: http\nsettings: {{url: 'https://x.example'}}\nresponse:\n  schema:\n    {schema}\n"
        (tmp_path / f"destinations/{name}.yaml").write_text(text)
    document = load_folder(tmp_path).document
    stored = [
        one["response"]["schema"] for one in document.model_dump(mode="json", exclude_defaults=True)["destinations"]
    ]
    assert stored == [{"json": {"type": "object"}}, {"xsd": "<a/>"}, {"json": {"type": "array"}}]
    assert Document.model_validate(document.model_dump(mode="json")) == document


@pytest.mark.parametrize(
    ("content", "schema", "complaint"),
    [
        (None, "json: none.json", "none.json cannot be read"),
        (b"{", "json: x.json", "x.json is not JSON"),
        (b"\xff", "xsd: x.json", "x.json is not UTF-8"),
        (b"[" * 1_000_001, "json: x.json", "longer than"),
        (b"[" * 900_000, "json: x.json", "x.json is not JSON"),
        (b"{}", "{json: x.json, xsd: x.json}", "exactly one"),
    ],
)
def test_response_schema_that_cannot_be_read_is_complained_about_with_its_line(
    tmp_path: Path, content: bytes | None, schema: str, complaint: str
) -> None:
    (tmp_path / "destinations").mkdir()
    (tmp_path / "destinations/.x").mkdir()
    if content is not None:
        (tmp_path / "destinations/.x/x.json").write_bytes(content)
    path = tmp_path / "destinations/a.yaml"
    path.write_text(f"type: http\nresponse:\n  schema: {{{schema.strip('{}')}}}\n".replace("x.json", ".x/x.json"))
    with pytest.raises(InvalidConfig, match=complaint) as caught:
        load_folder(tmp_path)
    assert [(one.file, one.line) for one in caught.value.complaints] == [(str(path), 3)]
