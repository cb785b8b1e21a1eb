"""The limit of a target in a test: `load.limit`, and what a failing assert shows of it."""

from __future__ import annotations

from tests.plugin.conftest import Run

pytest_plugins = "pytester"


def test_a_limit_that_is_too_low_fails_with_its_levels(run: Run):
    found = run("""
def test_it_holds(load):
    assert load.limit(f"{URL}/delay/0.06", "p50 < 20ms", budget="8s").rate > 500
""")
    found.assert_outcomes(failed=1)
    text = found.stdout.str()
    assert "<Limit missed: it does not hold at the lowest rate" in text
    assert "load limit" in text
    assert "closed threads" in text


def test_a_limit_by_what_is_no_threshold_names_the_line_of_the_test(run: Run):
    found = run("""
def test_it_holds(load):
    load.limit(URL, "throughput > 5/s")
""")
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["*UsageError: a limit of the rate cannot be found by 'throughput > 5/s'*"])
