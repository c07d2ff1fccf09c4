"""Typed fields: what producers send becomes what a lead holds, or a complaint that quotes nothing."""

import json
import string
from pathlib import Path
from typing import Any

import email_validator
import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.config.schema import FieldConfig, FieldType, SourceConfig
from app.errors import InvalidConfig, InvalidLead
from app.fields import FieldSpecs, ReadFields
from app.fields.names import WELL_KNOWN
from app.fields.phone import read_phone
from app.fields.scalar import read_email
from app.fields.text import MAX_FIELDS, Unreadable


def specs(**fields: FieldConfig) -> FieldSpecs:
    return FieldSpecs(SourceConfig(name="web", fields=fields))


def read(name: str, value: Any, type_: FieldType | None = None, region: str = "US") -> ReadFields:
    return specs(**{name: FieldConfig(type=type_, region=region)}).read({name: value})


def value_of(value: Any, type_: FieldType, region: str = "US") -> Any:
    found = read("x", value, type_, region)
    assert not found.invalid
    return found.fields.get("x")


@pytest.mark.parametrize(
    ("type_", "region", "raw", "expected"),
    [
        (FieldType.PHONE, "US", "(415) 555-2671", "+14155552671"),
        (FieldType.PHONE, "US", "1-415-555-2671", "+14155552671"),
        (FieldType.PHONE, "US", 4155552671, "+14155552671"),
        (FieldType.PHONE, "US", "+44 20 7946 0958", "+442079460958"),
        (FieldType.PHONE, "US", "416-967-1111", "+14169671111"),
        (FieldType.PHONE, "US", "415 555 2671 ext 9", "+14155552671"),
        (FieldType.PHONE, "GB", "020 7946 0958", "+442079460958"),
        (FieldType.EMAIL, "US", " Jane.Doe@Example.COM ", "Jane.Doe@example.com"),
        (FieldType.EMAIL, "US", "jörg@müller.de", "jörg@müller.de"),
        (FieldType.POSTAL_CODE, "US", "94107", "94107"),
        (FieldType.POSTAL_CODE, "US", "941071234", "94107-1234"),
        (FieldType.POSTAL_CODE, "CA", "k1a0b1", "K1A 0B1"),
        (FieldType.POSTAL_CODE, "GB", "sw1a1aa", "SW1A 1AA"),
        (FieldType.POSTAL_CODE, "DE", "10115", "10115"),
        (FieldType.STATE, "US", "california", "CA"),
        (FieldType.STATE, "US", "n.y.", "NY"),
        (FieldType.STATE, "US", "Puerto Rico", "PR"),
        (FieldType.STATE, "US", "Washington, D.C.", "DC"),
        (FieldType.STATE, "CA", "québec", "QC"),
        (FieldType.STATE, "US", "ON", "ON"),
        (FieldType.STATE, "DE", "Bayern", "Bayern"),
        (FieldType.DATE, "US", "1980-01-31", "1980-01-31"),
        (FieldType.DATE, "US", "19800131", "1980-01-31"),
        (FieldType.DATE, "US", 19800131, "1980-01-31"),
        (FieldType.DATE, "US", "02/03/1980", "1980-02-03"),
        (FieldType.DATE, "GB", "02/03/1980", "1980-03-02"),
        (FieldType.DATE, "US", "31/01/1980", "1980-01-31"),
        (FieldType.DATE, "GB", "01/31/1980", "1980-01-31"),
        (FieldType.DATE, "US", "02.03.1980", "1980-03-02"),
        (FieldType.DATE, "US", "Jan 31, 1980", "1980-01-31"),
        (FieldType.DATE, "US", "31st January 1980", "1980-01-31"),
        (FieldType.DATE, "US", "1980-01-31T23:59:59.5Z", "1980-01-31"),
        (FieldType.BOOLEAN, "US", "YES", True),
        (FieldType.BOOLEAN, "US", "off", False),
        (FieldType.BOOLEAN, "US", 1, True),
        (FieldType.BOOLEAN, "US", False, False),
        (FieldType.NUMBER, "US", "$1,234,567.50", 1234567.5),
        (FieldType.NUMBER, "US", "-42", -42),
        (FieldType.NUMBER, "US", "1e3", 1000.0),
        (FieldType.NUMBER, "US", 7.5, 7.5),
        (FieldType.IP, "US", "2001:DB8::0:1", "2001:db8::1"),
        (FieldType.URL, "US", "https://example.com/a?b=c#d", "https://example.com/a?b=c#d"),
        (FieldType.TEXT, "US", 90210, "90210"),
        (FieldType.TEXT, "US", True, "true"),
    ],
)
def test_valid_value_is_read_as_its_type(type_: FieldType, region: str, raw: Any, expected: Any) -> None:
    assert value_of(raw, type_, region) == expected
    assert type(value_of(raw, type_, region)) is type(expected)


