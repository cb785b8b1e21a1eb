"""Formats for other programs on the command line: the figures of the result, in files or on stdout."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from loadkit.judge.result import Result
from loadkit.judge.rows import Row, Timing
from loadkit.measure.histogram import Histogram
from loadkit.report.json import load
from loadkit.server.demo import Demo
from tests.conftest import Call

SHOP = """
from loadkit import Endpoint, Scenario, timer

def buy(http):
    with timer("search"):
        http.get("/search", params={{"q": "tea"}})

browse = Scenario(base_url="{url}", endpoints=[Endpoint("GET", "/"), Endpoint("GET", "/no-such"), buy], threads=2,
    iterations=40, thresholds=["p99 < 10s", "error_rate < 90%"])
"""
FORMATS = ("csv", "junit", "hgrm", "hlog", "prometheus")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a result in it of another load, a comparison and a folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "shop.py").write_text(SHOP.format(url="http://127.0.0.1:9"))
    return tmp_path


def options(*formats: str) -> list[str]:
    """Each into a file of its name."""
    return [f"--{name}=run.{name}" for name in formats]


def check_figures(result: Result) -> None:
    """All formats in the current folder have the figures of the result."""
    with Path("run.csv").open(newline="") as file:
        rows = list(csv.DictReader(file, quoting=csv.QUOTE_NONNUMERIC))
    by_name = {(one["kind"], one["name"]): one for one in rows}
    kinds: list[tuple[Row | Timing, str, str]] = [
        (result.total, "total", "loadkit"),
        *((row, "endpoint", "loadkit_endpoint") for row in result.endpoints),
        *((one, one.kind, "loadkit_timing") for one in result.timings),
    ]
    assert len(rows) == len(kinds) == 6
    prometheus = Path("run.prometheus").read_text().splitlines()
    for row, kind, head in kinds:
        read = by_name[kind, row.name]
        assert (read["requests"], read["throughput_per_second"]) == (row.requests, row.throughput)
        if row.response_time.count:
            assert read["response_time_p99_seconds"] == row.p99
            values = [one.split()[-1] for one in prometheus if one.startswith(f"{head}_response_time_seconds{{")]
            assert repr(row.p99) in values
    times = result.response_time.histogram
    last = Path("run.hgrm").read_text().splitlines()[-4].split()
    assert (float(last[0]), int(last[2])) == (round(times.max / 1e6, 3), times.count)
    logged = Histogram()
    for line in Path("run.hlog").read_text().splitlines()[4:]:
        if not line.startswith("Tag="):
            logged.add(Histogram.decode(line.split(",")[3]))
    assert logged.buckets() == times.buckets(), "the seconds are the whole"
    properties = {one.get("name"): one.get("value") for one in ET.parse("run.junit").iter("property")}
    assert float(properties["load.p99"] or "") == result.p99
    assert len(Path("run-intervals.csv").read_text().splitlines()) == 1 + len(result.intervals)


@pytest.mark.usefixtures("folder")
def test_a_run_and_a_report_of_it_write_the_same_figures_in_each_format(demo: Demo, call: Call):
    done = call("run", "shop.py", "--base-url", demo.url, "-q", "-o", "run.json", *options(*FORMATS))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    [result] = load(Path("run.json"))
    check_figures(result)
    written = {file: file.read_bytes() for name in FORMATS for file in Path().glob(f"run*.{name}")}
    for file in written:
        file.unlink()
    assert call("report", "run.json", "-q", *options(*FORMATS)).returncode == 0
    assert {file: file.read_bytes() for file in written} == written


FIRST = {
    "output": '{\n "version": 2',
    "html": "<!doctype html>",
    "markdown": "### ✅ PASSED: `",
    "csv": '"scenario","started_at","kind"',
    "junit": '<?xml version="1.0" encoding="utf-8"?>\n<testsuites',
    "hgrm": "       Value     Percentile TotalCount",
    "hlog": "#[Histogram log format version 1.3]\n",
    "prometheus": "# HELP loadkit_run_info ",
}


@pytest.mark.usefixtures("folder")
def test_a_format_goes_to_stdout_and_the_report_to_stderr(demo: Demo, call: Call):
    call("run", "shop.py", "--base-url", demo.url, "-q", "-o", "run.json", *options("csv"))

    for name, first in FIRST.items():
        done = call("report", "run.json", f"--{name}", "-")
        assert done.returncode == 0, done.stderr
        assert done.stdout.lower().startswith(first.lower()), name
        assert "PASSED all 2 thresholds" in done.stderr
        assert "PASSED all" not in done.stdout
    assert call("report", "run.json", "-q", "--csv", "-").stdout == Path("run.csv").read_text()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("words", [[], ["--csv", "-"], ["--output", "-"]], ids=" ".join)
def test_whoever_stops_reading_stdout_sees_no_fault(demo: Demo, call: Call, words: Sequence[str]):
    call("run", "shop.py", "--base-url", demo.url, "-q", "-o", "run.json")
    read, write = os.pipe()
    os.close(read)

    report = [sys.executable, "-m", "loadkit", "report", "run.json", *words]
    done = subprocess.run(report, stdout=write, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    os.close(write)

    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert ("PASSED" in done.stderr) == bool(words)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("more", [[], ["--together"], ["--quiet"]], ids=["in turns", "together", "quietly"])
def test_of_several_scenarios_stdout_has_one_document(demo: Demo, call: Call, more: Sequence[str]):
    Path("two.py").write_text(SHOP.format(url=demo.url) + "\norder = browse.replace(iterations=20)\n")

    done = call("run", "two.py", "-o", "-", *more)

    assert [one["scenario"]["name"] for one in json.loads(done.stdout)["results"]] == ["browse", "order"]
    assert ("PASSED" in done.stderr) == ("--quiet" not in more)


@pytest.mark.usefixtures("folder")
def test_what_was_not_run_is_a_failure_in_junit(demo: Demo, call: Call):
    broken = SHOP.format(url=demo.url) + "\nlost = browse.replace(setup=lambda http: {}['key'])\n"
    Path("two.py").write_text(broken)

    done = call("run", "two.py", "--junit", "-")

    assert done.returncode == 6
    suites = list(ET.fromstring(done.stdout))
    assert [one.get("failures") for one in suites] == ["0", "1"]
    assert "KeyError: 'key'" in (suites[1].find("testcase/failure").get("message") or "")


@pytest.mark.skipif(sys.platform != "linux", reason="has no /dev/full")
@pytest.mark.usefixtures("folder")
def test_a_format_that_stdout_does_not_take_costs_nothing_else(demo: Demo):
    words = [
        sys.executable,
        "-m",
        "loadkit",
        "run",
        "shop.py",
        "--base-url",
        demo.url,
        "-o",
        "run.json",
        "--csv=run.csv",
    ]

    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*words, "--prometheus", "-"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert done.returncode == 3, done.stderr
    assert "PASSED all 2 thresholds" in done.stderr
    assert done.stderr.endswith("loadkit: cannot print the report: no space left on device\n")
    assert load(Path("run.json"))[0].requests >= 40
    assert Path("run.csv").exists()


def test_a_file_that_can_no_longer_be_written_costs_nothing_else(demo: Demo, call: Call, folder: Path):
    gone = (
        "\nimport pathlib\nbrowse = browse.replace(teardown=lambda http: pathlib.Path('there/run.csv').parent.rmdir())"
    )
    (folder / "shop.py").write_text(SHOP.format(url=demo.url) + gone)
    (folder / "there").mkdir()

    done = call("run", "shop.py", "--csv", "there/run.csv", "--junit", "run.xml", "-o", "run.json", "-q")

    assert done.returncode == 3
    assert done.stderr.startswith("loadkit: cannot write there/run.csv: no such file or directory\n")
    assert (Path("run.xml").exists(), load(Path("run.json"))[0].passed) == (True, True)


RUN = ("run", "http://127.0.0.1:9")
REFUSED = [
    ((*RUN, "--csv", "-", "--hlog", "-"), "--csv and --hlog cannot share stdout; give a file to all but one"),
    ((*RUN, "-o", "-", "--html", "-"), "--html and --output cannot share stdout; give a file to all but one"),
    ((*RUN, "--csv", "none/a.csv"), "cannot write none/a.csv: no such file or directory"),
    ((*RUN, "--prometheus", "folder"), "cannot write folder: it is a directory"),
    ((*RUN, "--junit", "a.xml", "--hgrm", "a.xml"), "--junit and --hgrm both name a.xml; give each a file of its own"),
    (
        (*RUN, "--csv", "a.csv", "--hlog", "a-intervals.csv"),
        "--hlog and the intervals of --csv both name a-intervals.csv; give each a file of its own",
    ),
    (
        ("run", "shop.py", "--repeat", "3", "--hgrm", "a.hgrm"),
        "--hgrm holds the times of one result, and there are 3; name one, or write --hlog",
    ),
    (
        ("report", "shop.py", "--hlog", "shop.py"),
        "--hlog would overwrite the result shop.py; write it like --hlog report.hlog",
    ),
    ((*RUN, "--history", "-"), "--history takes a folder like .loadkit/history, not '-'"),
    (
        ("report", "shop.py", "--csv", "-", "--prometheus", "-"),
        "--csv and --prometheus cannot share stdout; give a file to all but one",
    ),
    (
        ("compare", "shop.py", "--against", "shop.py", "--junit", "-", "--markdown", "-"),
        "--junit and --markdown cannot share stdout; give a file to all but one",
    ),
    (
        ("limit", "shop.py", "-o", "-", "--html", "-"),
        "--html and --output cannot share stdout; give a file to all but one",
    ),
    (("limit", "shop.py", "--junit", "none/a.xml"), "cannot write none/a.xml: no such file or directory"),
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[" ".join(row[0]) for row in REFUSED])
def test_what_cannot_be_written_is_said_in_a_line_before_anything_is_sent(
    call: Call, words: Sequence[str], message: str
):
    done = call(*words)

    assert (done.returncode, done.stdout, done.stderr) == (4, "", f"loadkit: {message}\n")


@pytest.mark.usefixtures("folder")
def test_a_comparison_is_written_as_junit_and_is_no_table(demo: Demo, call: Call):
    for name in ("before", "after"):
        call("run", demo.url, "-n", "20", "--repeat", "2", "-q", "-o", f"{name}.json")
    done = call("compare", "after.json", "--against", "before.json", "-o", "found.json", "--junit", "-")

    [suite] = ET.fromstring(done.stdout)
    assert suite.find("testcase").get("name") == "verdict"
    assert "━━" in done.stderr
    again = call("report", "found.json", "--junit", "-", "-q")
    assert again.stdout == done.stdout
    refused = call("report", "found.json", "--csv", "a.csv")
    message = "found.json is a comparison, and no result; leave --csv out"
    assert (refused.returncode, refused.stderr) == (4, f"loadkit: {message}\n")


def test_files_of_a_project_are_relative_to_it_and_stdout_stays_stdout(demo: Demo, call: Call, folder: Path):
    (folder / "pyproject.toml").write_text('[tool.loadkit]\ncsv = "found.csv"\njunit = "-"\n')
    (folder / "inner").mkdir()

    done = call("run", demo.url, "-n", "10", "-q")

    assert (done.returncode, done.stdout[:5]) == (0, "<?xml")
    assert (folder / "found.csv").exists()
