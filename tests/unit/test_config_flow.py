"""Limits that cannot be, steps and fallbacks that lead nowhere: each refused with file, line, field and remedy."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from app.config.loading import load_document
from app.errors import InvalidConfig
from app.operations import validate

BASE = "type: http\nsettings: {url: https://crm.example.com}\n"


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("crm", "score", "spare", "verify"):
        write(tmp_path, f"destinations/{name}.yaml", BASE)
    return tmp_path


def told(folder: Path) -> list[str]:
    """What `leadrelay config validate` says, without the folder's name."""
    with pytest.raises(InvalidConfig) as refused:
        validate(folder)
    return [str(complaint).removeprefix(f"{folder}/") for complaint in refused.value.complaints]


HOW = "write how many in which time, as 10/s, 100/10s, 600/min or 2000/h"
LIMITS = {
    "rate 0": (
        "limits:\n  rate: [10/s, 0/s]",
        "4: limits.rate.1: the rate '0/s' lets nothing go; to stop a destination, pause it",
    ),
    "rate of no time": ("limits:\n  rate: 10/0s", "4: limits.rate: the rate '10/0s' lets nothing go; to stop"),
    "rate of words": ("limits:\n  rate: fast", f"4: limits.rate: 'fast' is not a rate: {HOW}"),
    "rate of a number": ("limits:\n  rate: 5", f"4: limits.rate: '5' is not a rate: {HOW}"),
    "rate of a number in a list": ("limits:\n  rate:\n    - 1/s\n    - 5", "6: limits.rate.1: '5' is not a rate"),
    "rate of a year": (
        "limits: {rate: 5/365d}",
        "3: limits.rate: the rate '5/365d' spans more than 31 days; use volume",
    ),
    "volume 0": ("limits:\n  volume: {daily: 0}", "4: limits.volume.daily: must be greater than or equal to 1"),
    "day above month": (
        "limits:\n  volume: {daily: 9, monthly: 8}",
        "4: limits.volume: daily must not be above monthly",
    ),
    "deadline before the first retry": (
        "retry:\n  base_seconds: 100\n  deadline_seconds: 50",
        (
            "3: retry: deadline_seconds (50) is shorter than the wait before the first retry (base_seconds 100): "
            "lower base_seconds, or set attempts to 1"
        ),
    ),
    "time zone": (
        "time_zone: Mars/Olympus",
        "3: time_zone: 'Mars/Olympus' is not a time zone of the IANA database, such as America/New_York",
    ),
    "time zone that is a folder": ("time_zone: America", "3: time_zone: 'America' is not a time zone"),
    "day": ("schedule:\n  open:\n    - {days: [monday]}", "5: schedule.open.0.days.0: must be 'mon', 'tue'"),
    "no hours": ("schedule: {open: []}", "3: schedule.open: List should have at least 1 item"),
    "clock": ("schedule:\n  open:\n    - {opens: 25:00}", "5: schedule.open.0.opens: "),
    "age without seconds": ("fallback: {destination: spare, on: [age]}", "3: fallback: age_seconds and 'age' in `on`"),
    "probes": ("circuit: {probe_seconds: 900}", "3: circuit: probe_max_seconds must not be below probe_seconds"),
    "ratio": ("circuit: {error_ratio: 50}", "3: circuit.error_ratio: must be less than or equal to 1"),
    "run of rejections": ("rejections: {in_a_row: 0}", "3: rejections.in_a_row: must be greater than or equal to 1"),
}


@pytest.mark.parametrize(("text", "complaint"), LIMITS.values(), ids=LIMITS)
def test_what_cannot_be_is_refused_with_its_place(folder: Path, text: str, complaint: str) -> None:
    write(folder, "destinations/crm.yaml", f"{BASE}{text}\n")
    [only] = told(folder)
    assert only.startswith(f"destinations/crm.yaml:{complaint}")


def test_a_schedule_that_never_opens_is_refused(folder: Path) -> None:
    sundays = [date(2026, 1, 4) + timedelta(weeks=week) for week in range(60)]
    holidays = "\n".join(f"    - {day}" for day in sundays)
    text = f"{BASE}schedule:\n  open:\n    - {{days: [sun]}}\n  holidays:\n{holidays}\n"
    write(folder, "destinations/crm.yaml", text)
    assert told(folder) == [
        (
            "destinations/crm.yaml:3: schedule: never opens: the holidays cover every day on which it would, "
            "from 2025-12-29 to 2027-02-27 (UTC) (give it hours on a day that is no holiday, or leave the schedule out)"
        )
    ]
    write(folder, "destinations/crm.yaml", text.replace(f"    - {sundays[30]}\n", ""))
    validate(folder)