@pytest.mark.parametrize(
    ("type_", "raw"),
    [
        (FieldType.PHONE, "555-2671"),
        (FieldType.PHONE, "415-155-2671"),
        (FieldType.PHONE, "call me"),
        (FieldType.EMAIL, "jane@"),
        (FieldType.EMAIL, "jane@example"),
        (FieldType.EMAIL, "jane..doe@example.com"),
        (FieldType.EMAIL, "a" * 300 + "@example.com"),
        (FieldType.POSTAL_CODE, "9410"),
        (FieldType.STATE, "Bavaria"),
        (FieldType.DATE, "02/30/1980"),
        (FieldType.DATE, "1/2/80"),
        (FieldType.DATE, "yesterday"),
        (FieldType.BOOLEAN, "maybe"),
        (FieldType.NUMBER, "12,34"),
        (FieldType.NUMBER, "99999999999999999999"),
        (FieldType.NUMBER, "0.12345678901234567"),
        (FieldType.NUMBER, "1e999"),
        (FieldType.NUMBER, "NaN"),
        (FieldType.IP, "300.1.1.1"),
        (FieldType.IP, "fe80::1%eth0"),
        (FieldType.URL, "ftp://example.com"),
        (FieldType.URL, "https://exa mple.com"),
    ],
)
def test_invalid_value_keeps_its_raw_text_and_says_so(type_: FieldType, raw: str) -> None:
    found = read("x", raw, type_)
    assert found.fields == {"x": raw}
    assert raw not in found.invalid["x"]


def test_list_for_a_typed_field_is_invalid_and_kept_as_json_text() -> None:
    found = read("email", ["a@b.com"])
    assert found.fields["email"] == '["a@b.com"]'
    assert "list" in found.invalid["email"]


def test_empty_text_null_and_empty_lists_mean_absent() -> None:
    assert specs().read({"email": " ", "first_name": None, "more": "", "tags": [], "deep": {}}).fields == {}


def test_zero_and_false_of_unlisted_fields_are_values() -> None:
    assert specs().read({"a": 0, "b": False, "c": 0.0}).fields == {"a": 0, "b": False, "c": 0.0}


def test_unlisted_fields_keep_their_json() -> None:
    nested = {"pets": [{"name": "Rex", "age": 3}], "score": 1.5}
    assert specs().read({"survey": nested}).fields == {"survey": nested}


def test_well_known_names_have_their_types_without_configuration() -> None:
    found = specs().read({"phone_1": "415 555 2671", "zip": "941071234", "dob": "1/31/1980", "page_url": "nowhere"})
    assert found.fields["phone_1"] == "+14155552671"
    assert found.fields["zip"] == "94107-1234"
    assert found.fields["dob"] == "1980-01-31"
    assert "page_url" in found.invalid


def test_every_type_and_well_known_name_stands_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs/fields.md").read_text(encoding="utf-8")
    rows = {row.split("|")[1].strip(" `"): row for row in page.split("## Which field")[1].splitlines() if "|" in row}
    assert [name for name, type_ in WELL_KNOWN.items() if f"`{name}`" not in rows[type_]] == []
    assert [type_ for type_ in FieldType if f"| `{type_}` |" not in page] == []


def test_listing_a_well_known_name_without_a_type_keeps_its_type() -> None:
    assert read("email", "X@EXAMPLE.com").fields["email"] == "X@example.com"


def test_defaults_fill_absent_and_empty_fields_only() -> None:
    source = SourceConfig(name="web", defaults={"country": "US", "phone_1": "415 555 2671"})
    assert FieldSpecs(source).read({"country": "", "phone_1": "212 555 2368"}).fields == {
        "country": "US",
        "phone_1": "+12125552368",
    }
    assert FieldSpecs(source).read({}).fields["phone_1"] == "+14155552671"


def test_default_that_is_not_of_its_type_is_refused_with_the_configuration() -> None:
    with pytest.raises(InvalidConfig, match=r"defaults\.email"):
        FieldSpecs(SourceConfig(name="web", defaults={"email": "nobody"}))


def test_required_fields_that_are_missing_or_invalid_are_all_named() -> None:
    required = specs(
        email=FieldConfig(required=True), phone_1=FieldConfig(required=True), dob=FieldConfig(required=True)
    )
    with pytest.raises(InvalidLead) as refused:
        required.read({"email": "secret-address", "dob": "1980-01-31"})
    assert {complaint.field: complaint.detail for complaint in refused.value.complaints} == {
        "email": "is not an e-mail address",
        "phone_1": "is required",
    }
    assert "secret-address" not in str(refused.value)


