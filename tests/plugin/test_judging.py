"""What fails a test that loads without a word of its own, and what is said of it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from tests.plugin.conftest import Run, errors

pytest_plugins = "pytester"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "URL + '/nothing', iterations=5",
            r"not one good reply: status 404, .*\(5 of 5 requests\) \(test; with judge=F",
        ),
        ("fails, base_url=URL, iterations=4", r"not one journey came through: assert 200 == 201 \(4 of 4 fails\) "),
        (
            "URL + '/delay/0.2', rate='100/s', max_threads=1, duration='400ms'",
            r"asked 100/s, sent [\d.]+/s.* \(test; with judge=False it is the test that judges\)",
        ),
    ],
)
def test_a_run_that_is_no_result_fails_its_test_unless_that_judges_itself(run: Run, target: str, message: str):
    done = run(f"""
        def test(load):
            load({target})

        def test_judges(load):
            assert not load({target}, judge=False).passed

        @pytest.mark.load(judge=False)
        def test_judges_by_its_mark(load):
            assert not load({target}).passed
    """)

    done.assert_outcomes(passed=2, failed=1)
    assert re.match(f"AssertionError: {message}", errors(done)[0]), errors(done)


def test_a_run_that_a_threshold_ended_fails_its_test_unless_that_judges_itself(run: Run):
    done = run("""
        from loadkit import Threshold

        LIMITS = [Threshold("min < 10ms", over="1s", abort=True)]
        SLOW = {"threads": 1, "duration": "20s", "thresholds": LIMITS}

        def test(load):
            load(URL + "/delay/0.05", **SLOW)

        def test_judges(load):
            result = load(URL + "/delay/0.05", judge=False, **SLOW)
            assert result.thresholds[0].aborted and result.duration < 15
    """)

    done.assert_outcomes(passed=1, failed=1)
    said = errors(done)[0]
    assert re.match(r"AssertionError: min < 10ms over 1s or abort: 5\d(\.\d)? ms from 0 to 1 s", said), said
    assert "(test: aborted)" in done.stdout.str()


def test_a_load_that_is_to_be_shorter_than_a_window_goes_without_it(run: Run):
    done = run(
        """
        def test(load):
            result = load(URL, thresholds=["p99 < 5s over 10s", "p99 < 5s"], duration="20s")
            assert [one.threshold for one in result.thresholds if not one.implied] == ["p99 < 5s"]
        """,
        "--load-duration",
        "200ms",
    )

    done.assert_outcomes(passed=1)


def test_thresholds_of_the_mark_are_judged_all_the_same(run: Run):
    done = run("""
        @pytest.mark.load(judge=False, thresholds=["requests > 5"])
        def test(load):
            load(URL + "/nothing", iterations=5)

        @pytest.mark.load(judge=False, thresholds=["requests == 5"])
        def test_met(load):
            load(URL + "/nothing", iterations=5)
    """)

    done.assert_outcomes(passed=1, failed=1)
    assert errors(done)[0] == "AssertionError: requests > 5: 5"


def test_judge_is_true_or_false(run: Run):
    done = run("def test(load):\n    load(URL, judge='no')")

    assert errors(done)[0] == "loadkit.plan.errors.UsageError: judge takes True or False, not 'no'"


def test_a_server_that_dies_fails_the_test_it_dies_in_and_those_after_it(run: Run, pytester: pytest.Pytester):
    pytester.makepyfile(
        mortal="""
        import os
        left = [60]
        def app(environ, start_response):
            left[0] -= 1
            if left[0] < 0:
                print("FATAL \\x1b[31mno memory", flush=True)
                os._exit(9)
            start_response("200 OK", [("Content-Length", "2")])
            return [b"ok"]
        """
    )
    pytester.makepyprojecttoml('[tool.pytest]\nload_server = ["mortal:app"]')

    done = run("""
        @pytest.mark.load(duration="30s", threads=2, thresholds=["error_rate < 50%"])
        def test_dies(load, load_server):
            load(load_server)

        def test_after(load, load_server):
            load(load_server, duration="30s")
    """)

    done.assert_outcomes(failed=2)
    first, second = (line for line in errors(done) if line.startswith("AssertionError"))
    assert re.match(
        r"AssertionError: the server 'mortal:app' ended with exit code 9 at [\d.]+ m?s; its output: .*FATAL", first
    )
    assert "the server 'mortal:app' ended with exit code 9 before the run; its output: " in second
    assert "\x1b" not in done.stdout.str()
    done.stdout.fnmatch_lines(["  test_it.py::test_dies * server lost", "  test_it.py::test_after * server lost"])


# -- the mark


def test_thresholds_that_were_held_against_nothing_fail_the_test(run: Run):
    done = run("""
        @pytest.mark.load(thresholds=["p99 < 100ms"])
        def test_without_the_fixture():
            pass

        @pytest.mark.load(thresholds=["p99 < 100ms"])
        def test_without_a_call(load):
            pass

        @pytest.mark.load(thresholds=["p99 < 100ms"])
        def test_skips(load):
            pytest.skip("not today")

        @pytest.mark.load(thresholds=["p99 < 1h"])
        class TestThoseThatLoad:
            def test_loads(self, load):
                load(URL, iterations=3)

            def test_is_another_kind(self):
                pass
    """)

    done.assert_outcomes(passed=2, failed=2, skipped=1)
    said = "the mark load has thresholds, and this test ran no load: call the fixture load"
    assert done.outlines.count(said) == 2


# -- what is foreign stays harmless


def test_what_a_server_said_in_a_set_up_commands_no_terminal_and_no_ci(run: Run, pytester: pytest.Pytester):
    done = run(
        r"""
        def broken(http):
            raise ValueError("\x1b]0;mine\x07 ##vso[task.complete] \x9b31m")

        def test(load):
            load(Scenario(base_url=URL, endpoints=[plain], setup=broken, iterations=1))
        """,
        "--junit-xml",
        "junit.xml",
        "--tb=line",
    )

    done.assert_outcomes(failed=1)
    for text in (done.stdout.str(), (pytester.path / "junit.xml").read_text()):
        assert "the setup of the scenario failed" in text
        assert not {"\x1b", "\x07", "\x9b"} & set(text)
        assert "##vso[" not in text


def test_a_scenario_s_own_name_commands_no_terminal(run: Run):
    done = run(r"""
        def named(load):
            return load(URL, iterations=5, name="\x1b[31mred")

        def test_time(load):
            assert named(load).p99 < 0

        def test_rate(load):
            assert named(load).throughput > 1e9

        def test_check(load):
            named(load).check("p99 < 1ns")
    """)

    said = "\n".join(errors(done))
    assert said.count("of \\x1b[31mred: ") == 2
    assert "(\\x1b[31mred: 1 of 1 limits missed)" in said
    assert "\x1b" not in done.stdout.str()


# -- what is said


def test_below_a_test_that_failed_only_the_run_is_said_to_have_passed(run: Run):
    done = run("""
        @pytest.mark.parametrize("limits", [[], ["p99 < 60s"], ["p99 < 60s", "error_rate < 1%"]], ids=len)
        def test(load, limits):
            assert load(URL, iterations=5, thresholds=limits).p99 < 0
    """)

    assert "PASSED" not in done.stdout.str()
    said = [line.partition("the run by itself passed")[2] for line in done.outlines if line.startswith("The test fai")]
    assert said == [": no request failed", " its only threshold, and no request failed", " all 2 thresholds"]


def test_the_report_of_a_run_is_shown_once_however_many_subtests_fail(run: Run):
    done = run("""
        def test(load, subtests):
            first = load(URL, iterations=5)
            with subtests.test("a"):
                assert first.p99 < 0
            second = load(URL, iterations=7)
            with subtests.test("b"):
                assert second.p99 < 0
            assert first.p50 < 0
    """)

    shown = [line for line in done.outlines if line.startswith("  requests ")]
    assert [line.split()[1] for line in shown] == ["5", "7"]


def test_figures_of_journeys_are_explained(run: Run):
    done = run("""
        def test_timed(load):
            result = load(plain, threads=2, iterations=50)
            assert result.timing("plain").p99 < 0

        def test_not_requested(load):
            result = load(plain, threads=2, iterations=50)
            assert result.p99 < 1
    """)

    done.assert_outcomes(failed=2)
    assert any(re.fullmatch(r"p99 of plain in test_timed: .*", line) for line in errors(done)), errors(done)
    assert (
        "test_not_requested: nothing was requested with the session given as http; write result.timing('plain') for "
        "what was timed"
    ) in errors(done)


def test_a_limit_on_the_errors_of_everything_is_of_the_journeys_where_nothing_is_requested(run: Run):
    done = run("""
        def sometimes(http, calls=[]):
            calls.append(1)
            assert len(calls) % 2

        def test_check(load):
            load(plain, threads=2, iterations=50).check("error_rate < 1%")

        @pytest.mark.load(thresholds=["error_rate < 1%"])
        def test_mark(load):
            load(plain, threads=2, iterations=50)

        def test_missed(load):
            load(sometimes, threads=1, iterations=50).check("error_rate < 1%")
    """)

    done.assert_outcomes(passed=2, failed=1)
    assert errors(done)[0].split() == ["AssertionError:", "MISSED", "sometimes:", "error_rate", "<", "1%", "50", "%"]


def test_table_and_junit_have_the_figures_of_journeys(run: Run, pytester: pytest.Pytester):
    done = run(
        """
        def buy(http):
            http.get("/")
            with timer("count"):
                sum(range(1000))

        def test_alone(load):
            load(plain, threads=2, iterations=50)

        def test_both(load):
            load(buy, base_url=URL, threads=2, iterations=50)
        """,
        "--junit-xml",
        "junit.xml",
    )

    rows = [line.split() for line in done.outlines[done.outlines.index(next(filter(is_head, done.outlines))) :]]
    assert [row[0] for row in rows[2:5]] == ["test_it.py::test_alone", "test_it.py::test_both", "buy"]
    assert all(re.fullmatch(r"[\d.,]+/s", row[1]) and row[1] != "0/s" for row in rows[2:5])
    assert all("-" not in row[:6] for row in rows[2:5])
    cases = {case.get("name"): case for case in ET.parse(pytester.path / "junit.xml").iter("testcase")}
    both = {one.get("name"): str(one.get("value")) for one in cases["test_both"].iter("property")}
    assert both["load.journey.buy.count"] == both["load.timer.count.count"] == both["load.requests"] == "50"
    assert 0 < float(both["load.journey.buy.p50"]) <= float(both["load.journey.buy.p99"])
    assert both["load.validity"] in ("clean", "doubtful")


def is_head(line: str) -> bool:
    return "= load tests =" in line