RELATIONS = {
    "unknown fallback": (
        {"crm": "fallback: spar"},
        ["destinations/crm.yaml:3: fallback.destination: there is no destination 'spar' (did you mean \"spare\"?)"],
    ),
    "fallback to itself": (
        {"crm": "fallback: crm"},
        [
            (
                "destinations/crm.yaml:3: fallback.destination: a lead would go round in a circle: crm -> crm "
                "(let the last one have no fallback)"
            )
        ],
    ),
    "fallback that comes after steps": (
        {"crm": "fallback: score", "score": "after: [verify]"},
        [
            (
                "destinations/crm.yaml:3: fallback.destination: 'score' comes after other steps and cannot take a lead over "
                "(name a destination without `after`)"
            )
        ],
    ),
    "unknown step": (
        {"crm": "after:\n  - verfy"},
        ["destinations/crm.yaml:4: after.0: there is no step 'verfy' (did you mean \"verify\"?)"],
    ),
    "step twice": (
        {"crm": "after: [verify, verify]"},
        ["destinations/crm.yaml:3: after.1: 'verify' stands twice (remove one)"],
    ),
    "step after itself": (
        {"crm": "after: [crm]"},
        [
            (
                "destinations/crm.yaml:3: after.0: steps wait for each other in a circle: crm -> crm "
                "(take one of them out of `after`)"
            )
        ],
    ),
    "mapping of a step it does not come after": (
        {"crm": "mapping:\n  email: '{{ lead.email }}'\n  score: 'is {{ steps.verify.score }}'"},
        [
            "destinations/crm.yaml:5: mapping.score: uses steps.verify, which it does not come after (add verify to `after`)"
        ],
    ),
    "mapping of a step in brackets": (
        {"crm": "after: [score]\nmapping:\n  score: \"{{ steps['verify'].score }}\""},
        [
            "destinations/crm.yaml:5: mapping.score: uses steps.verify, which it does not come after (add verify to `after`)"
        ],
    ),
    "mapping of a step with tags": (
        {"crm": "mapping:\n  score: '{% if steps.verify.ok %}1{% endif %}'"},
        [
            "destinations/crm.yaml:4: mapping.score: uses steps.verify, which it does not come after (add verify to `after`)"
        ],
    ),
    "condition on an unknown step": (
        {"crm": "after: [verify]\nwhen: steps.verfy.score > 3"},
        [
            'destinations/crm.yaml:4: when: uses steps.verfy, which it does not come after (did you mean "verify"?)',
        ],
    ),
    "condition on a step in brackets": (
        {"crm": 'after: [verify]\nwhen: steps["score"].ok'},
        ["destinations/crm.yaml:4: when: uses steps.score, which it does not come after (add score to `after`)"],
    ),
}


@pytest.mark.parametrize(("texts", "complaints"), RELATIONS.values(), ids=RELATIONS)
def test_destinations_that_do_not_fit_together_are_refused(
    folder: Path, texts: dict[str, str], complaints: list[str]
) -> None:
    for name, text in texts.items():
        write(folder, f"destinations/{name}.yaml", f"{BASE}{text}\n")
    assert told(folder) == complaints


def test_circles_are_refused_with_the_whole_way(folder: Path) -> None:
    for name, after, _fallback in [("crm", "score", "spare"), ("score", "verify", ""), ("verify", "crm", "")]:
        write(folder, f"destinations/{name}.yaml", f"{BASE}after: [{after}]\n")
    assert [line.rpartition(" (")[0] for line in told(folder)] == [
        "destinations/crm.yaml:3: after.0: steps wait for each other in a circle: crm -> score -> verify -> crm",
        "destinations/score.yaml:3: after.0: steps wait for each other in a circle: score -> verify -> crm -> score",
        "destinations/verify.yaml:3: after.0: steps wait for each other in a circle: verify -> crm -> score -> verify",
    ]
    for name, other in [("crm", "score"), ("score", "verify"), ("verify", "crm")]:
        write(folder, f"destinations/{name}.yaml", f"{BASE}fallback: {other}\n")
    assert next(line.rpartition(" (")[0] for line in told(folder)) == (
        "destinations/crm.yaml:3: fallback.destination: a lead would go round in a circle: crm -> score -> verify -> crm"
    )


def test_a_source_must_go_to_the_steps_before_a_destination(folder: Path) -> None:
    write(folder, "destinations/crm.yaml", f"{BASE}after: [verify]\n")
    write(folder, "sources/web.yaml", "destinations:\n  - spare\n  - crm\n")
    assert told(folder) == [
        (
            "sources/web.yaml:3: destinations.1: 'crm' comes after 'verify', which this source's leads do not go to "
            "(add verify to destinations)"
        )
    ]


@pytest.mark.parametrize("between", [False, True], ids=["directly", "over another"])
def test_a_source_must_not_go_to_a_destination_and_where_it_falls_back_to(folder: Path, between: bool) -> None:  # noqa: FBT001  # parametrized
    write(folder, "destinations/crm.yaml", f"{BASE}fallback: {'score' if between else 'spare'}\n")
    write(folder, "destinations/score.yaml", f"{BASE}fallback: spare\n")
    write(folder, "sources/web.yaml", "destinations: [crm, spare]\n")
    assert told(folder) == [
        (
            "sources/web.yaml:1: destinations.0: 'crm' falls back to 'spare', which gets these leads anyway: it would have "
            "them twice (take spare out of destinations, or out of the fallback)"
        )
    ]


def test_what_fits_together_is_taken(folder: Path) -> None:
    write(folder, "destinations/score.yaml", f"{BASE}after: [verify]\noptional: true\n")
    write(
        folder,
        "destinations/crm.yaml",
        f"{BASE}after: [score]\nwhen: steps.verify.score > 3\nfallback: spare\n"
        "mapping:\n  score: '{{ steps.score.value }}'\n  note: steps.pdf is no template\n",
    )
    write(folder, "sources/web.yaml", "destinations: all\n")
    validate(folder)


def test_a_configuration_that_is_data_is_refused_with_the_same_fields() -> None:
    crm = {"name": "crm", "type": "http", "limits": {"rate": ["0/s"]}, "time_zone": "Mars/Olympus"}
    with pytest.raises(InvalidConfig) as refused:
        load_document({"destinations": [crm]})
    assert [complaint.field for complaint in refused.value.complaints] == [
        "destinations.0.limits.rate.0",
        "destinations.0.time_zone",
    ]
    with pytest.raises(InvalidConfig) as refused:
        load_document({"destinations": [{"name": "crm", "type": "http", "after": ["verify"]}]})
    assert [str(one) for one in refused.value.complaints] == [
        "destination crm: after.0: there is no step 'verify' (known are: crm)"
    ]
