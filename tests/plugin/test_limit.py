"""The limit of a target in a test: `load.limit`, and what a failing assert shows of it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from loadkit.jobs.testing.runs import Found, packed, unpacked
from loadkit.report.json import load_stored
from tests.plugin.conftest import Run
from tests.report.comparisons import WORSE
from tests.report.limits import FOUND

pytest_plugins = "pytester"


def test_a_limit_that_is_too_low_fails_with_its_levels(run: Run):
    found = run("""
def test_it_holds(load):
    assert load.limit(f"{URL}/delay/0.06", "p50 < 20ms", budget="8s").rate > 500
""")
    found.assert_outcomes(failed=1)
    # on a busy machine it may not even be told
    found.stdout.re_match_lines(
        [
            r"E +assert 0\.0 > 500",
            r"E +limit of test_it_holds: (it does not hold at the lowest rate|no rate was found to hold)",
            r"-+ limit: test_it_holds -+",
            r"(MISSED|CANNOT TELL): ",
            r"closed threads +good replies",
            r"=+ load limits =+",
        ]
    )


def test_limits_have_a_table_files_properties_and_a_part_of_the_markdown(run: Run, project: pytest.Pytester):
    found = run(
        """
        def test_it_holds(load):
            found = load.limit(f"{URL}/delay/0.01", by="threads", budget="3s")
            assert found.closed
            assert load.limit(f"{URL}/delay/0.01", by="threads", budget="2s", name="again").ending == "interrupted"
        """,
        *("--load-json", "found", "--load-markdown", "found.md", "--load-html", "found.html"),
        *("--junit-xml", "junit.xml"),
    )
    found.assert_outcomes(failed=1)
    found.stdout.re_match_lines(
        [
            r"-+ limit 1: test_it_holds -+",
            r"-+ limit 2: again -+",
            r"=+ load limits =+",
            r"test +limit +missed at +took +ended",
            r"  test_it.py::test_it_holds +(more than \d+ threads? .*|-) +- +\ds  +(at least|cannot tell)",
            r"  test_it.py::test_it_holds #2 +(more than \d+ threads? .*|-) +- +\ds  +(at least|cannot tell)",
            r"  test_it.py::test_it_holds: (the budget of 3s is used up|trials of one number of threads scatter by)",
        ]
    )
    assert "= load tests =" not in found.stdout.str()
    names = ["test_it.py-test_it_holds-limit-2.json", "test_it.py-test_it_holds-limit.json"]
    files = sorted((project.path / "found").iterdir())
    assert [file.name for file in files] == names
    second, first = map(load_stored, files)
    assert (first.name, second.name) == ("test_it_holds", "again")
    assert (project.path / "found.html").read_text().count("<article") == 2
    assert (project.path / "found.md").read_text().count("| closed threads |") == 2
    properties = {one.get("name"): one.get("value") for one in ET.parse("junit.xml").iter("property")}
    assert (properties["load.limit.ending"], properties["load.limit.2.ending"]) == (first.ending, second.ending)
    assert properties.get("load.limit.threads", "None") == str(first.threads)
    assert properties.get("load.limit.2.best", "None") == str(second.best)


FINDINGS = [
    Found(test="test_a.py::test_b", number=2, finding=FOUND),
    Found(test="test_a.py::test_c", number=1, finding=WORSE),
]


def test_what_a_worker_found_is_read_by_the_controller_as_it_was():
    assert unpacked(json.loads(json.dumps(packed(FINDINGS)))) == FINDINGS


def test_a_limit_by_what_is_no_threshold_names_the_line_of_the_test(run: Run):
    found = run("""
def test_it_holds(load):
    load.limit(URL, "throughput > 5/s")
""")
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["*UsageError: a limit of the rate cannot be found by 'throughput > 5/s'*"])
