"""No path takes ages on an answer, and those that pages and documents are really read by are not refused."""

from time import monotonic, thread_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from app.config.schema import ResponseConfig
from app.connectors._cost import Cost
from app.connectors._parsing import as_text
from app.connectors._response import ResponseRules
from app.model import Fault, Outcome, Result


def interpret(body: str, content_type: str, *, status: int = 200, **rules: Any) -> Outcome:
    config = ResponseConfig.model_validate(rules)
    return ResponseRules(config).interpret(status, {"content-type": content_type}, body.encode())


ITEMS = "<r>" + "".join(f"<i>{number}</i>" for number in range(50_000)) + "</r>"
LIST = "<ul>" + "<li>x</li>" * 20_000 + "</ul>"


@pytest.mark.parametrize(
    ("body", "content_type", "path"),
    [
        (ITEMS, "text/xml", "//i[not(. = preceding::i)]"),
        (ITEMS, "text/xml", "//i/following-sibling::i"),
        (ITEMS, "text/xml", "//i[//i[//i = 'x']]"),
        (ITEMS, "text/xml", "//i[contains(/, 'x')]"),
        (LIST, "text/html", "li ~ li"),
        (LIST, "text/html", "li + li"),
        (LIST, "text/html", "li:nth-child(7)"),
    ],
)
def test_path_that_would_run_for_ever_is_a_transient_error(body: str, content_type: str, path: str) -> None:
    for rules in ({"capture": {"n": path}}, {"reason": path}, {"search": {"path": path, "term": "1"}}):
        begun = monotonic()
        outcome = interpret(body, content_type, **rules)
        assert monotonic() - begun < 5
        assert (outcome.result, outcome.fault, outcome.ambiguous) == (Result.ERROR, Fault.TRANSIENT, True)
        assert outcome.reason == "a path of the response rules takes too long on this answer; write it simpler"
    assert interpret(body, content_type, status=400, capture={"n": path}).ambiguous is False


ROW = "<tr class=row><td>Id</td><td>{0}</td><td><a href='/leads/{0}'>See <b>it</b></a></td></tr>"
PAGE = (
    "<!doctype html><html><head><title>Leads</title></head><body><div id=page><div class=main><p class=error>Sorry</p>"
    "<ul><li>a</li><li>b</li></ul><table>" + "".join(map(ROW.format, range(150))) + "</table></div></div></body></html>"
)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("div.main p.error", "Sorry"),
        ("p.error, p.warning", "Sorry"),
        ("div:has(p.error) > ul li:first-child", "a"),
        ("ul li + li", "b"),
        ("table tr:nth-child(1) td:nth-of-type(2)", "0"),
        ("div div table tr:first-child a b", "it"),
        ("//tr[td='Id'][1]/td[2]", "0"),
        ("//td[normalize-space(.)='149']/following-sibling::td[1]//b", "it"),
        ("//b[ancestor::div[@id='page']]/../../../td[2][. = '7']", "7"),
        ("//li[last()][preceding-sibling::li]", "b"),
    ],
)
def test_paths_that_pages_are_read_by_are_not_refused(path: str, found: str) -> None:
    outcome = interpret(PAGE, "text/html", reference=path)
    assert (outcome.result, outcome.reference) == (Result.SUCCESS, found)


@pytest.mark.parametrize(
    "path",
    [
        "//i",
        "/r/i[7]",
        "//i[. = '49999']",
        "//i[not(@ok) and string-length(.) > 1]",
        "count(//i)",
        "string(//i[last()])",
        "//i[starts-with(., '7')]/text()",
        "//r[i = '7']",
        "descendant::i",
    ],
)
def test_path_whose_time_grows_with_the_document_only_reads_any(path: str) -> None:
    assert interpret(ITEMS, "text/xml", reference=path).reference


def documents() -> dict[str, etree._Element]:
    deep = "<r>" + ("<i>" * 120 + "</i>" * 120) * 200 + "</r>"
    mixed = "<r>" + "<g a='1'><i>1</i><i a='2'>2</i></g>" * 3000 + "</r>"
    empty = "<r>" + "<i/>" * 20_000 + "x" * 1_000_000 + "</r>"
    small = "<r>" + "<g a='1'><i>1</i><i a='2'>2</i></g>" * 150 + "</r>"
    return {text: etree.fromstring(text) for text in (deep, mixed, empty, small, ITEMS)}


DOCUMENTS = documents()
AXES = [
    "", "@", "../", "descendant::", "ancestor::", "following::", "preceding::", "following-sibling::", "preceding-sibling::",
    "self::", "descendant-or-self::", "parent::", "namespace::",
]  # fmt: skip
STEPS = st.tuples(st.sampled_from(AXES), st.sampled_from(["i", "*", "g", "a"])).map("".join)
PATHS = st.recursive(
    st.lists(STEPS, min_size=1, max_size=3).flatmap(
        lambda steps: st.sampled_from(["/", "//"]).map(lambda by: by.join(steps))
    ),
    lambda inner: st.tuples(
        inner,
        inner,
        st.sampled_from(
            ["{0}[{1}]", "{0}|{1}", "{0}[. = {1}]", "{0}[{1} = {1}]", "{0}[contains({1}, .)]", "{0}[//{1}]",
             "{0}[count({1}) > 1]", "{0}[not({1})]/{1}", "{0}[contains(/, {1})]"]
        ),
    ).map(lambda parts: parts[2].format(*parts[:2])),
    max_leaves=4,
)  # fmt: skip


@given(PATHS, st.sampled_from(["", "/", "//"]), st.sampled_from(list(DOCUMENTS)))
@settings(max_examples=200, deadline=None)
def test_whatever_path_is_let_through_ends_in_time(path: str, start: str, document: str) -> None:
    root = DOCUMENTS[document]
    try:
        xpath = etree.XPath(start + path)
    except etree.XPathSyntaxError:
        return
    if Cost(start + path).is_bearable(root, len(document)):
        begun = thread_time()
        try:
            xpath(root)
        except etree.XPathError:
            return
        assert thread_time() - begun < 4


def test_text_of_many_nested_elements_is_found_in_time() -> None:
    levels = 200
    body = "<r>" + ("<i>" * levels + "x" + "</i>" * levels) * 1000 + "</r>"
    begun = thread_time()
    assert interpret(body, "text/xml", search={"path": "//*", "term": "never"}).result is Result.FAILURE
    assert thread_time() - begun < 5


def test_text_of_an_element_is_all_of_it() -> None:
    element = etree.fromstring("<r>a<b>c<![CDATA[<z>]]></b><?not this?>d&amp;</r>")
    assert as_text(element) == "ac<z>d&"
    assert as_text(element[0]) == "c<z>"
