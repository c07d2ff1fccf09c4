"""Charsets: what a body's text is, and that an answer given as text means what the live one does."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.schema import ResponseConfig
from app.connectors._response import ResponseRules
from app.media import Kind, decoded, encoded
from app.model import Outcome, Result
from app.reply import Answer

XML, HTML, JSON = "text/xml", "text/html", "application/json"


def interpret(body: bytes, content_type: str, **rules: Any) -> Outcome:
    config = ResponseConfig.model_validate(rules)
    return ResponseRules(config).interpret(200, {"content-type": content_type}, body)


DECLARED = '<?xml version="1.0" encoding="{}"?><r><name>José</name></r>'
META = "<!doctype html><html><head><title>x</title>{}</head><body><p>José</p></body></html>"


@pytest.mark.parametrize(
    ("text", "charset", "content_type"),
    [
        (DECLARED.format("ISO-8859-1"), "latin-1", XML),
        (DECLARED.format("windows-1252"), "cp1252", "application/xml"),
        (DECLARED.format("UTF-16"), "utf-16", XML),
        (DECLARED.format("utf-8"), "utf-8", XML),
        (DECLARED.format("ISO-8859-1"), "utf-8", "text/xml; charset=utf-8"),
        (DECLARED.format("utf-8"), "latin-1", "text/xml; charset=iso-8859-1"),
        (DECLARED.format("ISO-8859-1"), "latin-1", "text/xml; charset=utf-8"),
        (META.format('<meta charset="iso-8859-1">'), "latin-1", HTML),
        (META.format("<META content='text/html; charset=ISO-8859-1' http-equiv=Content-Type>"), "latin-1", HTML),
        (META.format('<meta charset="iso-8859-1">'), "utf-8", "text/html; charset=utf-8"),
        (META.format(""), "utf-8-sig", HTML),
        (META.format(""), "utf-16", HTML),
        ('{"name": "José"}', "utf-8", "application/json; charset=iso-8859-1"),
        ('{"name": "José"}', "latin-1", "application/json; charset=iso-8859-1"),
        ('{"name": "José"}', "utf-16-le", "application/json; charset=utf-16le"),
        ('{"name": "José"}', "utf-16", JSON),
        ("José", "latin-1", "text/plain; charset=iso-8859-1"),
        ("José", "utf-8", "text/plain; charset=base64"),
        ("José", "utf-8", "text/plain; charset=nonsense"),
    ],
)
def test_text_and_paths_agree_on_what_was_written(text: str, charset: str, content_type: str) -> None:
    body = text.encode(charset)
    assert interpret(body, content_type, search={"term": "josé"}).result is Result.SUCCESS
    if "plain" not in content_type:
        path = {"j": "name", "x": "//name", "h": "p"}[content_type.partition("/")[2][0]]
        assert interpret(body, content_type, reference=path).reference == "José"


def test_answer_cut_in_a_character_is_read_in_its_charset_all_the_same() -> None:
    text, charset = decoded("né né né".encode()[:-1], "json", "latin-1")
    assert (text, charset) == ("né né n\ufffd", "utf-8")


CONTENT_TYPES = {
    "text/plain": "text",
    "text/plain; charset=iso-8859-1": "text",
    "text/html": "html",
    "text/html; charset=utf-16": "html",
    "text/xml": "xml",
    "text/xml; charset=windows-1252": "xml",
    "application/json; charset=iso-8859-1": "json",
}


@given(
    st.text(alphabet="aé<>\"'=?/ €\n", max_size=20),
    st.sampled_from(list(CONTENT_TYPES)),
    st.sampled_from([DECLARED, META]),
)
def test_answer_given_as_text_is_read_as_that_text(text: str, content_type: str, document: str) -> None:
    kind: Kind = CONTENT_TYPES[content_type]  # type: ignore[assignment]  # the values above are kinds
    for whole in (text, document.format("ISO-8859-1") + text, json.dumps({"a": text}, ensure_ascii=False)):
        answer = Answer(status=200, headers={"Content-Type": content_type}, body=whole)
        try:
            headers, body = answer.parts("auto")
        except Exception as error:  # noqa: BLE001  # asserted
            assert "a character that its charset lacks" in str(error)  # noqa: PT017  # not always raised
            continue
        charset = headers["content-type"].partition("charset=")[2] or None
        assert decoded(body, kind, charset)[0] == whole


@given(
    st.binary(max_size=100),
    st.sampled_from(["json", "xml", "html", "text"]),
    st.sampled_from([None, "utf-8", "utf-16", "cp1252"]),
)
def test_every_body_is_some_text(body: bytes, kind: Kind, charset: str | None) -> None:
    for start in (
        b"",
        b"<?xml version='1.0' encoding='utf-16'?>",
        b"<meta charset=shift_jis>",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
    ):
        decoded(start + body, kind, charset)


def test_text_that_no_charset_holds_is_not_encoded() -> None:
    with pytest.raises(UnicodeEncodeError):
        encoded("\ud800", "text", None)
