"""Templates: the closures and python-liquid give the same text, and nothing gets out of bounds."""

import re
import time
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import DataFault, InvalidTemplate
from app.templates import compile_template, is_template
from app.templates.filters import FILTERS

LEAD = {
    "first_name": "jANE",
    "email": "Jane@Example.com",
    "phone_1": "+14155552671",
    "uk": "+442079460958",
    "dob": "1980-01-05",
    "received_at": "2026-11-23T10:05:09+00:00",
    "age": 42,
    "score": 2.5,
    "consent": True,
    "tags": ["solar", "roof"],
    "pet": {"name": "Rex"},
    "Form Name": "a&b",
    "size": "XL",
}
CONTEXT = {"lead": LEAD, "source": {"name": "web"}, "delivery": {"attempt": 1}, "steps": {}}


def render(text: str, context: dict[str, Any] = CONTEXT) -> Any:
    return compile_template(text).render(context)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ lead.age }}", 42),
        ("{{lead.consent}}", True),
        ("{{ lead.tags }}", ["solar", "roof"]),
        ("{{ lead.pet.name }}", "Rex"),
        ("{{ lead['Form Name'] }}", "a&b"),
        ("{{ lead.tags[0] }}{{ lead.tags[-1] }}", "solarroof"),
        ("{{ lead.tags.first }}", "solar"),
        ("{{ lead.tags.size }}", 2),
        ("{{ lead.size }}", "XL"),
        ("{{ lead.nothing }}", None),
        ("{{ lead.nothing.deeper[3] }}", None),
        ("{{ lead.age.deeper }}", None),
        ("{{ lead.age | to_string }}", "42"),
        ("Age {{ lead.age }}, {{ lead.consent }}, {{ lead.tags }}!", 'Age 42, true, ["solar","roof"]!'),
        ("a  {{- lead.age -}}  b", "a42b"),
        ("{{ lead.first_name | capitalize | append: ' (' | append: source.name | append: ')' }}", "Jane (web)"),
        ("{{ lead.nothing | default: lead.age }}", 42),
        ("{{ lead.nothing | default: 'none' | upcase }}", "NONE"),
        ("{{ lead.phone_1 | phone }}", "(415) 555-2671"),
        ("{{ lead.phone_1 | phone: 'digits' }}", "4155552671"),
        (
            "{{ lead.phone_1 | phone: 'area_code' }}-{{ lead.phone_1 | phone: 'exchange' }}-{{ lead.phone_1 | phone: 'line' }}",
            "415-555-2671",
        ),
        ("{{ lead.phone_1 | phone: 'country_code' }}", "1"),
        ("{{ lead.uk | phone: 'international' }}", "+44 20 7946 0958"),
        ("{{ lead.uk | phone: 'area_code' }}", "20"),
        ("{{ lead.phone_1 | digits | slice: 1, 3 }}", "415"),
        ("{{ lead.email | slice: -4, 4 }}", ".com"),
        ("{{ lead.email | split: '@' | last | downcase }}", "example.com"),
        ("{{ lead.tags | join: ', ' }}", "solar, roof"),
        ("{{ lead.tags | json }}", '["solar","roof"]'),
        ("{{ lead.dob | date: '%m/%d/%Y' }}", "01/05/1980"),
        ("{{ lead.dob | date: '%-m/%-d/%y %%' }}", "1/5/80 %"),
        ("{{ lead.received_at | date: '%Y-%m-%d %H:%M:%S' }}", "2026-11-23 10:05:09"),
        ("{{ lead.score | round }}", 3),
        ("{{ 1.005 | times: 100 | round: 1 }}", 100.5),
        ("{{ '1,234.50' | to_number | plus: 0.1 }}", 1234.6),
        ("{{ lead.age | divided_by: 4 }}", 10.5),
        ("{{ lead.nothing | plus: 1 }}", ""),
        ("{{ lead.email | truncate: 7 }}", "Jane..."),
        ("{{ lead.email | replace: '@', ' at ' | remove: '.com' }}", "Jane at Example"),
        ("{{ lead['Form Name'] | escape }}{{ lead['Form Name'] | urlencode }}", "a&amp;ba%26b"),
        ("{{ lead.age | size }}{{ lead.tags | size }}", "02"),
        ("{{ 'abc' | md5 }}", "900150983cd24fb0d6963f7d28e17f72"),
        ("{{ 'abc' | sha1 }}", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("{{ 'abc' | base64_encode | prepend: '=' }}", "=YWJj"),
        ("{{ \"it's\" }}{{ '}}' }}", "it's}}"),
        ("{% if lead.age >= 18 %}adult{% else %}minor{% endif %}", "adult"),
        ("{% for tag in lead.tags %}{{ forloop.index }}{{ tag | upcase }} {% endfor %}", "1SOLAR 2ROOF "),
        ("{% assign x = lead.age | plus: 1 %}{{ x }} {{ lead.tags }} {{ lead.nothing }}", '43 ["solar","roof"] '),
        ("{% case lead.size %}{% when 'XL' %}big{% endcase %}", "big"),
        ("{% liquid\n assign a = lead.consent\n echo a %}", "true"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("{% for i in (1..lead.age) limit: 2 %}{{ i }}{% endfor %}", "12"),
    ],
)
def test_template_renders(template: str, expected: Any) -> None:
    got = render(template)
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{{ lead.email | downcas }}", "line 1, column 1: unknown filter 'downcas': did you mean \"downcase\"?"),
        ("a\n {{ led.email }}", "line 2, column 2: unknown name 'led': did you mean \"lead\"?"),
        ("{{ now }}", "unknown name"),
        ("{{ lead.email", "not closed"),
        ("{{ }}", "nothing to write"),
        ("{{ lead. }}", "expected a name"),
        ("{{ lead.a b }}", "unexpected 'b'"),
        ("{{ lead.a | }}", "filter's name"),
        ("{{ lead.a | upcase: 1 }}", "takes 0 arguments, not 1"),
        ("{{ lead.a | replace }}", "takes 1 to 2 arguments, not 0"),
        ("{{ lead.a | phone: 'fax' }}", "styles"),
        ("{{ lead.a | date: '%Q' }}", "directive '%Q'"),
        ("{% if lead.a %}", "endif"),
        ("{% iff lead.a %}{% endif %}", "did you mean"),
        ("{% include 'secret' %}", "unexpected tag 'include'"),
        ("{% render 'secret' %}", "unexpected tag 'render'"),
        ("{% if true %}{{ lead.a | upcase: 1 }}{% endif %}", "takes 0 arguments"),
        ("{% if true %}{{ lead.a | upcas }}{% endif %}", 'did you mean "upcase"?'),
        ("{% if true %}{{ lead.a | phone: 'fax' }}{% endif %}", "styles"),
        ("{% if true %}{{ lead.a | default: allow_false: true }}{% endif %}", "named arguments"),
        ("{% if foo %}{% endif %}", "unknown name 'foo'"),
        ("{{ (1..1000000000) | join }}", "range"),
        ("{% assign r = (1..1000000000) %}", "range"),
        ("{% if (1..1000000000) contains 'a' %}{% endif %}", "range"),
        ("{% if true %}" * 40 + "{% endif %}" * 40, "nesting"),
        ("x" * 70_000 + "{{ lead.a }}", "longer than"),
    ],
)
def test_mistake_is_found_when_compiling(template: str, complaint: str) -> None:
    with pytest.raises(InvalidTemplate) as refused:
        compile_template(template)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in (1..1000000000) %}x{% endfor %}",
        "{% for i in (1..1000000000) reversed %}x{% endfor %}",
        "{% for i in (1..1000000000) limit: 1 offset: 999999990 %}x{% endfor %}",
        "{% for i in (1..lead.huge) %}x{% endfor %}",
        "{% for i in (1..9999) %}{% for j in (1..9999) %}x{% endfor %}{% endfor %}",
        "{% assign x = lead.long %}" + "{% assign x = x | append: x %}" * 40,
        "{% capture x %}y{% endcapture %}" + "{% capture x %}{{ x }}{{ x }}{% endcapture %}" * 40,
        "{{ lead.long | replace: 'x', lead.long }}",
        "{{ lead.long | split: '' | join: lead.long }}",
    ],
)
def test_template_that_would_grow_without_end_is_a_data_fault(template: str) -> None:
    context = {**CONTEXT, "lead": {"huge": 10**18, "long": "x" * 60_000}}
    begun = time.monotonic()
    with pytest.raises(DataFault):
        render(template, context)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("wrap", ["{}", "{{% if true %}}{}{{% endif %}}"])
