"""A stored result in which one value is another: refused in a line, or reported whole; never a traceback."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from loadkit.judge.description import PhasePlan
from loadkit.judge.environment import Server
from loadkit.judge.merge import merge
from loadkit.judge.rows import Phase
from loadkit.plan.errors import UsageError
from loadkit.report.html import html_report
from loadkit.report.json import Finding, document, dump, load, load_stored
from loadkit.report.layout import Layout
from loadkit.report.markdown import markdown
from loadkit.report.text import text_report
from tests.report.comparisons import WORSE
from tests.report.limits import FOUND, SCALING
from tests.results import REFUSED, Sample, measured, replace

PLANS = [PhasePlan(name=name, duration=1.0, start=0.0, end=50.0) for name in ("up", "on")]
SOUND = measured(
    [Sample(), Sample(1, label="b", status=404), Sample(1, failure=REFUSED)],
    thresholds=("p99 < 1s", "a: failures < 9"),
    scenario={"phases": PLANS, "rate": 50.0, "max_threads": 9, "arrivals": "constant"},
    server=Server(cpu_seconds=0.5, peak_memory=7),
)
SOUND = msgspec.structs.replace(
    SOUND, phases=[Phase(name="up", start=0.0, length=2.0, total=SOUND.total, endpoints=SOUND.endpoints)]
)
CONTENT = json.loads(dump([SOUND]))

ODD: tuple[Any, ...] = (-1, 0, 1e-300, 1e15, 1e300, 2**63, 10**40, None, "", "x", "1e9", [], {}, True)
LONG = "9" * 5000


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a document there is a value."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in pairs:
        yield from places(one, (*path, key))


def doctored(path: tuple[Any, ...], value: Any, sound: dict[str, Any] = CONTENT) -> str:
    content = copy.deepcopy(sound)
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(content)


def mistreated(file: Path, text: str) -> str:
    """What reading, reporting and merging it comes to: what was said, or nothing."""
    file.write_text(text)
    try:
        [read] = load(file)
        text_report(read, Layout(width=80))
        html_report([read])
        merge([read, SOUND])
    except UsageError as error:
        return str(error)
    return ""


def attacked(tmp_path: Path, every: int) -> None:
    attempts = [(path, odd) for path in places(CONTENT) if path for odd in (*ODD, LONG)]
    for path, odd in attempts[::every]:
        said = mistreated(tmp_path / "r.json", doctored(path, odd))
        assert "\n" not in said, (path, odd)
        assert len(said) < 1000, (path, odd)


def test_what_is_not_doctored_is_reported(tmp_path: Path):
    assert mistreated(tmp_path / "r.json", json.dumps(CONTENT)) == ""


@pytest.mark.slow
def test_some_values_that_are_others(tmp_path: Path):
    attacked(tmp_path, every=23)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_values_that_are_others(tmp_path: Path):
    attacked(tmp_path, every=1)


FINDINGS = {"limit": FOUND, "threads": SCALING, "comparison": replace(WORSE, rounds=WORSE.rounds[:8], confirming=[])}


@pytest.mark.slow
@pytest.mark.parametrize("made", FINDINGS.values(), ids=FINDINGS)
def test_some_values_of_a_finding_that_are_others(tmp_path: Path, made: Finding):
    content = json.loads(document(made))
    file = tmp_path / "found.json"
    attempts = [(path, odd) for path in places(content) if path for odd in (*ODD, 5e-324, LONG)]
    for path, odd in attempts[::29]:
        file.write_text(doctored(path, odd, content))
        said = shown(file)
        assert "\n" not in said, (path, odd)
        assert len(said) < 1000, (path, odd)


def shown(file: Path) -> str:
    """What reading and reporting what is in a file comes to: what was said, or nothing."""
    try:
        stored = load_stored(file)
    except UsageError as error:
        return str(error)
    found = stored if isinstance(stored, list) else [stored]
    html_report(found)
    markdown(found)
    return ""


@pytest.mark.parametrize("where", ["started_at", "span"])
@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00+14:00",  # in UTC the year 0, which there is not
        "9999-12-31T23:59:59-14:00",
        "2026-02-30T00:00:00",
    ],
)
def test_an_instant_that_there_is_not_is_refused(tmp_path: Path, where: str, text: str):
    path = ("results", 0, "started_at") if where == "started_at" else ("results", 0, "spans", 0, "start")
    assert "is no time" in mistreated(tmp_path / "r.json", doctored(path, text))


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path):
    text = json.dumps(CONTENT)
    for end in range(0, len(text), len(text) // 40):
        assert "is not a loadkit result of version" in mistreated(tmp_path / "r.json", text[:end])


@pytest.mark.slow
def test_a_file_of_many_intervals_is_reported_in_time(tmp_path: Path):
    """As many as a hostile file of a few megabytes has; a run has 600 at most."""
    content = copy.deepcopy(CONTENT)
    [one] = content["results"]
    first = one["intervals"][0] | {"endpoints": []}
    none = first | {"total": first["total"] | {"requests": 0, "response_time": one["total"]["pickup"]}}
    empty = json.loads(dump([measured([])]))["results"][0]["total"]["response_time"]
    none["total"]["response_time"] = empty
    one["intervals"] = [none | {"start": float(k)} for k in range(10_000)]
    began = time.process_time()

    said = mistreated(tmp_path / "r.json", json.dumps(content))

    assert said == ""
    assert time.process_time() - began < 45, "it was quadratic: two minutes, and half an hour for 40,000"