def test_control_characters_and_nul_are_removed() -> None:
    assert specs().read({"note": "a\x00b\x07\x85c\n\td", "first_name": "J\x00ane"}).fields == {
        "note": "abc\n\td",
        "first_name": "Jane",
    }


@pytest.mark.parametrize(
    "value",
    [
        "\ud800",
        {"a": "\udfff"},
        {"a\ud800": 1},
        float("nan"),
        [float("inf")],
        b"bytes",
        {1: "a"},
        "x" * 65_537,
        "é" * 40_000,
        ["x" * 40_000, "y" * 40_000],
        [10**6000],
    ],
)
def test_value_that_cannot_be_stored_refuses_the_lead(value: Any) -> None:
    for name in ("extra", "email"):
        with pytest.raises(InvalidLead) as refused:
            specs().read({name: value})
        assert refused.value.complaints[0].field == name


def test_nesting_is_bounded() -> None:
    value: Any = "leaf"
    for _ in range(8):
        value = [value]
    assert specs().read({"x": value}).fields == {"x": value}
    with pytest.raises(InvalidLead, match="nested"):
        specs().read({"x": [value]})


def test_number_of_fields_is_bounded() -> None:
    assert len(specs().read({f"f{i}": "x" for i in range(MAX_FIELDS)}).fields) == MAX_FIELDS
    with pytest.raises(InvalidLead, match="more than"):
        specs().read({f"f{i}": "x" for i in range(MAX_FIELDS + 1)})


@pytest.mark.parametrize("name", ["", "a\x00b", "x" * 129, "\ud800", "a\nb"])
def test_name_that_is_no_field_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidLead, match="is not a field name"):
        specs().read({name: "x"})


def test_whole_number_beyond_64_bits_becomes_text_digit_for_digit() -> None:
    assert specs().read({"id_number": 10**25}).fields == {"id_number": str(10**25)}


numbers_as_written = st.tuples(
    st.sampled_from(["", "1", "+1", "1-", "+1 "]),
    st.sampled_from(["({}) {}-{}", "{}{}{}", "{}-{}-{}", "{}.{}.{}", "{} {} {}"]),
    st.integers(200, 999),
    st.integers(100, 999),
    st.integers(0, 9999),
)


@given(numbers_as_written)
def test_fast_path_for_phones_agrees_with_phonenumbers(written: tuple[str, str, int, int, int]) -> None:
    prefix, layout, area, exchange, line = written
    text = prefix + layout.format(area, exchange, f"{line:04d}")
    parsed = phonenumbers.parse(text, "US")
    if phonenumbers.is_valid_number(parsed):
        assert read_phone(text, "US") == phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    else:
        with pytest.raises(Unreadable):
            read_phone(text, "US")


addresses = st.builds(
    "{}@{}.{}".format,
    st.text(string.ascii_letters + string.digits + ".!#$%+-_", min_size=1, max_size=70),
    st.text(string.ascii_letters + string.digits + ".-", min_size=1, max_size=70),
    st.sampled_from(["com", "co.uk", "test", "invalid", "c", "x1", "ONION"]),
)


@given(addresses | st.emails() | st.text(max_size=20))
@example("PostMaster@example.com")
@example("a@xn--mller-kva.de")
@example("a@localhost.com")
def test_fast_path_for_addresses_agrees_with_email_validator(text: str) -> None:
    try:
        expected = email_validator.validate_email(text, check_deliverability=False).normalized
    except email_validator.EmailNotValidError:
        with pytest.raises(Unreadable):
            read_email(text)
    else:
        assert read_email(text) == expected


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
leads = st.dictionaries(st.sampled_from(sorted(WELL_KNOWN)) | st.text(max_size=10), json_values, max_size=8)
as_submitted = specs(email=FieldConfig(required=True), custom=FieldConfig(type=FieldType.NUMBER, region="DE"))


@given(leads)
def test_any_json_is_read_or_refused_and_never_crashes(raw: dict[str, Any]) -> None:
    try:
        found = as_submitted.read(raw)
    except InvalidLead as refused:
        assert refused.complaints  # noqa: PT017  # either answer is right; a refusal says why
        return
    stored = json.dumps(found.fields, allow_nan=False, ensure_ascii=False).encode()
    assert b"\\u0000" not in stored
    assert found.invalid.keys() <= found.fields.keys()


@given(leads)
def test_reading_what_was_read_changes_nothing(raw: dict[str, Any]) -> None:
    lenient = specs()
    try:
        once = lenient.read(raw)
    except InvalidLead:
        return
    valid = {name: value for name, value in once.fields.items() if name not in once.invalid}
    assert lenient.read(valid).fields == valid