@pytest.mark.parametrize(
    "path",
    ["lead.email.__class__", "lead.__class__.__mro__", "lead['__class__']", "lead.email.upper", "lead.tags.append"],
)
def test_attributes_of_objects_are_out_of_reach(wrap: str, path: str) -> None:
    assert render(wrap.format("{{ " + path + " }}")) in (None, "")


@pytest.mark.parametrize("filter_", ["round", "times: 2", "to_number", "date: '%Y'", "phone"])
def test_filter_that_cannot_do_its_work_does_not_quote_the_value(filter_: str) -> None:
    with pytest.raises(DataFault) as fault:
        render("{{ lead.email | " + filter_ + " }}")
    assert filter_.partition(":")[0] in fault.value.reason
    assert "Jane" not in fault.value.reason


def test_times_ids_and_decimals_become_plain_values() -> None:
    lead = {
        "at": datetime(2026, 1, 2, tzinfo=UTC),
        "day": date(2026, 1, 2),
        "id": UUID(int=1),
        "price": Decimal("1.50"),
    }
    context = {**CONTEXT, "lead": lead}
    assert render("{{ lead.at }}", context) == "2026-01-02T00:00:00Z"
    assert render("{{ lead.day }} {{ lead.price }}", context) == "2026-01-02 1.50"
    assert render("{{ lead.id }}", context) == str(UUID(int=1))


