"""The history of runs: each is a line, whoever else adds one, and a line that cannot be read costs no other."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from loadkit.jobs.history import DEFAULT, keep, open_history, read_history
from loadkit.judge.history.kept_run import Revision
from loadkit.plan.errors import UsageError
from tests.results import replace, result, row, spans

FIRST = result([row("GET /", spans((10, 1000)))])
SECOND = replace(FIRST, started_at="2026-05-05T10:15:03Z")
HERE = Revision(commit="1a2b3c4d", branch="main")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty history."""
    open_history(tmp_path / "kept")
    return tmp_path / "kept"


def test_what_is_kept_is_read_again(folder: Path):
    keep(folder, FIRST, HERE)

    [run], faults = read_history(folder)

    assert not faults
    assert (run.time, run.revision, run.identity) == (FIRST.started_at, HERE, FIRST.identity)
    assert run.total.response_time.histogram == FIRST.response_time.histogram
    assert (run.load, run.outcome) == ("16 threads, 30s, closed", "passed")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"version":1,"time":"2026-05-', "Input data was truncated"),
        ("<<<<<<< HEAD", "JSON is malformed"),
        ('{"version":2,"all":"different"}', "a newer loadkit wrote it (version 2)"),
        ('{"version":1,"time":"2026-05-04T10:15:03Z"}', "missing required field `revision`"),
        ('{"version":1e999}', "Number out of range"),
        (f'{{"version":1,"more":{"[" * 100_000}', "maximum recursion depth exceeded"),
    ],
    ids=["cut off by a kill", "a conflict of git", "of a newer loadkit", "incomplete", "no number", "deep"],
)
def test_a_line_that_cannot_be_read_is_said_and_costs_no_other(folder: Path, line: str, reason: str):
    keep(folder, FIRST, HERE)
    file = folder / "2026-05.jsonl"
    with file.open("a") as appended:
        appended.write(line)  # without an end
    keep(folder, SECOND, HERE)

    runs, [fault] = read_history(folder)

    assert [run.time for run in runs] == [FIRST.started_at, SECOND.started_at]
    assert fault.startswith(f"cannot read line 2 of {file}: ")
    assert reason in fault


def test_a_line_that_is_there_twice_after_a_merge_is_one_run(folder: Path):
    keep(folder, FIRST, HERE)
    file = folder / "2026-05.jsonl"
    file.write_text(file.read_text() * 2)

    runs, faults = read_history(folder)

    assert (len(runs), faults) == (1, [])


def test_lines_of_several_processes_at_once_are_all_kept_whole(folder: Path):
    code = f"""
        from pathlib import Path
        from loadkit.report.files import append_line
        for _ in range(50):
            append_line(Path({str(folder)!r}) / "all.jsonl", "x" * 9_000)
    """
    started = [subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)]) for _ in range(3)]
    assert [one.wait(50) for one in started] == [0, 0, 0]

    assert (folder / "all.jsonl").read_text() == f"{'x' * 9_000}\n" * 150


def test_a_line_for_which_there_is_no_room_leaves_nothing_behind(folder: Path):
    """The limit on the size of files stands for a disk that is full."""
    code = f"""
        import resource
        from pathlib import Path
        from loadkit.plan.errors import OutputError
        from loadkit.report.files import append_line
        file = Path({str(folder)!r}) / "all.jsonl"
        append_line(file, "first")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
        try:
            append_line(file, "x" * 2_000)
        except OutputError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)

    assert done.stdout == f"cannot write {folder}/all.jsonl: file too large\n"
    assert (folder / "all.jsonl").read_text() == "first\n"


def test_the_folder_of_the_project_is_none_of_gits_affair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    git("init", "-q")

    revision = open_history(DEFAULT)
    keep(DEFAULT, FIRST, revision)

    assert revision == Revision()  # nothing was ever committed
    assert git("status", "--porcelain") == ""


def test_a_run_is_of_what_is_checked_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    git("init", "-q", "-b", "trunk")
    Path("app.py").write_text("a = 1\n")
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
    commit = git("rev-parse", "HEAD").strip()

    assert open_history(DEFAULT) == Revision(commit=commit, branch="trunk")
    Path("app.py").write_text("a = 2\n")
    assert open_history(DEFAULT) == Revision(commit=commit, branch="trunk", is_dirty=True)
    git("checkout", "-q", "--detach")
    monkeypatch.setenv("GITHUB_HEAD_REF", "")
    monkeypatch.setenv("GITHUB_REF_NAME", "feature/tea")
    assert open_history(DEFAULT).branch == "feature/tea"


def test_two_branches_that_both_keep_runs_are_merged_without_a_conflict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    git("init", "-q", "-b", "main")
    folder = Path("perf")
    days = iter(range(10, 20))

    def commit() -> None:
        keep(folder, replace(FIRST, started_at=f"2026-05-{next(days)}T10:15:03Z"), open_history(folder))
        git("add", ".")
        git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "kept")

    commit()
    git("checkout", "-q", "-b", "other")
    commit()
    git("checkout", "-q", "main")
    commit()
    git("-c", "user.name=a", "-c", "user.email=a@b", "merge", "-q", "other", "-m", "both")

    runs, faults = read_history(folder)

    assert (len(runs), faults) == (3, [])


@pytest.mark.parametrize("name", ["file/kept", "file"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, name: str):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"^cannot write to the history in .*: (not a directory|file exists)$"):
        open_history(tmp_path / name)


def test_where_there_is_no_history_it_is_said_how_to_have_one(tmp_path: Path):
    how = r"keep runs with loadkit run shop\.py --history \.loadkit/history$"
    with pytest.raises(UsageError, match=rf"^there is no run in .*; {how}"):
        read_history(tmp_path)
    with pytest.raises(UsageError, match=rf"^cannot read the history in .*: no such file or directory; {how}"):
        read_history(tmp_path / "nowhere")


def git(*words: str) -> str:
    """What git says, in the current folder."""
    return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout
