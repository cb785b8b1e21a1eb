"""HdrHistogram's formats hold the figures of the report: read by Java's HdrHistogram where that is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import pytest

from loadkit.judge.result import Result
from loadkit.measure.histogram import Histogram
from loadkit.plan.units import SECOND
from loadkit.report.formats.hdr import histogram_log, percentile_distribution
from tests.report.pages import HOSTILE, NOTHING, ODD, SHOP, hostile
from tests.results import Sample, interval, measured, replace, result, row, skewed, times

PERCENTS = (50, 75, 90, 95, 99, 99.9, 100)

MEASURED = measured(
    [
        Sample(second=second, label=label, span=base * (k * k + 7) // 3)
        for second in range(3)
        for label, base in (("a", 20_011), ("b", 3_000_017))
        for k in range(1, 80)
    ],
    duration=3.0,
)


ODD_NAMES = [*HOSTILE, ODD, "a, b\tc\r\nd\x00", "\udcff", "%2C", "#[StartTime: 1]", "Tag=x,1,2,3"]


def many(names: Sequence[str]) -> Result:
    """A second in which each of them had nine requests."""
    rows = [interval(0, times((500, 9)), name=name).total for name in names]
    whole = replace(interval(0, times((500, 9 * len(names)))), endpoints=rows)
    return replace(result([row("a", skewed(500, 9))]), intervals=[whole])


def jar() -> str:
    """Where HdrHistogram for Java is: Debian's libhdrhistogram-java, or Maven's."""
    places = (Path("/usr/share/java"), Path.home() / ".m2/repository/org/hdrhistogram")
    found = [str(file) for place in places for file in place.rglob("*.jar") if re.match("(?i)hdrhistogram", file.name)]
    return os.environ.get("HDRHISTOGRAM_JAR", "") or next(iter(found), "")


class Read(NamedTuple):
    """What Java makes of a log."""

    percentiles: dict[str, list[int]]
    """Count and percentiles in nanoseconds, by tag."""
    start: float
    distribution: list[str]


@pytest.fixture(scope="module")
def java(tmp_path_factory: pytest.TempPathFactory) -> list[Read]:
    """What Java makes of MEASURED and of the odd names."""
    if not jar() or not shutil.which("javac"):
        pytest.skip("Java's HdrHistogram is not installed: apt-get install default-jdk-headless libhdrhistogram-java")
    files = [tmp_path_factory.mktemp("logs") / f"{k}.hlog" for k in range(2)]
    for file, one in zip(files, (MEASURED, many(ODD_NAMES)), strict=True):
        file.write_text(histogram_log([one]), encoding="utf-8")
    program = Path(__file__).with_name("ReadLog.java")
    words = ["java", "-XX:TieredStopAtLevel=1", "-cp", jar(), str(program), *map(str, files)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(map(read, done.stdout.split("end\n")[:2]))


def read(text: str) -> Read:
    lines = [line.split("\t") for line in text.splitlines()]
    place = next(k for k, line in enumerate(lines) if line[0] == "start")
    percentiles = {line[0]: [int(word) for word in line[1:]] for line in lines[:place]}
    return Read(percentiles, float(lines[place][1]), [line[0] for line in lines[place + 1 :]])


def figures(times: Histogram) -> list[int | None]:
    return [times.count, *times.percentiles(PERCENTS)]


@pytest.mark.timeout(240)  # a busy machine takes long to compile a class
def test_java_reads_the_percentiles_of_the_report(java: list[Read]):
    found = java[0]

    assert found.start == pytest.approx(MEASURED.spans[0].ends[0] / SECOND, abs=0.001)
    for tag, one in (("", MEASURED.total), ("a", MEASURED["a"]), ("b", MEASURED["b"])):
        histogram = one.response_time.histogram
        # a log has no exact maximum, but the top of its bucket
        count, *values = found.percentiles[tag]
        assert [count, *(min(value, histogram.max) for value in values)] == figures(histogram)


def test_the_percentile_output_is_java_s_but_for_the_exact_maximum(java: list[Read]):
    """Java knows the bucket of the maximum alone, and makes the mean of the middles of buckets."""
    theirs = java[0].distribution
    ours = percentile_distribution(MEASURED).splitlines()
    top = MEASURED.response_time.histogram.max / 1e6

    assert len(ours) == len(theirs) > 40
    for mine, line in zip(ours, theirs, strict=True):
        if mine.startswith(("#[Mean", "#[Max")):
            numbers = [[float(word) for word in re.findall(r"[\d.]+", one)] for one in (mine, line)]
            assert numbers[0] == pytest.approx(numbers[1], rel=0.001)
        elif re.match(r" +\d", line) and float(line.split()[0]) > top:
            assert mine.split() == [f"{top:.3f}", *line.split()[1:]]
        else:
            assert mine == line


def test_the_percentile_output_has_the_percentiles_of_the_report():
    lines = [line.split() for line in percentile_distribution(MEASURED).splitlines() if re.match(r" +\d", line)]

    for name, level in (("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p95", 0.95)):
        [value] = [float(one[0]) for one in lines if float(one[1]) == level]
        assert value == round(getattr(MEASURED.response_time, name) * 1000, 3), name
    assert (float(lines[-1][0]), int(lines[-1][2])) == (round(MEASURED.response_time.max * 1000, 3), MEASURED.requests)


def test_of_journeys_alone_the_percentile_output_has_theirs():
    buy = SHOP.timings[0]
    alone = replace(result([], row("total", times())), timings=[buy])

    assert f"{buy.response_time.max * 1000:12.3f} 1.000000000000 {buy.count:10d}" in percentile_distribution(alone)


def test_of_nothing_there_are_no_percentiles():
    assert len(percentile_distribution(NOTHING).splitlines()) == 5


# -- the log


def fields(log: str) -> list[tuple[str | None, float, float, float]]:
    """Tag, start, length and maximum of each line."""
    found = []
    for line in log.splitlines()[4:]:
        tag, rest = line.split(",", 1) if line.startswith("Tag=") else (None, line)
        start, length, top, text = rest.split(",")
        assert Histogram.decode(text).max >= float(top) * 1e6 * 0.998
        found.append((tag, float(start), float(length), float(top)))
    return found


def test_the_log_has_a_line_an_interval_of_each_endpoint_and_one_of_what_is_timed_beside():
    log = histogram_log([SHOP])

    assert log.splitlines()[0] == "#[Histogram log format version 1.3]"
    assert log.splitlines()[1].startswith("#[StartTime: 1777889703.000 (seconds since epoch), Mon May 04 10:15:03 UTC")
    lines = fields(log)
    assert [one[:3] for one in lines if one[1] == 0.0] == [
        (None, 0.0, 1.0),
        ("Tag=GET%20/", 0.0, 1.0),
        ("Tag=GET%20/search", 0.0, 1.0),
        ("Tag=journey:buy", 0.0, 30.0),
    ]
    assert len(lines) == 30 * 3 + 1
    assert lines[0][3] == round(SHOP.intervals[0].total.response_time.max * 1000, 3)


def test_in_the_log_of_several_results_each_has_its_tags_and_its_time():
    second = replace(
        SHOP,
        spans=[replace(SHOP.spans[0], start="2026-05-04T10:16:03.5Z")],
        timings=[],
        intervals=[interval(0, skewed(240, 100))],
    )

    lines = fields(histogram_log([second, SHOP]))

    assert lines[0][0] == f"Tag={SHOP.title}"
    assert lines[-1][:2] == (f"Tag={SHOP.title}", 60.5)


def names_of(log: str) -> set[str]:
    tags = (line.split(",")[0].removeprefix("Tag=") for line in log.splitlines() if line.startswith("Tag="))
    return {unquote_to_bytes(tag).decode(errors="surrogatepass") for tag in tags}


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_tag_is_one_word_that_says_what_the_name_was(name: str):
    log = histogram_log([hostile(name)])

    assert names_of(log) == {name, f"journey:{name}"}
    assert all(re.fullmatch("[!-~]+", line) for line in log.splitlines()[4:])


def test_java_reads_hostile_tags(java: list[Read]):
    found = java[1]

    tags = {unquote_to_bytes(tag).decode(errors="surrogatepass") for tag in found.percentiles}
    assert tags == {"", *ODD_NAMES}
    assert {counts[0] for tag, counts in found.percentiles.items() if tag} == {9}