def test_every_filter_stands_in_the_docs() -> None:
    table = (Path(__file__).parents[2] / "docs/mapping.md").read_text(encoding="utf-8")
    assert [name for name in FILTERS if not re.search(rf"`{name}[`:]", table)] == []


def test_text_without_anything_to_fill_in_is_no_template() -> None:
    assert not is_template("plain { text }")
    assert is_template("{{ lead.a }}")
    assert is_template("{% raw %}{% endraw %}")


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
operands = st.sampled_from(
    ["lead.a", "lead.b", "lead.a.b", "lead['a'][0]", "lead.nothing", "'x'", "''", "2", "-1.5", "true", "nil"]
)
filter_calls = st.sampled_from(
    [
        *(name for name in FILTERS if name not in {"replace", "remove", "slice", "split", "date", "append", "prepend"}),
        *("plus: lead.b", "minus: 1", "times: 3", "divided_by: lead.b", "replace: 'a', lead.b", "remove: lead.b"),
        *(
            "slice: 0, 2",
            "slice: -1",
            "slice: lead.b",
            "split: ','",
            "date: '%d.%m.%Y'",
            "append: lead.b",
            "prepend: 'z'",
        ),
        *("default: 'd'", "truncate: 3", "join: '-'", "round: 2", "phone: 'digits'"),
    ]
).filter(lambda call: call not in {"plus", "minus", "times", "divided_by"})
expressions = st.tuples(operands, st.lists(filter_calls, max_size=3)).map(
    lambda parts: " | ".join([parts[0], *parts[1]])
)


def _answer(text: str, context: dict[str, Any]) -> str:
    try:
        return f"text {render(text, context)}"
    except DataFault as fault:
        return f"fault {fault.reason}"


@given(expressions, json_values, json_values)
def test_closures_and_python_liquid_give_the_same_text(expression: str, a: Any, b: Any) -> None:
    context = {**CONTEXT, "lead": {"a": a, "b": b}}
    ours = _answer("<{{ " + expression + " }}>", context)
    theirs = _answer("{% if true %}<{{ " + expression + " }}>{% endif %}", context)
    assert ours == theirs


scraps = st.sampled_from(
    [
        "{{",
        "}}",
        "{%",
        "%}",
        "lead",
        ".",
        "a",
        "|",
        "upcase",
        ":",
        ",",
        "'",
        '"',
        "[",
        "]",
        "0",
        "1.5",
        "if",
        "endif",
        "for",
        "i",
        "in",
        "(1..3)",
        "endfor",
        "raw",
        "-",
        "assign",
        "x",
        "=",
        "\n",
    ]
)


@given(st.lists(scraps, max_size=14).map(" ".join) | st.lists(scraps, max_size=14).map("".join) | st.text(max_size=30))
def test_any_text_compiles_and_renders_or_is_refused(text: str) -> None:
    with suppress(InvalidTemplate, DataFault):
        compile_template(text).render(CONTEXT)


def test_long_value_many_times_over_is_a_data_fault_before_it_is_made() -> None:
    template = compile_template("{{ lead.note }}-" * 4000)
    assert len(template.render({"lead": {"note": "x" * 10}})) == 44_000
    with pytest.raises(DataFault, match="more than 20000000 characters"):
        template.render({"lead": {"note": "x" * 1_000_000}})
