"""`loadkit compare before.json after.json`: what is chosen of files, and what it comes to."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from loadkit.judge.identity import Identity
from loadkit.judge.result import Result
from loadkit.judge.validity import Caveat
from loadkit.report.json import dump
from tests.conftest import Call
from tests.jobs.rounds import measured
from tests.results import replace

VERSION_1 = Path(__file__).parents[1] / "report" / "version_1"


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of rounds in the current folder."""
    monkeypatch.chdir(tmp_path)
    before, buying = measured(), of("shop.py::buy", "buy", measured())
    for name, results in {
        "before": before,
        "after": measured(1.3),
        "same": measured(),
        "elsewhere": measured(1.3, environment={"processor": "Xeon"}),
        "buy": buying,
        "both": [*before, *buying],
        "new": [*measured(1.3), *of("shop.py::buy", "buy", measured())],
    }.items():
        Path(f"{name}.json").write_text(dump(results))
    partial = [*measured(rounds=4), replace(measured(9, rounds=1)[0], caveats=[Caveat("partial", "after 1 s", "note")])]
    Path("after.json.partial").write_text(dump(partial))
    Path("foreign.json").write_text('{"name": "loadkit", "version": "1.0"}')
    Path("broken.json").write_text('{"version": 2, "results": [')


def of(name: str, title: str, results: list[Result]) -> list[Result]:
    scenario = msgspec.structs.replace(results[0].scenario, name=title)
    return [replace(one, identity=Identity(name=name, plan="b" * 16), scenario=scenario) for one in results]


DECIDED = [
    (["before.json", "same.json"], 0, "NO WORSE: "),
    (["before.json", "after.json"], 1, "WORSE: p50 +"),
    (["after.json", "before.json"], 0, "BETTER: p50 -"),
    (["after.json", "--against", "before.json"], 1, "WORSE: p50 +"),
    (["before.json", "after.json", "--tolerance", "p50=50%", "--tolerance", "throughput=50%"], 0, "NO WORSE: "),
    (["before.json", "elsewhere.json"], 0, "CANNOT TELL: nothing is decided, for the machines or programs differ"),
    (["before.json", "elsewhere.json", "--strict-machine"], 6, "CANNOT TELL: nothing is decided"),
    (["before.json", "elsewhere.json", "--strict-machine", "--undecided", "pass"], 0, "CANNOT TELL: "),
    (["both.json", "after.json"], 1, "WORSE: p50 +"),
    (["both.json::buy", "new.json"], 0, "NO WORSE: "),
    (["both.json", "new.json::shop.py::buy"], 0, "NO WORSE: "),
    (["before.json", "after.json.partial"], 0, "NO WORSE: "),
]


@pytest.mark.parametrize(("words", "code", "line"), DECIDED, ids=[" ".join(row[0]) for row in DECIDED])
def test_rounds_of_one_scenario_are_compared(words: list[str], code: int, line: str, call: Call):
    done = call("compare", *words, "-o", "found.json")

    assert done.returncode == code
    assert line in " ".join(done.stdout.split())
    assert json.loads(Path("found.json").read_text())["in_turns"] is False


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["before.json", "after.json"], 1),
        (["before.json", "same.json"], 0),
        (["before.json", "elsewhere.json"], 0),
        (["before.json", "elsewhere.json", "--strict-machine"], 6),
    ],
    ids=["worse", "no worse", "elsewhere", "strict"],
)
def test_a_stored_comparison_is_shown_again(words: list[str], code: int, call: Call):
    shown = call("compare", *words, "-o", "found.json")

    again = call("report", "found.json", "--markdown", "found.md", "--html", "found.html")

    assert (again.returncode, again.stdout) == (code, shown.stdout)
    assert "p50" in Path("found.md").read_text()
    assert "p50" in Path("found.html").read_text()


def test_another_machine_is_said_before_the_verdict(call: Call):
    text = call("compare", "before.json", "elsewhere.json").stdout

    assert text.index("! elsewhere.json was measured on another machine") < text.index("CANNOT TELL")
    assert "by the rounds alone it would be worse" in " ".join(text.split())


def test_a_partial_file_has_its_last_round_left_out(call: Call):
    text = call("compare", "before.json", "after.json.partial").stdout

    assert "- 1 of 5 rounds of after.json.partial are left out: it was broken off" in " ".join(text.split())


def test_files_of_version_1_are_one_round_alone(call: Call):
    old = (VERSION_1 / "result.json").read_text()
    Path("old.json").write_text(old)
    Path("later.json").write_text(old.replace(json.loads(old)["started_at"], "2026-05-05T10:15:03.000+00:00"))

    done = call("compare", "old.json", "later.json")

    assert done.returncode == 0
    assert "CANNOT TELL: nothing is decided, for one round alone does not show how much rounds differ" in " ".join(
        done.stdout.split()
    )


OF_COMPARISONS = [
    (["report", "found.json", "-o", "x.json"], "found.json is a comparison, and stored already; "),
    (["compare", "before.json", "found.json"], "found.json is a comparison, and no result; loadkit report found.json "),
]


@pytest.mark.parametrize(("words", "message"), OF_COMPARISONS, ids=[" ".join(row[0]) for row in OF_COMPARISONS])
def test_a_comparison_is_no_result(words: list[str], message: str, call: Call):
    call("compare", "before.json", "after.json", "-q", "-o", "found.json")

    done = call(*words)

    assert done.returncode == 4
    assert done.stderr.startswith(f"loadkit: {message}")


WRONG = [
    (["before.json", "before.json"], "before.json and before.json have the same rounds, which say nothing of a change"),
    (["before.json", "buy.json"], "before.json has rounds of browse, and buy.json of shop.py::buy: two scenarios are "),
    (
        ["both.json", "new.json"],
        "both.json and new.json share 2 scenarios, and one is compared; name it: both.json::br",
    ),
    (["both.json::sell", "new.json"], "there is no round in both.json::sell to compare"),
    (["before.json", "foreign.json"], "foreign.json is not a loadkit result of version 2: "),
    (["before.json", "broken.json"], "broken.json is not a loadkit result of version 2: Input data was truncated"),
    (["before.json", "none.json"], "cannot read none.json: no such file or directory"),
    (["before.json"], "Missing option '--against'"),
    (["before.json", "--against", "main"], "rounds that are stored are compared with such, like before.json"),
    (["shop.py", "after.json"], "two files of results are compared, like before.json after.json, not shop.py after.j"),
    (["before.json", "after.json", "--base-url", "http://h"], "after.json is measured already; leave --base-url, "),
    (
        ["before.json", "after.json", "-o", "after.json"],
        "--output would overwrite the result after.json; write it like",
    ),
    (["before.json", "after.json", "--markdown", "before.json"], "--markdown would overwrite the result before.json; "),
    (["before.json", "after.json", "--tolerance", "p98=1%"], "there is no figure 'p98' to compare; use one of "),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[" ".join(row[0]) for row in WRONG])
def test_a_mistake_is_one_line(words: list[str], message: str, call: Call):
    done = call("compare", *words)

    assert done.returncode == 4
    assert done.stderr.startswith(f"loadkit: {message}")
    assert len(done.stderr.splitlines()) == 1
