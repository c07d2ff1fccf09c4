"""Bulk bodies cut into rows, without a server."""

import csv
import io
import json
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.line import Csv, Format, Ndjson, Row, Splitter
from app.api.problem import Problem

MOST = 200


def rows(raw: bytes, format_: Format, cuts: Sequence[int] = ()) -> list[Row]:
    """Feed a body in pieces, as a connection would."""
    splitter, found = Splitter(MOST), []
    places = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    for begin, end in pairwise(places):
        found += format_.rows(splitter.feed(raw[begin:end]), last=False)
    return found + format_.rows(splitter.end(), last=True)


def told(found: Sequence[Row]) -> list[tuple[int, object]]:
    return [(row.line, row.fields if row.problem is None else row.problem.detail) for row in found]


def test_a_bad_line_costs_only_itself() -> None:
    raw = b'{"a": 1}\n\n{oops}\n\xff\n' + b"x" * 500 + b'\r\n{"a": 2}'
    (first, bad, binary, long, last) = rows(raw, Ndjson(MOST))
    assert (first.line, first.fields) == (1, {"a": 1})
    assert [row.line for row in (bad, binary, long)] == [3, 4, 5]
    assert all(row.problem is not None for row in (bad, binary, long))
    assert (last.line, last.fields) == (6, {"a": 2})


def test_csv_records_span_lines_and_say_where_they_begin() -> None:
    raw = b'name,note\r\nAda,"two\r\nlines, ""quoted"""\r\n\r\nGrace,\r\n'
    assert told(rows(raw, Csv(MOST))) == [
        (2, {"name": "Ada", "note": 'two\r\nlines, "quoted"'}),
        (5, {"name": "Grace", "note": ""}),
    ]


def test_a_quote_that_never_closes_costs_only_its_own_line() -> None:
    raw = b'name,note\nAda,"open\n' + b"".join(b"n%d,x\n" % number for number in range(200))
    found = rows(raw, Csv(MOST), range(0, len(raw), 7))
    assert found[0].line == 2
    assert found[0].problem is not None
    assert [row.fields for row in found[1:]] == [{"name": f"n{number}", "note": "x"} for number in range(200)]


def test_a_record_with_too_few_or_many_cells_is_refused() -> None:
    few, many, good = rows(b"a,b\n1\n1,2,3\n1,2\n", Csv(MOST))
    assert few.problem is not None
    assert "has 1 cells where the header has 2" in few.problem.detail
    assert many.problem is not None
    assert good.fields == {"a": "1", "b": "2"}


@pytest.mark.parametrize("header", [b"a,,b\n", b"a,a\n", b'a,"b\n', b"\xff,b\n", b"x" * 500 + b"\n"])
def test_a_header_that_cannot_be_used_refuses_the_body(header: bytes) -> None:
    with pytest.raises(Problem):
        rows(header + b"1,2\n", Csv(MOST))


cuts = st.lists(st.integers(min_value=0, max_value=5000), max_size=6)
cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff"), max_size=8)


@given(st.lists(st.tuples(cells, cells), max_size=8), cuts)
def test_csv_that_python_writes_is_read_back_however_it_is_cut(records: list[tuple[str, str]], cut: list[int]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b"), *records])
    assert [row.fields for row in rows(text.getvalue().encode(), Csv(MOST), cut)] == [
        {"a": first, "b": second} for first, second in records
    ]


@given(st.lists(st.dictionaries(st.sampled_from("ab"), cells)), cuts)
def test_ndjson_is_read_back_however_it_is_cut(records: list[dict[str, str]], cut: list[int]) -> None:
    raw = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    assert [row.fields for row in rows(raw, Ndjson(MOST), cut)] == records


noise = st.lists(st.sampled_from([b'"', b",", b"\n", b"\r", b"\x00", b"a", b"\xff", b"x" * 150, b"{", b"}"])).map(
    b"".join
)


@given(noise, cuts)
def test_no_line_is_lost_or_told_twice_in_noise(raw: bytes, cut: list[int]) -> None:
    found = rows(b"a,b\n" + raw, Csv(MOST), cut)
    lines = [row.line for row in found]
    assert lines == sorted(set(lines))
    assert told(found) == told(rows(b"a,b\n" + raw, Csv(MOST)))
    assert len(rows(raw, Ndjson(MOST), cut)) == sum(1 for line in raw.split(b"\n") if line.strip())
