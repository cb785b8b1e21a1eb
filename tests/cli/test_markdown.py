"""Reports as Markdown on the command line: where they are asked for, and in the summary of a job on GitHub."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadkit.report.summary import LARGEST, append_summary
from loadkit.server.demo import Demo
from tests.conftest import Call

RUN = ("--threads", "1", "--iterations", "20")


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The summary of a job, to which an earlier step has written; its folder is the current one."""
    file = tmp_path / "summary.md"
    file.write_text("# Tests\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    monkeypatch.chdir(tmp_path)
    return file


def test_a_run_is_written_where_it_is_asked_for_and_appended_to_the_summary(demo: Demo, call: Call, summary: Path):
    done = call("run", demo.url, *RUN, "--markdown", "run.md")

    assert done.returncode == 0
    text = Path("run.md").read_text()
    assert text.startswith("### ✅ PASSED: `")
    assert summary.read_text() == f"# Tests\n{text}\n"


def test_a_comparison_is_written_and_appended_to_the_summary(demo: Demo, call: Call, summary: Path):
    fast, slow = (f"{demo.url}/delay/{delay}" for delay in ("0.005", "0.05"))
    done = call(
        "compare", slow, "--against", f"{fast}", "--budget", "60s", "--markdown", "compare.md", "-o", "found.json"
    )

    assert done.returncode in (0, 1, 6)
    text = Path("compare.md").read_text()
    assert text.startswith("### ")
    assert f"`{fast}`" in text
    assert summary.read_text() == f"# Tests\n{text}\n"


def test_stored_results_are_written_but_not_appended_to_the_summary(demo: Demo, call: Call, summary: Path):
    call("run", demo.url, *RUN, "-q", "-o", "first.json")
    done = call("report", "first.json", "--markdown", "report.md")

    assert done.returncode == 0
    assert Path("report.md").read_text().startswith("### ✅ PASSED: `")
    assert summary.read_text() == "# Tests\n", "a quiet run has no report, and a report made anew is no run"


def test_a_summary_that_cannot_be_written_is_a_warning(
    demo: Demo, call: Call, summary: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary / "below" / "a-file"))

    done = call("run", demo.url, *RUN)

    assert done.returncode == 0
    assert f"loadkit: the summary of the job was not written: cannot write {summary}/below" in done.stderr


def test_a_full_summary_is_left_as_it_is(summary: Path):
    summary.write_bytes(b"x" * LARGEST)

    assert append_summary("more") == f"the summary of the job has no room left in {summary}: a step may have 1 MiB"
    assert summary.stat().st_size == LARGEST


REFUSED = [
    (("run", "{url}", "--markdown", "none/run.md"), "cannot write none/run.md: no such file or directory"),
    (
        ("run", "{url}", "--markdown", "a.md", "--html", "a.md"),
        "--html and --markdown both name a.md; give each a file of its own",
    ),
    (
        ("compare", "{url}", "--against", "{url}", "--markdown", "a", "-o", "a"),
        "--output and --markdown both name a; give each a file of its own",
    ),
    (
        ("report", "summary.md", "--markdown", "summary.md"),
        "--markdown would overwrite the result summary.md; write it like --markdown report.md",
    ),
]


@pytest.mark.usefixtures("summary")
@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[row[1] for row in REFUSED])
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_sent(
    demo: Demo, call: Call, words: tuple[str, ...], message: str
):
    done = call(*(word.format(url=demo.url) for word in words))

    assert (done.returncode, done.stderr) == (4, f"loadkit: {message}\n")
