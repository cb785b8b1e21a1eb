"""What `loadkit limit` writes, and a stored limit shown again by `loadkit report`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loadkit.judge.limit.limit import Limit
from loadkit.report.json import document, dump, load_stored
from loadkit.server.demo import Demo
from tests.conftest import Call
from tests.report.comparisons import WORSE
from tests.report.limits import ENOUGH, FOUND
from tests.results import Sample, measured, replace

STORED: list[tuple[str, Limit, int, str]] = [
    ("less than was asked for", FOUND, 1, "FOUND: 1,800/s holds; 1,880/s does not"),
    ("found", replace(FOUND, at_least=None), 0, "FOUND: 1,800/s holds; 1,880/s does not"),
    ("threads", ENOUGH, 0, "4 threads are enough: "),
    ("interrupted", Limit(ending="interrupted", reason="it was interrupted"), 2, "INTERRUPTED: "),
]


@pytest.mark.parametrize(("found", "code", "words"), [row[1:] for row in STORED], ids=[row[0] for row in STORED])
def test_a_stored_limit_is_shown_again_and_exits_as_it_did(
    call: Call, tmp_path: Path, found: Limit, code: int, words: str
):
    file = tmp_path / "limit.json"
    file.write_text(document(found), encoding="utf-8")

    done = call("report", str(file))

    assert (done.returncode, done.stderr) == (code, "")
    assert words in done.stdout


def test_a_search_is_stored_and_written_as_a_page_and_as_markdown(
    call: Call, demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))

    done = call(
        *("limit", f"{demo.url}/delay/0.01", "--by", "threads", "--budget", "3s"),
        *("-o", "limit.json", "--html", "limit.html", "--markdown", "limit.md"),
    )

    found = load_stored(Path("limit.json"))
    assert isinstance(found, Limit)
    assert (found.by, found.exit_code) == ("threads", done.returncode)
    assert found.closed[0].trials[0].statuses[200] > 10
    assert "Good replies a second, over threads" in done.stdout
    assert '<details class="level" id="r1-1">' in Path("limit.html").read_text()
    text = Path("limit.md").read_text()
    assert "| closed threads |" in text
    assert Path("summary.md").read_text().rstrip() == text.rstrip()

    again = call("report", "limit.json", "--html", "again.html", "--markdown", "again.md")

    assert (again.returncode, again.stdout) == (done.returncode, done.stdout)
    assert Path("again.html").read_text() == Path("limit.html").read_text()
    assert Path("again.md").read_text() == text


def test_what_several_files_hold_is_reported_together_and_results_come_first(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("limit.json").write_text(document(replace(FOUND, at_least=None)), encoding="utf-8")
    Path("compared.json").write_text(document(WORSE), encoding="utf-8")
    Path("run.json").write_text(dump([measured([Sample()])]), encoding="utf-8")

    done = call("report", "limit.json", "compared.json", "run.json", "--html", "all.html", "--markdown", "all.md")

    assert done.returncode == 1, "one version is worse"
    marks = ("PASSED", "\n\n━━ shop.py::browse: the highest rate", "\n\n━━ tree against main")
    places = [done.stdout.index(mark) for mark in marks]
    assert places == sorted(places)
    assert re.findall(r'<article id="(r\d)"', Path("all.html").read_text()) == ["r1", "r2", "r3"]
    assert Path("all.md").read_text().count("\n### ") == 3


REFUSED: list[tuple[tuple[str, ...], str]] = [
    (("report", "limit.json", "-o", "again.json"), "limit.json is a limit, and stored already; leave --output out"),
    (("report", "limit.json", "--html", "limit.json"), "--html would overwrite the result limit.json"),
    (("report", "limit.json", "limit.json"), "limit.json is named more than once"),
    (("run", "limit.json"), "limit.json"),
    (("limit", "http://127.0.0.1:9", "--html", "a", "--markdown", "a"), "--html and --markdown both name a"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[row[1] for row in REFUSED])
def test_what_makes_no_sense_of_a_limit_is_refused(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
):
    monkeypatch.chdir(tmp_path)
    Path("limit.json").write_text(document(FOUND), encoding="utf-8")

    done = call(*words)

    assert (done.returncode, done.stdout) == (4, "")
    assert message in done.stderr
